# ruff: noqa: PLR0917 - numba compiles positional arguments only
"""The compiled loop of the hand fit: posing, its exact derivatives, and Levenberg-Marquardt within joint limits.

One hand at a time, so that a hand's numbers do not depend on its company. 62 unknowns: a turn of the wrist (3),
flexion, abduction and twist of 15 joints (45), shape (10), log scale and shift of the camera (3), mean depth (1).

A joint's rotation is ``F Rx(flexion) Ry(abduction) Rz(twist) F^T``, the split of
:func:`hoiray.hand.anatomy.joint_angles` with the joint's anatomical frame F. A point beyond a joint moves, per radian
about an axis w through the joint at x_j, by ``w x (x - x_j)``: all derivatives are one cross product each.
"""

from math import cos, exp, sin, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.filters.compiled import compiled, inlined
from hoiray.hand.anatomy import ARTICULATED_JOINTS
from hoiray.hand.joints import NUM_JOINTS, PARENTS

FloatArray = npt.NDArray[np.float64]

NUM_ANGLES: Final = 45
NUM_BETAS: Final = 10
TURN, ANGLES, BETAS, SCALE, SHIFT, DEPTH = 0, 3, 48, 58, 59, 61
"""Where each kind of unknown begins."""

NUM_UNKNOWNS: Final = 62

_PARENT_OF: Final = np.array(PARENTS)
_ANGLES_OF: Final = np.array(
    [3 * ARTICULATED_JOINTS.index(joint) if joint in ARTICULATED_JOINTS else -1 for joint in range(NUM_JOINTS)]
)
"""First angle of each joint of the simple order; -1: it has none."""

_MAX_JOINTS: Final = NUM_JOINTS
_FIRST_DAMPING, _LESS, _MORE = 1e-3, 0.3, 6.0
_MOST_DAMPING: Final = 1e6
_ENOUGH: Final = 1e-9
"""Relative decrease of the cost below which a hand is done."""


@inlined
def _times_axis_rotation(M: FloatArray, axis: int, angle: float) -> None:
    """Multiply (3, 3) from the right by a rotation about one of the three axes."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    c, s = cos(angle), sin(angle)
    for row in range(3):
        a, b = M[row, first], M[row, second]
        M[row, first] = a * c + b * s
        M[row, second] = b * c - a * s


@compiled
def pose_hand(
    rest: FloatArray,
    shape: FloatArray,
    frames: FloatArray,
    turn: FloatArray,
    unknowns: FloatArray,
    points: FloatArray,
    turns: FloatArray,
    axes: FloatArray,
    by_shape: FloatArray,
) -> None:
    """Pose a right hand about its wrist.

    Args:
        rest: (21, 3) joints of the mean hand, simple order, m.
        shape: (21, 3, 10) their change with each beta.
        frames: (15, 3, 3) anatomical axes of each joint as columns: flexion, abduction, twist.
        turn: (3, 3) of the wrist.
        unknowns: (62,) of which angles and betas are read.
        points: (21, 3) out: joints, the wrist at 0.
        turns: (21, 3, 3) out: rotation of the bone behind each joint.
        axes: (45, 3) out: the axis each angle turns about, as it stands now.
        by_shape: (21, 3, 10) out: change of `points` with each beta.
    """
    offset, M = np.empty(3), np.empty((3, 3))
    points[0], turns[0], by_shape[0] = 0.0, turn, 0.0
    for joint in range(1, _MAX_JOINTS):
        parent, first = _PARENT_OF[joint], _ANGLES_OF[joint]
        G = turns[parent]
        _place_joint(rest, shape, unknowns, joint, parent, G, offset, points, by_shape)
        if first < 0:
            turns[joint] = G
            continue
        F = frames[first // 3]
        for row in range(3):
            for column in range(3):
                M[row, column] = G[row, 0] * F[0, column] + G[row, 1] * F[1, column] + G[row, 2] * F[2, column]
        for axis in range(3):
            axes[first + axis] = M[:, axis]
            _times_axis_rotation(M, axis, unknowns[ANGLES + first + axis])
        for row in range(3):
            for column in range(3):
                turns[joint, row, column] = (
                    M[row, 0] * F[column, 0] + M[row, 1] * F[column, 1] + M[row, 2] * F[column, 2]
                )


@inlined
def _place_joint(
    rest: FloatArray,
    shape: FloatArray,
    unknowns: FloatArray,
    joint: int,
    parent: int,
    G: FloatArray,
    offset: FloatArray,
    points: FloatArray,
    by_shape: FloatArray,
) -> None:
    """Put a joint at the end of its parent's bone, and tell how it moves with the shape."""
    for row in range(3):
        offset[row] = rest[joint, row] - rest[parent, row]
        for beta in range(NUM_BETAS):
            offset[row] += (shape[joint, row, beta] - shape[parent, row, beta]) * unknowns[BETAS + beta]
    for row in range(3):
        points[joint, row] = points[parent, row]
        for column in range(3):
            points[joint, row] += G[row, column] * offset[column]
        for beta in range(NUM_BETAS):
            moved = by_shape[parent, row, beta]
            for column in range(3):
                moved += G[row, column] * (shape[joint, column, beta] - shape[parent, column, beta])
            by_shape[joint, row, beta] = moved


