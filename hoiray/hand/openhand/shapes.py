"""Sample hand shapes from MakeHuman's morph targets, straighten them to MANO's rest pose, and compress them by PCA.

The rest frame is MANO's: metres, fingers along -x, the back of the right hand up (+y), the thumb on +z, the wrist at
`WRIST_ORIGIN_M`. Every sampled shape is brought into this pose before the PCA, so that the shape directions hold
bone lengths and flesh, and no pose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError, describe
from hoiray.hand.joints import Finger
from hoiray.hand.openhand import source
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, NUM_BETAS, NUM_JOINTS, PARENTS
from hoiray.hand.openhand.region import TIP_LANDMARK, ArmRegion
from hoiray.hand.openhand.skinning import blend

WRIST_ORIGIN_M = np.array([0.095, 0.0064, 0.0062])
# Directions of the straight fingers in the palm's plane, degrees from -x towards the thumb (+z).
REST_SPREAD_DEG: dict[Finger, float] = {"index": 4.0, "middle": 0.0, "ring": -5.0, "pinky": -11.0}
# The thumb's distal bone keeps this much of its natural bend when it is straightened.
THUMB_TIP_BEND_KEPT = 0.65
# Length of the mean hand, wrist joint to the tip of the middle finger along the bones. MakeHuman's own hands come out
# at 211 mm, a seventh too long. With this mean its average young woman has 171 mm and its average young man 197 mm.
MEAN_HAND_LENGTH_M = 0.182

AGE_ANCHORS = np.array([1.0 / 3.0, 2.0 / 3.0, 1.0])  # MakeHuman's child, young, old


@dataclass(frozen=True)
class ShapeSpace:
    """Every shape the sampler can make: a base plus a weighted sum of morph targets.

    Attributes:
        base: (P, 3) points of the arm, then of the landmarks' helper cubes, in metres.
        targets: (T, P, 3) displacements; macro targets first, then local ones.
        macro_keys: the factors of each macro target.
        local_keys: (morph, "decr" or "incr") of each local target.
        num_arm_vertices: how many of the points are the arm.
        landmark_slices: where the points of each of the 21 landmarks lie.
    """

    base: NDArray[np.float64]
    targets: NDArray[np.float64]
    macro_keys: tuple[tuple[str, ...], ...]
    local_keys: tuple[tuple[str, str], ...]
    num_arm_vertices: int
    landmark_slices: tuple[slice, ...]


@dataclass(frozen=True)
class ShapeBasis:
    """The mean hand and ten directions of one standard deviation each.

    Attributes:
        mean: (A, 3) arm in metres, rest pose.
        directions: (A, 3, 10) metres per unit of beta.
        explained: (10,) fraction of the hand's variance.
        scores: (N, 10) the betas of the sampled shapes, mean 0 and variance 1.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    explained: NDArray[np.float64]
    scores: NDArray[np.float64]


def build_shape_space(files: Mapping[str, bytes], mesh: source.BaseMesh, region: ArmRegion) -> ShapeSpace:
    """Read the morph targets at the arm's vertices and landmarks."""
    point_ids = np.concatenate([region.vertex_ids, *region.landmark_ids])
    ends = len(region.vertex_ids) + np.cumsum([0, *(len(ids) for ids in region.landmark_ids)])
    macro, local = source.macro_targets(), source.local_targets()
    num_vertices = len(mesh.vertices)
    return ShapeSpace(
        base=mesh.vertices[point_ids],
        targets=np.stack(
            [source.parse_target(files[name], num_vertices)[point_ids] for name in (*macro.values(), *local.values())]
        ),
        macro_keys=tuple(macro),
        local_keys=tuple(local),
        num_arm_vertices=len(region.vertex_ids),
        landmark_slices=tuple(slice(a, b) for a, b in pairwise(ends.tolist())),
    )


