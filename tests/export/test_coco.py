import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from export_scenes import HOSTILE, REFUSED_ROWS, lineage, scene, without_answer
from label_runs import write_label_run
from pycocotools.coco import COCO

from hoiray.export import coco
from hoiray.export.coco import CATEGORY
from hoiray.export.formats import export_labels
from hoiray.export.job import ExportJob, Options
from hoiray.render.overlay import draw_box, draw_joints
from hoiray.report.label_frame import WHITE, draw_label_frame


def test_pycocotools_reads_the_accepted_labels_to_the_last_bit(tmp_path: Path) -> None:
    made = scene(tmp_path)
    export_labels(made.job(tmp_path / "out"), "coco")
    read = COCO(tmp_path / "out" / "annotations" / "hands-00000.json")
    accepted = [row for row in made.rows.to_pylist() if row["accepted"]]
    assert len(accepted) == 6 - len(REFUSED_ROWS)
    annotations = read.loadAnns(read.getAnnIds(catIds=read.getCatIds(catNms=["person"])))
    assert len(annotations) == len(accepted)
    for annotation, row in zip(annotations, accepted, strict=True):
        points = np.reshape(annotation["righthand_kpts"], (21, 3))
        assert np.array_equal(points[:, :2], np.reshape(row["joints_2d"], (21, 2)))
        assert annotation["righthand_valid"]
        assert not annotation["lefthand_valid"]
        assert not np.any(annotation["lefthand_kpts"])
        image = read.loadImgs(annotation["image_id"])[0]
        assert (image["video_id"], image["frame_index"]) == (row["video_id"], row["frame_index"])
        shown = cv2.imread(str(tmp_path / "out" / image["file_name"]))
        assert shown.shape == (image["height"], image["width"], 3)


def test_the_layout_is_that_of_coco_wholebody(tmp_path: Path) -> None:
    """The lengths and names of its published annotation format."""
    made = scene(tmp_path, count=2, is_right=False)
    export_labels(made.job(tmp_path / "out", pixels="none"), "coco")
    content = json.loads((tmp_path / "out" / "annotations" / "hands-00000.json").read_text())
    (annotation,) = content["annotations"]
    for part, num_points in {"face": 68, "foot": 6, "lefthand": 21, "righthand": 21}.items():
        assert len(annotation[f"{part}_kpts"]) == 3 * num_points
        assert annotation[f"{part}_valid"] is (part == "lefthand")
    assert all(len(annotation[f"{part}_box"]) == 4 for part in ("face", "lefthand", "righthand"))
    assert len(annotation["keypoints"]) == 3 * len(CATEGORY["keypoints"]) == 51
    assert not list((tmp_path / "out").glob("images/**/*.jpg"))


def test_a_picture_drawn_from_the_export_alone_is_the_overlay(tmp_path: Path) -> None:
    """Points and box land at the same pixels; the frame is the video's, but for its JPEG."""
    made = scene(tmp_path, count=1)
    export_labels(made.job(tmp_path / "out"), "coco")
    read = COCO(tmp_path / "out" / "annotations" / "hands-00000.json")
    (annotation,) = read.loadAnns(read.getAnnIds())
    image = cv2.imread(str(tmp_path / "out" / read.loadImgs(1)[0]["file_name"]))[..., ::-1]
    points = np.reshape(annotation["righthand_kpts"], (21, 3))[:, :2]
    x, y, width, height = annotation["bbox"]

    def from_export(canvas: np.ndarray) -> np.ndarray:
        drawn = draw_joints(canvas, points, radius_px=1.5, thickness_px=1)
        return draw_box(drawn, np.array([x, y, x + width, y + height]), WHITE, thickness_px=1)

    (row,) = made.rows.to_pylist()
    grey = np.full_like(image, 90)
    overlay = draw_label_frame(grey, [row], None, with_words=False)
    assert np.count_nonzero(np.any(overlay != grey, axis=2)) > 500
    assert np.array_equal(from_export(grey), overlay)
    whole = draw_label_frame(made.images[0], [row], None, with_words=False)
    difference = np.abs(from_export(image).astype(int) - whole)
    assert difference.mean() < 3  # of 255: the JPEG


def test_refused_labels_are_left_out_or_marked_and_never_valid(tmp_path: Path) -> None:
    made = scene(tmp_path)
    export_labels(made.job(tmp_path / "out", with_refused=True, pixels="none"), "coco")
    content = json.loads((tmp_path / "out" / "annotations" / "hands-00000.json").read_text())
    marked = [one for one in content["annotations"] if not one["hoiray"]["accepted"]]
    assert len(content["annotations"]) == 6
    assert len(marked) == len(REFUSED_ROWS)
    for annotation in marked:
        assert annotation["hoiray"]["reasons"] == ["reprojection"]
        assert annotation["righthand_valid"] is False


def test_a_hand_without_an_answer_has_no_points(tmp_path: Path) -> None:
    made = scene(tmp_path)
    rows = without_answer(made.rows, 1)
    run = write_label_run(tmp_path / "other", [rows], [])
    job = ExportJob(run, made.job(tmp_path / "out").out, Options(True, "none"), lineage(run), made.job("x").hand)
    export_labels(job, "coco")
    content = json.loads((tmp_path / "out" / "annotations" / "hands-00000.json").read_text())
    annotation = content["annotations"][1]
    assert annotation["hoiray"]["failure"] == "no hand found"
    assert not np.any(annotation["righthand_kpts"])


def test_points_outside_the_image_are_labelled_and_not_visible(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    row = dict(made.rows.to_pylist()[0])
    points = np.tile([5.0, 5.0], (21, 1))
    points[3] = [row["image_width_px"] - 0.5, 5.0]
    points[4] = [-0.5, 5.0]
    row["joints_2d"] = points.ravel().tolist()
    v = np.reshape(coco._triples(row), (21, 3))[:, 2]
    assert v[3] == 1
    assert v[4] == 2
    assert v[[0, 20]].tolist() == [2, 2]


def test_a_large_run_is_cut_into_files_at_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "MAX_ANNOTATIONS", 1)
    made = scene(tmp_path, first_name=HOSTILE)
    told, _ = export_labels(made.job(tmp_path / "out"), "coco")
    files = sorted((tmp_path / "out" / "annotations").glob("*.json"))
    parts = [json.loads(file.read_text()) for file in files]
    assert [len(part["annotations"]) for part in parts] == [2, 2]
    ids = [one["id"] for part in parts for one in part["annotations"]]
    assert ids == [1, 2, 3, 4]
    assert {image["id"] for part in parts for image in part["images"]} == {1, 2, 3, 4}
    assert told["counts"]["num_written"] == 4
    names = [image["file_name"] for part in parts for image in part["images"]]
    assert all((tmp_path / "out" / name).is_file() and ".." not in name for name in names)


def test_a_missing_video_is_counted_and_the_others_are_exported(tmp_path: Path) -> None:
    made = scene(tmp_path)
    (tmp_path / "videos" / "v000.mp4").unlink()
    told, _ = export_labels(made.job(tmp_path / "out"), "coco")
    assert told["counts"]["left_out"] == {"video_unreadable": 2}
    assert told["counts"]["num_written"] == 2
    assert "v000.mp4" in told["unreadable"][0]
