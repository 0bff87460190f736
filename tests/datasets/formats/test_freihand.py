import numpy as np

from hoiray.datasets.formats import freihand
from hoiray.hand.joints import TIP_SETS


def test_published_counts_and_names() -> None:
    assert freihand.NUM_TRAINING * len(freihand.VARIANTS) == 130_240
    assert freihand.image_key("training", 130_239) == "training/rgb/00130239.jpg"
    assert freihand.mask_key(5) == "training/mask/00000005.jpg"
    assert freihand.labels_key("evaluation", "xyz") == "evaluation_xyz.json"


def test_an_image_number_is_photograph_and_variant() -> None:
    assert freihand.photo_and_variant(7) == (7, "gs")
    assert freihand.photo_and_variant(32_560 + 7) == (7, "hom")
    assert freihand.photo_and_variant(130_239) == (32_559, "auto")


def test_the_61_numbers_survive_splitting() -> None:
    vector = np.arange(61.0)
    parts = freihand.split_mano(vector)
    assert (parts.global_orient[0], parts.relative_pose[0], parts.betas[0]) == (0, 3, 48)
    assert (parts.uv_root_px.tolist(), parts.scale_px_per_m) == ([58, 59], 60)
    np.testing.assert_array_equal(freihand.join_mano(parts), vector)


def test_the_root_lies_where_the_camera_sees_it() -> None:
    K = np.array([[480.0, 0, 110], [0, 480, 114], [0, 0, 1]])
    root = np.array([0.05, -0.02, 0.7])
    uv, scale = freihand.root_to_file(root, K)
    np.testing.assert_allclose(uv, (K @ root)[:2] / 0.7)
    np.testing.assert_allclose(freihand.root_from_file(uv, scale, K), root)


def test_the_mean_is_taken_off_and_put_back() -> None:
    mean, pose = np.linspace(0, 1, 45), np.linspace(-1, 1, 45)
    np.testing.assert_allclose(freihand.pose_to_file(pose, mean) + mean, pose)
    np.testing.assert_allclose(freihand.pose_from_file(freihand.pose_to_file(pose, mean), mean), pose)


def test_joints_are_regressed_from_posed_vertices() -> None:
    rng = np.random.default_rng(0)
    vertices, regressor = rng.normal(size=(2, 778, 3)), rng.random((16, 778))
    joints = freihand.joints_from_vertices(vertices, regressor, TIP_SETS["freihand"].right)
    assert joints.shape == (2, 21, 3)
    np.testing.assert_allclose(joints[1, 4], sum(regressor[4, v] * vertices[1, v] for v in range(778)))
    np.testing.assert_array_equal(joints[0, 16], vertices[0, 744])
