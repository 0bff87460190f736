"""What the filters cost a frame: against an iterative camera solve a frame, and against a Python loop a video."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from hoiray.benchmarks.timing import Comparison, compare, refuse_loaded_machine, write_report
from hoiray.config.what import PaperLimits
from hoiray.filters import shape, spatial, temporal
from hoiray.filters.rules import paper_rules
from hoiray.filters.shape import Shape, measure_shape
from hoiray.filters.spatial import Hands, Spatial, measure_spatial, mesh_extent
from hoiray.filters.temporal import Motion, Temporal, measure_temporal
from hoiray.filters.tracks import Tracks, track_hands
from hoiray.filters.unmeasured import rounded
from hoiray.filters.verdict import choose_pairs, judge_pairs, judge_shape, judge_spatial, no_reasons, passes
from hoiray.geometry.rotations import axis_angle_to_matrix, geodesic_distance

NUM_ROWS: Final = 200_000
FRAMES_A_VIDEO: Final = 43
"""Boxed frames of a Something-Something clip, on average."""

NUM_SOLVED: Final = 500
"""Frames for the iterative solver, which needs about a millisecond for each."""

GOAL_ROWS_A_SECOND: Final = 300_000
GOAL_SOLVER_RATIO: Final = 1000
MAX_DISAGREEMENT: Final = 1e-5

FloatArray = NDArray[np.float64]
RULES: Final = paper_rules(PaperLimits())


@dataclass(frozen=True, eq=False)
class Rows:
    """One hand in videos of equal length, float32 as in the tables."""

    hands: Hands
    betas: NDArray[np.float32]
    pose: NDArray[np.float32]
    frame_index: NDArray[np.int64]
    is_right: NDArray[np.bool_]
    starts: NDArray[np.int64]

    @classmethod
    def random(cls, count: int, seed: int = 0) -> "Rows":
        """Draw hands of which some break each of the limits."""
        rng = np.random.default_rng(seed)
        starts = np.append(np.arange(0, count, FRAMES_A_VIDEO), count)
        video = np.arange(count) // FRAMES_A_VIDEO
        joints = rng.normal(scale=0.04, size=(len(starts), 21, 3))[video]
        joints += rng.normal(scale=0.002, size=joints.shape)
        image = 400.0 * joints[..., :2] + rng.normal(scale=2.0, size=(count, 21, 2)) + 120.0
        box = np.concatenate([image.min(axis=1), image.max(axis=1)], axis=1)
        pose = rng.normal(scale=0.5, size=(len(starts), 48))[video] + rng.normal(scale=0.05, size=(count, 48))
        betas = rng.normal(size=(len(starts), 10))[video] + rng.normal(scale=0.1, size=(count, 10))
        spread = rng.random((count, 21)).astype(np.float32)
        hands = Hands(
            joints_3d_m=joints.astype(np.float32),
            joints_2d_px=image.astype(np.float32),
            mesh_extent_m=mesh_extent(joints).astype(np.float32),
            bbox_xyxy=box.astype(np.float32),
            image_size_wh_px=np.tile(np.array([427, 240]), (count, 1)),
            spread_joints_2d_px=spread,
            spread_joints_3d_m=0.01 * spread,
        )
        frame = np.arange(count) - starts[video]
        sides = np.ones(count, dtype=np.bool_)
        return cls(hands, betas.astype(np.float32), pose.astype(np.float32), frame, sides, starts)

    def first(self, count: int) -> "Rows":
        """Return the first rows, all where there are fewer."""
        count = min(count, len(self.pose))
        hands = Hands(**{name: getattr(self.hands, name)[:count] for name in Hands.__dataclass_fields__})
        starts = np.append(self.starts[self.starts < count], count)
        rest = (self.betas[:count], self.pose[:count], self.frame_index[:count], self.is_right[:count])
        return Rows(hands, *rest, starts)


def find_tracks(rows: Rows) -> Tracks:
    """Find the tracks."""
    return track_hands(rows.frame_index, rows.is_right, rows.hands.bbox_xyxy, rows.starts)


def measure_motion(rows: Rows, tracks: Tracks) -> Temporal:
    """Measure motion along the tracks."""
    change = np.full(len(rows.pose), 0.05, dtype=np.float32)
    arrays = (rows.hands.joints_2d_px, rows.hands.bbox_xyxy, rows.pose, change)
    return measure_temporal(Motion(rows.frame_index, tracks.predecessor, tracks.is_duplicate, *arrays), 1)


def measure_shapes(rows: Rows, tracks: Tracks, is_confident: NDArray[np.bool_]) -> Shape:
    """Measure shape along the tracks; videos of one hand have one track or a few."""
    videos = np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))
    first_of_video = np.maximum.accumulate(np.where(tracks.predecessor < 0, np.arange(len(videos)), 0))
    _, numbers = np.unique(first_of_video, return_inverse=True)
    return measure_shape(rows.betas, numbers, is_confident)


def by_name(names: tuple[str, ...], measured: Spatial | Temporal | Shape) -> dict[str, NDArray[np.float32]]:
    """Round measurements and name their columns, as the judging stage does."""
    stored, _ = rounded(measured.values, measured.reasons)
    return {name: np.ascontiguousarray(stored[:, index]) for index, name in enumerate(names)}


def run_filters(rows: Rows) -> NDArray[np.bool_]:
    """Everything from fused predictions to verdicts, tables left out; (N,) accepted."""
    tracks = find_tracks(rows)
    measured = by_name(spatial.MEASURED_HERE, measure_spatial(rows.hands))
    measured |= by_name(temporal.MEASURED_HERE, measure_motion(rows, tracks))
    reasons = judge_early(rows, tracks, measured)
    shapes = measure_shapes(rows, tracks, passes(reasons))
    by_track = measured | by_name(shape.MEASURED_HERE, shapes)
    judge_shape(by_track, shapes.reasons[:, 0], shapes.set_size, RULES, reasons)
    return passes(reasons)


def judge_early(rows: Rows, tracks: Tracks, measured: dict[str, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Verdicts of one frame and of pairs, before shape."""
    reasons = no_reasons(len(rows.pose))
    judge_spatial(measured, RULES, reasons)
    judge_pairs(measured, choose_pairs(tracks, rows.frame_index, RULES), tracks, RULES, reasons)
    return reasons


