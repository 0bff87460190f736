import pickle
import shutil
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
    assert (dataset.name, len(dataset)) == ("fpha", len(FRAMES) + 1), "one file is missing"
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
    with_object = [dataset.sample(i).frame_index for i in range(len(FRAMES)) if dataset.sample(i).objects]
    assert with_object == WITH_OBJECT
    (target,) = dataset.sample(1).objects
    assert target.name == "juice_bottle"
    np.testing.assert_allclose(target.T_cam_obj, OBJECT_POSE, atol=1e-8)
    only = FphaDataset.open(str(tmp_path), only_with_object=True)
    assert [only.sample(i).frame_index for i in range(len(WITH_OBJECT))] == WITH_OBJECT


def test_bad_sequences_are_left_out_and_absent_ones_told(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    assert [one.sequence.name for one in dataset.files] == ["Subject_1/pour_juice_bottle/1"]
    assert dataset.absent == ("Hand_pose_annotation_v1/Subject_1/put_salt/2/skeleton.txt",)
    (letter,) = (x for x in iterate(dataset) if isinstance(x, DeadLetter))
    assert "put_salt/2/skeleton.txt: expected a file, found nothing there" in letter.reason
    test = FphaDataset.open(str(tmp_path), "test")
    assert [one.sequence.name for one in test.files] == ["Subject_4/put_salt/3"]


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
    with pytest.raises(InputError, match=r"object_pose\.txt, frame 1: .*found rows and columns swapped"):
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
    assert list(letters) == [3, len(FRAMES)]
    assert "skeleton.txt, frame 5" in letters[3].reason


def test_a_missing_split_file_or_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data_split_action_recognition\.txt"):
        FphaDataset.open(str(tmp_path))
    dataset = FphaDataset.open(str(write(tmp_path)))
    with pytest.raises(InputError, match=r"color_0000\.jpeg.*an empty file"):
        dataset.image(dataset.sample(0))
    files.put(tmp_path / "data_split_action_recognition.txt", "Training 0\nTest 0\n")
    with pytest.raises(ContractError, match="expected train sequences, found none"):
        FphaDataset.open(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Test 1", "Tset 1", "found line 5: 'Tset 1'"),
        ("Test 1\n", "", "4 train sequences where its heading says 3"),
        ("Subject_4/put_salt/3 4\n", "", "0 test sequences where its heading says 1"),
        ("Subject_4/put_salt/3 4", "Subject_1/put_salt/2 4", "Subject_1/put_salt/2 2 times"),
        ("Training 3\n", "", "line 1: 'Subject_1/pour_juice_bottle/1 3'"),
        ("Test 1", "Training 1", "line 5: a second 'Training'"),
    ],
)
def test_a_split_that_is_not_as_published_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    files.put(write(tmp_path) / "data_split_action_recognition.txt", SPLIT.replace(old, new))
    with pytest.raises(ContractError, match=f"data_split_action_recognition.txt: .*{message}"):
        FphaDataset.open(str(tmp_path))


def _with_images(root: Path, numbers: list[int]) -> Path:
    folder = write(root) / "Video_files/Subject_1/pour_juice_bottle/1/color"
    shutil.rmtree(folder)
    for number in numbers:
        files.put(folder / f"color_{number:04d}.jpeg", b"")
    return root


@pytest.mark.parametrize(
    ("numbers", "images", "message"),
    [
        ([1, 2, 3, 6, 7, 8], FRAMES, "1 of 6 beyond it, up to 8: looks like numbers 1 too high"),
        (FRAMES, list(range(20)), "12 of 20 images after the last line, frame 7: looks like a file that was cut off"),
    ],
)
def test_a_skeleton_that_does_not_fit_its_images_is_refused(
    tmp_path: Path, numbers: list[int], images: list[int], message: str
) -> None:
    _with_images(tmp_path, images)
    files.put(tmp_path / "Hand_pose_annotation_v1/Subject_1/pour_juice_bottle/1/skeleton.txt", skeleton(numbers))
    with pytest.raises(ContractError, match=rf"skeleton\.txt, frame numbers: .*{message}"):
        FphaDataset.open(str(tmp_path))


