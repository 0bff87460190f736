"""The definitions of the filters as slow, plain loops: from the paper and the rules; no code of the kernels."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hoiray.config.what import PaperLimits

PARENTS = [-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]
BETWEEN_TWO_BONES = [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]

Answer = float | str
"""A number, or the word that says why there is none."""


def is_number(values: Any) -> bool:
    return bool(np.isfinite(np.asarray(values, dtype=float)).all())


def side_of(box: Any) -> float | None:
    x0, y0, x1, y1 = (float(value) for value in box)
    if not is_number([x0, y0, x1, y1]) or x1 <= x0 or y1 <= y0:
        return None
    return math.sqrt((x1 - x0) * (y1 - y0))


def camera(joints_3d: Any, joints_2d: Any) -> tuple[float, float, float] | str:
    """Least squares over scale and shift, by the normal equations' own solver."""
    if not (is_number(joints_3d) and is_number(joints_2d)):
        return "non_finite"
    X, x = np.asarray(joints_3d, dtype=float)[:, :2], np.asarray(joints_2d, dtype=float)
    if math.sqrt(((X - X.mean(0)) ** 2).sum() / 21) <= 1e-4:
        return "camera_degenerate"
    design = np.zeros((42, 3))
    design[:21, 0], design[:21, 1], design[21:, 0], design[21:, 2] = X[:, 0], 1, X[:, 1], 1
    scale, u, v = np.linalg.lstsq(design, np.concatenate([x[:, 0], x[:, 1]]), rcond=None)[0]
    if scale * math.sqrt(((X - X.mean(0)) ** 2).sum() / 21) <= 1e-6:
        return "camera_mirrored"
    return float(scale), float(u), float(v)


