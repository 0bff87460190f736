"""Predictions made wrong on purpose, and what is counted of them."""

from dataclasses import replace

import numpy as np
import pytest
from filter_scenes import hands
from scipy.stats import binomtest

from hoiray.geometry.boxes import to_center_size
from hoiray.hand.joints import FINGER_JOINTS, MANO_ROTATION_NAMES
from hoiray.trust.canaries import (
    KINDS,
    SCALE,
    SHIFT_S,
    Clip,
    exact_interval,
    fingers_swapped,
    frozen,
    is_wrong,
    mirrored,
    miss_rate,
    time_shifted,
    too_large,
    too_small,
)

COUNT = 20


def clip() -> Clip:
    """A hand that moves to the right at 10 frames a second."""
    rng = np.random.default_rng(0)
    joints = hands(rng, COUNT, 20.0)
    shift = np.stack([100.0 + 8.0 * np.arange(COUNT), np.full(COUNT, 90.0)], axis=1)
    pixels = 500.0 * joints[..., :2] + shift[:, None]
    box = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    return Clip(
        time_s=0.1 * np.arange(COUNT), bbox_xyxy=box, is_right=np.ones(COUNT, np.bool_),
        side_lead=np.full(COUNT, 0.04), joints_3d_m=joints,
        joints_2d_px=pixels, global_orient=rng.normal(size=(COUNT, 3)), hand_pose=rng.normal(size=(COUNT, 45)),
        mesh_scale=np.ones(COUNT), is_planted=np.zeros(COUNT, np.bool_),
    )  # fmt: skip


def test_nothing_is_wrong_with_what_was_not_changed_and_every_kind_is() -> None:
    good = clip()
    assert not is_wrong(good, good).any()
    assert not is_wrong(good, replace(good, is_planted=np.ones(COUNT, np.bool_))).any()
    for change in (fault for faults in KINDS.values() for fault in faults):
        changed = change(good)
        assert is_wrong(good, changed)[1:10].all()
        assert not is_wrong(good, changed)[~changed.is_planted].any()


def test_a_mirror_twice_is_no_mirror() -> None:
    good = clip()
    changed = mirrored(good)
    assert not changed.is_right.any()
    assert (changed.side_lead == -0.04).all()
    assert changed.joints_2d_px.min(axis=1)[:, 0] == pytest.approx(good.bbox_xyxy[:, 0])
    again = mirrored(changed)
    for name in ("joints_3d_m", "joints_2d_px", "global_orient", "hand_pose", "is_right", "side_lead"):
        np.testing.assert_allclose(getattr(again, name), getattr(good, name))


def test_a_mirror_tells_for_its_side_as_mistakes_do_where_sides_are_guessed() -> None:
    good = replace(clip(), mistaken_lead=0.002)
    assert (mirrored(good).side_lead == 0.002).all()
    given = replace(good, side_lead=np.full(COUNT, np.nan))
    assert np.isnan(mirrored(given).side_lead).all()


def test_a_held_pose_is_the_first_one_and_goes_with_its_box() -> None:
    good, changed = clip(), frozen(clip())
    assert (changed.hand_pose == good.hand_pose[0]).all()
    centre, size = to_center_size(good.bbox_xyxy)
    inside = (changed.joints_2d_px - centre[:, None]) / size.max(axis=1)[:, None, None]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[0], inside.shape), atol=1e-9)


def test_swapped_fingers_change_places_in_joints_and_rotations_alike() -> None:
    good, changed = clip(), fingers_swapped(clip())
    index, pinky = list(FINGER_JOINTS["index"]), list(FINGER_JOINTS["pinky"])
    np.testing.assert_array_equal(changed.joints_2d_px[:, index], good.joints_2d_px[:, pinky])
    place = [
        MANO_ROTATION_NAMES.index(next(name for name in MANO_ROTATION_NAMES if name.startswith(finger)))
        for finger in ("index", "pinky", "thumb")
    ]
    new, old = (pose.hand_pose.reshape(-1, 15, 3) for pose in (changed, good))
    np.testing.assert_array_equal(new[:, place[0] - 1], old[:, place[1] - 1])
    np.testing.assert_array_equal(new[:, place[2] - 1], old[:, place[2] - 1])


def test_a_hand_of_a_wrong_scale_is_so_about_the_middle_of_its_box() -> None:
    assert KINDS["wrong scale"] == (too_large, too_small)
    for fault, scale in ((too_large, SCALE), (too_small, 1.0 / SCALE)):
        good, changed = clip(), fault(clip())
        box = np.concatenate([changed.joints_2d_px.min(axis=1), changed.joints_2d_px.max(axis=1)], axis=1)
        for new, old, factor in zip(to_center_size(box), to_center_size(good.bbox_xyxy), (1.0, scale), strict=True):
            np.testing.assert_allclose(new, factor * old)
        assert (changed.mesh_scale == scale).all()


def test_a_shift_takes_the_pose_of_later_and_leaves_the_end_alone() -> None:
    good, changed = clip(), time_shifted(clip())
    later = round(10 * SHIFT_S)
    np.testing.assert_array_equal(changed.joints_2d_px[:-later], good.joints_2d_px[later:])
    assert changed.is_planted.sum() == COUNT - later
    np.testing.assert_array_equal(changed.hand_pose[-later:], good.hand_pose[-later:])


def test_the_exact_interval_is_the_textbooks() -> None:
    for missed, number in ((0, 12), (3, 40), (40, 40)):
        expected = binomtest(missed, number).proportion_ci(0.95, "exact")
        assert exact_interval(missed / number, number) == pytest.approx((expected.low, expected.high))


def test_labels_of_one_clip_count_as_one_where_they_share_their_fate() -> None:
    wrong = np.full(30, 50)
    missed = np.where(np.arange(30) < 6, 50, 0)
    rate = miss_rate(wrong, missed)
    alone = exact_interval(0.2, 30)
    assert rate.rate == 0.2
    assert rate.high - rate.low == pytest.approx(alone[1] - alone[0], rel=0.1)
    spread_evenly = miss_rate(wrong, np.full(30, 10) + np.arange(30) % 2)
    assert spread_evenly.high - spread_evenly.low < 0.5 * (rate.high - rate.low)


def test_none_missed_is_not_proof_of_none() -> None:
    rate = miss_rate(np.full(20, 30), np.zeros(20, np.int64))
    assert (rate.rate, rate.low) == (0.0, 0.0)
    assert rate.high == pytest.approx(exact_interval(0.0, 20)[1])
    assert miss_rate(np.zeros(3, np.int64), np.zeros(3, np.int64)).num_clips == 0


def test_the_interval_holds_the_true_rate_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        wrong = rng.integers(5, 40, size=25)
        missed = rng.binomial(wrong, rng.beta(0.4, 1.6, size=25))
        rate = miss_rate(wrong, missed)
        inside += rate.low <= 0.2 <= rate.high
    assert inside / 300 >= 0.93
