"""The report of a labelling: its page, from the facts of the run, its rows, and pictures of some of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.report import graphics
from hoiray.report.gallery import CELL_PX, NO_MORE_ROOM, Pictures
from hoiray.report.html_report import Page
from hoiray.report.label_picture import WORDS
from hoiray.report.label_rows import REASONS, LabelRows
from hoiray.report.label_words import (
    NOT_CALIBRATED,
    count,
    in_percent,
    next_steps,
    seconds,
    summary_sentences,
    summary_tiles,
)
from hoiray.report.measures import DEGREES, Measure, measures_of
from hoiray.report.refusals import Refusal, refusals_of
from hoiray.report.run_facts import RunFacts
from hoiray.report.sections import (
    NO_BREAK,
    Bullets,
    Cell,
    Column,
    Figure,
    Figures,
    Prose,
    Section,
    Table,
    Tiles,
    Widget,
)
from hoiray.report.timelines import Timeline, rounded, timeline_data

Rows = npt.NDArray[np.intp]

NUM_BINS: Final = 32
MAX_LIMITS_SHOWN: Final = 5.0
"""A histogram ends at so many limits at most: what is farther off goes into its last bin."""

NUM_SHARE_BINS: Final = 20
MAX_LISTED_VIDEOS: Final = 200
STAGE_WORDS: Final[Mapping[str, str]] = {
    "input_wait": "waiting for frames",
    "decode": "decoding",
    "predict": "predicting",
    "fuse": "fusing views",
    "measure": "measuring",
    "judge": "judging",
    "commit": "writing",
}


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of single labels.

    Attributes:
        rows: row numbers of the gallery.
        labels: these rows as dictionaries, by number.
        timelines: of their videos.
        pictures: drawn of them.
    """

    rows: Rows
    labels: Mapping[int, Mapping[str, Any]]
    timelines: Sequence[Timeline]
    pictures: Pictures


def build_label_report(facts: RunFacts, rows: LabelRows, shown: Shown, extra: Sequence[Section] = ()) -> Page:
    """Put the report of a labelling together.

    Args:
        facts: of the run.
        rows: every row that was read.
        shown: single labels with pictures.
        extra: sections of others, such as statistics with truth or a comparison of teacher and student; they stand
            behind the videos' time lines.
    """
    refusals = refusals_of(rows.reasons)
    measures = measures_of(facts.rules, has_confidence=rows.has_confidence)
    sections = [
        _summary(facts, rows, refusals, measures),
        _why_refused(facts, rows, refusals),
        _measurements(facts, rows, measures),
        _videos(facts, rows),
        _gallery(facts, rows, shown, measures),
        _time_lines(shown, measures),
        *extra,
        _cost(facts),
        _lineage(facts),
    ]
    drawn = [measure for measure in measures if measure.is_drawn]
    data = {
        "drawn": [measures.index(measure) for measure in drawn],
        "measures": [_measure_data(measure) for measure in measures],
        "reasons": [WORDS[reason] for reason in REASONS],
        "labels": [_label_data(row, rows, shown, measures) for row in shown.rows.tolist()],
        "videos": [
            timeline_data(one, rows, drawn, shown.pictures.stills, _frames_note(one.name, shown.pictures))
            for one in shown.timelines
        ],
    }
    subtitle = f"{count(facts.num_rows, 'label')} of {count(facts.num_videos - facts.num_dead, 'video')} in {facts.uri}"
    return Page(f"Labels of {facts.name}", subtitle, sections, data)


# --- sections ---------------------------------------------------------------------------------------------------------


def _summary(facts: RunFacts, rows: LabelRows, refusals: Sequence[Refusal], measures: Sequence[Measure]) -> Section:
    said = summary_sentences(facts, refusals, has_confidence=rows.has_confidence)
    steps = next_steps(facts, refusals, measures, has_confidence=rows.has_confidence)
    blocks: list[Any] = [Tiles(summary_tiles(facts, rows.num_frames)), *(Prose(text) for text in said)]
    if steps:
        blocks += [Prose("What to do next:"), Bullets(steps)]
    return Section("Summary", blocks)


