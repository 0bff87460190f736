from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats import fpha as facts
from hoiray.datasets.fpha import FphaDataset
from hoiray.errors import ContractError
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import invert_transform, transform_points
from hoiray.io.store import Store
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.writers import fpha
from hoiray.synthetic.writers.shot import Shot

NUM_FRAMES = 8


def ego_recording(index: int, name: str, num_frames: int = NUM_FRAMES, **changes: object):  # noqa: ANN201
    return make_recording(
        recording_id=f"toy-{index}", num_frames=num_frames, num_cameras=1, size=(1080, 1920), seed=1 + index,
        object_names=(name,), K=facts.intrinsics(), **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[Shot]]]:
    folder = tmp_path_factory.mktemp("fpha")
    store, parts, shots = Store.open(folder), [], []
    for index, (split, name, count) in enumerate((("train", "juice_bottle", NUM_FRAMES), ("test", "salt", 1))):
        recording = ego_recording(index, name, count)
        place = slot(index, split, subject=index)
        part, taken = write_recording(fpha.FPHA.begin(store, recording, place), store, recording, place)
        parts.append(part)
        shots.append(taken)
    fpha.FPHA.finish(store, parts)
    return str(folder), shots


def test_joints_and_poses_come_back_through_the_depth_camera(written: tuple[str, list[list[Shot]]]) -> None:
    for split, shots, name in (("train", written[1][0], "juice_bottle"), ("test", written[1][1], "salt")):
        dataset = FphaDataset.open(written[0], split)  # type: ignore[arg-type]  # texts of the loop
        for index in range(len(dataset)):
            sample = dataset.sample(index)
            shot = shots[sample.frame_index]
            joints = shot.hands[0].joints_3d(fpha.JOINT_TIP_SET)
            assert sample.K is not None
            stored = sample.hands[0].joints_3d
            assert stored is not None
            np.testing.assert_allclose(stored, joints, atol=1e-6)
            np.testing.assert_allclose(project_points(stored, sample.K), project_points(joints, shot.view.K), atol=0.05)
            assert sample.objects[0].name == name
            np.testing.assert_allclose(sample.objects[0].T_cam_obj, shot.objects[0].view.T_cam_obj, atol=1e-6)


def test_a_missing_line_leaves_a_hole_and_moves_no_other_frame(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = FphaDataset.open(written[0], "train")
    frames = [dataset.sample(index).frame_index for index in range(len(dataset))]
    assert len(frames) == NUM_FRAMES - 1
    missing = set(range(NUM_FRAMES)) - set(frames)
    assert dataset.store.exists(facts.image_key(dataset.files[0].sequence, missing.pop()))


def test_files_are_in_millimetres_and_by_columns(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = FphaDataset.open(written[0], "test")
    words = dataset.store.read(facts.object_pose_key(dataset.files[0].sequence)).decode().splitlines()[0].split()
    numbers = np.array(words[1:], dtype=float)
    assert numbers[[3, 7, 11, 15]].tolist() == [0, 0, 0, 1]
    assert numbers[14] == pytest.approx(1000 * written[1][1][0].objects[0].view.T_cam_obj[2, 3], abs=20)


def test_the_mesh_of_an_object_comes_back_in_metres(written: tuple[str, list[list[Shot]]]) -> None:
    model = FphaDataset.open(written[0], "train").object_model("juice_bottle")
    assert model is not None
    np.testing.assert_allclose(model.vertices, build_object("juice_bottle").vertices, atol=1e-6)


def test_depth_is_that_of_the_depth_camera(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = FphaDataset.open(written[0], "train")
    sequence = dataset.files[0].sequence
    data = dataset.store.read(facts.depth_key(sequence, 1))
    depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (480, 640)
    assert depth.dtype == np.uint16
    vertices = transform_points(invert_transform(facts.T_cam_world()), written[1][0][1].hands[0].vertices)
    pixels = np.rint(project_points(vertices, np.array(facts.K_DEPTH))).astype(int)
    found = depth[pixels[:, 1], pixels[:, 0]] / 1000
    # the near side of the hand is seen, the far side is behind it by the thickness of the hand
    assert np.mean(np.abs(found - vertices[:, 2]) < 0.004) > 0.3
    assert np.mean(np.abs(found - vertices[:, 2]) < 0.08) > 0.8


def test_every_subject_has_a_list_of_its_sequences(written: tuple[str, list[list[Shot]]]) -> None:
    text = (Path(written[0]) / "Subjects_info/Subject_1_info.txt").read_text().splitlines()
    assert text[3:] == [f"pour_juice_bottle 1 {NUM_FRAMES}"]


def test_another_camera_is_refused(tmp_path: Path) -> None:
    recording = make_recording(size=(1080, 1920), focal=1400.0, object_names=("salt",), num_frames=1)
    with pytest.raises(ContractError, match="published K"):
        fpha.FPHA.begin(Store.open(tmp_path), recording, slot())
    with pytest.raises(ContractError, match="left"):
        fpha.FPHA.begin(Store.open(tmp_path), ego_recording(0, "salt", target_is_right=False), slot())