def solve_cameras_iteratively(rows: Rows) -> FloatArray:
    """Solve Eq. 7 frame by frame with a general optimiser, as the paper does; (N, 3) scale and shift."""
    cameras = np.empty((len(rows.pose), 3))
    for row, (joints, image) in enumerate(zip(rows.hands.joints_3d_m, rows.hands.joints_2d_px, strict=True)):
        X, x = joints[:, :2].astype(np.float64), image.astype(np.float64)
        start = np.array([np.ptp(x[:, 0]) / np.ptp(X[:, 0]), *x.mean(axis=0)])
        cameras[row] = least_squares(_residual_px, start, args=(X, x), method="lm").x
    return cameras


def _residual_px(camera: FloatArray, X: FloatArray, x: FloatArray) -> FloatArray:
    residual: FloatArray = (camera[0] * X + camera[1:] - x).ravel()
    return residual


def measure_motion_by_video(rows: Rows) -> FloatArray:
    """Loop over videos, each with array operations: (N, 2) Frobenius motion and mean square angle; NaN where first."""
    motion = np.full((len(rows.pose), 2), np.nan)
    for start, end in zip(rows.starts[:-1], rows.starts[1:], strict=True):
        joints, box = rows.hands.joints_2d_px[start:end], rows.hands.bbox_xyxy[start:end].astype(np.float64)
        side = np.sqrt((box[:-1, 2] - box[:-1, 0]) * (box[:-1, 3] - box[:-1, 1]))
        matrices = axis_angle_to_matrix(rows.pose[start:end].reshape(-1, 16, 3).astype(np.float64))
        angle = geodesic_distance(matrices[:-1], matrices[1:])
        motion[start + 1 : end, 0] = np.sqrt((np.diff(joints, axis=0) ** 2).sum(axis=(1, 2))) / side
        motion[start + 1 : end, 1] = (angle**2).mean(axis=1) / 3.0
    return motion


