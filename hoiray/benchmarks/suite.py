"""The table of speeds: every part is measured in a process of its own, and every row stands beside its goal.

A report holds the latest figures of each part; parts that were not asked for keep those they had, with the machine they
were measured on. A part that fails is named in the table with what it said, and the others go on.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hoiray.benchmarks.goals import GOALS, Row
from hoiray.benchmarks.timing import MAX_LOAD_PER_CORE, Spread, machine, make_report_folder, refuse_loaded_machine
from hoiray.errors import ConfigError, describe

NAME: Final = "performance"
COMMAND: Final = "python jobs/benchmark.py all"
PART_S: Final = 900.0
"""A part that takes longer is ended: it hangs."""

LINKED_MARKERS: Final = 100_000
LABELLED_SHARDS: Final = 100
INDEXED_VIDEOS: Final = (100_000, 700_000)
"""Buffers are full at the smaller one, so that what is left is growth."""

OPENINGS: Final = 3


@dataclass(frozen=True)
class Settings:
    """How the parts are measured.

    Attributes:
        pairs: alternating measurements of each side.
        force: on a loaded machine all the same.
        clips, python: of the peer: a folder of videos, and a Python that has MediaPipe; None: the peer is left out.
        adaptive: report of `jobs/benchmark.py adaptive` that is taken over.
    """

    pairs: int = 5
    force: bool = False
    clips: str | None = None
    python: str | None = None
    adaptive: str | None = None


def run(out: Path, settings: Settings, parts: Sequence[str]) -> str:
    """Measure parts, and write `performance.json` and `performance.md` into `out`; return the Markdown.

    Raises:
        ConfigError: a part is unknown, or the machine is loaded.
    """
    for name in parts:
        if name not in PARTS:
            fix = "Choose some, separated by commas."
            raise ConfigError(describe(what="--parts", expected=", ".join(PARTS), found=name, fix=fix))
    refuse_loaded_machine(force=settings.force)
    make_report_folder(out)
    path = out / f"{NAME}.json"
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # the load of what ran before: later on it is that of the parts themselves
    facts = machine()
    for name in parts:
        if name == "peer" and (settings.clips is None or settings.python is None):
            continue
        known[name] = measured_apart(name, settings, facts)
        # written anew after every part, so that a stop loses nothing
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        (out / f"{NAME}.md").write_text(page(known), encoding="utf-8")
    return page(known)


def measured_apart(name: str, settings: Settings, facts: Mapping[str, str]) -> dict[str, Any]:
    """Measure a part in a new process; return its rows, or why there are none, with machine and time."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "hoiray.benchmarks.suite", name, json.dumps(asdict(settings))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PART_S, check=False)
        status, said, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        status, said, errors = -1, "", f"no end after {PART_S:.0f} s"
    found: dict[str, Any] = {"machine": dict(facts), "seconds": round(time.monotonic() - begin, 1), "rows": []}
    if status != 0:
        return found | {"failed": errors.strip().splitlines()[-1] if errors.strip() else f"ended with {status}"}
    return found | {"rows": json.loads(said.splitlines()[-1])}


def is_loaded(facts: Mapping[str, str]) -> bool:
    """Whether a machine did other things too when the command began that measured on it."""
    return float(facts.get("load_1min", 0.0)) > MAX_LOAD_PER_CORE * float(facts.get("cores", 1.0))


def page(known: Mapping[str, Any]) -> str:
    """Write the table."""
    rows = [Row.parsed(values) for part in known.values() for values in part["rows"]]
    by_key = {row.key: row for row in rows}
    met = sum(GOALS[row.key].is_met(row.figure.median) for row in rows)
    lines = [
        "# Speed", "",
        f"Written by `{COMMAND}`. Every ratio is of two things measured in the same run, in turns: median, and least"
        f" and most of so many pairs. {met} of {len(rows)} goals are met; a missed one has its cause beside it.",
    ]  # fmt: skip
    loaded = [name for name, part in known.items() if is_loaded(part["machine"])]
    if loaded:
        names = ", ".join(loaded)
        lines += ["", f"The machine was **not idle**, so that these figures are to be distrusted: {names}."]
    section = ""
    for key, goal in GOALS.items():
        if key not in by_key:
            continue
        if goal.section != section:
            section = goal.section
            lines += ["", f"## {section}", "", "| what | against | figure | times | goal | met | |"]
            lines.append("|---|---|---|---|---|---|---|")
        lines.append(by_key[key].line())
    lines += ["", "## Measured on", ""]
    for name, part in known.items():
        facts = ", ".join(f"{key} {value}" for key, value in part["machine"].items())
        failed = f" **It failed: {part['failed']}**" if "failed" in part else ""
        lines.append(f"- {name}, {part['seconds']:.0f} s: {facts}.{failed}")
    missing = [name for name in PARTS if name not in known]
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    return "\n".join([*lines, ""])


