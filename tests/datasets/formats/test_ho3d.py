import dataset_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.datasets.formats import ho3d
from hoiray.datasets.sample import ManoParameters


def test_published_counts() -> None:
    second, third = ho3d.VERSIONS["ho3d_v2"], ho3d.VERSIONS["ho3d_v3"]
    assert (second.num_train, second.num_evaluation) == (66_034, 11_524)
    assert (third.num_train, third.num_evaluation) == (103_462 - 20_137, 20_137)


def test_keys_follow_the_published_layout() -> None:
    assert ho3d.image_key("ho3d_v2", "train", "ABF10", "0042") == "train/ABF10/rgb/0042.png"
    assert ho3d.image_key("ho3d_v3", "evaluation", "SM1", "0000") == "evaluation/SM1/rgb/0000.jpg"
    assert ho3d.meta_key("train", "ABF10", "0042") == "train/ABF10/meta/0042.pkl"
    assert ho3d.depth_key("train", "ABF10", "0042") == "train/ABF10/depth/0042.png"
    assert ho3d.sample_line("ABF10", 42) == "ABF10/0042"


@pytest.mark.parametrize("line", ["", "ABF10", "ABF10/42", "ABF10/00x2", "a/b/0001", "ABF 10/0001"])
def test_lines_that_are_none(line: str) -> None:
    assert ho3d.parse_sample_line(line) is None


def test_lines_are_read_with_their_line_ends() -> None:
    assert ho3d.parse_sample_line("ABF10/0042\r\n") == ("ABF10", "0042")


@pytest.mark.parametrize(
    ("sequence", "recording", "camera", "subject"),
    [
        ("ABF10", "ABF1", "0", "A"),
        ("ABF14", "ABF1", "4", "A"),
        ("SMu42", "SMu4", "2", "S"),
        ("SM1", "SM", "1", "S"),
        ("ShSu12", "ShSu1", "2", "Sh"),
        ("Synkqzwbt00030", "Synkqzwbt0003", "0", "Synkqzwbt"),
        ("Syn00030", "Syn0003", "0", None),
        ("Bottle", "Bottle", None, None),
        ("XYZ10", "XYZ1", "0", None),
    ],
)
def test_names_tell_recording_camera_and_person(
    sequence: str, recording: str, camera: str | None, subject: str | None
) -> None:
    assert ho3d.recording_of_sequence(sequence) == (recording, camera)
    assert ho3d.subject_of_sequence(sequence) == subject


def test_depth_is_packed_low_byte_in_red() -> None:
    depth = np.array([[1000 * 0.00012498664727900177, np.nan, np.inf, -1.0, 9.0, 0.0]])
    packed = ho3d.encode_depth(depth)
    assert packed[0, 0].tolist() == [1000 % 256, 1000 // 256, 0]
    assert not packed[0, 1:].any()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 65_535), min_size=1, max_size=20))
def test_every_count_survives_packing(counts: list[int]) -> None:
    depth = np.array([counts]) * ho3d.DEPTH_SCALE_M
    np.testing.assert_allclose(ho3d.decode_depth(ho3d.encode_depth(depth)), depth, rtol=1e-6)


def test_full_bytes_do_not_wrap() -> None:
    assert ho3d.decode_depth(np.full((1, 1, 3), 255, dtype=np.uint8))[0, 0] == pytest.approx(65_535 * 0.000124986647)


def test_masks_survive_painting() -> None:
    hand, target = np.zeros((6, 8), dtype=bool), np.zeros((6, 8), dtype=bool)
    hand[1:3], target[2:5, 4:] = True, True
    found = ho3d.decode_segmentation(ho3d.encode_segmentation(hand, target))
    np.testing.assert_array_equal(found, (hand, target))


def test_parameters_joints_and_objects_survive_the_way_to_the_file_and_back() -> None:
    hands = files.hands(4, tip_set="ho3d", seed=2)
    for i in range(4):
        mano = ManoParameters(hands.global_orient[i], hands.hand_pose[i], hands.betas[i], hands.transl[i])
        meta = ho3d.mano_to_file(mano, hands.rest_root[i])
        # handTrans + J0 is the wrist, in OpenGL axes
        np.testing.assert_allclose(meta["handTrans"] + hands.rest_root[i], files.FLIP @ hands.joints[i, 0], atol=1e-8)
        back = ho3d.mano_from_file(meta["handPose"], meta["handTrans"], meta["handBeta"], hands.rest_root[i])
        for name in ("hand_pose", "betas", "transl"):
            np.testing.assert_allclose(getattr(back, name), getattr(mano, name), atol=1e-9)
        np.testing.assert_allclose(files.rotation(back.global_orient), files.rotation(mano.global_orient), atol=1e-9)
        joints = ho3d.joints_to_file(hands.joints[i])
        np.testing.assert_allclose(joints, hands.joints[i][files.MANO_OF_SIMPLE] @ files.FLIP)
        np.testing.assert_allclose(ho3d.joints_from_file(joints), hands.joints[i])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = files.rotation(np.array([1.0, -2.0, 0.5])), [0.1, 0.2, 0.9]
    stored = ho3d.object_pose_to_file(pose)
    assert stored["objRot"].shape == (3, 1)
    np.testing.assert_allclose(ho3d.object_pose_from_file(stored["objRot"], stored["objTrans"]), pose, atol=1e-9)