@compiled
def misfit(
    points: FloatArray,
    unknowns: FloatArray,
    image: FloatArray,
    depth: FloatArray,
    weights: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    shape_precision: float,
) -> float:
    """Return half the sum of weighted squares: image, depth, pose prior, shape prior."""
    scale, total = exp(unknowns[SCALE]), 0.0
    for joint in range(_MAX_JOINTS):
        x = weights[joint, 0] * (scale * points[joint, 0] + unknowns[SHIFT] - image[joint, 0])
        y = weights[joint, 0] * (scale * points[joint, 1] + unknowns[SHIFT + 1] - image[joint, 1])
        z = weights[joint, 1] * (points[joint, 2] + unknowns[DEPTH] - depth[joint])
        total += x * x + y * y + z * z
    for row in range(NUM_ANGLES):
        off = unknowns[ANGLES + row] - mean[row]
        for column in range(NUM_ANGLES):
            total += off * precision[row, column] * (unknowns[ANGLES + column] - mean[column])
    for beta in range(NUM_BETAS):
        total += shape_precision * unknowns[BETAS + beta] ** 2
    return 0.5 * total


@compiled
def normal_equations(
    points: FloatArray,
    axes: FloatArray,
    by_shape: FloatArray,
    unknowns: FloatArray,
    image: FloatArray,
    depth: FloatArray,
    weights: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    shape_precision: float,
    H: FloatArray,
    g: FloatArray,
) -> None:
    """Fill J^T J (62, 62, lower half) and the gradient (62,) of :func:`misfit`."""
    H[:], g[:] = 0.0, 0.0
    for row in range(NUM_ANGLES):
        for column in range(NUM_ANGLES):
            H[ANGLES + row, ANGLES + column] = precision[row, column]
            g[ANGLES + row] += precision[row, column] * (unknowns[ANGLES + column] - mean[column])
    for beta in range(NUM_BETAS):
        H[BETAS + beta, BETAS + beta] = shape_precision
        g[BETAS + beta] = shape_precision * unknowns[BETAS + beta]
    scale = exp(unknowns[SCALE])
    which, moves = np.empty(NUM_UNKNOWNS, np.int64), np.empty((NUM_UNKNOWNS, 3))
    for joint in range(_MAX_JOINTS):
        count = _moves_of(joint, points, axes, by_shape, which, moves)
        wi, wz = weights[joint, 0], weights[joint, 1]
        x = wi * (scale * points[joint, 0] + unknowns[SHIFT] - image[joint, 0])
        y = wi * (scale * points[joint, 1] + unknowns[SHIFT + 1] - image[joint, 1])
        z = wz * (points[joint, 2] + unknowns[DEPTH] - depth[joint])
        for entry in range(count):
            moves[entry, 0] *= wi * scale
            moves[entry, 1] *= wi * scale
            moves[entry, 2] *= wz
        which[count], which[count + 1], which[count + 2], which[count + 3] = SCALE, SHIFT, SHIFT + 1, DEPTH
        moves[count : count + 4] = 0.0
        moves[count, 0], moves[count, 1] = wi * scale * points[joint, 0], wi * scale * points[joint, 1]
        moves[count + 1, 0], moves[count + 2, 1], moves[count + 3, 2] = wi, wi, wz
        for a in range(count + 4):
            u, v, w = moves[a, 0], moves[a, 1], moves[a, 2]
            g[which[a]] += u * x + v * y + w * z
            for b in range(a + 1):  # `which` ascends, so this is the lower half
                H[which[a], which[b]] += u * moves[b, 0] + v * moves[b, 1] + w * moves[b, 2]


