import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.hand.openhand import correctives
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, subtree
from hoiray.hand.openhand.poses import curl, sample_poses
from hoiray.hand.openhand.quality import HandFile
from hoiray.hand.openhand.skinning import Skin, boundary_edges, pose_skin, vertex_normals, volume_m3


@pytest.mark.parametrize("rotation_vector", [[0.0, 0, 0], [1e-7, 0, 0], [0, 0, 1.6], [0.3, -0.4, 0.5]])
def test_rolling_takes_a_vertex_along_the_arc_about_its_joint(rotation_vector: list[float]) -> None:
    rng = np.random.default_rng(0)
    vector = np.array(rotation_vector)
    arm, bending = rng.normal(scale=0.02, size=(30, 3)), np.linspace(0, 1, 30)
    moved = arm + correctives.rolling_offsets(arm, bending, vector)
    turned = Rotation.from_rotvec(vector).apply(moved)
    blended = (1 - bending)[:, None] * moved + bending[:, None] * turned
    np.testing.assert_allclose(np.linalg.norm(blended, axis=1), np.linalg.norm(arm, axis=1), rtol=1e-9)
    np.testing.assert_allclose(blended[0], arm[0], atol=1e-15)
    np.testing.assert_allclose(blended[-1], Rotation.from_rotvec(vector).apply(arm[-1]), atol=1e-15)


def test_half_the_weight_goes_half_the_angle() -> None:
    vector = np.array([0, 0, 1.0])
    arm = np.array([[0.02, 0.0, 0.01]])
    moved = arm + correctives.rolling_offsets(arm, np.array([0.5]), vector)
    blended = 0.5 * moved + 0.5 * Rotation.from_rotvec(vector).apply(moved)
    np.testing.assert_allclose(blended, Rotation.from_rotvec(vector / 2).apply(arm), atol=1e-15)


def test_a_joint_bends_only_the_skin_between_it_and_its_parent(hand: HandFile) -> None:
    for joint in range(1, 16):
        block = hand.posedirs[:, :, 9 * (joint - 1) : 9 * joint]
        bending = hand.weights[:, subtree(joint)].sum(axis=1)
        assert (block[(bending < 1e-4) | (bending > 1 - 1e-4)] == 0).all()
        assert (block != 0).any()


def volumes(hand: HandFile, skin: Skin, poses: np.ndarray) -> np.ndarray:
    rim = np.unique(boundary_edges(hand.faces))
    return np.array([volume_m3(pose_skin(skin, pose), hand.faces, rim) for pose in poses])


def test_correctives_give_bent_hands_most_of_their_lost_volume_back(hand: HandFile) -> None:
    poses = sample_poses(hand.axes, 60, np.random.default_rng(8))
    skin = hand.skin()
    rest = volumes(hand, skin, np.zeros((1, 45)))
    lost_with = 1 - volumes(hand, skin, poses) / rest
    lost_without = 1 - volumes(hand, Skin(skin.vertices, skin.joints, skin.weights), poses) / rest
    assert lost_without.max() > 0.1
    assert lost_with.mean() < 0.35 * lost_without.mean()
    assert lost_with.max() < 0.08


def test_the_fit_meets_its_target_at_bends_it_has_not_seen(hand: HandFile) -> None:
    surface = correctives.Surface(hand.faces, np.unique(boundary_edges(hand.faces)))
    skin = Skin(hand.vertices, hand.skin().joints, hand.weights)
    fitted = correctives.fit_correctives(skin, surface, hand.axes, np.random.default_rng(0))
    assert fitted.shape == hand.posedirs.shape
    for joint in (1, 5, 9, 13):
        unseen = correctives.sample_bends(hand.axes, joint, np.random.default_rng(99))[5::12] * 0.97
        for pose in unseen:
            target = correctives.target_offsets(skin, surface, joint, pose, hand.axes.abduction[joint])
            turned = Rotation.from_rotvec(pose.reshape(15, 3)[joint - 1]).as_matrix()
            offsets = fitted[:, :, 9 * (joint - 1) : 9 * joint] @ (turned - np.eye(3)).reshape(-1)
            assert np.linalg.norm(offsets - target, axis=1).max() < 0.001


def test_nothing_bulges_on_the_back_of_a_joint_or_farther_than_allowed(hand: HandFile) -> None:
    surface = correctives.Surface(hand.faces, np.unique(boundary_edges(hand.faces)))
    skin = Skin(hand.vertices, hand.skin().joints, hand.weights)
    joint = FINGER_JOINTS["middle"][1]
    pose = np.zeros((15, 3))
    pose[joint - 1] = curl(hand.axes, "middle").reshape(15, 3)[joint - 1]
    up = hand.axes.abduction[joint]
    offsets = correctives.target_offsets(skin, surface, joint, pose.reshape(-1), up)
    bending = correctives.blend_of(skin.weights, joint)
    rolled = correctives.rolling_offsets(skin.vertices - skin.joints[joint], bending, pose[joint - 1])
    bulge = np.linalg.norm(offsets - rolled, axis=1)
    back = (vertex_normals(hand.vertices, hand.faces) @ up > 0.8) & (bending > 0.2) & (bending < 0.8)
    assert back.sum() >= 2
    assert 0.002 < bulge.max() <= correctives.MAX_BULGE_M
    assert bulge[back].max() <= 0.2 * correctives.MAX_BULGE_M


def test_bends_cover_one_joints_range_and_no_other(hand: HandFile) -> None:
    for finger in FINGERS:
        joint = FINGER_JOINTS[finger][1]
        bends = correctives.sample_bends(hand.axes, joint, np.random.default_rng(0)).reshape(-1, 15, 3)
        assert (np.delete(bends, joint - 1, axis=1) == 0).all()
        angle = bends[:, joint - 1] @ hand.axes.flexion[joint]
        assert np.degrees(angle[0]) < 0
        assert np.degrees(angle[-1]) > 50
