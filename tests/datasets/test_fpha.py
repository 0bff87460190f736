import pickle
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.fpha import FphaDataset
from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError

FRAMES = [0, 1, 2, 5, 6, 7]
WITH_OBJECT = [1, 2, 6]
SPLIT = """Training 3
Subject_1/pour_juice_bottle/1 3
Subject_2/close_milk/4 1
Subject_1/put_salt/2 4
Test 1
Subject_4/put_salt/3 4
"""
E = np.array(
    [
        [0.999988496304, -0.00468848412856, 0.000982563360594, 25.7],
        [0.00469115935266, 0.999985218048, -0.00273845880292, 1.22],
        [-0.000969709653873, 0.00274303671904, 0.99999576807, 3.902],
        [0, 0, 0, 1],
    ]
)
OBJECT_POSE = np.eye(4)
OBJECT_POSE[:3, :3] = files.rotation(np.array([0.4, 1.0, -0.3]))
OBJECT_POSE[:3, 3] = [0.01, 0.02, 0.5]


def truth() -> files.Hands:
    return files.hands(len(FRAMES), tip_set="smplx", seed=8, depth_m=0.5)


def world_mm(points: np.ndarray) -> np.ndarray:
    return np.linalg.solve(E, np.concatenate([points * 1000, np.ones((len(points), 1))], axis=1).T)[:3].T


def skeleton(numbers: list[int] = FRAMES, joints: np.ndarray | None = None) -> str:
    joints = truth().joints if joints is None else joints
    rows = [world_mm(one)[files.FPHA_OF_SIMPLE].ravel() for one in joints]
    return "".join(f"{n:04d} " + " ".join(f"{x:.9f}" for x in row) + "\n" for n, row in zip(numbers, rows, strict=True))


def object_poses(order: str = "F") -> str:
    pose_mm = OBJECT_POSE.copy()
    pose_mm[:3, 3] *= 1000
    in_world = np.linalg.solve(E, pose_mm)
    return "".join(f"{n} " + " ".join(f"{x:.9f}" for x in in_world.ravel(order=order)) + "\n" for n in WITH_OBJECT)


def write(root: Path, text: str | None = None, poses: str | None = None) -> Path:
    files.put(root / "data_split_action_recognition.txt", SPLIT)
    for name in ("Subject_1/pour_juice_bottle/1", "Subject_2/close_milk/4", "Subject_4/put_salt/3"):
        files.put(root / f"Hand_pose_annotation_v1/{name}/skeleton.txt", skeleton() if text is None else text)
        for frame in FRAMES:
            files.put(root / f"Video_files/{name}/color/color_{frame:04d}.jpeg", b"")
    files.put(
        root / "Object_6D_pose_annotation_v1/Subject_1/pour_juice_bottle/1/object_pose.txt",
        object_poses() if poses is None else poses,
    )
    return root