def _why_refused(facts: RunFacts, rows: LabelRows, refusals: Sequence[Refusal]) -> Section:
    if not refusals:
        return Section("Why labels were refused", [Prose("No label was refused.")])
    total = max(1, len(rows))
    steps = [graphics.Bar("labels", [(1.0, "mute")], f"{len(rows):,}")]
    for one in refusals:
        left, lost = one.num_left / total, (one.num_before - one.num_left) / total
        text = f"{one.num_left:,} left ({100 * left:.1f} %), {one.num_before - one.num_left:,} fewer"
        steps.append(graphics.Bar(f"without: {WORDS[one.reason]}", [(left, "mute"), (lost, "bad")], text))
    num_good = int(rows.is_accepted.sum())
    steps.append(
        graphics.Bar("accepted", [(num_good / total, "good")], f"{num_good:,} ({100 * num_good / total:.1f} %)")
    )
    reasons = [
        graphics.Bar(
            WORDS[one.reason],
            [(one.num_alone / total, "bad"), ((one.num_rows - one.num_alone) / total, "bad2")],
            f"{100 * one.num_rows / total:.1f} %, alone {100 * one.num_alone / total:.1f} %",
        )
        for one in sorted(refusals, key=lambda it: -it.num_rows)
    ]
    of = _rows_words(facts)
    return Section(
        "Why labels were refused",
        [
            Figure(
                f"One limit after the other, in the order in which reasons are listed; {of}.",
                graphics.bars(steps),
                "Funnel",
            ),
            Figure(
                f"Share of {of} that a reason stands against; a label may have several. Dark: the reason stands alone."
                " A limit also decides which frames others are compared with: hoiray statistics tells what leaving"
                " it out would accept.",
                graphics.bars(reasons),
                "Reasons",
            ),
            _reason_table(facts, refusals, total),
        ],
    )


def _reason_table(facts: RunFacts, refusals: Sequence[Refusal], total: int) -> Table:
    lines: list[tuple[str, Sequence[Cell]]] = []
    for one in refusals:
        share = facts.refused_shares.get(one.reason)
        lines.append(
            (
                WORDS[one.reason],
                (
                    facts.reasons.get(one.reason, one.num_rows),
                    None if share is None else in_percent(share),
                    one.num_alone,
                    100.0 * one.num_alone / total,
                    one.num_before - one.num_left,
                ),
            )
        )
    columns = (
        Column("labels"), Column("share", "%", 1), Column("alone"), Column("alone, share", "%", 1),
        Column("lost in the funnel"),
    )  # fmt: skip
    caption = "Refusals by reason. Intervals: 95 %, by resampling videos."
    return Table(caption, columns, lines, "reason")


def _measurements(facts: RunFacts, rows: LabelRows, measures: Sequence[Measure]) -> Section:
    judged = [_histogram(measure, rows) for measure in measures if measure.limit is not None]
    others = [_histogram(measure, rows) for measure in measures if measure.limit is None]
    blocks: list[Any] = [
        Prose(
            f"How every measurement is spread over {_rows_words(facts)}: accepted ones in green, refused ones on top of"
            " them in orange (a label may be refused for another measurement). The dashed line is the limit."
        )
    ]
    if judged:
        blocks.append(Figures(judged))
    else:
        blocks.append(Prose("The limits of these labels are not known here: they are not those in the run's run.yaml."))
    blocks.append(Figures(others, summary=f"Measured and stored, not judged ({len(others)})"))
    return Section("Measurements and limits", blocks)


