import pickle
from pathlib import Path

import cv2
import memory_dataset as memory
import numpy as np
import pyarrow as pa
import pytest
from dataset_files import FLIP, arrays
from export_scenes import REFUSED_ROWS, Scene, lineage, scene
from label_runs import write_label_run
from valid_tables import replaced

from hoiray.config.what import Hand
from hoiray.datasets.open import open_dataset
from hoiray.datasets.sample import Sample
from hoiray.errors import ConfigError, InputError
from hoiray.export.formats import export_labels
from hoiray.export.job import ExportJob, Options
from hoiray.geometry.cameras import project_points
from hoiray.io.store import Store
from hoiray.render.overlay import draw_joints
from hoiray.schema.tables import LABELS


def job_of(rows: pa.Table, folder: Path, made: Scene, **options: object) -> ExportJob:
    """The scene's videos with other rows."""
    base = made.run
    run = write_label_run(folder / "other", [rows], [], plan=base.plan, video_keys=base.video_keys)
    return ExportJob(run, Store.open(folder / "out"), Options(**options), lineage(run), arrays())  # type: ignore[arg-type]


def with_nulls(rows: pa.Table, *names: str) -> pa.Table:
    for name in names:
        rows = replaced(rows, name, pa.nulls(rows.num_rows, LABELS[name].arrow_type))
    return rows


@pytest.mark.parametrize("with_refused", [False, True])
def test_our_own_reader_opens_it_and_finds_the_labels_joints(tmp_path: Path, with_refused: bool) -> None:
    made = scene(tmp_path)
    told, _ = export_labels(made.job(tmp_path / "out", with_refused=with_refused), "ho3d")
    dataset = open_dataset(str(tmp_path / "out"), "ho3d", "train", arrays())
    rows = [row for row in made.rows.to_pylist() if row["accepted"] or with_refused]
    assert len(dataset) == len(rows) == told["counts"]["num_written"] == (6 if with_refused else 6 - len(REFUSED_ROWS))
    for index, row in enumerate(rows):
        sample = dataset.sample(index)
        (hand,) = sample.hands
        assert hand.joints_3d is not None
        assert hand.mano is not None
        assert np.allclose(hand.joints_3d - hand.joints_3d[0], np.reshape(row["joints_3d"], (21, 3)), atol=1e-6)
        assert np.allclose(hand.mano.transl, row["transl"], atol=1e-6)
        assert np.allclose(hand.mano.hand_pose, row["hand_pose"], atol=1e-7)
        assert np.allclose(hand.mano.global_orient, row["global_orient"], atol=1e-5)
        assert sample.objects == ()
        assert dataset.image(sample).shape == (480, 640, 3)


def test_axes_are_flipped_once_and_the_order_is_manos(tmp_path: Path) -> None:
    """Read with nothing of the product: the tip of the thumb is MANO's joint 16, z is backward, y is up."""
    made = scene(tmp_path, count=1)
    export_labels(made.job(tmp_path / "out"), "ho3d")
    (path,) = (tmp_path / "out").glob("train/*/meta/0000.pkl")
    meta = pickle.loads(path.read_bytes(), encoding="latin1")
    (row,) = made.rows.to_pylist()
    relative = np.reshape(row["joints_3d"], (21, 3))
    assert np.allclose((meta["handJoints3D"] - meta["handJoints3D"][0])[16], FLIP @ relative[4], atol=1e-6)
    assert meta["handJoints3D"][0, 2] < 0
    assert (meta["objRot"], meta["objTrans"], meta["objName"]) == (None, None, None)
    assert meta["hoiray"]["accepted"] is True
    assert b"numpy._core" not in path.read_bytes()


def drawn_from(dataset_image: np.ndarray, sample: Sample) -> np.ndarray:
    joints = sample.hands[0].joints_3d
    assert joints is not None
    assert sample.K is not None
    return draw_joints(np.zeros_like(dataset_image), project_points(joints, sample.K), radius_px=3)