def refuse_disagreement(rows: Rows) -> None:
    """Raise where a baseline computes something else.

    Raises:
        RuntimeError: the ratio would mean nothing.
    """
    few = rows.first(NUM_SOLVED)
    tracks = find_tracks(rows)
    pairs = [
        ("iterative camera", measure_spatial(few.hands).camera, solve_cameras_iteratively(few)),
        ("loop over videos", measure_motion(rows, tracks).values[:, [0, 3]], measure_motion_by_video(rows)),
    ]
    for name, ours, theirs in pairs:
        is_both = np.isfinite(ours) & np.isfinite(theirs)
        off = float(np.max(np.abs(ours - theirs)[is_both] / (1.0 + np.abs(theirs[is_both]))))
        if not is_both.mean() > 0.9 or off > MAX_DISAGREEMENT:
            raise RuntimeError(f"{name}: {off:.1e} off in {is_both.mean():.0%} of the rows: a ratio would mean nothing")


def run(out: Path, *, pairs: int, force: bool) -> str:
    """Measure on one thread and write `filters.json` and `filters.md` into `out`; return the Markdown.

    Raises:
        ConfigError: the machine is loaded, or too few pairs were asked for.
        RuntimeError: a baseline disagrees, so that comparing would mean nothing.
    """
    refuse_loaded_machine(force=force)
    rows = Rows.random(NUM_ROWS)
    comparisons = compare_filters(rows, pairs=pairs)
    solver_ratio, growth = comparisons[0].ratio.median, comparisons[2].ratio.median
    notes = {
        "rows": f"videos of {FRAMES_A_VIDEO} frames, float32, one thread",
        "solver / spatial": f"{solver_ratio:.0f} (goal {GOAL_SOLVER_RATIO}: {_met(solver_ratio >= GOAL_SOLVER_RATIO)})",
        "time a row at 10 times the rows": f"{growth:.2f} of that at one time",
        **_rates(rows),
    }
    return write_report(out, "filters", comparisons, notes)


def compare_filters(rows: Rows, *, pairs: int) -> list[Comparison]:
    """Compare the solvers, a pass over all videos with a loop, and ten times the rows with as many calls.

    Raises:
        RuntimeError: a baseline disagrees, so that comparing would mean nothing.
    """
    few, some = rows.first(NUM_SOLVED), rows.first(len(rows.pose) // 10)
    refuse_disagreement(some)
    tracks = find_tracks(some)
    solver = (f"scipy.optimize camera, {NUM_SOLVED} frames", lambda: solve_cameras_iteratively(few))
    spatial_side = (f"all spatial measurements, {NUM_SOLVED} frames", lambda: measure_spatial(few.hands))
    loop = (f"loop over videos, {len(some.pose)} rows", lambda: measure_motion_by_video(some))
    temporal_side = (f"all temporal measurements, {len(some.pose)} rows", lambda: measure_motion(some, tracks))
    whole = (f"all filters, {len(rows.pose)} rows", lambda: run_filters(rows))
    return [
        compare(solver, spatial_side, pairs=pairs),
        compare(loop, temporal_side, pairs=pairs),
        compare(whole, _ten_times(some), pairs=pairs),
    ]


def _ten_times(rows: Rows) -> tuple[str, Callable[[], object]]:
    return f"all filters, 10 times {len(rows.pose)} rows", lambda: [run_filters(rows) for _ in range(10)]


def rows_a_second(rows: Rows) -> dict[str, float]:
    """Measure rows per second of processor time, by filter: what a busy machine does not change."""
    tracks = find_tracks(rows)
    measured = by_name(spatial.MEASURED_HERE, measure_spatial(rows.hands))
    measured |= by_name(temporal.MEASURED_HERE, measure_motion(rows, tracks))
    is_confident = passes(judge_early(rows, tracks, measured))
    parts: dict[str, Callable[[], object]] = {
        "spatial": lambda: measure_spatial(rows.hands),
        "tracks": lambda: find_tracks(rows),
        "temporal": lambda: measure_motion(rows, tracks),
        "shape": lambda: measure_shapes(rows, tracks, is_confident),
        "verdict": lambda: judge_early(rows, tracks, measured),
        "all": lambda: run_filters(rows),
    }
    return {name: len(rows.pose) / _cpu_s(call) for name, call in parts.items()}


def _rates(rows: Rows) -> dict[str, str]:
    rates = rows_a_second(rows)
    texts = {f"{name}, rows/s of one core": f"{rate:,.0f}" for name, rate in rates.items()}
    goal = f" (goal {GOAL_ROWS_A_SECOND:,}: {_met(rates['all'] >= GOAL_ROWS_A_SECOND)})"
    return texts | {"all, rows/s of one core": texts["all, rows/s of one core"] + goal}


def _cpu_s(call: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"