@inlined
def _moves_of(
    joint: int,
    points: FloatArray,
    axes: FloatArray,
    by_shape: FloatArray,
    which: npt.NDArray[np.int64],
    moves: FloatArray,
) -> int:
    """List the unknowns a joint moves with, ascending, and its movement per unit of each; return how many."""
    x, y, z = points[joint, 0], points[joint, 1], points[joint, 2]
    which[0], which[1], which[2] = 0, 1, 2
    moves[0, 0], moves[0, 1], moves[0, 2] = 0.0, -z, y
    moves[1, 0], moves[1, 1], moves[1, 2] = z, 0.0, -x
    moves[2, 0], moves[2, 1], moves[2, 2] = -y, x, 0.0
    count = 3
    base = joint - (joint - 1) % 4 if joint > 0 else 0
    for ancestor in range(base, joint):  # of its own finger; none for the wrist
        dx, dy, dz = x - points[ancestor, 0], y - points[ancestor, 1], z - points[ancestor, 2]
        for angle in range(_ANGLES_OF[ancestor], _ANGLES_OF[ancestor] + 3):
            wx, wy, wz = axes[angle, 0], axes[angle, 1], axes[angle, 2]
            which[count] = ANGLES + angle
            moves[count, 0], moves[count, 1], moves[count, 2] = wy * dz - wz * dy, wz * dx - wx * dz, wx * dy - wy * dx
            count += 1
    for beta in range(NUM_BETAS):
        which[count] = BETAS + beta
        for row in range(3):
            moves[count, row] = by_shape[joint, row, beta]
        count += 1
    return count