def interpolate_anchors(value: NDArray[np.float64], anchors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, K) weights of the two anchors around each value; values outside are clamped."""
    clamped = np.clip(value, anchors[0], anchors[-1])
    right = np.clip(np.searchsorted(anchors, clamped), 1, len(anchors) - 1)
    fraction = (clamped - anchors[right - 1]) / (anchors[right] - anchors[right - 1])
    weights = np.zeros((len(value), len(anchors)))
    rows = np.arange(len(value))
    weights[rows, right - 1] = 1.0 - fraction
    weights[rows, right] = fraction
    return weights


def sample_factors(num: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draw people: teenagers to the old, of all builds and origins.

    Returns:
        (num,) weight of every macro factor by its name; weights of one factor's alternatives sum to one.
    """
    half, third = np.linspace(0.0, 1.0, 2), np.linspace(0.0, 1.0, 3)
    drawn = {
        source.GENDERS: interpolate_anchors(rng.uniform(size=num), half),
        source.AGES: interpolate_anchors(rng.uniform(0.6, 1.0, num), AGE_ANCHORS),
        source.MUSCLES: interpolate_anchors(rng.beta(2, 2, num), third),
        source.WEIGHTS: interpolate_anchors(rng.beta(2, 2, num), third),
        source.HEIGHTS: interpolate_anchors(rng.normal(0.5, 0.1, num), half),
        source.PROPORTIONS: interpolate_anchors(rng.uniform(size=num), half),
        source.RACES: rng.dirichlet(np.ones(3), num),
    }
    return {name: weights[:, k] for names, weights in drawn.items() for k, name in enumerate(names)}


def sample_local(num: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Draw the local morphs of the hand, in [-1, 1]; the signs choose the decreasing or the increasing target.

    A whole `scale` morph changes a hand's length by +50 or -31 mm, a whole `fingers-length` by +32 or -12 mm; the
    deviations are chosen so that size comes from the person (age, sex, height) and these add its scatter.
    """
    deviations = {"fingers-length": 0.35, "fingers-diameter": 0.35, "fingers-distance": 0.175, "wrist": 0.35}
    drawn = {name: np.clip(rng.normal(0.0, sigma, num), -0.9, 0.9) for name, sigma in deviations.items()}
    return drawn | {"scale": np.clip(rng.normal(0.0, 0.06, num), -0.2, 0.2)}


def sample_shapes(
    space: ShapeSpace, num: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw unposed arms.

    Returns:
        (num, A, 3) arm vertices and (num, 21, 3) landmarks in the base mesh's frame, metres.
    """
    factors, local = sample_factors(num, rng), sample_local(num, rng)
    macro = [np.prod([factors[name] for name in key], axis=0) for key in space.macro_keys]
    morphs = [np.maximum(local[m] if way == "incr" else -local[m], 0.0) for m, way in space.local_keys]
    weights = np.stack([*macro, *morphs], axis=1)
    points = space.base + np.tensordot(weights, space.targets, axes=1)
    landmarks = np.stack([points[:, part].mean(axis=1) for part in space.landmark_slices], axis=1)
    return points[:, : space.num_arm_vertices], landmarks


def to_palm_frame(points: NDArray[np.float64], landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Express points in the palm's axes, the wrist at the origin.

    -x runs from the wrist to the base of the middle finger; +y is the normal of wrist, index and pinky on the back of
    a right hand.

    Args:
        points: (P, 3).
        landmarks: (21, 3), see `region.LANDMARK_GROUPS`.

    Raises:
        ContractError: when the thumb does not come out on +z, i.e. the hand is a left one.
    """
    wrist, index1, middle1, pinky1 = landmarks[[0, 1, 4, 7]]
    x = _unit(wrist - middle1)
    normal = np.cross(pinky1 - wrist, index1 - wrist)
    y = _unit(normal - x * (x @ normal))
    axes = np.stack([x, y, np.cross(x, y)])
    if axes[2] @ (landmarks[FINGER_JOINTS["thumb"][0]] - wrist) < 0:
        raise ContractError(
            describe(what="palm frame", expected="a right hand", found="the thumb on -z", fix="Use the right arm.")
        )
    return np.asarray((points - wrist) @ axes.T)


def straighten(
    vertices: NDArray[np.float64], landmarks: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring a hand from MakeHuman's relaxed pose to MANO's flat rest pose by linear blend skinning.

    Bone lengths do not change: each joint is rotated about itself.

    Args:
        vertices: (V, 3) metres, any frame.
        landmarks: (21, 3) joints and tips.
        weights: (V, 16).

    Returns:
        (V, 3) and (21, 3) in the rest frame.
    """
    marks = to_palm_frame(landmarks, landmarks)
    transforms = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))
    straight = marks.copy()
    for finger in FINGERS:
        joints = FINGER_JOINTS[finger]
        ends = (*joints[1:], TIP_LANDMARK[finger])
        for joint, end in zip(joints, ends, strict=True):
            parent = transforms[PARENTS[joint]]
            rotation = swing(marks[end] - marks[joint], _rest_direction(finger, joint, marks))
            straight[joint] = parent[:3, :3] @ marks[joint] + parent[:3, 3]
            transforms[joint, :3, :3] = rotation
            transforms[joint, :3, 3] = straight[joint] - rotation @ marks[joint]
        last = transforms[joints[2]]
        straight[ends[2]] = last[:3, :3] @ marks[ends[2]] + last[:3, 3]
    posed = blend(to_palm_frame(vertices, landmarks), weights, transforms)
    return posed + WRIST_ORIGIN_M, straight + WRIST_ORIGIN_M


