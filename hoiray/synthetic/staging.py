"""Put people and things in their places: how an object stands, where a hand waits, how far a wrist bends.

World axes: x right, y up, z towards the first camera; things stand on the plane y = 0. `side` below is +1 for a right
hand and -1 for a left one: in the frame of its own model the forearm lies towards +x or -x.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.synthetic.objects import ObjectMesh

FloatArray = NDArray[np.float64]

UP = np.array([0.0, 1.0, 0.0])

_NUM_YAWS = 16
_UPRIGHT_BONUS = 0.35
_ELBOW_RISE = 0.3
"""Elbows are a little higher than the hands that reach for things on a table."""

_MAX_WRIST_BEND_RAD = 0.9
"""Wrists bend by 50 to 70 degrees (American Academy of Orthopaedic Surgeons norms)."""

_UPPER_REACH_M = 0.3
"""From the hands' place of work to the elbow."""


def towards_person(azimuth_rad: float) -> FloatArray:
    """Return the horizontal unit vector to the body of the person who acts; azimuth 0 is towards the first camera."""
    return np.array([np.sin(azimuth_rad), 0.0, np.cos(azimuth_rad)])


def rest_on_table(vertices_m: FloatArray, R_world_obj: FloatArray, place_xz_m: FloatArray) -> FloatArray:
    """Return T_world_obj (4, 4) of an object so turned whose lowest vertex touches the table at a place."""
    T_world_obj = np.eye(4)
    T_world_obj[:3, :3] = R_world_obj
    T_world_obj[:3, 3] = [place_xz_m[0], -float((vertices_m @ R_world_obj[1]).min()), place_xz_m[1]]
    return T_world_obj