def _pipeline(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.pipeline import measure

    return measure(folder, 1, pairs=settings.pairs)


def _pipelines(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.pipeline import measure

    return measure(folder, 2, pairs=settings.pairs)


def _ensemble(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.ensemble import measure

    return measure(folder, pairs=settings.pairs)


def _filters(_folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.filters import NUM_ROWS, Rows, compare_filters, rows_a_second

    rows = Rows.random(NUM_ROWS)
    solver, loop, _ = compare_filters(rows, pairs=settings.pairs)
    rates = [rows_a_second(rows)["all"] for _ in range(settings.pairs)]
    return [Row("filters", Spread.of(rates), len(rates)), Row.of("solver", solver), Row.of("loop", loop)]


def _judge(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.judging import measure

    return measure(folder, pairs=settings.pairs)


def _groupby(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.judging import groupby_row

    return [groupby_row(folder / "groupby", settings.pairs)]


def _control(folder: Path, _settings: Settings) -> list[Row]:
    from hoiray.benchmarks.control import growth_per_million, labelled, measured

    def opening(count: int) -> dict[str, Any]:
        # what else lies in memory at the peak of one is chance
        return min((measured("opening", folder, count) for _ in range(OPENINGS)), key=lambda row: row["grown_mib"])

    opened = [{"index": measured("index", folder, count), "open": opening(count)} for count in INDEXED_VIDEOS]
    planned = measured("planning", folder / "markers", LINKED_MARKERS)
    done = labelled(folder / "labelled", LABELLED_SHARDS, 2)
    first, last = (f"{it['open']['videos']:,}" for it in (opened[0], opened[-1]))
    grown = {name: growth_per_million(opened, name) for name in ("open", "index")}
    cpu_ms = done["driver_cpu_ms_a_shard"]
    return [
        Row.single("dispatch", cpu_ms / 100, f"{cpu_ms:.1f} ms a shard over {LABELLED_SHARDS} shards, free predictor."),
        Row.single("resume", planned["planned_in_s"], f"{planned['committed']:,} of {planned['shards']:,}, on a disk."),
        Row.single("driver_memory", grown["open"], f"From {first} to {last} videos, the least of {OPENINGS} each."),
        Row.single("index_memory", grown["index"], f"From {first} to {last} videos."),
    ]


def _peer(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.peer import measure

    assert settings.clips is not None
    assert settings.python is not None
    return measure(folder, pairs=settings.pairs, clips=Path(settings.clips), python=Path(settings.python))


def _training(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.train import measure

    return measure(folder, pairs=settings.pairs, on_ray=False)


def _training_on_ray(folder: Path, settings: Settings) -> list[Row]:
    from hoiray.benchmarks.train import measure

    return measure(folder, pairs=settings.pairs, on_ray=True)


def _adaptive(_folder: Path, settings: Settings) -> list[Row]:
    if settings.adaptive is None or not Path(settings.adaptive).exists():
        return []
    told = json.loads(Path(settings.adaptive).read_text(encoding="utf-8"))
    kept = Spread(*(told["kept"][name] for name in ("value", "low", "high")))
    note = f"{told['num_hands']:,} hands of {told['num_videos']} videos; interval by resampling videos; measured apart."
    return [Row("adaptive_kept", kept, told["num_videos"], note), Row.single("adaptive_views", told["views_share"])]


PARTS: Final[Mapping[str, Callable[[Path, Settings], list[Row]]]] = {
    "ensemble": _ensemble, "filters": _filters, "pipeline": _pipeline, "pipelines": _pipelines,
    "judge": _judge, "groupby": _groupby, "control": _control, "peer": _peer, "training": _training,
    "adaptive": _adaptive,
    "training_on_ray": _training_on_ray,
}  # fmt: skip

APART: Final = ("training_on_ray",)
"""Parts that take long and are measured where they are asked for by name only: the table keeps their figures."""


def main(arguments: Sequence[str]) -> None:
    """Measure one part, and print its rows as one line of JSON."""
    name, text = arguments
    settings = replace(Settings(), **json.loads(text))
    folder = Path(tempfile.mkdtemp(prefix="hb"))
    try:
        rows = PARTS[name](folder, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps([row.plain() for row in rows]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
