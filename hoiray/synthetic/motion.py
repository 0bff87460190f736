"""How hands move: reach, close, carry, turn, pause, put down, open, go away.

Every movement runs from rest to rest along a smooth path with the minimum-jerk time course of human reaching (Flash and
Hogan, J. Neuroscience 1985): position has continuous acceleration everywhere, and so has rotation, on SO(3). While the
object is held it is rigid in the hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

FloatArray = NDArray[np.float64]

PEAK_OVER_MEAN = 1.875
"""A minimum-jerk movement is at its fastest 15/8 of its mean speed."""

TREMOR_BAND_HZ = (6.0, 12.0)
"""Physiological tremor of the hand (Elble and Koller, "Tremor", 1990)."""

_NUM_TONES = 12
_SETTLE_S = 0.15
"""Tremor fades in and out over this time round a change of contact, so that the object neither jumps nor slips."""


@dataclass(frozen=True, eq=False)
class Leg:
    """One movement from rest to rest through via poses.

    Attributes:
        start_s, duration_s: when.
        poses: (n, 4, 4), n >= 2.
    """

    start_s: float
    duration_s: float
    poses: FloatArray


@dataclass(frozen=True, eq=False)
class Handling:
    """One act on one object: what happens when. Times in seconds, poses in world axes.

    Attributes:
        reach: legs of the hand before contact; leave: after it.
        carry: legs of the object while it is held.
        close_s, hold_s, let_go_s, opened_s: fingers begin to close, contact begins, contact ends, fingers are open.
        T_world_obj: (4, 4) where the object starts.
        T_obj_hand: (4, 4) the grasp.
        relaxed_pose, open_pose, closed_pose: (45,).
        end_s: when all is over.
    """

    reach: tuple[Leg, ...]
    carry: tuple[Leg, ...]
    leave: tuple[Leg, ...]
    close_s: float
    hold_s: float
    let_go_s: float
    opened_s: float
    T_world_obj: FloatArray
    T_obj_hand: FloatArray
    relaxed_pose: FloatArray
    open_pose: FloatArray
    closed_pose: FloatArray
    end_s: float


@dataclass(frozen=True, eq=False)
class Motion:
    """A handling sampled in time: T_world_hand and T_world_obj (T, 4, 4), hand_pose (T, 45), contact (T,)."""

    T_world_hand: FloatArray
    T_world_obj: FloatArray
    hand_pose: FloatArray
    contact: NDArray[np.bool_]


@dataclass(frozen=True)
class Pace:
    """How fast somebody moves.

    Attributes:
        speed_m_s: peak speed of the hand.
        turn_rad_s: peak turn rate.
        close_s: time the fingers take to close or open.
        pause_s: mean of the rests between movements.
    """

    speed_m_s: float
    turn_rad_s: float
    close_s: float
    pause_s: float


def ease(times_s: FloatArray, start_s: float, duration_s: float) -> FloatArray:
    """Go from 0 to 1 with minimum jerk: first and second derivative are zero at both ends."""
    x = np.clip((times_s - start_s) / duration_s, 0.0, 1.0)
    return np.asarray(x * x * x * (10.0 - 15.0 * x + 6.0 * x * x))


def leg_duration_s(poses: FloatArray, pace: Pace) -> float:
    """Tell how long a leg takes so that neither peak speed nor peak turn rate is exceeded on straight pieces."""
    length = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum()
    turns = Rotation.from_matrix(poses[:, :3, :3])
    angle = (turns[:-1].inv() * turns[1:]).magnitude().sum()
    slowest = max(length / pace.speed_m_s, angle / pace.turn_rad_s)
    return float(max(0.15, PEAK_OVER_MEAN * slowest))


def sample_legs(legs: Sequence[Leg], first_pose: FloatArray, times_s: FloatArray) -> FloatArray:
    """Sample legs that follow one another; (T, 4, 4).

    Args:
        legs: in order of time, each starting at the pose the one before ended with.
        first_pose: (4, 4) where things are before the first leg.
        times_s: (T,).
    """
    sampled = np.broadcast_to(first_pose, (len(times_s), 4, 4)).copy()
    for leg in legs:
        active = times_s >= leg.start_s
        if active.any():
            sampled[active] = _along_leg(leg, times_s[active])
    return sampled


def play(handling: Handling, times_s: FloatArray, tremor_m: FloatArray) -> Motion:
    """Sample a handling.

    Args:
        handling: what happens.
        times_s: (T,).
        tremor_m: (T, 3) shift of the hand in world axes, see `tremor`; it fades round changes of contact, and what is
            held trembles along.
    """
    contact = (times_s >= handling.hold_s) & (times_s < handling.let_go_s)
    T_world_obj = sample_legs(handling.carry, handling.T_world_obj, times_s)
    before = sample_legs(handling.reach, handling.reach[0].poses[0], times_s)
    after = sample_legs(handling.leave, handling.leave[0].poses[0], times_s)
    held = T_world_obj @ handling.T_obj_hand
    T_world_hand = np.where((times_s < handling.hold_s)[:, None, None], before, held)
    T_world_hand = np.where((times_s >= handling.let_go_s)[:, None, None], after, T_world_hand)
    calm = _calm(times_s, handling.hold_s) * _calm(times_s, handling.let_go_s)
    T_world_hand[:, :3, 3] += calm[:, None] * tremor_m
    T_world_obj[:, :3, 3] += np.where(contact, calm, 0.0)[:, None] * tremor_m
    return Motion(T_world_hand, T_world_obj, _finger_pose(handling, times_s), contact)


def tremor(times_s: FloatArray, rms_m: float, rng: np.random.Generator) -> FloatArray:
    """Return (T, 3) band-limited trembling with the given root mean square a direction; a smooth function of time."""
    return band_noise(times_s, rms_m, TREMOR_BAND_HZ, rng)


def band_noise(times_s: FloatArray, rms: float, band_hz: tuple[float, float], rng: np.random.Generator) -> FloatArray:
    """Return (T, 3) of noise with all its power between two frequencies: a sum of tones with random phases."""
    frequency = rng.uniform(*band_hz, (_NUM_TONES, 3))
    phase = rng.uniform(0.0, 2.0 * np.pi, (_NUM_TONES, 3))
    tones = np.sin(2.0 * np.pi * frequency * times_s[:, None, None] + phase)
    return np.asarray(rms * np.sqrt(2.0 / _NUM_TONES) * tones.sum(axis=1))


def _calm(times_s: FloatArray, event_s: float) -> FloatArray:
    """Fall from 1 to 0 before an event and rise to 1 again after it, smoothly."""
    falling = 1.0 - ease(times_s, event_s - _SETTLE_S, _SETTLE_S)
    return np.where(times_s < event_s, falling, ease(times_s, event_s, _SETTLE_S))


def _along_leg(leg: Leg, times_s: FloatArray) -> FloatArray:
    positions, turns = leg.poses[:, :3, 3], Rotation.from_matrix(leg.poses[:, :3, :3])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1) + 0.1 * (turns[:-1].inv() * turns[1:]).magnitude()
    knots = np.concatenate([[0.0], np.cumsum(np.maximum(steps, 1e-6))])
    place = knots[-1] * ease(times_s, leg.start_s, leg.duration_s)
    sampled = np.tile(np.eye(4), (len(times_s), 1, 1))
    sampled[:, :3, 3] = CubicSpline(knots, positions, bc_type="natural")(place)
    sampled[:, :3, :3] = RotationSpline(knots, turns)(place).as_matrix()
    return sampled


def _finger_pose(handling: Handling, times_s: FloatArray) -> FloatArray:
    """Relaxed, open before the hand arrives, closed while it holds, open again, relaxed."""
    first = handling.reach[0]
    preshape = ease(times_s, first.start_s, 0.8 * first.duration_s)
    closing = ease(times_s, handling.close_s, handling.hold_s - handling.close_s)
    opening = ease(times_s, handling.let_go_s, handling.opened_s - handling.let_go_s)
    last = handling.leave[-1]
    relaxing = ease(times_s, last.start_s + 0.3 * last.duration_s, 0.7 * last.duration_s)
    pose = handling.relaxed_pose + preshape[:, None] * (handling.open_pose - handling.relaxed_pose)
    pose = pose + closing[:, None] * (handling.closed_pose - handling.open_pose)
    pose = pose + opening[:, None] * (handling.open_pose - handling.closed_pose)
    return np.asarray(pose + relaxing[:, None] * (handling.relaxed_pose - handling.open_pose))


def plan_handling(
    *,
    T_world_obj: FloatArray,
    T_obj_hand: FloatArray,
    retreat_world: FloatArray,
    T_world_rest: FloatArray,
    poses: tuple[FloatArray, FloatArray, FloatArray],
    carries: Sequence[FloatArray],
    pace: Pace,
    rng: np.random.Generator,
) -> Handling:
    """Lay out one act in time.

    Args:
        T_world_obj: where the object stands.
        T_obj_hand: the grasp.
        retreat_world: unit vector along which the hand comes in from, and backs off.
        T_world_rest: the hand before and after.
        poses: relaxed, open and closed hand, (45,) each.
        carries: groups of (n, 4, 4) poses the object is carried through; it rests after each group.
        pace: how fast.
        rng: for the pauses.
    """
    relaxed, opened, closed = poses
    grasp_pose = T_world_obj @ T_obj_hand
    reach = _chain(_reach_poses(T_world_rest, grasp_pose, retreat_world), rng.exponential(pace.pause_s), pace)
    close_s = reach.start_s + reach.duration_s + 0.05
    hold_s = close_s + pace.close_s
    clock, here, carry = hold_s, T_world_obj, []
    for group in carries:
        clock += min(float(rng.exponential(pace.pause_s)), 3.0 * pace.pause_s) + 0.05
        leg = _chain(np.concatenate([here[None], group]), clock, pace)
        carry.append(leg)
        clock, here = leg.start_s + leg.duration_s, leg.poses[-1]
    let_go_s = clock + 0.05 + min(float(rng.exponential(pace.pause_s)), 3.0 * pace.pause_s)
    opened_s = let_go_s + pace.close_s
    end_retreat = np.asarray(here[:3, :3] @ T_world_obj[:3, :3].T @ retreat_world)
    leave = _chain(_reach_poses(T_world_rest, here @ T_obj_hand, end_retreat)[::-1], opened_s, pace)
    return Handling(
        (reach,), tuple(carry), (leave,), close_s, hold_s, let_go_s, opened_s, T_world_obj, T_obj_hand, relaxed, opened,
        closed, leave.start_s + leave.duration_s,
    )  # fmt: skip


_STANDOFF_M = 0.09
"""The hand is in line with the object from this distance on."""


def _reach_poses(T_world_rest: FloatArray, T_world_grasp: FloatArray, retreat_world: FloatArray) -> FloatArray:
    ready = T_world_grasp.copy()
    ready[:3, 3] += _STANDOFF_M * retreat_world
    # Half of the turn is done on the way there.
    halfway = Rotation.from_matrix(np.stack([T_world_rest[:3, :3], ready[:3, :3]])).mean()
    via = np.eye(4)
    via[:3, :3] = halfway.as_matrix()
    via[:3, 3] = 0.5 * (T_world_rest[:3, 3] + ready[:3, 3]) + np.array([0.0, 0.03, 0.0])
    return np.stack([T_world_rest, via, ready, T_world_grasp])


def _chain(poses: FloatArray, start_s: float, pace: Pace) -> Leg:
    return Leg(float(start_s), leg_duration_s(poses, pace), poses)
