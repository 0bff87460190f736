import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.formats import dexycb


def test_published_lists() -> None:
    assert (len(dexycb.SUBJECTS), len(dexycb.SERIALS), len(dexycb.YCB_CLASSES)) == (10, 8, 21)
    assert (dexycb.YCB_CLASSES[5], dexycb.YCB_CLASSES[21]) == ("006_mustard_bottle", "061_foam_brick")


def test_split_s0() -> None:
    splits = [[dexycb.split_of(subject, sequence) for sequence in range(100)] for subject in range(10)]
    assert [row.count("train") for row in splits] == [80] * 10
    assert [row.count("val") for row in splits] == [20, 20] + [0] * 8
    assert [row.count("test") for row in splits] == [0, 0] + [20] * 8
    assert splits[0][:6] == ["train"] * 4 + ["val", "train"]


def test_keys_follow_the_published_layout() -> None:
    assert dexycb.image_key("a/b/c", 7) == "a/b/c/color_000007.jpg"
    assert dexycb.depth_key("a/b/c", 7) == "a/b/c/aligned_depth_to_color_000007.png"
    assert dexycb.labels_key("a/b/c", 7) == "a/b/c/labels_000007.npz"
    assert dexycb.intrinsics_key("836212060125") == "calibration/intrinsics/836212060125_640x480.yml"


def test_zeros_are_no_hand() -> None:
    assert dexycb.split_pose(np.zeros((1, 51), dtype=np.float32)) is None
    assert not dexycb.join_pose(None).any()
    row = np.arange(51, dtype=np.float32)[None]
    pose = dexycb.split_pose(row)
    assert pose is not None
    assert (pose.global_orient[0], pose.pca[0], pose.transl[0]) == (0, 3, 48)
    np.testing.assert_array_equal(dexycb.join_pose(pose), row)


@pytest.mark.parametrize("orthonormal", [True, False])
def test_coefficients_survive_for_any_basis(orthonormal: bool) -> None:
    rng = np.random.default_rng(1)
    components = files.arrays().hands_components if orthonormal else rng.normal(size=(45, 45))
    mean, pose = rng.normal(size=45), rng.normal(size=45)
    coefficients = dexycb.pose_to_pca(pose, mean, components)
    np.testing.assert_allclose(dexycb.pose_from_pca(coefficients, mean, components), pose, atol=1e-6)
    np.testing.assert_allclose(dexycb.pose_from_pca(np.eye(45)[2], mean, components), mean + components[2])