def test_a_skeleton_cut_by_less_than_half_is_refused_where_the_hand_was_in_view(tmp_path: Path) -> None:
    _with_images(tmp_path, list(range(11)))
    with pytest.raises(ContractError, match=r"skeleton\.txt, frame numbers: .*3 of 11 images after the last line"):
        FphaDataset.open(str(tmp_path))
    leaving = truth().joints + np.array([0.4, 0.0, 0.0]) * np.linspace(0, 1, len(FRAMES))[:, None, None]
    path = tmp_path / "Hand_pose_annotation_v1/Subject_1/pour_juice_bottle/1/skeleton.txt"
    files.put(path, skeleton(joints=leaving))
    assert len(FphaDataset.open(str(tmp_path))) == len(FRAMES) + 1
    files.put(path, skeleton())
    _with_images(tmp_path, list(range(10)))
    assert len(FphaDataset.open(str(tmp_path))) == len(FRAMES) + 1, "two frames may be missing"


def test_depth_is_that_of_a_camera_of_its_own(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    sample = dataset.sample(3)
    assert dataset.depth_view(sample) is None
    levels = np.zeros((480, 640), dtype=np.uint16)
    levels[100, 200] = 512
    key = "Video_files/Subject_1/pour_juice_bottle/1/depth/depth_0005.png"
    files.put_image(tmp_path / key, levels)
    view = dataset.depth_view(sample)
    assert view is not None
    assert view.depth_m[100, 200] == pytest.approx(0.512)
    assert np.isnan(view.depth_m[0, 0])
    in_colour = E @ np.array([10.0, 20.0, 500.0, 1.0])
    np.testing.assert_allclose(
        view.T_depth_cam[:3, :3] @ in_colour[:3] / 1000 + view.T_depth_cam[:3, 3], [0.01, 0.02, 0.5]
    )
    files.put(tmp_path / key, b"")
    with pytest.raises(InputError, match=r"depth_0005\.png"):
        dataset.depth_view(sample)


@pytest.mark.parametrize(
    ("posed", "message"),
    [
        ([1, 2, 3], "1 without, the first 3: looks like numbers one too low in one of the two files"),
        ([1, 3, 4, 5], "2 of 4 without, the first 3: looks like a file that was cut off"),
    ],
)
def test_object_poses_of_other_frames_than_the_joints_are_refused(
    tmp_path: Path, posed: list[int], message: str
) -> None:
    row = object_poses().splitlines()[0].partition(" ")[2]
    write(tmp_path, poses="".join(f"{number} {row}\n" for number in posed))
    with pytest.raises(ContractError, match=rf"skeleton\.txt: expected a line for each frame of .*{message}"):
        FphaDataset.open(str(tmp_path))


def test_a_deleted_object_pose_is_a_dead_letter_and_the_hands_are_kept(tmp_path: Path) -> None:
    write(tmp_path)
    split = SPLIT.replace("Training 3", "Training 4").replace("Test 1", "Subject_2/pour_juice_bottle/2 3\nTest 1")
    files.put(tmp_path / "data_split_action_recognition.txt", split)
    files.put(tmp_path / "Hand_pose_annotation_v1/Subject_2/pour_juice_bottle/2/skeleton.txt", skeleton())
    results = list(iterate(FphaDataset.open(str(tmp_path))))
    letters = [x.reason for x in results if isinstance(x, DeadLetter)]
    assert len(results) - len(letters) == 2 * len(FRAMES)
    assert "Subject_1/put_salt/2/skeleton.txt" in letters[0]
    assert "Subject_2/pour_juice_bottle/2/object_pose.txt: expected a file, found nothing there" in letters[1]


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = FphaDataset.open(str(write(tmp_path)))
    expected = dataset.sample(1)
    assert pickle.loads(pickle.dumps(dataset)).sample(1).sample_id == expected.sample_id
