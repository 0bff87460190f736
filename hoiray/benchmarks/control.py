"""What the machinery around the predictor costs as a run grows: index, boxes, resume, and a labelling that is free.

Every part runs in a process of its own, so that the memory of one is not that of another. A report holds the latest
figures of each part; parts that were not asked for keep those they had.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from hoiray.benchmarks.control_run import FRAMES_A_CLIP, NUM_FRAMES, Sample, Watched, make_videos, watch_labelling
from hoiray.benchmarks.timing import machine, make_report_folder
from hoiray.errors import ConfigError, describe

Size: TypeAlias = Literal["small", "full"]
Row: TypeAlias = dict[str, Any]
PART_NAMES: Final = ("index", "boxes", "listing", "resume", "first", "label")

MAX_DRIVER_MIB_A_MILLION: Final = 5e6 / 2**20
MAX_RESUME_S: Final = 30.0
MAX_SHARD_TIMES: Final = 2.0
VIDEOS_A_SHARD: Final = 100
"""Of a Something-Something plan; with it figures by shard become figures by video."""

MAX_WORKER_GROWTH: Final = 0.1
"""A worker counts as flat where it has grown by at most a tenth between the first and the last quarter of a run."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        videos: that are indexed.
        box_megabytes: of the file of boxes.
        keys: that are listed on S3.
        markers: that are committed before a resume.
        shards: that are labelled, of two videos each.
        first_shards: that are labelled, of a hundred videos each.
    """

    videos: tuple[int, ...]
    box_megabytes: tuple[int, ...]
    keys: int
    markers: int
    shards: tuple[int, ...]
    first_shards: int


SIZES: Final[dict[Size, Sizes]] = {
    "small": Sizes((20_000, 100_000), (10, 40), 1_000, 10_000, (100, 300), 4),
    "full": Sizes((100_000, 1_000_000, 10_000_000), (50, 400), 10_000, 100_000, (100, 1_000, 10_000), 6),
}


def run(out: Path, *, size: Size, parts: Sequence[str], s3_uri: str | None, scratch: Path | None) -> str:
    """Measure, and write `control.json` and `control.md` into `out`; return the Markdown.

    Args:
        out: folder of the report.
        size: how much is measured.
        parts: which of `PART_NAMES`.
        s3_uri: a bucket or prefix that may be filled; None leaves out what is measured on S3.
        scratch: folder for plans, videos and output; None for the system's.

    Raises:
        ConfigError: a part or size is unknown.
        RuntimeError: a part failed.
    """
    for name in parts:
        if name not in PART_NAMES:
            fix = "Choose some, separated by commas."
            raise ConfigError(describe(what="--parts", expected=", ".join(PART_NAMES), found=name, fix=fix))
    if size not in SIZES:
        raise ConfigError(describe(what="--size", expected=" or ".join(SIZES), found=size, fix="Choose one."))
    make_report_folder(out)
    if scratch is not None:
        make_report_folder(scratch)
    path = out / "control.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name in parts:
        folder = Path(tempfile.mkdtemp(prefix="hc", dir=scratch))
        rows: list[Row] = []
        try:
            for row in _PARTS[name](folder, SIZES[size], s3_uri):
                # written anew after every row, so that a stop loses nothing
                rows.append(row)
                known[name] = {"command": _command(size, name, s3_uri), "machine": machine(), "rows": rows}
                path.write_text(json.dumps(known, indent=1) + "\n")
                (out / "control.md").write_text(page(known))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return page(known)


def _command(size: Size, name: str, s3_uri: str | None) -> str:
    return f"python jobs/benchmark.py control --size {size} --parts {name}" + (" --s3 URI" if s3_uri else "")


def measured(part: str, place: Path | str, size: int) -> Row:
    """Run a part in a process of its own."""
    command = [sys.executable, "-m", "hoiray.benchmarks.control_parts", part, str(place), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-3000:]}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def _index(folder: Path, sizes: Sizes, _s3_uri: str | None) -> Iterator[Row]:
    for count in sizes.videos:
        made = measured("index", folder, count)
        yield {"index": made, "open": measured("opening", folder, count)}


def _boxes(folder: Path, sizes: Sizes, _s3_uri: str | None) -> Iterator[Row]:
    for megabytes in sizes.box_megabytes:
        yield measured("boxes", folder, megabytes)


def _listing(_folder: Path, sizes: Sizes, s3_uri: str | None) -> Iterator[Row]:
    if s3_uri is not None:
        yield measured("listing", s3_uri, sizes.keys)


def _resume(folder: Path, sizes: Sizes, s3_uri: str | None) -> Iterator[Row]:
    yield {"where": "local folder"} | measured("resume", folder, sizes.markers)
    if s3_uri is not None:
        yield {"where": "S3"} | measured("resume", f"{s3_uri}/resumed-{sizes.markers}", sizes.markers)


def _label(folder: Path, sizes: Sizes, _s3_uri: str | None) -> Iterator[Row]:
    for count in sizes.shards:
        yield labelled(folder / str(count), count, 2, NUM_FRAMES)


def _first(folder: Path, sizes: Sizes, _s3_uri: str | None) -> Iterator[Row]:
    yield labelled(folder / "first", sizes.first_shards, VIDEOS_A_SHARD, FRAMES_A_CLIP)


_PARTS: Final[dict[str, Callable[[Path, Sizes, str | None], Iterator[Row]]]] = {
    "index": _index, "boxes": _boxes, "listing": _listing, "resume": _resume, "first": _first, "label": _label,
}  # fmt: skip


def labelled(folder: Path, num_shards: int, videos_a_shard: int, num_frames: int = NUM_FRAMES) -> Row:
    """Label with a free predictor, watched; return the figures."""
    folder.mkdir()
    make_videos(folder, num_shards, videos_a_shard, num_frames)
    row = figures_of(watch_labelling(folder, num_shards, videos_a_shard))
    shutil.rmtree(folder)
    return row


def figures_of(watched: Watched) -> Row:
    """Boil a labelling down to what is asked of it."""
    working = [it for it in watched.samples if it.num_done > 0] or watched.samples[-1:]
    first, last = working[0], working[-1]
    num_done = max(last.num_done - first.num_done, 1)
    begun, label, ready = watched.first_begun_s, watched.first_label_s, watched.first_ready_s
    return {
        "shards": watched.num_shards, "videos_a_shard": watched.videos_a_shard, "wall_s": round(watched.wall_s, 1),
        "driver_start_mib": round(first.driver_mib, 1),
        "driver_most_mib": round(max(it.driver_mib for it in working), 1),
        "driver_slope_mib_per_1000_shards": slope(working, lambda it: it.driver_mib),
        "workers": {role: _worker(working, role) for role in sorted(last.workers_mib | first.workers_mib)},
        "wall_ms_a_shard": round(1000 * (last.time_s - first.time_s) / num_done, 1),
        "driver_cpu_ms_a_shard": round(1000 * (last.driver_cpu_s - first.driver_cpu_s) / num_done, 2),
        "first_shard_s": watched.first_shard_s,
        "first_label_after_s": None if begun is None or label is None else round(label - begun, 3),
        "actors_after_s": None if begun is None or ready is None else round(max(ready - begun, 0.0), 3),
        "samples": [[round(it.time_s), it.num_done, round(it.driver_mib, 1)] for it in _thinned(working)],
    }  # fmt: skip


def _thinned(samples: Sequence[Sample], count: int = 40) -> list[Sample]:
    return [samples[index] for index in sorted({round(it) for it in np.linspace(0, len(samples) - 1, count)})]


def slope(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float | None:
    """Least-squares growth of a memory over 1,000 shards, MiB; None with fewer than three samples."""
    a_shard = _growth([it.num_done for it in samples], [value(it) for it in samples])
    return None if a_shard is None else round(1000.0 * a_shard, 3)


def _growth(done: Sequence[int], values: Sequence[float]) -> float | None:
    """Least-squares growth of values over shards; None where fewer than three are known, or nothing was done."""
    spread = np.array(done, dtype=np.float64) - np.mean(done) if len(done) >= 3 else np.zeros(1)
    return float(spread @ np.array(values)) / float(spread @ spread) if spread.any() else None


def late_growth_per_million(row: Row) -> float | None:
    """Growth of the driver in the second half of a run, MiB a million videos; None where too little was seen of it."""
    late = [(done, mib) for _, done, mib in row["samples"] if row["shards"] / 2 <= done < row["shards"]]
    a_shard = _growth([done for done, _ in late], [mib for _, mib in late])
    return None if a_shard is None else a_shard * 1e6 / VIDEOS_A_SHARD


def _worker(samples: Sequence[Sample], role: str) -> Row:
    """Memory of the largest worker of a kind: median of the first and of the last quarter, and the most."""
    values = [it.workers_mib[role] for it in samples if role in it.workers_mib]
    quarter = max(1, len(values) // 4)
    early, late = float(np.median(values[:quarter])), float(np.median(values[-quarter:]))
    return {"early_mib": round(early, 1), "late_mib": round(late, 1), "most_mib": round(max(values), 1)}


def page(known: dict[str, Any]) -> str:
    """Write the figures for people."""
    lines = [
        "# Control plane", "",
        "Written by `python jobs/benchmark.py control`; the figures behind it are in `control.json`. Memory is"
        " resident memory above what the process had when it was ready to begin, at its peak. Machines that are"
        " shared with other work make seconds upper bounds.", "",
    ]  # fmt: skip
    for name in PART_NAMES:
        if name in known:
            part = known[name]
            lines += _SECTIONS[name](part["rows"])
            facts = ", ".join(f"{key} {value}" for key, value in part["machine"].items())
            lines += ["", *([part["note"], ""] if "note" in part else [])]
            lines += [f"Command: `{part['command']}`. Machine: {facts}.", ""]
    return "\n".join(lines)


def _index_section(rows: Sequence[Row]) -> list[str]:
    lines = [
        "## Index, and what a driver holds of a plan", "",
        "Videos that follow from their number, listed without storage, through the code of `hoiray index`. Then the"
        " plan is opened as `hoiray label` does: all its shards are pending, in their order.", "",
        "| videos | shards | index, s | CPU s a million | grown, MiB | opened and ordered, s | grown, MiB"
        " | reading a shard, ms |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        made, opened = row["index"], row["open"]
        millions = made["videos"] / 1e6
        lines.append(_line(
            f"{made['videos']:,}", f"{made['shards']:,}", f"{made['seconds']:.0f}", f"{made['cpu_s'] / millions:.0f}",
            f"{made['grown_mib']:.1f}", f"{opened['seconds']:.2f}", f"{opened['grown_mib']:.1f}",
            f"{1000 * opened['seconds_a_shard']:.1f}",
        ))  # fmt: skip
    if len(rows) > 1:
        grown = {title: growth_per_million(rows, name) for title, name in (("index", "index"), ("driver", "open"))}
        met = all(value < MAX_DRIVER_MIB_A_MILLION for value in grown.values())
        said = ", ".join(f"{name} {value:.2f} MiB" for name, value in grown.items())
        lines += ["", f"From the smallest to the largest, a million videos more cost: {said}. Goal {_met(met)}."]
    return lines


def growth_per_million(rows: Sequence[Row], name: str) -> float:
    """Growth of memory between the smallest and the largest, MiB a million videos."""
    first, last = rows[0][name], rows[-1][name]
    return float(1e6 * (last["grown_mib"] - first["grown_mib"]) / (last["videos"] - first["videos"]))


def _boxes_section(rows: Sequence[Row]) -> list[str]:
    return [
        "## Boxes: Something-Else's JSON, once, to Parquet", "",
        "| JSON, MB | boxes | as Parquet, MB | seconds | MB/s | grown, MiB |", "|---|---|---|---|---|---|",
        *(_line(
            f"{it['json_mb']:.0f}", f"{it['boxes']:,}", f"{it['parquet_mb']:.0f}", f"{it['seconds']:.0f}",
            f"{it['json_mb'] / it['seconds']:.1f}", f"{it['grown_mib']:.0f}",
        ) for it in rows),
    ]  # fmt: skip


def _listing_section(rows: Sequence[Row]) -> list[str]:
    return [
        "## Listing an S3 prefix", "", "| keys | seconds | grown, MiB |", "|---|---|---|",
        *(_line(f"{it['keys']:,}", f"{it['seconds']:.2f}", f"{it['grown_mib']:.1f}") for it in rows),
    ]  # fmt: skip


def _resume_section(rows: Sequence[Row]) -> list[str]:
    return [
        "## Resume: all shards committed but ten", "",
        "| where | committed | planned, s | `hoiray status`, s | grown, MiB | goal: planned within 30 s |",
        "|---|---|---|---|---|---|",
        *(_line(
            it["where"], f"{it['committed']:,}", f"{it['planned_in_s']:.1f}", f"{it['status_in_s']:.1f}",
            f"{it['grown_mib']:.0f}", _met(it["planned_in_s"] < MAX_RESUME_S),
        ) for it in rows),
    ]  # fmt: skip


def _first_section(rows: Sequence[Row]) -> list[str]:
    lines = ["## First labels", ""]
    for it in rows:
        waited_s = it["first_label_after_s"] - it["actors_after_s"]
        times = waited_s / it["first_shard_s"]
        lines += [
            f"{it['shards']} shards of {it['videos_a_shard']} small videos of {FRAMES_A_CLIP} frames, really decoded;"
            f" free predictor. The first shard took {it['first_shard_s']:.2f} s. The first labels were committed"
            f" {it['first_label_after_s']:.2f} s after it was begun, and {waited_s:.2f} s after an actor of every kind"
            f" had also started (seconds; minutes on a machine as busy as this one): {times:.2f} shard times."
            f" Goal (two shard times) {_met(times < MAX_SHARD_TIMES)}.",
        ]  # fmt: skip
    return lines


def _label_section(rows: Sequence[Row]) -> list[str]:
    lines = [
        "## A labelling that costs nothing", "",
        f"Two tiny videos of {NUM_FRAMES} frames a shard (each of a few clips lies under many names), really decoded,"
        " free predictor, two predictors, on Ray. Memory of a process of its own (heap), MiB: the largest of its"
        " kind, median of the first and of the last quarter of the run.", "",
        "| shards | wall, ms a shard | driver's CPU, ms a shard (at 100 videos: a video) | driver at the start, most"
        " | slope in 1,000 shards | predictor | decoder | measure | judge |", "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for it in rows:
        cpu = it["driver_cpu_ms_a_shard"]
        workers = [it["workers"].get(role) for role in ("predict", "decoder", "measure", "judge")]
        lines.append(_line(
            f"{it['shards']:,}", f"{it['wall_ms_a_shard']:.0f}", f"{cpu:.1f} ({cpu / VIDEOS_A_SHARD:.2f})",
            f"{it['driver_start_mib']:.0f}, {it['driver_most_mib']:.0f}",
            str(it["driver_slope_mib_per_1000_shards"]),
            *("-" if w is None else f"{w['early_mib']:.0f}, {w['late_mib']:.0f}" for w in workers),
        ))  # fmt: skip
    flat = {role for it in rows for role, w in it["workers"].items() if not _is_flat(w)}
    lines += ["", f"Workers flat: {_met(not flat)}{f' ({chr(44).join(sorted(flat))})' if flat else ''}."]
    if (late := late_growth_per_million(rows[-1])) is not None:
        tenths = _tenths(rows[-1])
        # a jump in the first half does not show in the slope of the second
        all_of_it = (tenths[-1] - tenths[0]) / (0.8 * rows[-1]["shards"]) * 1e6 / VIDEOS_A_SHARD
        lines.append(
            f"Driver, MiB a million videos at {VIDEOS_A_SHARD} videos a shard: {late:.1f} in the second half of the"
            f" largest run (least squares), {all_of_it:.1f} from its first tenth to its ninth. Goal (5 MB, either)"
            f" {_met(max(late, all_of_it) < MAX_DRIVER_MIB_A_MILLION)}. MiB at each tenth:"
            f" {', '.join(f'{mib:.0f}' for mib in tenths)}; the most is at the end, when every marker is read for the"
            " summary."
        )
    return lines


def _tenths(row: Row) -> list[float]:
    """How large the driver was at one to nine tenths of a run, MiB."""
    samples = [(done, mib) for _, done, mib in row["samples"] if done < row["shards"]]
    return [min(samples, key=lambda it: abs(it[0] - row["shards"] * tenth / 10))[1] for tenth in range(1, 10)]


def _is_flat(worker: Row) -> bool:
    return bool(worker["late_mib"] <= (1.0 + MAX_WORKER_GROWTH) * worker["early_mib"])


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


_SECTIONS: Final[dict[str, Callable[[Sequence[Row]], list[str]]]] = {
    "index": _index_section, "boxes": _boxes_section, "listing": _listing_section, "resume": _resume_section,
    "first": _first_section, "label": _label_section,
}  # fmt: skip