def test_millimetres_of_the_world_become_metres_of_the_camera(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    assert (dataset.name, len(dataset)) == ("fpha", len(FRAMES))
    for i in range(len(FRAMES)):
        sample = dataset.sample(i)
        np.testing.assert_allclose(sample.hands[0].joints_3d, truth().joints[i], atol=1e-8)
        assert (sample.hands[0].is_right, sample.hands[0].tip_set, sample.hands[0].mano) == (True, None, None)
        assert sample.K is not None
        assert sample.K[0, 2] == pytest.approx(935.732544)


def test_a_frame_is_named_by_its_first_column(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    sample = dataset.sample(3)
    assert (sample.frame_index, sample.sample_id) == (5, "Subject_1/pour_juice_bottle/1/0005")
    assert sample.image_key == "Video_files/Subject_1/pour_juice_bottle/1/color/color_0005.jpeg"
    assert (sample.subject_id, sample.recording_id) == ("Subject_1", "Subject_1/pour_juice_bottle/1")


def test_object_poses_are_joined_by_frame_number(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    with_object = [dataset.sample(i).frame_index for i in range(len(dataset)) if dataset.sample(i).objects]
    assert with_object == WITH_OBJECT
    (target,) = dataset.sample(1).objects
    assert target.name == "juice_bottle"
    np.testing.assert_allclose(target.T_cam_obj, OBJECT_POSE, atol=1e-8)
    only = FphaDataset.open(str(tmp_path), only_with_object=True)
    assert [only.sample(i).frame_index for i in range(len(only))] == WITH_OBJECT


def test_bad_sequences_are_left_out_and_absent_ones_told(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    assert [one.name for one in dataset.sequences] == ["Subject_1/pour_juice_bottle/1"]
    assert dataset.absent == ("Subject_1/put_salt/2",)
    test = FphaDataset.open(str(tmp_path), "test")
    assert [one.name for one in test.sequences] == ["Subject_4/put_salt/3"]


def test_samples_run_through_the_sequences_without_a_gap(tmp_path: Path) -> None:
    write(tmp_path)
    files.put(tmp_path / "Hand_pose_annotation_v1/Subject_1/put_salt/2/skeleton.txt", skeleton())
    dataset = FphaDataset.open(str(tmp_path))
    names = [dataset.sample(i).sample_id for i in range(len(dataset))]
    expected = [f"Subject_1/{name}/{n:04d}" for name in ("pour_juice_bottle/1", "put_salt/2") for n in FRAMES]
    assert names == expected


def test_the_second_release_is_read_too(tmp_path: Path) -> None:
    write(tmp_path)
    for folder in ("Hand_pose_annotation_v1", "Object_6D_pose_annotation_v1"):
        (tmp_path / folder).rename(tmp_path / f"{folder}_1")
    dataset = FphaDataset.open(str(tmp_path))
    assert len(dataset.sample(1).objects) == 1


def test_the_juice_bottle_is_found_under_both_names(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)), check=False)
    assert dataset.object_model("juice_bottle") is None
    ply = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    ply += "element face 1\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n0.1 0 0\n0 0.1 0\n3 0 1 2\n"
    files.put(tmp_path / "Object_models/juice_model/juice_model.ply", ply)
    model = dataset.object_model("juice_bottle")
    assert model is not None
    assert model.faces is not None
    assert model.faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (lambda: truth().joints / 1000, "expected millimetres.*looks like metres"),
        (lambda: truth().joints[:, np.argsort(files.FPHA_OF_SIMPLE)], "the fpha order.*looks like the simple order"),
        (lambda: truth().joints * [-1.0, 1, 1], "mirrored"),
        (lambda: truth().joints @ files.FLIP, "looks like OpenGL"),
    ],
)
def test_planted_convention_errors_are_named(tmp_path: Path, joints: object, message: str) -> None:
    write(tmp_path, skeleton(joints=joints()))  # type: ignore[operator]  # a function
    with pytest.raises(ContractError, match=message):
        FphaDataset.open(str(tmp_path))


def test_line_numbers_for_frame_numbers_are_named(tmp_path: Path) -> None:
    write(tmp_path, skeleton(list(range(len(FRAMES)))))
    with pytest.raises(ContractError, match=r"skeleton\.txt, frame numbers.*looks like line numbers"):
        FphaDataset.open(str(tmp_path))


def test_a_pose_written_row_by_row_is_named(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path, poses=object_poses("C"))), check=False)
    with pytest.raises(InputError, match=r"frame 1, object: .*column by column, found rows and columns swapped"):
        dataset.sample(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 2 3\n", r"skeleton\.txt, line 1: .*found frame 0 and 3 numbers"),
        ("x " + "1 " * 63 + "\n", r"skeleton\.txt, line 1"),
        (("3 " + "1 " * 63 + "\n") * 2, r"skeleton\.txt, line 2: expected a new frame number"),
        (skeleton()[:-40], r"skeleton\.txt, line 6"),
    ],
)
def test_a_skeleton_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        FphaDataset.open(str(write(tmp_path, text)))


def test_nan_spoils_one_frame(tmp_path: Path) -> None:
    lines = skeleton().splitlines(keepends=True)
    lines[3] = "0005 " + "nan " * 63 + "\n"
    dataset = FphaDataset.open(str(write(tmp_path, "".join(lines))))
    letters = {i: x for i, x in enumerate(iterate(dataset)) if isinstance(x, DeadLetter)}
    assert list(letters) == [3]
    assert "skeleton.txt, frame 5" in letters[3].reason


def test_a_missing_split_file_or_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data_split_action_recognition\.txt"):
        FphaDataset.open(str(tmp_path))
    dataset = FphaDataset.open(str(write(tmp_path)))
    with pytest.raises(InputError, match=r"color_0000\.jpeg.*an empty file"):
        dataset.image(dataset.sample(0))
    files.put(tmp_path / "data_split_action_recognition.txt", "nothing\n")
    with pytest.raises(ContractError, match="expected train sequences, found none"):
        FphaDataset.open(str(tmp_path))


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    expected = dataset.sample(1)
    assert pickle.loads(pickle.dumps(dataset)).sample(1).sample_id == expected.sample_id
