"""The scale model: worlds that are labelled for real, a model that is checked against them, and clusters.

Worlds of growing size go through plan, dispatch, tracking, filters, commit, resume and snapshot. The smallest gives the
model its constants; the others say how far off it is. Seconds of real runs are processor time of the one process, so
that a machine shared with other work tells the same.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from hoiray.benchmarks.simulate_model import HOUR_S, Constants, Outcome, SimulatedCluster, simulate
from hoiray.benchmarks.simulate_run import Simulated, simulate_run
from hoiray.benchmarks.simulate_world import World
from hoiray.benchmarks.timing import machine, make_report_folder
from hoiray.errors import ConfigError, InputError, describe

TARGET_FRAMES: Final = 512
"""Of a shard of the real runs: an eighth of what it is by default, so that there are many."""

VIDEOS_A_SHARD: Final = 7.0
"""Of a world's videos, about as many fill one; to make a world of about as many shards as asked for."""

WARM_UP_SHARDS: Final = 3
DEFAULT_FRAMES: Final = 4096
START_S: Final = 60.0
"""Until a predictor is there on a cluster: Ray, imports, weights. An assumption."""

DRIVER_S: Final = 0.04
"""A shard, where no report of the control benchmark tells."""

SHARDS_A_PREDICTOR: Final = 20
"""Of a point of the curves; more would be more of the same."""

CURVE_NODES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PRESET: Final = "paper"


@dataclass(frozen=True)
class Checked:
    """A real run, and what the model said of it."""

    real: Simulated
    predicted_s: float

    @property
    def error(self) -> float:
        """How far off the model is, as a part of the real time."""
        return self.predicted_s / self.real.cpu_s - 1.0


@dataclass(frozen=True)
class Extrapolated:
    """A cluster, what was reckoned with for it, and how the labelling ended there."""

    cluster: SimulatedCluster
    constants: Constants
    outcome: Outcome
    curve_h: dict[int, float]

    @property
    def price(self) -> float:
        """Of all nodes for all of the time."""
        return self.cluster.nodes * self.outcome.time_s / HOUR_S * self.cluster.price_per_node_h


