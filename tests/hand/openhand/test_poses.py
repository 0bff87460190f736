import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.hand.anatomy import NORMAL_RANGES
from hoiray.hand.joints import MANO_ROTATION_NAMES
from hoiray.hand.openhand import poses
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS
from hoiray.hand.openhand.quality import HandFile


def test_angles_become_rotations_about_the_joints_own_axes(hand: HandFile) -> None:
    flexion, abduction = np.zeros((1, 16)), np.zeros((1, 16))
    flexion[0, 5], abduction[0, 5] = 40.0, -12.0
    pose = poses.joint_rotations(hand.axes, flexion, abduction).reshape(15, 3)
    expected = Rotation.from_rotvec(np.radians(-12) * hand.axes.abduction[5]) * Rotation.from_rotvec(
        np.radians(40) * hand.axes.flexion[5]
    )
    np.testing.assert_allclose(Rotation.from_rotvec(pose[4]).as_matrix(), expected.as_matrix(), atol=1e-12)
    assert (np.delete(pose, 4, axis=0) == 0).all()


def test_sampled_angles_stay_in_their_ranges_and_hinges_do_not_abduct() -> None:
    flexion, abduction = poses.sample_angles(5000, np.random.default_rng(0))
    for finger in FINGERS:
        for level, joint in enumerate(FINGER_JOINTS[finger]):
            for angles, (low, high) in (
                (flexion[:, joint], poses.flexion_range_deg(finger, level)),
                (abduction[:, joint], poses.abduction_range_deg(finger, level)),
            ):
                assert low <= angles.min() <= angles.max() <= high
    assert (flexion[:, 0] == 0).all()


def test_sampling_ranges_differ_from_the_clinics_norms_only_where_it_is_said() -> None:
    differing = {
        "thumb_mcp": (-10, 5),
        **{f"{finger}_mcp": (30, 0) for finger in FINGERS if finger != "thumb"},
        **{f"{finger}_pip": (-5, 0) for finger in FINGERS if finger != "thumb"},
        **{f"{finger}_dip": (-5, -10) for finger in FINGERS if finger != "thumb"},
    }
    for finger in FINGERS:
        for level, joint in enumerate(FINGER_JOINTS[finger]):
            name = MANO_ROTATION_NAMES[joint]
            norm = NORMAL_RANGES.get(name)
            if norm is None:
                assert name == "thumb_cmc"
                continue
            offset = np.array(poses.flexion_range_deg(finger, level)) - np.degrees(norm.flexion_rad)
            np.testing.assert_allclose(offset, differing.get(name, (0, 0)), atol=1e-9)
            if norm.abduction_rad is not None:
                sideways = poses.abduction_range_deg(finger, level)
                np.testing.assert_allclose(sideways, np.degrees(norm.abduction_rad), atol=1e-9)


def test_no_sample_bends_an_end_joint_by_more_than_76_degrees() -> None:
    flexion, _ = poses.sample_angles(20_000, np.random.default_rng(2))
    ends = [FINGER_JOINTS[finger][2] for finger in FINGERS if finger != "thumb"]
    assert 70 < flexion[:, ends].max() <= 76


def test_fingers_close_together_and_the_end_joint_follows_the_middle_one() -> None:
    flexion, _ = poses.sample_angles(4000, np.random.default_rng(1))
    assert np.corrcoef(flexion[:, FINGER_JOINTS["middle"][0]], flexion[:, FINGER_JOINTS["ring"][0]])[0, 1] > 0.8
    bent = flexion[:, FINGER_JOINTS["index"][1]] > 30
    ratio = flexion[bent, FINGER_JOINTS["index"][2]] / flexion[bent, FINGER_JOINTS["index"][1]]
    assert 0.35 < ratio.min() < ratio.max() < 0.73


def test_the_same_generator_gives_the_same_poses(hand: HandFile) -> None:
    first, second = (poses.sample_poses(hand.axes, 20, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_pose_basis_rebuilds_its_samples(hand: HandFile) -> None:
    samples = poses.sample_poses(hand.axes, 300, np.random.default_rng(2))
    basis = poses.fit_pose_basis(samples, 50)
    np.testing.assert_allclose(basis.components @ basis.components.T, np.eye(45), atol=1e-10)
    np.testing.assert_allclose(basis.mean + basis.coefficients @ basis.components, samples[:50], atol=1e-10)
    variance = basis.coefficients.var(axis=0)
    assert variance[0] > variance[5] > variance[20]
    assert basis.explained.sum() == pytest.approx(1.0)
    assert (np.take_along_axis(basis.components, np.abs(basis.components).argmax(1)[:, None], axis=1) > 0).all()


def test_components_do_not_depend_on_rounding_not_even_those_no_pose_uses(hand: HandFile) -> None:
    samples = poses.sample_poses(hand.axes, 500, np.random.default_rng(2))
    rounded = samples * (1 + 1e-15 * np.random.default_rng(3).normal(size=samples.shape))
    first, second = (poses.fit_pose_basis(s, 1).components for s in (samples, rounded))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_fist_is_all_curls_at_once(hand: HandFile) -> None:
    fist = poses.fist(hand.axes).reshape(15, 3)
    for finger in FINGERS:
        rows = np.array(FINGER_JOINTS[finger]) - 1
        curl = poses.curl(hand.axes, finger).reshape(15, 3)
        np.testing.assert_array_equal(fist[rows], curl[rows])
        angles = np.degrees(np.linalg.norm(curl[rows], axis=1))
        np.testing.assert_allclose(angles, [poses.flexion_range_deg(finger, level)[1] for level in range(3)], rtol=1e-5)
        half = poses.curl(hand.axes, finger, 0.5)
        np.testing.assert_allclose(half, curl.reshape(-1) / 2, atol=1e-12)