def _histogram(measure: Measure, rows: LabelRows) -> Figure:
    values = measure.shown(rows.values(measure.name))
    is_known = np.isfinite(values)
    num_unknown = len(values) - int(is_known.sum())
    unknown = f"{num_unknown:,} not measured" if num_unknown else ""
    if not is_known.any():
        return Figure(unknown or "no labels", graphics.nothing(), measure.title)
    edges = _edges(values[is_known], measure)
    inside = np.clip(values, edges[0], edges[-1])
    good, bad = (
        np.histogram(inside[is_known & is_part], bins=edges)[0] for is_part in (rows.is_accepted, ~rows.is_accepted)
    )
    words = [_beyond_words(measure, rows), _outside_words(values[is_known], edges, measure), unknown]
    words.append(f"tallest bar {int((good + bad).max())} of {len(values):,}")
    caption = "; ".join(word for word in words if word)
    drawn = graphics.Histogram(
        edges, good, bad, f"{measure.title}: histogram. {caption}", measure.limit, f"limit {measure.short_text()}"
    )
    title = f"{measure.title}{f', {measure.unit}' if measure.unit else ''}"
    return Figure(caption, graphics.histogram(drawn), title)


def _edges(values: npt.NDArray[np.float64], measure: Measure) -> npt.NDArray[np.float64]:
    """Bins that show the bulk of the values and the limit; what lies outside goes into the first and last bin."""
    low, high = np.quantile(values, [0.005, 0.98])
    low = 0.0 if 0.0 <= low < 0.5 * high else low
    if measure.limit is not None:
        if measure.bound == "min":
            low = min(low, measure.limit - 0.08 * (high - measure.limit))
        else:
            high = min(high, MAX_LIMITS_SHOWN * measure.limit) if measure.limit > 0 else high
        low, high = min(low, measure.limit), max(high, 1.15 * measure.limit)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, NUM_BINS + 1)


def _beyond_words(measure: Measure, rows: LabelRows) -> str:
    if measure.limit is None or measure.reason is None:
        return ""
    share = rows.reasons[:, REASONS.index(measure.reason)].mean() if len(rows) else 0.0
    return f"limit: {measure.limit_text()}; {100 * share:.1f} % refused for it"


def _outside_words(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64], measure: Measure) -> str:
    share = float((values > edges[-1]).mean())
    return f"{100 * share:.1f} % above {measure.text(float(edges[-1]))}, in the last bar" if share >= 0.0005 else ""


def _videos(facts: RunFacts, rows: LabelRows) -> Section:
    number, accepted = rows.counts_by_video()
    is_there = number > 0
    share = 100.0 * accepted[is_there] / number[is_there]
    edges = np.linspace(0.0, 100.0, NUM_SHARE_BINS + 1)
    counts = np.histogram(share, bins=edges)[0]
    words = f"Accepted share of the labels of a video, %; height: videos, at most {int(counts.max(initial=0)):,}."
    blocks: list[Any] = [Prose(_videos_words(facts, share))]
    if share.size:
        drawn = graphics.Histogram(edges, counts, np.zeros_like(counts), words)
        blocks.append(Figures([Figure(words, graphics.histogram(drawn), "Accepted share by video, %")]))
    if facts.given_up:
        blocks.append(_given_up(facts))
    return Section("Videos", blocks)


def _videos_words(facts: RunFacts, share: npt.NDArray[np.float64]) -> str:
    if not share.size:
        return "No video has labels."
    text = f"Of {count(share.size, 'video')} with labels, {int((share == 0).sum()):,} have none accepted;"
    text += f" in half of the videos more than {np.median(share):.0f} % are accepted."
    num_empty = facts.num_videos - facts.num_dead - share.size
    if num_empty > 0 and not facts.is_sampled:
        text += f" {count(num_empty, 'more video')} had no box of a hand, and so no labels."
    return text


def _given_up(facts: RunFacts) -> Table:
    listed = facts.given_up[:MAX_LISTED_VIDEOS]
    part = f"{len(listed):,} of {facts.num_dead:,} are listed; " if len(listed) < facts.num_dead else ""
    lines = [(one.video, (one.where, one.message)) for one in listed]
    return Table(
        f"Videos without labels; {part}all of them: hoiray dead list.", (Column("where"), Column("why")), lines, "video"
    )


