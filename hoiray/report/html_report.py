"""A report as one HTML file that needs nothing else: no server, no network, no second file.

The page works from ``file://`` and by mail. Text is escaped by the template engine, whatever it holds; scripts and
styles are named in the page's own content security policy by their digest, so nothing that came in with a name could
run even if it were not escaped. The same page gives the same bytes: there is no clock in it.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hoiray import __version__
from hoiray.errors import ContractError, describe
from hoiray.io.json_values import nan_to_none
from hoiray.io.store import open_uri
from hoiray.report.sections import Section, cell_texts

MAX_BYTES: Final = 20_000_000
"""What can still be sent and opened on a telephone."""

_ASSETS: Final = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: of the page; names the run.
        subtitle: one line below it.
        sections: in order; the table of contents lists them.
        data: what the page's script reads, JSON; NaN and infinity become null.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    data: Mapping[str, Any] = field(default_factory=dict)


def render_report(page: Page) -> str:
    """Return a report as HTML.

    Raises:
        ContractError: it is larger than :data:`MAX_BYTES`.
    """
    style, script = _asset("report.css"), _asset("report.js")
    environment = Environment(
        loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"cell_texts": cell_texts, "kind": lambda block: type(block).__name__}
    html = environment.get_template("report.html.j2").render(
        page=Page(page.title, page.subtitle, page.sections, nan_to_none(page.data)),
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        version=__version__,
    )
    size = len(html.encode("utf-8", "backslashreplace"))
    if size > MAX_BYTES:
        fix = "Ask for fewer pictures."
        raise ContractError(
            describe(what=f"report {page.title!r}", expected=f"at most {MAX_BYTES} bytes", found=f"{size}", fix=fix)
        )
    return html


def write_report(page: Page, uri: str) -> int:
    """Write a report; it appears whole or not at all.

    Args:
        page: what it says.
        uri: the file, local or on S3; folders are made as needed.

    Returns:
        Its size in bytes.

    Raises:
        ContractError: it is too large.
        ConfigError: the place is no place of a file.
        InputError: it cannot be written.
    """
    # a name that is no UTF-8 (a surrogate from the file system) is shown by its number
    data = render_report(page).encode("utf-8", "backslashreplace")
    store, key = open_uri(uri if "://" in uri or "/" in uri else f"./{uri}")
    store.write(key, data)
    return len(data)


def _policy(style: str, script: str) -> str:
    """Allow this script, this style and pictures within the page, and nothing else."""
    return (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
