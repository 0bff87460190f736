import dataset_files as files
import numpy as np

from hoiray.datasets.formats import fpha


def test_the_camera_is_the_published_one() -> None:
    assert fpha.intrinsics()[0, 0] == 1395.749023
    np.testing.assert_allclose(fpha.T_cam_world()[:3, 3], [0.0257, 0.00122, 0.003902])


def test_keys_follow_the_published_layout() -> None:
    sequence = fpha.Sequence("Subject_1", "put_salt", "2")
    assert fpha.image_key(sequence, 7) == "Video_files/Subject_1/put_salt/2/color/color_0007.jpeg"
    assert fpha.depth_key(sequence, 7) == "Video_files/Subject_1/put_salt/2/depth/depth_0007.png"
    assert fpha.skeleton_key(sequence) == "Hand_pose_annotation_v1/Subject_1/put_salt/2/skeleton.txt"
    assert sequence.object_name == "salt"
    assert fpha.Sequence("Subject_1", "pour_juice_bottle", "1").object_name == "juice_bottle"


def test_the_split_survives_writing() -> None:
    train = (fpha.Sequence("Subject_1", "put_salt", "1"), fpha.Sequence("Subject_1", "open_milk", "2"))
    test = (fpha.Sequence("Subject_2", "put_salt", "1"),)
    text = fpha.write_split({"train": train, "test": test}, {"put_salt": 3, "open_milk": 8})
    assert text.splitlines()[1] == "Subject_1/put_salt/1 3"
    assert fpha.parse_split(text) == {"train": train, "test": test}


def test_joints_survive_the_way_to_world_millimetres_and_back() -> None:
    joints = files.hands(3, tip_set="smplx").joints
    row = fpha.joints_to_file(joints)
    assert row.shape == (3, 63)
    in_camera_mm = (np.array(fpha.T_CAM_WORLD_MM) @ np.append(row[1, 3:6], 1.0))[:3]
    np.testing.assert_allclose(
        in_camera_mm, joints[1, 1] * 1000, atol=1e-8
    )  # the second FPHA joint is the thumb's base
    np.testing.assert_allclose(fpha.joints_from_file(row), joints, atol=1e-12)


def test_poses_are_written_column_by_column_in_millimetres() -> None:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = files.rotation(np.array([0.3, 0.1, -2.0])), [0.1, -0.2, 0.6]
    numbers = fpha.object_pose_to_file(pose)
    assert numbers[[3, 7, 11]].tolist() == [0, 0, 0]
    assert 500 < numbers[14] < 700
    np.testing.assert_allclose(fpha.object_pose_from_file(numbers), pose, atol=1e-12)
