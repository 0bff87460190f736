"""Pose-dependent offsets that keep the flesh of a bending finger (the `posedirs` of MANO's layout).

Plain linear blending moves a vertex between two bones along the chord of its arc, so a bent joint loses flesh: a
closed fist keeps 83.5 % of its volume, with the offsets of this module 90.5 %. Two effects are added per joint, each
for that joint alone:

* *rolling*: a vertex with weight s turns about the joint along the arc, by the angle that a normalised quaternion
  blend gives it (Kavan et al., "Geometric Skinning with Approximate Dual Quaternion Blending", 2008, for one joint);
* *bulging*: flesh does not vanish, so the skin around the joint moves outwards until the volume is that of the rest,
  though nowhere by more than 2.5 mm and not on the back, where bone lies under the skin.

Both are fitted by ridge regression to the nine numbers of the joint's `R - I`, and only at vertices which the joint
bends: what plain blending leaves in place, such as the neighbours beyond their knuckles, stays in place.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.hand.openhand.axes import AnatomicalAxes
from hoiray.hand.openhand.layout import FINGER_JOINTS, NUM_JOINTS, subtree
from hoiray.hand.openhand.poses import abduction_range_deg, flexion_range_deg, joint_rotations
from hoiray.hand.openhand.skinning import Skin, pose_skin, vertex_normals, volume_m3

SAMPLES_PER_JOINT = 48
MIN_BLEND = 1e-3  # a vertex bends with a joint when between this and one minus this of it follows
RIDGE = 1e-3  # relative to features of size one; keeps directions no sample shows (twist) at nothing
BULGE_STEP_M = 0.001  # finite step for the change of volume; the volume is almost linear in the bulge
# Bulging by 4 mm, on the back as well, would keep 99 % of a fist but puts ridges on the knuckles.
MAX_BULGE_M = 0.0025


@dataclass(frozen=True)
class Surface:
    """What the volume is measured on: (F, 3) faces and the ids of the rim."""

    faces: NDArray[np.int64]
    rim: NDArray[np.int64]


def fit_correctives(
    skin: Skin, surface: Surface, axes: AnatomicalAxes, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Fit the offsets of a hand.

    Args:
        skin: the rest hand; its own posedirs are not used.
        surface: closed up to the wrist.
        axes: about which the joints are bent through their ranges.
        rng: draws the bends.

    Returns:
        (V, 3, 135) metres per element of the fifteen `R - I`.
    """
    plain = Skin(skin.vertices, skin.joints, skin.weights)
    posedirs = np.zeros((len(skin.vertices), 3, 9 * (NUM_JOINTS - 1)))
    for joint in range(1, NUM_JOINTS):
        bending = blend_of(skin.weights, joint)
        ids = np.flatnonzero((bending > MIN_BLEND) & (bending < 1.0 - MIN_BLEND))
        poses = sample_bends(axes, joint, rng)
        offsets = np.stack([target_offsets(plain, surface, joint, pose, axes.abduction[joint]) for pose in poses])[
            :, ids
        ]
        rotations = Rotation.from_rotvec(poses.reshape(len(poses), -1, 3)[:, joint - 1]).as_matrix()
        features = (rotations - np.eye(3)).reshape(len(poses), 9)
        normal = features.T @ features + RIDGE * np.eye(9)
        solution = np.linalg.solve(normal, features.T @ offsets.reshape(len(poses), -1))
        posedirs[ids, :, 9 * (joint - 1) : 9 * joint] = solution.reshape(9, len(ids), 3).transpose(1, 2, 0)
    return posedirs


def blend_of(weights: NDArray[np.float64], joint: int) -> NDArray[np.float64]:
    """Return (V,) how much of a vertex follows a joint, itself and all beyond it."""
    return np.asarray(weights[:, subtree(joint)].sum(axis=1))


def sample_bends(axes: AnatomicalAxes, joint: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw (S, 45) poses that bend one joint through its range and leave the others straight."""
    finger, level = next((f, chain.index(joint)) for f, chain in FINGER_JOINTS.items() if joint in chain)
    flexion, abduction = np.zeros((SAMPLES_PER_JOINT, NUM_JOINTS)), np.zeros((SAMPLES_PER_JOINT, NUM_JOINTS))
    flexion[:, joint] = np.linspace(*flexion_range_deg(finger, level), SAMPLES_PER_JOINT)
    abduction[:, joint] = rng.uniform(*abduction_range_deg(finger, level), SAMPLES_PER_JOINT)
    return joint_rotations(axes, flexion, abduction)


def target_offsets(
    skin: Skin, surface: Surface, joint: int, hand_pose: NDArray[np.float64], dorsal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute where rest vertices must go so that blending them bends one joint without losing flesh.

    Args:
        skin: the rest hand without correctives.
        surface: of the hand.
        joint: the only bent joint.
        hand_pose: (45,) rad.
        dorsal: (3,) unit vector out of the back of the joint, where nothing bulges.

    Returns:
        (V, 3) metres in the rest frame; exactly zero where the joint does not bend the skin.
    """
    bending = blend_of(skin.weights, joint)
    rotation_vector = hand_pose.reshape(-1, 3)[joint - 1]
    rolled = rolling_offsets(skin.vertices - skin.joints[joint], bending, rotation_vector)
    normals = vertex_normals(skin.vertices, surface.faces)
    soft = 1.0 - np.clip(normals @ dorsal, 0.0, 1.0)  # the back of a joint is bone under skin
    outward = (4.0 * bending * (1.0 - bending) * soft)[:, None] * normals

    def volume(bulge_m: float) -> float:
        shaped = Skin(skin.vertices + rolled + bulge_m * outward, skin.joints, skin.weights)
        return volume_m3(pose_skin(shaped, hand_pose), surface.faces, surface.rim)

    flat, stepped = volume(0.0), volume(BULGE_STEP_M)
    missing = volume_m3(skin.vertices, surface.faces, surface.rim) - flat
    bulge_m = np.clip(missing / (stepped - flat) * BULGE_STEP_M, -MAX_BULGE_M, MAX_BULGE_M)
    return np.asarray(rolled + bulge_m * outward)


def rolling_offsets(
    arm: NDArray[np.float64], bending: NDArray[np.float64], rotation_vector: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Offset rest vertices so that linear blending takes them along the arc about the joint.

    Args:
        arm: (V, 3) from the joint to the vertex.
        bending: (V,) in [0, 1], how much of the vertex follows the joint.
        rotation_vector: (3,) rad, shorter than pi.

    Returns:
        (V, 3) zero where `bending` is zero or one, and everywhere for no rotation.
    """
    angle = float(np.linalg.norm(rotation_vector))
    if angle == 0.0:
        return np.zeros_like(arm)
    half = angle / 2.0
    arc = 2.0 * np.arctan2(bending * np.sin(half), 1.0 - bending + bending * np.cos(half))
    goal = Rotation.from_rotvec(arc[:, None] * (rotation_vector / angle)).apply(arm)
    turned = Rotation.from_rotvec(rotation_vector).as_matrix()
    mixed = (1.0 - bending)[:, None, None] * np.eye(3) + bending[:, None, None] * turned
    return np.asarray(np.linalg.solve(mixed, goal[..., None])[..., 0] - arm)
