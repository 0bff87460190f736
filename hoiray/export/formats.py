"""The formats by name, and the one way an export is made: take the folder, write, tell, declare complete."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hoiray.errors import ConfigError, InputError, describe
from hoiray.export import coco, ho3d, huggingface, lerobot, webdataset
from hoiray.export.card import CARD_KEY, LEFT_OUT, FormatCard, make_card
from hoiray.export.job import ExportJob, Pixels
from hoiray.export.target import abandon_export, begin_export, finish_export, read_export


@dataclass(frozen=True)
class Format:
    """How labels become files.

    Attributes:
        write: the files, except for the card.
        card: what the card says, once they are written.
        pixels: what can be shown; the first is the default.
    """

    write: Callable[[ExportJob], None]
    card: Callable[[ExportJob], FormatCard]
    pixels: tuple[Pixels, ...]


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "coco": Format(coco.write_coco, lambda _job: coco.CARD, ("frame", "none")),
        "ho3d": Format(ho3d.write_ho3d, lambda _job: ho3d.CARD, ("frame",)),
        "huggingface": Format(huggingface.write_huggingface, huggingface.card_of, ("none",)),
        "lerobot": Format(lerobot.write_lerobot, lambda _job: lerobot.CARD, ("frame",)),
        "webdataset": Format(webdataset.write_webdataset, lambda _job: webdataset.CARD, ("frame", "crop")),
    }
)
"""What `hoiray export --format` takes."""


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        ConfigError: there is none of this name.
    """
    if name not in FORMATS:
        expected = f"one of {', '.join(FORMATS)}"
        raise ConfigError(describe(what="--format", expected=expected, found=repr(name), fix="Choose one."))
    return FORMATS[name]


def export_labels(job: ExportJob, format_name: str) -> tuple[dict[str, Any], bool]:
    """Write an export.

    Returns:
        What `export.json` says, and whether it was written now: False where the same export was complete already.

    Raises:
        ConfigError: no such format, pixels it cannot show, or a folder that holds something else.
        InputError: nothing can be exported; the message counts why.
        ContractError: labels are damaged.
    """
    chosen = format_named(format_name)
    if job.options.pixels not in chosen.pixels:
        expected = f"one of {', '.join(chosen.pixels)} for {format_name}"
        found, fix = job.options.pixels, "Choose one, or leave it out."
        raise ConfigError(describe(what="--pixels", expected=expected, found=found, fix=fix))
    _require_labels(job)
    identity = job.identity(format_name)
    if not begin_export(job.out, identity):
        return read_export(job.out) or {}, False
    chosen.write(job)
    if not job.tally.num_written:
        abandon_export(job.out)
        raise InputError(_nothing(job))
    job.out.write(CARD_KEY, make_card(chosen.card(job), job.lineage, job.options, job.tally))
    content = {"counts": job.tally.to_json(), "lineage": job.lineage.to_json(), "unreadable": job.tally.messages}
    return finish_export(job.out, identity, content), True


def _require_labels(job: ExportJob) -> None:
    """Refuse a run without anything to export, before a folder is touched."""
    if job.run.num_accepted or (job.options.with_refused and job.run.num_rows):
        return
    found = f"none; {job.run.num_rows} refused"
    fix = "Look at the reasons with hoiray report, judge with other limits, or say --include refused."
    raise InputError(describe(what=job.run.uri, expected="an accepted label", found=found, fix=fix))


def _nothing(job: ExportJob) -> str:
    reasons = "; ".join(
        f"{count} because {LEFT_OUT.get(name, name)}" for name, count in sorted(job.tally.left_out.items())
    )
    messages = f" First: {job.tally.messages[0]}" if job.tally.messages else ""
    fix = f"Choose another format, or repair what is missing.{messages}"
    return describe(what=job.run.uri, expected="labels this format can tell", found=f"none: {reasons}", fix=fix)
