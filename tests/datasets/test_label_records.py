from dataclasses import replace

import dataset_files as files
import memory_dataset as memory
import numpy as np
import pytest
import torch

from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_records import RECORD, Records, concatenate_records, measure_record
from hoiray.datasets.label_source import AnnotatedSource, LabelledHand
from hoiray.errors import InputError

SPEC = CropSpec(128)
SIZE = memory.SIZE_WH


def labelled_hands(**options: bool) -> list[LabelledHand]:
    source = AnnotatedSource(memory.make_dataset(**options))
    found = [source.hands(entry) for entry in range(len(source))]
    return [hand for hands in found if isinstance(hands, tuple) for hand in hands]


def record_of(labelled: LabelledHand, *, needs_joints: bool = True) -> Records:
    return measure_record(labelled, SIZE, SPEC, needs_joints=needs_joints)


def test_a_right_hands_record_is_its_annotation() -> None:
    hands = files.hands(4, tip_set="ho3d", is_right=True)
    for i, labelled in enumerate(labelled_hands()):
        record = record_of(labelled)
        wrist = hands.joints[i, 0]
        assert not record["is_mirrored"]
        np.testing.assert_allclose(record["joints_3d_m"], hands.joints[i] - wrist, atol=1e-7)
        np.testing.assert_allclose(record["wrist_3d_m"], wrist)
        np.testing.assert_allclose(record["joints_2d_px"], memory.project(hands.joints[i]), atol=1e-9)
        np.testing.assert_allclose(record["rotations"][0], files.rotation(hands.global_orient[i]), atol=1e-6)
        np.testing.assert_allclose(record["rotations"][5], files.rotation(hands.hand_pose[i, 12:15]), atol=1e-6)
        assert record["is_object_supervised"]
        box = record["object_box_xyxy"]
        np.testing.assert_allclose(box[:2], record["control_points_px"].min(axis=0))
        np.testing.assert_allclose(box[2:], record["control_points_px"].max(axis=0))


def test_a_mirrored_left_hand_is_the_right_hand_of_the_mirrored_world() -> None:
    left = memory.make_dataset(is_right=False)
    world = AnnotatedSource(memory.mirrored_world(left))
    for entry, labelled in enumerate(labelled_hands(is_right=False)):
        (seen_in_mirror,) = world.hands(entry)
        assert isinstance(seen_in_mirror, LabelledHand)
        ours, theirs = record_of(labelled), record_of(seen_in_mirror)
        assert ours["is_mirrored"]
        assert not theirs["is_mirrored"]
        for name in RECORD.names or ():
            if name not in {"is_mirrored", "control_points_px"}:
                np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6, err_msg=name)
        # the model is symmetric here: its mirrored points are the same points in another order
        for one, other in ((ours, theirs), (theirs, ours)):
            gaps = one["control_points_px"][:, None] - other["control_points_px"][None]
            assert np.linalg.norm(gaps, axis=-1).min(axis=1).max() < 1e-6


def test_mirrored_parameters_pose_the_mirrored_hand() -> None:
    for labelled in labelled_hands(is_right=False):
        record = record_of(labelled)
        rotations = torch.tensor(record["rotations"].astype(np.float64))
        betas = torch.tensor(record["betas"].astype(np.float64))
        posed = files.model("ho3d").from_matrices(rotations[0], rotations[1:], betas).joints.numpy()
        np.testing.assert_allclose(posed - posed[0], record["joints_3d_m"], atol=1e-6)


def test_the_mirrored_joints_are_seen_by_the_mirrored_camera() -> None:
    for labelled in labelled_hands(is_right=False):
        record = record_of(labelled)
        joints = record["joints_3d_m"] + record["wrist_3d_m"]
        np.testing.assert_allclose(memory.project(joints, record["K"]), record["joints_2d_px"], atol=1e-3)


def test_without_a_camera_the_sources_2d_joints_are_taken() -> None:
    with_K, without = labelled_hands(), labelled_hands(with_K=False)
    for one, other in zip(with_K, without, strict=True):
        np.testing.assert_allclose(record_of(one)["joints_2d_px"], record_of(other)["joints_2d_px"], atol=1e-9)
        assert np.isnan(record_of(other)["K"]).all()


def test_joints_without_parameters_and_images_without_object_are_told_apart() -> None:
    record = record_of(labelled_hands(with_mano=False, with_object=False)[0])
    assert not record["has_mano"]
    assert record["has_joints"]
    np.testing.assert_array_equal(record["rotations"], np.tile(np.eye(3), (16, 1, 1)))
    np.testing.assert_array_equal(record["betas"], np.zeros(10))
    assert not record["is_object_supervised"]
    assert np.isnan(record["object_box_xyxy"]).all()


def test_an_object_of_which_only_the_box_is_known_is_framed_and_not_supervised() -> None:
    labelled = labelled_hands()[0]
    assert labelled.obj is not None
    box = np.array([20.0, 30.0, 60.0, 90.0])
    boxed = replace(labelled, obj=replace(labelled.obj, T_cam_obj=None, bbox_xyxy=box), control_points_px=None)
    record = record_of(boxed)
    np.testing.assert_array_equal(record["object_box_xyxy"], box)
    assert not record["is_object_supervised"]


def test_a_source_that_does_not_supervise_the_object_is_heard() -> None:
    labelled = replace(labelled_hands()[0], is_object_supervised=False)
    record = record_of(labelled)
    assert not record["is_object_supervised"]
    assert np.isfinite(record["object_box_xyxy"]).all()


def test_the_evaluations_square_is_placed_around_the_annotated_box() -> None:
    labelled = labelled_hands(with_object=False)[0]
    box = np.array([100.0, 80.0, 180.0, 160.0])
    record = record_of(replace(labelled, hand=replace(labelled.hand, bbox_xyxy=box)))
    np.testing.assert_allclose(record["evaluation_center_px"], [140, 120])
    assert record["evaluation_side_px"] == pytest.approx(120)
    assert record["crop_side_px"] != record["evaluation_side_px"]


def test_a_hand_with_only_a_box_serves_predictions_and_no_training() -> None:
    labelled = labelled_hands()[0]
    bare = replace(
        labelled.hand, joints_3d=None, joints_2d_px=None, mano=None, bbox_xyxy=np.array([90.0, 80, 180, 160])
    )
    with pytest.raises(InputError, match="21 joints"):
        record_of(replace(labelled, hand=bare))
    record = record_of(replace(labelled, hand=bare), needs_joints=False)
    assert not record["has_joints"]
    assert np.isnan(record["joints_2d_px"]).all()
    assert np.isfinite(record["crop_side_px"])


def test_what_cannot_be_used_is_refused_by_name() -> None:
    labelled = labelled_hands()[0]
    joints = labelled.hand.joints_3d
    assert joints is not None
    for hand, reason in (
        (replace(labelled.hand, is_right=None), "unknown side"),
        (replace(labelled.hand, joints_3d=joints - np.array([0, 0, 2.0])), "in front of the camera"),
        (replace(labelled.hand, joints_3d=joints + np.array([3.0, 0, 0])), "in the image"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            record_of(replace(labelled, hand=hand))
        assert "sample 0000" in str(caught.value)


def test_joined_records_are_read_only() -> None:
    records = concatenate_records([record_of(hand) for hand in labelled_hands()])
    assert records.shape == (4,)
    with pytest.raises(ValueError, match="read-only"):
        records["weight"] = 2.0
    assert concatenate_records([]).shape == (0,)