def _gallery(facts: RunFacts, rows: LabelRows, shown: Shown, measures: Sequence[Measure]) -> Section:
    if not len(shown.rows):
        return Section("Pictures", [Prose("There is no label with a prediction to show.")])
    names = {one.video: place for place, one in enumerate(shown.timelines)}
    values = {
        "cards": [_card(row, rows, shown, measures, names[int(rows.video[row])]) for row in shown.rows.tolist()],
        "videos": [one.name for one in shown.timelines],
        "reasons": [
            (reason, WORDS[reason]) for index, reason in enumerate(REASONS) if rows.reasons[shown.rows, index].any()
        ],
        "has_confidence": rows.has_confidence,
        "side_px": CELL_PX,
    }
    num_good = int(rows.is_accepted[shown.rows].sum())
    text = (
        f"{num_good} accepted and {len(shown.rows) - num_good} refused labels, drawn by lot (seed {facts.seed}):"
        " accepted ones from as many videos as there are, refused ones reason by reason, so rare reasons are shown more"
        " often than they occur. Mesh and joints as predicted; white: the given box."
        " Choose a picture for all its numbers."
    )
    blocks: list[Any] = [Prose(text)]
    if not rows.has_confidence:
        blocks.append(Prose(f"{NOT_CALIBRATED} Command: hoiray calibrate."))
    if shown.pictures.missing:
        blocks.append(_missing(shown.pictures))
    return Section("Pictures", [*blocks, Widget("gallery.html.j2", values)])


def _missing(pictures: Pictures) -> Table:
    lines = [(video, (why,)) for video, why in sorted(pictures.missing.items())]
    caption = f"Frames of {count(len(lines), 'video')} could not be shown; their numbers are."
    return Table(caption, (Column("why"),), lines, "video")


def _card(row: int, rows: LabelRows, shown: Shown, measures: Sequence[Measure], video: int) -> dict[str, Any]:
    name = rows.video_names[int(rows.video[row])]
    reasons = [REASONS[index] for index in np.flatnonzero(rows.reasons[row])]
    side = "right" if rows.is_right[row] else "left"
    verdict = "accepted" if rows.is_accepted[row] else "refused"
    is_missing = name in shown.pictures.missing
    return {
        "verdict": verdict,
        "reasons": reasons,
        "video": video,
        "name": name,
        "frame": int(rows.frame[row]),
        "side": side,
        "confidence": rounded(float(rows.confidence[row]), 4),
        "lines": [_reason_line(reason, row, rows, measures) for reason in reasons],
        "mesh": shown.pictures.close_ups.get(row),
        "bare": shown.pictures.bare.get(row, ""),
        "missing": "The frame could not be read." if is_missing else f"Not shown: {NO_MORE_ROOM}.",
        "alt": f"Close-up of the {side} hand under the predicted mesh, {verdict}",
    }


def _reason_line(reason: str, row: int, rows: LabelRows, measures: Sequence[Measure]) -> str:
    for measure in measures:
        if measure.reason == reason:
            value = float(measure.shown(rows.values(measure.name)[row : row + 1])[0])
            if np.isfinite(value):
                return f"{WORDS[reason]}: {measure.text(value)}, limit {measure.limit_text()}"
    return WORDS[reason]


def _time_lines(shown: Shown, measures: Sequence[Measure]) -> Section:
    if not shown.timelines:
        return Section("Over time", [Prose("There is no video to show.")])
    text = (
        f"What was measured over the frames of {count(len(shown.timelines), 'video')}: those of the pictures above."
        " Each row of points is held against its dashed limit; orange points are beyond it and refused for it; short"
        " grey marks below: not measured. Move over a drawing, or use the slider and the arrow keys."
    )
    if not any(measure.limit is not None for measure in measures):
        text += " The limits of these labels are not known here."
    videos = {"videos": [one.name for one in shown.timelines]}
    return Section("Over time", [Prose(text), Widget("timeline.html.j2", videos)])