def overlap(first: Any, second: Any) -> float:
    """Intersection over union of two boxes with area."""
    common = 1.0
    for axis in range(2):
        common *= max(0.0, min(first[axis + 2], second[axis + 2]) - max(first[axis], second[axis]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return float(common / (areas[0] + areas[1] - common))


def box_iou(vertices: Any, found: tuple[float, float, float] | str, box: Any, size_wh: Any) -> Answer:
    """Project every vertex, take the box, cut it to the image, compare."""
    if isinstance(found, str):
        return found
    if side_of(box) is None:
        return "no_box"
    if np.isnan(vertices).any():
        return "not_attempted"
    scale, u, v = found
    pixels = [(scale * float(x) + u, scale * float(y) + v) for x, y, *_ in vertices]
    x0, x1 = max(min(p[0] for p in pixels), -0.5), min(max(p[0] for p in pixels), size_wh[0] - 0.5)
    y0, y1 = max(min(p[1] for p in pixels), -0.5), min(max(p[1] for p in pixels), size_wh[1] - 0.5)
    if x1 <= x0 or y1 <= y0:
        return 0.0  # nothing of the mesh is in the image
    return overlap([x0, y0, x1, y1], [float(value) for value in box])


def distances(first: Any, second: Any) -> list[float]:
    return [math.dist(map(float, a), map(float, b)) for a, b in zip(first, second, strict=True)]


def readings(per_joint: list[float], side: float) -> dict[str, Answer]:
    return {
        "frobenius": math.sqrt(sum(d * d for d in per_joint)) / side,
        "mean": sum(per_joint) / 21 / side,
        "max": max(per_joint) / side,
    }


def reprojection(joints_3d: Any, joints_2d: Any, box: Any) -> dict[str, Answer]:
    found = camera(joints_3d, joints_2d)
    side = side_of(box)
    if isinstance(found, str) or side is None:
        return dict.fromkeys(("frobenius", "mean", "max"), found if isinstance(found, str) else "no_box")
    projected = [(found[0] * float(x) + found[1], found[0] * float(y) + found[2]) for x, y, _ in joints_3d]
    return readings(distances(projected, joints_2d), side)


def shortest_bone(joints_3d: Any) -> Answer:
    if not is_number(joints_3d):
        return "non_finite"
    palm = math.dist(joints_3d[0], joints_3d[9])
    if palm == 0:
        return "joints_coincide"
    return min(math.dist(joints_3d[PARENTS[j]], joints_3d[j]) for j in range(1, 21)) / palm


def largest_bend(joints_3d: Any) -> Answer:
    if not is_number(joints_3d):
        return "non_finite"
    joints, largest = np.asarray(joints_3d, dtype=float), 0.0
    if any((joints[PARENTS[j]] == joints[j]).all() for j in range(1, 21)):
        return "joints_coincide"
    for j in BETWEEN_TWO_BONES:
        before, after = joints[j] - joints[PARENTS[j]], joints[j + 1] - joints[j]
        before, after = before / np.linalg.norm(before), after / np.linalg.norm(after)
        # the half-angle form of Kahan: exact near 0 and near pi
        largest = max(largest, 2 * math.atan2(np.linalg.norm(before - after), np.linalg.norm(before + after)))
    return largest


def spread(per_joint: Any, unit: float | None) -> Answer:
    if np.isnan(per_joint).all():
        return "too_few_members"
    if not is_number(per_joint):
        return "non_finite"
    return "no_box" if unit is None else math.sqrt(sum(float(s) ** 2 for s in per_joint) / 21) / unit


def motion_2d(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Answer]:
    side = side_of(before["bbox_xyxy"])
    if not (is_number(before["joints_2d"]) and is_number(now["joints_2d"])):
        return dict.fromkeys(("frobenius", "mean", "max"), "non_finite")
    if side is None:
        return dict.fromkeys(("frobenius", "mean", "max"), "no_box")
    return readings(distances(before["joints_2d"], now["joints_2d"]), side)


def motion_pose(before: Any, now: Any) -> dict[str, Answer]:
    names = ("geodesic_mean_square", "matrix_mean_square", "axis_angle_mean_square", "axis_angle_l2")
    if not (is_number(before) and is_number(now)):
        return dict.fromkeys(names, "non_finite")
    first = Rotation.from_rotvec(np.asarray(before, dtype=float).reshape(16, 3))
    second = Rotation.from_rotvec(np.asarray(now, dtype=float).reshape(16, 3))
    angles = (first.inv() * second).magnitude()
    change = np.asarray(now, dtype=float) - np.asarray(before, dtype=float)
    return dict(
        zip(
            names,
            (
                sum(a * a for a in angles) / 16 / 3,
                ((first.as_matrix() - second.as_matrix()) ** 2).sum() / 144,
                (change * change).sum() / 48,
                math.sqrt((change * change).sum()),
            ),
            strict=True,
        )
    )


def held_sample(mean_square: Answer, crop_change: float, gap: int) -> Answer:
    if gap != 1:
        return "gap"
    if math.isnan(crop_change):
        return "no_pixels"
    if isinstance(mean_square, str) or math.isinf(crop_change):
        return "non_finite"
    stillness = 1 / (1 + 3 * mean_square / math.radians(0.1) ** 2)
    changed = 1 - 1 / (1 + (crop_change / 0.01) ** 2)
    return stillness * changed


@dataclass
class Tracked:
    track: int
    before: int | None
    is_duplicate: bool = False


@dataclass
class PlainRule:
    max_gap: int = 12
    min_iou: float = 0.2
    margin: float = 0.1
    duplicate_iou: float = 0.9


def _same_side_overlap(first: dict[str, Any], second: dict[str, Any]) -> float:
    boxes = [[float(value) for value in row["bbox_xyxy"]] for row in (first, second)]
    if first["is_right"] != second["is_right"] or None in map(side_of, boxes):
        return 0.0
    return overlap(*boxes)


def _clear_choices(table: dict[tuple[int, int], float], rule: PlainRule) -> dict[int, int]:
    """The old row of every new row whose choice is mutual and clear."""
    chosen = {}
    for (old, new), value in table.items():
        rivals = [v for (o, n), v in table.items() if (o == old) != (n == new)]
        if value >= rule.min_iou and value - max(rivals, default=0.0) >= rule.margin:
            chosen[new] = old
    return chosen


def tracks(rows: list[dict[str, Any]], rule: PlainRule = PlainRule()) -> list[Tracked]:  # noqa: B008 - never changed
    """The tracks of one video's rows, which are in order of frame and hand."""
    result: dict[int, Tracked] = {}
    live: list[int] = []
    num_tracks = 0
    for frame in sorted({row["frame_index"] for row in rows}):
        live = [row for row in live if frame - rows[row]["frame_index"] <= rule.max_gap]
        hands: list[int] = []
        copies: dict[int, int] = {}
        for row in (index for index, content in enumerate(rows) if content["frame_index"] == frame):
            same = [other for other in hands if _same_side_overlap(rows[other], rows[row]) >= rule.duplicate_iou]
            if same:
                copies[row] = same[0]
            else:
                hands.append(row)
        table = {(old, new): _same_side_overlap(rows[old], rows[new]) for old in live for new in hands}
        chosen = _clear_choices(table, rule)
        for new in hands:
            before = chosen.get(new)
            result[new] = Tracked(num_tracks if before is None else result[before].track, before)
            num_tracks += before is None
        result |= {row: Tracked(result[other].track, None, is_duplicate=True) for row, other in copies.items()}
        live = [old for old in live if all(table[old, new] < rule.min_iou for new in hands)] + hands
    return [result[row] for row in range(len(rows))]


def shape(betas: Any, is_confident: list[bool]) -> tuple[list[Answer], Answer, int]:
    """Deviations of one track's rows in sigma, sigma, and the size of the set."""
    finite = [is_number(b) for b in betas]
    chosen = [np.asarray(b, dtype=float) for b, c, f in zip(betas, is_confident, finite, strict=True) if c and f]
    if not chosen:
        return ["not_attempted" if f else "non_finite" for f in finite], "not_attempted", 0
    mean = sum(chosen) / len(chosen)
    sigma = math.sqrt(sum(float(((b - mean) ** 2).sum()) for b in chosen) / len(chosen))
    deviations: list[Answer] = []
    for b, f in zip(betas, finite, strict=True):
        distance = math.sqrt(float(((np.asarray(b, dtype=float) - mean) ** 2).sum())) if f else math.nan
        if not f:
            deviations.append("non_finite")
        elif distance < 1e-12:
            deviations.append(0.0)
        else:
            deviations.append(distance / sigma if sigma > 0 else "not_attempted")
    return deviations, sigma, len(chosen)


# fmt: off
ORDER = (
    "box_iou", "reprojection", "bone_length", "joint_angle", "spread_2d", "spread_3d", "spread_rotation", "motion_2d",
    "motion_pose", "no_predecessor", "predecessor_refused", "held_sample", "duplicate", "shape_deviation", "hand_size",
    "confidence", "not_measured",
)
# fmt: on


def spatial_reasons(row: dict[str, Any], limits: PaperLimits) -> set[str]:
    """Reasons of one frame, from its stored measurements."""
    checks = [
        ("box_iou", row["box_iou"], limits.min_box_iou, lambda v, t: v >= t),
        (
            "reprojection",
            row[f"reprojection_{limits.reprojection_reading}_box_sides"],
            limits.max_reprojection_box_sides,
            lambda v, t: v <= t,
        ),
        ("bone_length", row["min_bone_length_ratio"], limits.min_bone_length_ratio, lambda v, t: v >= t),
        ("joint_angle", row["max_joint_angle_rad"], _radians(limits.max_joint_angle_deg), lambda v, t: v < t),
        ("spread_2d", row["spread_2d_box_sides"], limits.max_spread_2d_box_sides, lambda v, t: v <= t),
        ("spread_3d", row["spread_3d_m"], limits.max_spread_3d_m, lambda v, t: v <= t),
        ("spread_rotation", row["spread_rotation_rad"], _radians(limits.max_spread_rotation_deg), lambda v, t: v <= t),
    ]
    return _failed(checks)


def _radians(degrees: float | None) -> float | None:
    return None if degrees is None else math.radians(degrees)


def _failed(checks: Any) -> set[str]:
    reasons = set()
    for word, value, limit, is_good in checks:
        if limit is None:
            continue
        if math.isnan(value):
            reasons.add("not_measured")
        elif not is_good(np.float32(value), np.float32(limit)):
            reasons.add(word)
    return reasons


def verdicts(rows: list[dict[str, Any]], limits: PaperLimits) -> list[list[str]]:
    """Reasons of one video's rows (in order), from the measurements they hold, all but for confidence."""
    found = tracks(rows)
    alone = [spatial_reasons(row, limits) for row in rows]
    reasons = [words | _pair_reasons(row, rows, found, alone, limits) for row, words in enumerate(alone)]
    _add_shape_reasons(rows, found, reasons, limits.max_shape_deviation_sigma)
    return [[word for word in ORDER if word in words] for words in reasons]


def _gap(row: int | None, rows: list[dict[str, Any]], found: list[Tracked], limits: PaperLimits) -> int | None:
    """Frames between a row and its predecessor, None where there is none or it is too far."""
    before = None if row is None else found[row].before
    if row is None or before is None:
        return None
    distance = rows[row]["frame_index"] - rows[before]["frame_index"]
    return distance if distance <= limits.max_predecessor_gap_frames else None


def _pair_reasons(
    row: int, rows: list[dict[str, Any]], found: list[Tracked], alone: list[set[str]], limits: PaperLimits
) -> set[str]:
    if found[row].is_duplicate:
        return {"duplicate"}
    thresholds = (limits.max_motion_2d_box_sides, limits.max_motion_pose, limits.max_held_sample_score)
    if all(limit is None for limit in thresholds):
        return set()
    later, other = row, found[row].before
    gap = _gap(row, rows, found, limits)
    if gap is None and limits.predecessor_rule == "backward_or_forward":
        later = other = next((after for after, one in enumerate(found) if one.before == row), None)  # type: ignore[assignment]
        gap = _gap(later, rows, found, limits)
    if gap is None or other is None:
        return {"no_predecessor"}
    motion_2d = rows[later][f"motion_2d_{limits.motion_2d_reading}_box_sides"]
    pose = rows[later][f"motion_pose_{limits.motion_pose_reading}"]
    power = 1 if limits.motion_pose_reading == "axis_angle_l2" else 2
    checks = [
        ("motion_2d", motion_2d, _times(limits.max_motion_2d_box_sides, gap), lambda v, t: v <= t),
        ("motion_pose", pose, _times(limits.max_motion_pose, gap**power), lambda v, t: v <= t),
        ("held_sample", rows[later]["held_sample_score"], limits.max_held_sample_score, lambda v, t: v <= t),
    ]
    is_neighbour_bad = limits.predecessor_must_pass_spatial and bool(alone[other])
    return _failed(checks) | ({"predecessor_refused"} if is_neighbour_bad else set())


def _add_shape_reasons(
    rows: list[dict[str, Any]], found: list[Tracked], reasons: list[set[str]], limit: float | None
) -> None:
    if limit is None:
        return
    for track in {one.track for one in found}:
        members = [row for row, one in enumerate(found) if one.track == track]
        deviations, sigma, size = shape([rows[row]["betas"] for row in members], [not reasons[row] for row in members])
        for row, deviation in zip(members, deviations, strict=True):
            if deviation == "non_finite":
                reasons[row].add("not_measured")
            elif isinstance(deviation, str) or isinstance(sigma, str) or size <= 1 + limit * limit:
                continue
            elif deviation * sigma > limit * sigma + 1e-6:
                reasons[row].add("shape_deviation")


def _times(limit: float | None, factor: float) -> float | None:
    return None if limit is None else limit * factor
