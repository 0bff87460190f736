"""The demo's outcome: one table for the terminal, and sections of a report, in plain words."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from hoiray.evaluation.bootstrap import Interval
from hoiray.report.html_report import Page
from hoiray.report.sections import Bullets, Cell, Column, Prose, Section, Table, Tile, Tiles
from hoiray.selftrain.audit import SHOWN, Compared, Finding
from hoiray.selftrain.demo import Demo
from hoiray.selftrain.phases import command_line
from hoiray.selftrain.rounds import RoundResult
from hoiray.selftrain.twin import WORLDS

INTERVALS: Final = "95 % intervals by resampling recordings, never frames"

DECIMALS: Final[Mapping[str, int]] = {"pa_mpjpe_mm": 2, "mpjpe_mm": 1, "joints_2d_box": 3}

WORDS: Final[Mapping[Finding, str]] = {
    "better": "the student is better",
    "worse": "the student is worse",
    "no difference shown": "no difference shown",
}


def score_rows(demo: Demo) -> list[tuple[str, str, Compared]]:
    """Return (test set, metric, both networks' scores), in the order they are shown."""
    return [
        (world, metric, demo.scores[world].metrics[metric])
        for world in WORLDS
        for metric in SHOWN
        if metric in demo.scores[world].metrics
    ]


def terminal_table(demo: Demo) -> list[str]:
    """Write the scores as a Markdown table."""
    lines = [
        "| test set | error | constant hand | teacher | student | student minus teacher | finding |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, metric, both in score_rows(demo):
        cells = [_text(cell, metric) for cell in (both.constant, both.teacher, both.student, both.difference)]
        lines.append(f"| {name} | {SHOWN[metric]} | {' | '.join(cells)} | {WORDS[both.finding]} |")
    return lines


def summary_words(demo: Demo) -> str:
    """Say in a sentence or two what came out."""
    result = demo.story.rounds[-1]
    first = (
        f"The teacher labelled {result.num_rows:,} hands in videos nobody had annotated; {result.num_accepted:,}"
        f" ({result.acceptance:.0%}) passed every check and were trained on."
    )
    if result.audit is None:
        return f"{first} There was nothing to train a student on."
    better, worse, same = (_counted(demo, finding) for finding in WORDS)
    second = (
        f"In {len(score_rows(demo))} comparisons with its teacher, on {len(WORLDS)} test sets, the student is better"
        f" in {better}, worse in {worse}, and no difference is shown in {same}."
    )
    return f"{first} {second}"


def demo_page(demo: Demo, labels: Page) -> Page:
    """Make the report: what came out, then the report of the labels.

    Args:
        demo: that has ended.
        labels: the report of its label run, see :mod:`hoiray.stages.label_report`.
    """
    own = (_summary_section(demo), _scores_section(demo), _round_section(demo.story.rounds[-1]))
    return Page(
        "hoiray demo: does a student learn from what its teacher labelled?",
        "A synthetic world with perfect truth; everything was rendered, trained and measured on this machine.",
        (
            *own,
            *(replace(section, title=f"Labels: {section.title}") for section in labels.sections),
            _cost_section(demo),
        ),
        labels.data,
    )


def _summary_section(demo: Demo) -> Section:
    result = demo.story.rounds[-1]
    minutes = sum(done.seconds for done in demo.phases) / 60.0
    tiles = Tiles(
        (
            Tile("hands labelled", f"{result.num_rows:,}", "in videos without annotations"),
            Tile("accepted", f"{result.acceptance:.1%}", f"{result.num_accepted:,} labels"),
            Tile("decision", result.decision, "by an audit on people nobody was trained on"),
            Tile("time", f"{minutes:.0f} min", "all commands, of the calls that finished them"),
        )
    )
    return Section("In short", (Prose(summary_words(demo)), tiles))


def _scores_section(demo: Demo) -> Section:
    titles = ("constant hand", "teacher", "student", "student minus teacher", "finding")
    tables = []
    for metric, title in SHOWN.items():
        shown = tuple(Column(one, "", DECIMALS[metric]) for one in titles)
        rows = tuple((name, _cells(both)) for name, of, both in score_rows(demo) if of == metric)
        caption = f"{title}; less is better. {INTERVALS}; the difference is paired: both networks on the same hands."
        tables.append(Table(caption, shown, rows, row_heading="test set"))
    sets = Bullets(tuple((f"{name}: {world.says}", None) for name, world in WORLDS.items()))
    words = Prose(
        "The constant hand is the best single answer without looking: what is not better than it has learnt nothing"
        " about hands' poses. PA lays size, place and orientation over each other first; MPJPE only the wrist."
    )
    return Section("Teacher against student", (words, sets, *tables))


def _round_section(result: RoundResult) -> Section:
    blocks: list[Prose | Bullets | Table] = [
        Prose(
            f"Of {result.num_rows:,} hands, {result.num_accepted:,} passed every limit. The others are kept with their"
            " numbers and reasons."
        )
    ]
    if result.audit is not None:
        caption = f"The audit: {result.audit.num_hands:,} hands of wild videos that were not labelled. {INTERVALS}."
        columns = tuple(Column(title, "", 3) for title in ("teacher", "student", "student minus teacher", "finding"))
        rows = tuple((SHOWN[name], _cells(both)[1:]) for name, both in result.audit.metrics.items())
        blocks.append(Table(caption, columns, rows, row_heading="metric"))
        blocks.append(Prose(f"What decides is PA-MPJPE: {result.finding}. Then: {result.decision}."))
    return Section("The round", tuple(blocks))


def _cost_section(demo: Demo) -> Section:
    rows = tuple((done.phase.name, (done.seconds / 60.0, done.phase.says)) for done in demo.phases)
    table = Table(
        "Minutes of each command, start-up included.", (Column("time", "min", 1), Column("what")), rows, "phase"
    )
    commands = Bullets(tuple((done.phase.says, command_line(done.phase)) for done in demo.phases))
    return Section("What was run", (table, Prose("Each phase is a command that can be typed by itself:"), commands))


def _counted(demo: Demo, finding: Finding) -> str:
    """Say how often something was found, and where."""
    found = [
        f"{SHOWN[metric].partition(',')[0]} on {name}"
        for name, metric, both in score_rows(demo)
        if both.finding == finding
    ]
    return f"{len(found)} ({'; '.join(found)})" if found and finding != "no difference shown" else str(len(found))


def _cells(both: Compared) -> tuple[Cell, ...]:
    return (both.constant, both.teacher, both.student, both.difference, WORDS[both.finding])


def _text(interval: Interval | None, metric: str) -> str:
    if interval is None:
        return "-"
    digits = DECIMALS[metric]
    if math.isnan(interval.low):  # of a single recording
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"
