"""The card of an export: what it holds and what it does not, its counts, licence, lineage and limits, as Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from hoiray.export.job import Options
from hoiray.export.lineage import Lineage
from hoiray.export.rows import Tally
from hoiray.schema.vocabularies import REJECT_REASONS

CARD_KEY: Final = "README.md"

NOT_STATED: Final = "not stated by whoever exported them"

LEFT_OUT: Final[Mapping[str, str]] = {
    "video_unreadable": "the video is missing, was changed or is damaged",
    "other_rate": "a dataset has one frame rate, and their videos have another one",
    "no_answer": "the predictor gave no answer: there are no joints",
    "no_parameters": "joints only: there are no parameters of a hand model",
    "no_camera": "the camera is not known, so the hand has no place in space",
    "left_hand": "the format knows right hands only",
    "too_many_hands": "more than ten right hands in the frame",
    "no_box": "the box around the hand is empty",
    "other_size": "no two sizes fit one video",
}
"""Why a label cannot be told in a format."""


@dataclass(frozen=True)
class FormatCard:
    """What a card says of a format.

    Attributes:
        title: of the format.
        holds: sentences on what is in the files.
        lacks: sentences on what is not.
        loading: code that reads it.
        metadata: for the YAML header.
    """

    title: str
    holds: Sequence[str]
    lacks: Sequence[str]
    loading: str
    metadata: Mapping[str, Any]


def make_card(card: FormatCard, lineage: Lineage, options: Options, tally: Tally) -> bytes:
    """Write the card; the same export gives the same bytes."""
    parts = (
        _header(card, options),
        f"# Hand labels by hoiray: {card.title}",
        "Pseudo-labels: made by a network, measured, and judged by limits on the measurements. No person has looked at"
        " each of them. Nothing is smoothed, interpolated or filled in: a frame without an accepted label has none.",
        _bullets("What it holds", card.holds),
        _bullets("What is not in it", card.lacks),
        f"## How to read it\n\n```python\n{card.loading.strip()}\n```",
        _counts(options, tally),
        _licence(lineage, options),
        _lineage(lineage),
    )
    return ("\n\n".join(part for part in parts if part) + "\n").encode()


def _header(card: FormatCard, options: Options) -> str:
    metadata = {
        "license": "other",
        "license_name": _slug(options.licence) if options.licence else "not-stated",
        "tags": ["hand-pose", "pseudo-labels", "hoiray"],
        **card.metadata,
    }
    return f"---\n{yaml.safe_dump(metadata, sort_keys=False)}---"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "other"


def _bullets(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)


def _counts(options: Options, tally: Tally) -> str:
    refused = tally.num_rows - tally.num_accepted
    lines = [
        "## Counts",
        "",
        "| labels | number |",
        "|---|---|",
        f"| of the run, in {tally.num_videos} videos | {tally.num_rows} |",
        f"| accepted | {tally.num_accepted} |",
        f"| refused | {refused} |",
        f"| in this export | {tally.num_written} |",
        f"| of these accepted | {tally.num_written_accepted} |",
    ]
    kept = "Refused labels are in it, marked." if options.with_refused else "Refused labels are not in it."
    lines += ["", kept, ""]
    if tally.reasons:
        lines += ["| refused because | labels |", "|---|---|"]
        lines += [f"| {REJECT_REASONS.get(name, name)} | {tally.reasons[name]} |" for name in sorted(tally.reasons)]
        lines += ["", "A label may be refused for several reasons.", ""]
    if tally.left_out:
        lines += ["| chosen, and not in this format because | labels |", "|---|---|"]
        lines += [f"| {LEFT_OUT.get(name, name)} | {tally.left_out[name]} |" for name in sorted(tally.left_out)]
    return "\n".join(lines).rstrip()


def _licence(lineage: Lineage, options: Options) -> str:
    use = "allow" if lineage.allows_commercial_use else "do NOT allow"
    return _bullets(
        "Licence",
        [
            f"The labels: {_inline(options.licence) if options.licence else NOT_STATED}.",
            f"The hand model whose parameters they are: {_inline(lineage.hand_licence)}"
            f" ({lineage.hand_licence_url}). Its terms {use} commercial use.",
            "The teacher's weights and the videos have licences of their own, which hoiray does not know and which bind"
            " the labels and every picture too. Ask before passing pictures on.",
        ],
    )


def _lineage(lineage: Lineage) -> str:
    lines = [
        f"teacher: {_inline(lineage.teacher)}, {lineage.num_views} views",
        f"hand model: {_inline(lineage.hand_model)}, finger tips as {_inline(lineage.tip_set)}",
        f"videos: {_inline(lineage.videos)}",
        f"plan_id: `{lineage.plan_id}`",
        f"predict_id: `{lineage.predict_id}`",
        f"judge_id: `{lineage.judge_id}`",
        f"snapshot_id: `{lineage.snapshot_id}`",
        f"exported by hoiray {lineage.hoiray_version}",
    ]
    text = _bullets("Lineage", lines)
    if not lineage.limits:
        return f"{text}\n\nThe limits are those that the judge_id stands for; they are not written beside the run."
    rows = [f"| `{name}` | {_inline(limit)} |" for name, limit in lineage.limits.items()]
    return "\n".join([text, "", "| measurement | accepted |", "|---|---|", *rows])


def _inline(text: str) -> str:
    """Return text as one cell or line of Markdown: of a hostile name nothing is left that is mark-up."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", flat)