def run(out: Path, *, sizes: Sequence[int], clusters: Path, control: Path, seed: int) -> str:
    """Simulate, and write `scale.json`, `scale.md` and `scale.svg` into `out`; return the Markdown.

    Args:
        out: folder of the report.
        sizes: shards of the real runs, about; the constants are those of the first.
        clusters: file of clusters.
        control: report of the control benchmark; need not be there.
        seed: of worlds and losses.

    Raises:
        ConfigError: fewer than two sizes, or no such cluster file.
        RuntimeError: a label is not what was planted.
    """
    if len(sizes) < 2 or min(sizes) < 2:
        expected = "two sizes or more, of two shards or more each"
        fix = "One gives the constants, another one the error."
        raise ConfigError(describe(what="--shards", expected=expected, found=str(list(sizes)), fix=fix))
    num_videos, named = read_clusters(clusters)
    make_report_folder(out)
    # the first run of a process also loads and compiles: none of it is a shard's
    _real(WARM_UP_SHARDS, seed + 1)
    real = [_real(size, seed) for size in sizes]
    constants = constants_of(real[0], driver_s=driver_s_of(control))
    checked = [Checked(it, predicted_s(it, constants)) for it in real[1:]]
    frames = shard_frames(World(seed, num_videos))
    found = [extrapolate(cluster, constants, frames, seed) for cluster in named]
    text = page(real, checked, found, num_videos=num_videos, num_shards=len(frames))
    document = {
        "machine": machine(),
        "constants": asdict(constants),
        "real": [_plain(it) for it in real],
        "checked": [
            {"shards": it.real.num_sampled, "predicted_s": it.predicted_s, "error": it.error} for it in checked
        ],
        "num_videos": num_videos,
        "num_shards": len(frames),
        "clusters": [asdict(it) | {"price": it.price} for it in found],
    }
    (out / "scale.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "scale.md").write_text(text, encoding="utf-8")
    (out / "scale.svg").write_text(curves(found), encoding="utf-8")
    return text


def read_clusters(path: Path) -> tuple[int, list[SimulatedCluster]]:
    """Read the number of videos and the clusters.

    Raises:
        InputError: there is no such file.
        ConfigError: it is none of clusters.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return int(content["num_videos"]), [SimulatedCluster(**values) for values in content["clusters"]]
    except OSError as error:
        fix = "Name another one: --clusters FILE."
        raise InputError(describe(what=str(path), expected="a file of clusters", found=str(error), fix=fix)) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        expected, fix = (
            "num_videos, and clusters with the fields of SimulatedCluster",
            "Compare it with jobs/simulate.yaml.",
        )
        raise ConfigError(describe(what=str(path), expected=expected, found=str(error), fix=fix)) from error


def driver_s_of(path: Path) -> float:
    """Return the driver's processor time a shard of the largest run that was measured; `DRIVER_S` without a report."""
    if not path.exists():
        return DRIVER_S
    rows = json.loads(path.read_text(encoding="utf-8")).get("label", {}).get("rows", [])
    largest = max(rows, key=lambda row: int(row["shards"]), default=None)
    return DRIVER_S if largest is None else float(largest["driver_cpu_ms_a_shard"]) / 1000.0


def _real(size: int, seed: int) -> Simulated:
    with tempfile.TemporaryDirectory(prefix="hoiray-world-") as folder:
        world = World(seed, round(size * VIDEOS_A_SHARD))
        return simulate_run(world, Path(folder) / "run", target_frames=TARGET_FRAMES, max_shards=size)


def constants_of(real: Simulated, *, driver_s: float) -> Constants:
    """Fit the time of a shard and of a planned frame to the shards of a real run, and part it as its markers do.

    The fit is least squares of processor time on planned frames, neither below zero. Which part is the model's and
    which that of measuring, judging and writing is taken from the wall-clock times of the stages.
    """
    from scipy.optimize import nnls

    planned = np.array([shard.planned for shard in real.shards], dtype=np.float64)
    seconds = np.array([shard.cpu_s for shard in real.shards])
    (shard_s, frame_s), _ = nnls(np.stack([np.ones_like(planned), planned], axis=1), seconds)
    stages = {name: sum(parts.values()) for name, parts in real.ledger.costs_s.items()}
    finishing = (stages["measure"] + stages["judge"]) / (stages["measure"] + stages["judge"] + stages["predict"])
    return Constants(
        start_s=START_S,
        shard_s=float(shard_s) * (1.0 - finishing),
        frame_s=float(frame_s) * (1.0 - finishing),
        decode_cpu_s=0.0,
        driver_s=driver_s,
        finish_s=float(shard_s) * finishing,
        finish_frame_s=float(frame_s) * finishing,
    )


def predicted_s(real: Simulated, constants: Constants) -> float:
    """Return how long the model says that a real run's one process takes; there is no driver, and nothing to start."""
    alone = replace(
        constants,
        start_s=0.0,
        driver_s=0.0,
        shard_s=constants.shard_s + constants.finish_s,
        frame_s=constants.frame_s + constants.finish_frame_s,
        finish_s=0.0,
        finish_frame_s=0.0,
    )
    one = SimulatedCluster("one process", 1, 1, 1.0, 1, store_requests_per_s=1e12)
    return simulate([shard.planned for shard in real.shards], alone, one).time_s


def shard_frames(world: World, *, num_drawn: int = 20_000) -> list[float]:
    """Return the planned frames of a world's shards of the default size, longest first.

    A world of millions is not planned here (the control benchmark does that): packing leaves all shards alike but for
    single videos that are longer than a shard. How many videos there are of which length is that of the first
    `num_drawn`.
    """
    drawn = min(num_drawn, world.num_videos)
    lengths = np.array([world.length(number) for number in range(drawn)], dtype=np.float64)
    total = lengths.mean() * world.num_videos
    count = max(1, round(total / DEFAULT_FRAMES))
    return [float(total / count)] * count


def extrapolate(cluster: SimulatedCluster, constants: Constants, frames: Sequence[float], seed: int) -> Extrapolated:
    """Run the model on a cluster, and on the same cluster with other numbers of nodes."""
    used = constants if cluster.gpu is None else on_gpu(constants, cluster.gpu)
    curve = {}
    for nodes in CURVE_NODES:
        scaled = replace(cluster, nodes=nodes, finish_cores=max(1, cluster.finish_cores * nodes // cluster.nodes))
        # every so many of the shards stand for all where nodes are few
        step = max(1, len(frames) // (SHARDS_A_PREDICTOR * scaled.num_predictors))
        part = simulate(frames[::step], used, scaled, seed=seed)
        curve[nodes] = (used.start_s + (part.time_s - used.start_s) * len(frames) / len(frames[::step])) / HOUR_S
    return Extrapolated(cluster, used, simulate(frames, used, cluster, seed=seed), curve)


def on_gpu(constants: Constants, gpu: str) -> Constants:
    """Return the constants of a predictor with the paper's network in 8 views on a GPU: arithmetic, not measured.

    Raises:
        ConfigError: the roofline knows no such GPU.
    """
    from hoiray.benchmarks.roofline import GPUS, HANDS_PER_FRAME

    if gpu not in GPUS:
        raise ConfigError(describe(what="gpu", expected=", ".join(GPUS), found=repr(gpu), fix="Take one of these."))
    hands_per_s, decoded_per_s = _roofline()
    return replace(constants, frame_s=HANDS_PER_FRAME / hands_per_s[gpu], decode_cpu_s=1.0 / decoded_per_s)


_KNOWN: dict[str, tuple[Mapping[str, float], float]] = {}


def _roofline() -> tuple[Mapping[str, float], float]:
    """Return hands a second by GPU, and decoded frames a core and second, counted and timed once."""
    from hoiray.benchmarks.roofline import GPUS, count_pass, decoded_frames_per_s

    if PRESET not in _KNOWN:
        counted = count_pass(PRESET)
        _KNOWN[PRESET] = {name: counted.hands_per_s(gpu) for name, gpu in GPUS.items()}, decoded_frames_per_s()
    return _KNOWN[PRESET]


def _plain(real: Simulated) -> dict[str, Any]:
    return {name: value for name, value in asdict(real).items() if name != "shards"}


def page(
    real: Sequence[Simulated],
    checked: Sequence[Checked],
    found: Sequence[Extrapolated],
    *,
    num_videos: int,
    num_shards: int,
) -> str:
    """Write the report for people."""
    lines = [
        "# Scale model", "",
        "Written by `python jobs/simulate.py`. Worlds without files: lengths have a long tail, faults are planted, and"
        " every verdict is known. Each was planned, labelled, stopped half-way, gone on with and listed as a snapshot;"
        " every label was what had been planted. Seconds of labelling are processor time of one process.", "",
        "| videos | shards | frames | labels | accepted | given up | plan, s | queue, s | resume, s | snapshot, s"
        " | labelling, CPU s | model says, s | error |", "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    said = {id(it.real): it for it in checked}
    for it in real:
        one = said.get(id(it))
        told = ("(gives the constants)", "") if one is None else (f"{one.predicted_s:.1f}", f"{one.error:+.1%}")
        lines.append(
            f"| {it.num_videos:,} | {it.num_sampled:,} of {it.num_shards:,} | {it.num_frames:,} | {it.num_rows:,} |"
            f" {it.num_accepted:,} | {it.num_dead} | {it.plan_s:.1f} | {it.queue_s:.2f} | {it.resume_s:.2f} |"
            f" {it.snapshot_s:.2f} | {it.cpu_s:.1f} | {told[0]} | {told[1]} |"
        )
    lines += [
        "", "## Extrapolated", "",
        f"{num_videos:,} such videos in {num_shards:,} shards of {DEFAULT_FRAMES:,} frames or so. GPUs were not"
        f" measured: their time a frame is the roofline's arithmetic (network {PRESET}, 8 views), decoding is this"
        f" machine's, {START_S:.0f} s until a predictor has started is an assumption, and losses, limits and prices"
        " are those of the file of clusters.", "",
        "| cluster | predictors | hours | waits for | GPUs or predictors idle | nodes lost | work lost | price |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for each in found:
        end, lost = each.outcome, each.outcome.lost_s / max(each.outcome.busy_s, 1e-9)
        price = f"{each.price:,.0f}" if each.cluster.price_per_node_h else "-"
        lines.append(
            f"| {each.cluster.name} | {each.cluster.num_predictors:,} | {end.time_s / HOUR_S:,.2f} | {end.waits_for} |"
            f" {end.idle_share:.1%} | {end.num_losses} | {lost:.2%} | {price} |"
        )
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    return "\n".join([*lines, "", "![hours by nodes](scale.svg)", "", f"Machine: {facts}.", ""])


def curves(found: Sequence[Extrapolated]) -> str:
    """Draw hours by number of nodes, both in powers of ten, a line a cluster, as SVG."""
    width, height, side = 720, 400, 56
    hours = [value for each in found for value in each.curve_h.values()]
    low, high = np.floor(np.log10(min(hours))), np.ceil(np.log10(max(hours)))

    def place(nodes: float, hour: float) -> str:
        x = side + (width - 4 * side) * np.log2(nodes) / np.log2(CURVE_NODES[-1])
        y = height - side - (height - 2 * side) * (np.log10(hour) - low) / max(high - low, 1.0)
        return f"{x:.1f},{y:.1f}"

    parts = []
    for power in range(int(low), int(high) + 1):
        x, y = place(1, 10.0**power).split(",")
        parts.append(f'<path d="M{x},{y}H{width - 3 * side}" stroke="#ddd"/>')
        parts.append(f'<text x="{side - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{10.0**power:g} h</text>')
    for nodes in CURVE_NODES:
        x = place(nodes, 10.0**low).split(",")[0]
        parts.append(f'<text x="{x}" y="{height - side + 18}" text-anchor="middle">{nodes}</text>')
    parts.append(f'<text x="{(width - 2 * side) / 2:.0f}" y="{height - 14}" text-anchor="middle">nodes</text>')
    parts.append(f'<text x="{width - 3 * side + 16}" y="{side - 20}">nodes like those of</text>')
    slowest_first = sorted(found, key=lambda each: -each.curve_h[CURVE_NODES[0]])
    for index, each in enumerate(slowest_first):
        colour = f"hsl({360 * index // len(found)} 60% 42%)"
        points = " ".join(place(nodes, hour) for nodes, hour in each.curve_h.items())
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        left, middle = width - 3 * side + 16, side + 20 * index
        parts.append(f'<path d="M{left},{middle}h14" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{left + 20}" y="{middle + 4}" fill="{colour}">{escape(each.cluster.name)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
    title = "Hours of a labelling by number of nodes"
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{head} font-size="12" role="img"><title>{title}</title>{paper}{"".join(parts)}</svg>\n'