@compiled
def solve_damped(
    H: FloatArray, g: FloatArray, damping: float, is_fixed: npt.NDArray[np.bool_], L: FloatArray, step: FloatArray
) -> bool:
    """Solve (H + damping diag H) step = -g for the unknowns that are free; False where it cannot be."""
    for i in range(NUM_UNKNOWNS):
        for j in range(i):
            total = 0.0 if is_fixed[i] or is_fixed[j] else H[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            L[i, j] = total / L[j, j]
        total = 1.0 if is_fixed[i] else (1.0 + damping) * H[i, i] + 1e-9
        for k in range(i):
            total -= L[i, k] ** 2
        if total <= 0.0:
            return False
        L[i, i] = sqrt(total)
    _substitute(L, g, is_fixed, step)
    return True


@inlined
def _substitute(L: FloatArray, g: FloatArray, is_fixed: npt.NDArray[np.bool_], step: FloatArray) -> None:
    """Solve L L^T step = -g, forwards and backwards."""
    for i in range(NUM_UNKNOWNS):
        total = 0.0 if is_fixed[i] else -g[i]
        for k in range(i):
            total -= L[i, k] * step[k]
        step[i] = total / L[i, i]
    for i in range(NUM_UNKNOWNS - 1, -1, -1):
        total = step[i]
        for k in range(i + 1, NUM_UNKNOWNS):
            total -= L[k, i] * step[k]
        step[i] = total / L[i, i]


@inlined
def _turned(turn: FloatArray, step: FloatArray, result: FloatArray) -> None:
    """Turn (3, 3) further by the rotation vector that a step begins with (Rodrigues)."""
    x, y, z = step[0], step[1], step[2]
    angle = sqrt(x * x + y * y + z * z)
    a = sin(angle) / angle if angle > 1e-8 else 1.0
    b = (1.0 - cos(angle)) / (angle * angle) if angle > 1e-4 else 0.5
    for column in range(3):
        p, q, r = turn[0, column], turn[1, column], turn[2, column]
        u, v, w = y * r - z * q, z * p - x * r, x * q - y * p
        result[0, column] = p + a * u + b * (y * w - z * v)
        result[1, column] = q + a * v + b * (z * u - x * w)
        result[2, column] = r + a * w + b * (x * v - y * u)


@inlined
def _keep_within(unknowns: FloatArray, low: FloatArray, high: FloatArray) -> None:
    """Put angles beyond their limits back to them."""
    for angle in range(NUM_ANGLES):
        unknowns[ANGLES + angle] = min(max(unknowns[ANGLES + angle], low[angle]), high[angle])


@inlined
def _fix_at_limits(
    unknowns: FloatArray, g: FloatArray, low: FloatArray, high: FloatArray, is_fixed: npt.NDArray[np.bool_]
) -> None:
    """Tell which angles stand at a limit that they would leave, downhill."""
    for angle in range(NUM_ANGLES):
        value, slope = unknowns[ANGLES + angle], g[ANGLES + angle]
        is_fixed[ANGLES + angle] = (value <= low[angle] and slope > 0) or (value >= high[angle] and slope < 0)


@compiled
def fit_hand(
    rest: FloatArray,
    shape: FloatArray,
    frames: FloatArray,
    low: FloatArray,
    high: FloatArray,
    image: FloatArray,
    depth: FloatArray,
    weights: FloatArray,
    mean: FloatArray,
    precision: FloatArray,
    shape_precision: float,
    max_steps: int,
    turn: FloatArray,
    unknowns: FloatArray,
) -> float:
    """Fit one right hand, in place, from where it stands; return the cost.

    Args:
        rest: of the model; see :func:`pose_hand`.
        shape: likewise.
        frames: likewise.
        low: (45,) limits of the angles, rad; never left.
        high: likewise.
        image: (21, 2) in m: px over the unit of scale.
        depth: (21,) m, up to a constant.
        weights: (21, 2) of image and depth, 1/m; 0 leaves a joint out.
        mean: (45,) of the pose prior.
        precision: (45, 45) likewise.
        shape_precision: of every beta.
        max_steps: tries, accepted or not.
        turn: (3, 3) of the wrist, in and out.
        unknowns: (62,) in and out.
    """
    points, turns = np.empty((_MAX_JOINTS, 3)), np.empty((_MAX_JOINTS, 3, 3))
    axes, by_shape = np.empty((NUM_ANGLES, 3)), np.empty((_MAX_JOINTS, 3, NUM_BETAS))
    H, L = np.empty((NUM_UNKNOWNS, NUM_UNKNOWNS)), np.empty((NUM_UNKNOWNS, NUM_UNKNOWNS))
    g, step, tried = np.empty(NUM_UNKNOWNS), np.empty(NUM_UNKNOWNS), np.empty(NUM_UNKNOWNS)
    is_fixed, tried_turn = np.zeros(NUM_UNKNOWNS, np.bool_), np.empty((3, 3))
    _keep_within(unknowns, low, high)
    pose_hand(rest, shape, frames, turn, unknowns, points, turns, axes, by_shape)
    cost = misfit(points, unknowns, image, depth, weights, mean, precision, shape_precision)
    damping, is_fresh = _FIRST_DAMPING, True
    for _ in range(max_steps):
        if is_fresh:
            normal_equations(
                points, axes, by_shape, unknowns, image, depth, weights, mean, precision, shape_precision, H, g
            )
            _fix_at_limits(unknowns, g, low, high, is_fixed)
        is_fresh = False
        if solve_damped(H, g, damping, is_fixed, L, step):
            _turned(turn, step, tried_turn)
            for index in range(ANGLES, NUM_UNKNOWNS):
                tried[index] = unknowns[index] + step[index]
            _keep_within(tried, low, high)
            pose_hand(rest, shape, frames, tried_turn, tried, points, turns, axes, by_shape)
            found = misfit(points, tried, image, depth, weights, mean, precision, shape_precision)
            if found < cost:
                is_done = cost - found <= _ENOUGH * cost
                turn[:], cost = tried_turn, found
                unknowns[ANGLES:] = tried[ANGLES:]
                damping, is_fresh = max(damping * _LESS, 1e-9), True
                if is_done:
                    break
                continue
        damping *= _MORE
        if damping > _MOST_DAMPING:
            break
    return cost