def test_a_picture_drawn_from_the_export_alone_is_the_overlay(tmp_path: Path) -> None:
    """The frame is twice as large as the video's; its joints land where the overlay's do, as enlarged."""
    made = scene(tmp_path, count=1)
    export_labels(made.job(tmp_path / "out"), "ho3d")
    dataset = open_dataset(str(tmp_path / "out"))
    sample = dataset.sample(0)
    image = dataset.image(sample)
    assert np.abs(image.astype(int) - cv2.resize(made.images[0], (640, 480))).mean() < 0.5
    overlay = np.reshape(made.rows.to_pylist()[0]["joints_2d"], (21, 2)) * 2 + 0.5
    assert np.array_equal(drawn_from(image, sample) > 127, draw_joints(image * 0, overlay, radius_px=3) > 127)


def test_an_object_pose_that_a_label_has_is_in_the_meta(tmp_path: Path) -> None:
    made = scene(tmp_path, count=3)
    pose = np.eye(4, dtype=np.float32)
    pose[:3, 3] = [0.01, -0.02, 0.6]
    poses = pa.array([pose.ravel().tolist()] * 3, LABELS["T_cam_obj"].arrow_type)
    rows = replaced(replaced(made.rows, "T_cam_obj", poses), "object_id", pa.array([memory.OBJECT] * 3))
    export_labels(job_of(rows, tmp_path, made), "ho3d")
    (target,) = open_dataset(str(tmp_path / "out")).sample(0).objects
    assert target.name == memory.OBJECT
    assert target.T_cam_obj is not None
    assert np.allclose(target.T_cam_obj, pose, atol=1e-6)


def test_what_the_format_cannot_tell_is_left_out_and_counted(tmp_path: Path) -> None:
    made = scene(tmp_path)
    sides = replaced(made.rows, "is_right", pa.array([False, True, True, True, True, True]))
    told, _ = export_labels(job_of(sides, tmp_path, made), "ho3d")
    assert told["counts"]["left_out"] == {"left_hand": 1}
    bare = with_nulls(made.rows, "betas", "hand_pose", "global_orient", "transl")
    with pytest.raises(InputError, match="found none: 4 because joints only"):
        export_labels(job_of(bare, tmp_path / "bare", made), "ho3d")


def test_a_hand_without_a_camera_has_a_place_only_where_one_is_assumed(tmp_path: Path) -> None:
    made = scene(tmp_path)
    rows = with_nulls(made.rows, "K", "transl")
    with pytest.raises(InputError, match="found none: 4 because the camera is not known"):
        export_labels(job_of(rows, tmp_path / "a", made), "ho3d")
    export_labels(job_of(rows, tmp_path / "b", made, assumed_focal_px=300.0), "ho3d")
    dataset = open_dataset(str(tmp_path / "b" / "out"))
    accepted = [row for row in made.rows.to_pylist() if row["accepted"]]
    for index, row in enumerate(accepted):
        sample = dataset.sample(index)
        joints = sample.hands[0].joints_3d
        assert joints is not None
        assert sample.K is not None
        seen = project_points(joints, sample.K)
        assert np.abs(seen - (np.reshape(row["joints_2d"], (21, 2)) * 2 + 0.5)).max() < 1.0
        meta = pickle.loads((tmp_path / "b" / "out" / "train" / sample.sample_id.replace("/", "/meta/")).with_suffix(
            ".pkl").read_bytes(), encoding="latin1")  # fmt: skip
        assert meta["hoiray"]["is_camera_assumed"] is True


def test_two_hands_of_a_frame_are_two_sequences_of_one_recording(tmp_path: Path) -> None:
    made = scene(tmp_path, count=3)
    second = replaced(made.rows, "hand_index", pa.array([1, 1, 1], pa.int16()))
    second = replaced(second, "track_index", pa.array([1, 1, 1], pa.int32()))
    export_labels(job_of(pa.concat_tables([made.rows, second.cast(made.rows.schema)]), tmp_path, made), "ho3d")
    dataset = open_dataset(str(tmp_path / "out"))
    samples = [dataset.sample(index) for index in range(len(dataset))]
    assert len(samples) == 4
    assert len({sample.recording_id for sample in samples}) == 1
    assert {sample.camera_id for sample in samples} == {"0", "1"}


def test_other_finger_tips_are_refused(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    run = write_label_run(tmp_path / "o", [made.rows], [], hand=Hand(flat_hand_mean=True, tip_set="freihand"))
    job = ExportJob(run, Store.open(tmp_path / "out"), Options(), lineage(run), arrays())
    with pytest.raises(ConfigError, match="expected ho3d, found freihand"):
        export_labels(job, "ho3d")