def swing(start: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest rotation (3, 3) that turns one direction into another.

    Equal directions give the identity. Opposite ones have no smallest rotation and never occur between a relaxed and
    a straight finger; they raise ContractError.
    """
    a, b = _unit(start), _unit(goal)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-12:
        if cosine < 0:
            raise ContractError(
                describe(what="bone", expected="a direction to turn", found="its opposite", fix="Check the landmarks.")
            )
        return np.eye(3)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, cosine)).as_matrix()


def hand_length_m(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Measure the chain wrist - middle finger - tip along its bones; landmarks (..., 21, 3), result (...)."""
    chain = landmarks[..., [0, *FINGER_JOINTS["middle"], TIP_LANDMARK["middle"]], :]
    return np.asarray(np.linalg.norm(np.diff(chain, axis=-2), axis=-1).sum(axis=-1))


def scale_to_mean_length(
    vertices: NDArray[np.float64], landmarks: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Scale all shapes about the wrist by one factor so that their mean length is `MEAN_HAND_LENGTH_M`."""
    factor = float(MEAN_HAND_LENGTH_M / hand_length_m(landmarks).mean())
    origin = WRIST_ORIGIN_M
    return (vertices - origin) * factor + origin, (landmarks - origin) * factor + origin, factor


def fit_shape_basis(vertices: NDArray[np.float64], is_hand: NDArray[np.bool_]) -> ShapeBasis:
    """Find the ten principal directions of the hand and what they do to the whole arm.

    The directions come from the hand's vertices alone. The arm follows by regression on the scores, which for the
    hand's own vertices reproduces the principal directions exactly (scores are uncorrelated, of variance one).

    Args:
        vertices: (N, A, 3) straightened arms.
        is_hand: (A,) the vertices that define the directions.
    """
    num = len(vertices)
    mean = vertices.mean(axis=0)
    centred = vertices - mean
    left, singular, _ = np.linalg.svd(centred[:, is_hand].reshape(num, -1), full_matrices=False)
    scores = left[:, :NUM_BETAS] * np.sqrt(num - 1.0)
    directions = np.tensordot(scores, centred, axes=(0, 0)).transpose(1, 2, 0) / (num - 1.0)
    signs = _direction_signs(directions[is_hand], mean[is_hand])
    variance = singular**2 / np.sum(singular**2)
    return ShapeBasis(mean, directions * signs, variance[:NUM_BETAS], scores * signs)


def _direction_signs(directions: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose signs that do not depend on the linear algebra library: more of any beta never shrinks the hand."""
    growth = np.einsum("vck,vc->k", directions, mean - WRIST_ORIGIN_M)
    return np.asarray(np.where(growth < 0, -1.0, 1.0))


def _rest_direction(finger: Finger, joint: int, marks: NDArray[np.float64]) -> NDArray[np.float64]:
    if finger != "thumb":
        angle = np.radians(REST_SPREAD_DEG[finger])
        return np.array([-np.cos(angle), 0.0, np.sin(angle)])
    first, second, third = FINGER_JOINTS["thumb"]
    proximal, middle = marks[second] - marks[first], marks[third] - marks[second]
    if joint == first:
        return np.asarray(proximal)
    return (1.0 - THUMB_TIP_BEND_KEPT) * _unit(proximal) + THUMB_TIP_BEND_KEPT * _unit(middle)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))