def _cost(facts: RunFacts) -> Section:
    total = sum(facts.timings_s.values())
    if total <= 0.0:
        return Section("Cost", [Prose("No times were recorded.")])
    lines: list[tuple[str, Sequence[Cell]]] = []
    drawn = []
    for name, spent in [*sorted(facts.timings_s.items(), key=lambda item: -item[1]), ("all", total)]:
        words = STAGE_WORDS.get(name, name)
        per_label = 1000.0 * spent / facts.num_rows if facts.num_rows else None
        per_accepted = 1000.0 * spent / facts.num_accepted if facts.num_accepted else None
        lines.append((words, (spent, 100.0 * spent / total, per_label, per_accepted)))
        if name != "all":
            drawn.append(
                graphics.Bar(words, [(spent / total, "accent")], f"{seconds(spent)} ({100 * spent / total:.0f} %)")
            )
    columns = (
        Column("time", "s", 1),
        Column("share", "%", 1),
        Column("per label", "ms", 1),
        Column("per accepted label", "ms", 1),
    )
    text = (
        f"{seconds(total)} of work in all, summed over all workers: with several at once the clock shows less."
        " Times are those of the attempts that were committed; work that was lost with a machine is not in them."
    )
    caption = "Time by stage, from the commit markers."
    return Section("Cost", [Prose(text), Figure("", graphics.bars(drawn)), Table(caption, columns, lines, "stage")])


def _lineage(facts: RunFacts) -> Section:
    lines = [(one.name, (one.value, one.note)) for one in facts.origins]
    caption = "Where these labels come from: the same ids mean the same numbers."
    text = (
        f"Everything drawn by lot here has seed {facts.seed}: the same run, seed and version give the same file."
        " Judging with the same predict_id and limits gives the same labels, bit for bit."
    )
    return Section("Where it comes from", [Table(caption, (Column("value"), Column("remark")), lines), Prose(text)])


# --- data of the page's script ----------------------------------------------------------------------------------------


def _measure_data(measure: Measure) -> dict[str, Any]:
    return {
        "title": measure.title,
        "unit": measure.unit if measure.unit in {"", DEGREES} else f"{NO_BREAK}{measure.unit}",
        "decimals": measure.decimals,
        "limit": None if measure.limit is None else rounded(measure.limit),
        "limitText": measure.limit_text(),
        "bound": measure.bound,
        "reason": None if measure.reason is None else REASONS.index(measure.reason),
    }


def _label_data(row: int, rows: LabelRows, shown: Shown, measures: Sequence[Measure]) -> dict[str, Any]:
    place, timeline = next(
        (place, one) for place, one in enumerate(shown.timelines) if one.video == int(rows.video[row])
    )
    reasons = np.flatnonzero(rows.reasons[row]).tolist()
    confidence = float(rows.confidence[row])
    sure = "The confidence is not calibrated." if np.isnan(confidence) else f"Confidence {confidence:.2f}."
    why = "It meets every limit." if not reasons else f"Refused: {'; '.join(WORDS[REASONS[it]] for it in reasons)}."
    members = shown.labels[row]["num_members"]
    return {
        "accepted": bool(rows.is_accepted[row]),
        "reasons": reasons,
        "words": f"{why} {sure} {count(members, 'view')} of the hand were predicted and averaged.",
        "values": [rounded(float(measure.shown(rows.values(measure.name)[row : row + 1])[0])) for measure in measures],
        "video": place,
        "track": timeline.place_of(row),
        "frame": int(rows.frame[row]),
    }


def _frames_note(video: str, pictures: Pictures) -> str:
    why = pictures.missing.get(video)
    return "" if why is None else f"Its frames could not be shown: {why}"


def _rows_words(facts: RunFacts) -> str:
    if facts.is_sampled:
        return f"{facts.num_rows_read:,} of {facts.num_rows:,} labels drawn by lot"
    return f"all {count(facts.num_rows, 'label')}"
