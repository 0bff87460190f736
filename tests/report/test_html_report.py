"""A page is whole, escaped, the same every time, and never too large."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_scenes import HOSTILE_NAMES

from hoiray.errors import ConfigError, ContractError
from hoiray.report import html_report
from hoiray.report.graphics import Bar, bars
from hoiray.report.html_report import Page, render_report, write_report
from hoiray.report.sections import Bullets, Column, Figure, Figures, Interval, Prose, Section, Table, Tile, Tiles


def page_of(name: str, **data: object) -> Page:
    blocks = (
        Tiles((Tile(name, name, name),)),
        Prose(name),
        Bullets(((name, name),)),
        Table(name, (Column(name, "mm", 1), Column("words")), ((name, (Interval(9.84, 9.1, 10.5), name)),), name),
        Figure(name, bars([Bar(name, [(0.5, "good")], name)]), name),
        Figures((Figure("", bars([]), ""),), summary=name),
    )
    return Page(name, name, (Section(name, blocks),), data)


class Seen(HTMLParser):
    """Elements, their attributes, and what is outside of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(html: str) -> Seen:
    parser = Seen()
    parser.feed(html)
    return parser


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_adds_no_element_and_is_shown_as_it_is(name: str) -> None:
    plain, hostile = (seen(render_report(page_of(text, names=text))) for text in ("plain", name))
    assert hostile.tags == plain.tags
    assert [key for key, _ in hostile.attributes] == [key for key, _ in plain.attributes]
    assert hostile.text.count(name) >= 8


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_data_of_the_script_survive_whatever_they_hold(name: str) -> None:
    html = render_report(page_of("x", names=[name], value=math.nan, far=-math.inf))
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert json.loads(content) == {"names": [name], "value": None, "far": None}
    assert "<" not in content


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render_report(page_of("x"))
    assert not [value for key, value in seen(html).attributes if key in {"src", "srcset", "data", "action"}]
    assert all(value is not None and value.startswith("#") for key, value in seen(html).attributes if key == "href")
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org/2000/svg)", html)


def test_only_the_pages_own_script_and_style_may_run() -> None:
    html = render_report(page_of("x"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:;")
    assert "unsafe" not in policy
    # attributes that a policy without 'unsafe-inline' would silence
    assert not [key for key, _ in seen(html).attributes if key == "style" or key.startswith("on")]


def test_the_same_page_gives_the_same_bytes() -> None:
    assert render_report(page_of("x", b=1, a=2)) == render_report(page_of("x", a=2, b=1))


def test_a_table_shows_units_and_intervals() -> None:
    html = render_report(page_of("x"))
    assert '9.8 <span class="interval">[9.1, 10.5]</span>' in html
    assert '<span class="unit">mm</span>' in html


def test_a_page_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html_report, "MAX_BYTES", 1000)
    with pytest.raises(ContractError, match="at most 1000 bytes"):
        render_report(page_of("x"))


def test_a_page_is_written_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of("a name that is no UTF-8: \udcff")
    num_bytes = write_report(page, str(tmp_path / "new folder" / "report.html"))
    text = (tmp_path / "new folder" / "report.html").read_text(encoding="utf-8")
    assert num_bytes == len(text.encode())
    assert "no UTF-8: \\udcff" in text
    monkeypatch.chdir(tmp_path)
    write_report(page, "here.html")
    assert (tmp_path / "here.html").read_text() == text
    with pytest.raises(ConfigError):
        write_report(page, "s3://")
