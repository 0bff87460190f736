"""Paired timing: figures that survive a noisy machine, because both sides are measured in the same run, in turns."""

import importlib.metadata
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hoiray import __version__
from hoiray.errors import ConfigError, describe

MIN_PAIRS = 5
MAX_LOAD_PER_CORE = 0.35
"""Above this one-minute load a core is shared with something else and even ratios wander."""


@dataclass(frozen=True)
class Spread:
    """Median and extremes of repeated measurements of one quantity."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Comparison:
    """`subject` against `baseline`: seconds of each and the ratio subject / baseline, pair by pair."""

    subject: str
    baseline: str
    subject_s: Spread
    baseline_s: Spread
    ratio: Spread
    pairs: int


def compare(
    subject: tuple[str, Callable[[], object]],
    baseline: tuple[str, Callable[[], object]],
    *,
    pairs: int = MIN_PAIRS,
    min_time_s: float = 0.2,
) -> Comparison:
    """Time two callables in alternation, each repeated until one measurement lasts `min_time_s`.

    Both are called once beforehand (compilation, caches). The order within a pair alternates, so that a drift of
    the machine falls on both sides alike.

    Raises:
        ConfigError: fewer than `MIN_PAIRS` pairs were asked for.
    """
    if pairs < MIN_PAIRS:
        raise ConfigError(
            describe(what="--pairs", expected=f"{MIN_PAIRS} or more", found=str(pairs), fix="Measure more pairs.")
        )
    repeats = tuple(_repeats_for(call, min_time_s) for call in (subject[1], baseline[1]))
    return alternate(
        (subject[0], lambda: _time(subject[1], repeats[0])),
        (baseline[0], lambda: _time(baseline[1], repeats[1])),
        pairs=pairs,
    )


def alternate(
    subject: tuple[str, Callable[[], float]], baseline: tuple[str, Callable[[], float]], *, pairs: int
) -> Comparison:
    """Measure two things in turns that tell their seconds themselves; the order within a pair alternates."""
    measures = (subject[1], baseline[1])
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            seconds[side].append(measures[side]())
    ratios = [mine / other for mine, other in zip(*seconds, strict=True)]
    return Comparison(subject[0], baseline[0], Spread.of(seconds[0]), Spread.of(seconds[1]), Spread.of(ratios), pairs)


def _repeats_for(call: Callable[[], object], min_time_s: float) -> int:
    call()
    return max(1, round(min_time_s / max(_time(call, 1), 1e-9)))


def _time(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def refuse_loaded_machine(*, force: bool) -> None:
    """Raise unless the machine is idle or the caller insists.

    Raises:
        ConfigError: the one-minute load per core is above `MAX_LOAD_PER_CORE`.
    """
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] / cores
    if load > MAX_LOAD_PER_CORE and not force:
        raise ConfigError(
            describe(
                what="machine load",
                expected=f"at most {MAX_LOAD_PER_CORE} per core over the last minute",
                found=f"{load:.2f} on {cores} cores",
                fix="Wait until the machine is idle, or pass --force and distrust the figures.",
            )
        )


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    packages = ("numpy", "torch", "numba", "scipy", "ray")
    versions = {package: importlib.metadata.version(package) for package in packages}
    return {
        "hoiray": __version__,
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count()),
        "load_1min": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **versions,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def make_report_folder(out: Path) -> Path:
    """Make the folder of a report, to be called before anything is measured, and return it.

    Raises:
        ConfigError: it cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):  # a folder may exist and take no file
            pass
    except OSError as error:
        found = f"{error.strerror} ({error.filename})"
        expected = "a folder that can be written to"
        raise ConfigError(
            describe(what=f"--out {out}", expected=expected, found=found, fix="Choose another place.")
        ) from error
    return out


def write_report(out: Path, name: str, comparisons: Sequence[Comparison], notes: dict[str, str]) -> str:
    """Write `<out>/<name>.json` and `<out>/<name>.md`; return the Markdown.

    Args:
        out: folder, made when absent.
        name: benchmark name.
        comparisons: the measured pairs.
        notes: figures derived from them, by name.

    Raises:
        ConfigError: `out` cannot be made or written to.
    """
    make_report_folder(out)
    facts = machine()
    rows = [
        "| what | against | median | against, median | ratio, median (min - max) | pairs |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {c.subject} | {c.baseline} | {_human(c.subject_s.median)} | {_human(c.baseline_s.median)} "
        f"| {c.ratio.median:.2f} ({c.ratio.minimum:.2f} - {c.ratio.maximum:.2f}) | {c.pairs} |"
        for c in comparisons
    ]
    lines = [f"# {name}", "", *rows, "", *(f"- {key}: {value}" for key, value in (notes | facts).items()), ""]
    markdown = "\n".join(lines)
    (out / f"{name}.md").write_text(markdown)
    data = {"machine": facts, "notes": notes, "comparisons": [asdict(c) for c in comparisons]}
    (out / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")
    return markdown


def _human(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