def stand_for_grasp(
    target: ObjectMesh,
    T_obj_hand: FloatArray,
    *,
    hand_points: FloatArray,
    side: int,
    person: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Stand or lay the object on the table so that the person reaches it as the grasp demands.

    Args:
        target: the object.
        T_obj_hand: the grasp, (4, 4).
        hand_points: (N, 3) joints of the closed hand, hand frame.
        side: of the hand.
        person: see `towards_person`.
        rng: breaks ties.

    Returns:
        T_world_obj (4, 4): of all ways to stand and all directions, the one in which the forearm comes from the person
        and the hand is not in the table.
    """
    forearm = (person + _ELBOW_RISE * UP) / np.linalg.norm(person + _ELBOW_RISE * UP)
    best, best_score = np.eye(4), -np.inf
    for rank, standing in enumerate(_ways_to_stand()):
        for yaw in 2.0 * np.pi * (np.arange(_NUM_YAWS) + rng.uniform()) / _NUM_YAWS:
            R_world_obj = Rotation.from_rotvec(yaw * UP).as_matrix() @ standing
            T_world_obj = rest_on_table(target.vertices, R_world_obj, np.zeros(2))
            T_world_hand = T_world_obj @ T_obj_hand
            elbow = side * T_world_hand[:3, 0] @ forearm
            knuckles_up = T_world_hand[1, 1]
            lowest = (hand_points @ T_world_hand[1, :3]).min() + T_world_hand[1, 3]
            score = elbow + 0.2 * knuckles_up + 15.0 * min(0.0, lowest - 0.008) + _UPRIGHT_BONUS * (rank == 0)
            if score > best_score:
                best, best_score = T_world_obj, score
    return best


def _ways_to_stand() -> tuple[FloatArray, ...]:
    """Upright (z of the object up) first, then lying on each side, then head down."""
    upright = Rotation.from_euler("x", -90, degrees=True)
    tips = [Rotation.from_euler("z", angle, degrees=True) * upright for angle in (90, -90)]
    rolls = [Rotation.from_euler("x", angle, degrees=True) * upright for angle in (90, -90, 180)]
    return tuple(turn.as_matrix() for turn in (upright, *tips, *rolls))


def waiting_hand(side: int, person: FloatArray, place_m: FloatArray, tilt_rad: FloatArray) -> FloatArray:
    """Return T_world_hand (4, 4) of a hand held out over the table, palm down, forearm towards the person.

    Args:
        side: of the hand.
        person: see `towards_person`.
        place_m: (3,) where the middle of the palm is.
        tilt_rad: (3,) rotation vector, world axes, away from level.
    """
    x_axis = side * person
    R_world_hand = np.stack([x_axis, UP, np.cross(x_axis, UP)], axis=1)
    R_world_hand = Rotation.from_rotvec(tilt_rad).as_matrix() @ R_world_hand
    T_world_hand = np.eye(4)
    T_world_hand[:3, :3] = R_world_hand
    # The middle of the palm is about 4 cm from the origin of MANO's rest frame, towards the wrist.
    T_world_hand[:3, 3] = place_m - R_world_hand @ np.array([0.04 * side, 0.0, 0.0])
    return T_world_hand


def carry_groups(
    T_world_obj: FloatArray,
    target: ObjectMesh,
    *,
    pivot_world: FloatArray,
    forearm_world: FloatArray,
    reach: tuple[float, float],
    num_groups: int,
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Invent what is done with the object in the hand: lifted, carried about, turned, and put down again.

    Args:
        T_world_obj: where it stands.
        target: the object.
        pivot_world: (3,) the wrist when it is taken up, about which it is turned.
        forearm_world: (3,) unit vector about which a forearm turns most easily.
        reach: metres it is carried at most, radians it is turned at most.
        num_groups: movements before it is put down.
        rng: what exactly.

    Returns:
        (n, 4, 4) poses of each movement, the last one ends on the table.
    """
    range_m, turn_rad = reach
    groups = []
    for _ in range(num_groups):
        poses = []
        for _ in range(int(rng.integers(1, 4))):
            roll = rng.uniform(-turn_rad, turn_rad) * forearm_world
            turn = Rotation.from_rotvec(roll + rng.normal(0.0, 0.18 * turn_rad, 3)).as_matrix()
            shift = rng.uniform(-1.0, 1.0, 3) * np.array([range_m, 0.5 * range_m, range_m])
            lift = np.array([0.0, 0.09 + 0.5 * range_m, 0.0])
            poses.append(_turned_about(T_world_obj, pivot_world, turn, shift + lift))
        groups.append(np.stack(poses))
    yaw = Rotation.from_rotvec(rng.normal(0.0, 0.25) * UP).as_matrix()
    place = T_world_obj[[0, 2], 3] + rng.uniform(-1.0, 1.0, 2) * range_m
    down = rest_on_table(target.vertices, yaw @ T_world_obj[:3, :3], place)
    above = down.copy()
    above[1, 3] += 0.06
    groups.append(np.stack([above, down]))
    return groups


def _turned_about(T_world_obj: FloatArray, pivot: FloatArray, turn: FloatArray, shift: FloatArray) -> FloatArray:
    moved = np.eye(4)
    moved[:3, :3] = turn @ T_world_obj[:3, :3]
    moved[:3, 3] = turn @ (T_world_obj[:3, 3] - pivot) + pivot + shift
    return moved


def bend_wrist(T_world_hand: FloatArray, wrist_world: FloatArray, person: FloatArray, side: int) -> FloatArray:
    """Turn the forearm towards the elbow as far as a wrist bends.

    Args:
        T_world_hand: (T, 4, 4).
        wrist_world: (T, 3).
        person: see `towards_person`.
        side: of the hand.

    Returns:
        (T, 3) axis-angle relative to the hand, in the hand's own axes; a smooth function of its arguments.
    """
    elbow = wrist_world.mean(axis=0) + _UPPER_REACH_M * (person + 0.1 * UP)
    wanted = np.einsum("tba,tb->ta", T_world_hand[:, :3, :3], elbow - wrist_world)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    straight = np.array([float(side), 0.0, 0.0])
    axis = np.cross(straight, wanted)
    # |axis| is the sine of the angle: it keeps the bend small where the elbow is far off to the front, and smooth.
    return np.asarray(_MAX_WRIST_BEND_RAD * axis)


def scatter(num: int, rng: np.random.Generator, taken_m: Sequence[FloatArray] = ()) -> list[FloatArray]:
    """Find free places (x, z) on the table, away from the middle and from each other."""
    places: list[FloatArray] = [np.asarray(place, dtype=np.float64) for place in taken_m]
    found: list[FloatArray] = []
    for _ in range(40 * num):
        if len(found) == num:
            break
        angle, radius = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.2, 0.42)
        place = radius * np.array([np.cos(angle), np.sin(angle)])
        if all(np.linalg.norm(place - other) > 0.16 for other in places):
            places.append(place)
            found.append(place)
    return found
