"""Recordings are read back with Rerun's own reader."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rerun.chunk import RrdReader

from hoiray.filters.rules import Limit, Rules
from hoiray.hand.model import HandModel
from hoiray.report.label_picture import BAD, GOOD
from hoiray.report.recording import CONFIDENCE, FRAME_LINE, TIME_LINE, LabelRecording, verdict_in_words
from hoiray.schema.label_columns import MEASUREMENT_NAMES

MODEL = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
GREY = np.full((48, 64, 3), 90, np.uint8)
SCALE_PX_PER_M = 100.0


def label(track: int = 0, **changes: Any) -> dict[str, Any]:
    """A flat hand in the middle of the frame."""
    with torch.no_grad():
        joints = MODEL(torch.zeros(3), torch.zeros(45), torch.zeros(10)).joints.numpy()
    joints = joints - joints[0]
    row: dict[str, Any] = {
        "accepted": True, "reasons": [], "failure": None, "is_right": True, "track_index": track,
        "box_source": "given", "side_source": "given", "unmeasured": [],
        "bbox_xyxy": [8.0, 8.0, 40.0, 40.0], "object_bbox_xyxy": None, "object_id": None,
        "joints_2d": (SCALE_PX_PER_M * joints[:, :2] + 24.0).ravel().tolist(), "joints_3d": joints.ravel().tolist(),
        "camera_scale_px_per_m": SCALE_PX_PER_M, "camera_shift_px": [24.0, 24.0],
        "global_orient": [0.0] * 3, "hand_pose": [0.0] * 45, "betas": [0.0] * 10,
        **dict.fromkeys(MEASUREMENT_NAMES, 0.25), CONFIDENCE: None,
    }  # fmt: skip
    return row | changes


FRAMES: list[list[dict[str, Any]]] = [
    [label(0, box_iou=0.5), label(1, object_bbox_xyxy=[30.0, 30.0, 50.0, 45.0], object_id="mug")],
    [label(0, accepted=False, reasons=["box_iou", "motion_2d"], box_iou=0.25)],
    [],
    [label(0, box_iou=float("nan"), unmeasured=["box_iou:no_mesh"])],
    [label(1, accepted=False, reasons=["not_measured"], failure="no_hand_in_box", joints_2d=None, joints_3d=None,
           global_orient=None, hand_pose=None, betas=None, camera_scale_px_per_m=None, camera_shift_px=None)],
]  # fmt: skip


Told = dict[str, dict[str, dict[int, Any]]]
"""By path, name and number of the frame: what was told."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "labels.rrd"
    rules = Rules((Limit("box_iou", 0.4, "min"),))
    recording = LabelRecording(path, name="clip.mp4", about="# clip.mp4", model=MODEL, rules=rules)
    for number, rows in enumerate(FRAMES):
        recording.add(number, number / 12, GREY, rows)
    recording.close()
    return path


@pytest.fixture(scope="module")
def told(path: Path) -> Told:
    found: Told = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        names = [name for name in batch.schema.names if not name.startswith("rerun.controls")]
        if chunk.is_static or FRAME_LINE not in names:
            continue
        assert set(names) & {TIME_LINE, "log_time", "log_tick"} == {TIME_LINE}
        frames = batch[FRAME_LINE].to_pylist()
        for name in set(names) - {FRAME_LINE, TIME_LINE}:
            for frame, value in zip(frames, batch[name].to_pylist(), strict=True):
                if value is not None:
                    found.setdefault(chunk.entity_path, {}).setdefault(name, {})[frame] = value
    return found


def shown(told: Told, path: str, name: str) -> dict[int, Any]:
    """What a viewer shows of a path in every frame: what was told last, unless it was cleared since."""
    now, found = None, {}
    for frame in range(len(FRAMES)):
        now = None if frame in told[path].get("Clear:is_recursive", {}) else now
        now = told[path].get(name, {}).get(frame, now)
        if now is not None:
            found[frame] = now
    return found


def test_every_frame_is_there_as_a_picture(told: Told) -> None:
    assert sorted(told["/image"]["EncodedImage:blob"]) == list(range(len(FRAMES)))
    data = np.array(told["/image"]["EncodedImage:blob"][0][0], np.uint8)
    np.testing.assert_allclose(cv2.imdecode(data, cv2.IMREAD_COLOR), GREY, atol=2)


def test_accepted_and_refused_hands_lie_apart_and_only_where_there_are_labels(told: Told) -> None:
    assert set(shown(told, "/image/accepted/track_0/box", "Boxes2D:centers")) == {0, 3}
    assert set(shown(told, "/image/refused/track_0/box", "Boxes2D:centers")) == {1}
    assert set(shown(told, "/image/accepted/track_1/box", "Boxes2D:centers")) == {0}
    assert set(shown(told, "/image/refused/track_1/box", "Boxes2D:centers")) == {4}
    for part, name in (("joints", "Points3D:positions"), ("mesh", "Mesh3D:vertex_positions")):
        assert set(shown(told, f"/hands/accepted/track_0/{part}", name)) == {0, 3}
        assert set(shown(told, f"/hands/refused/track_0/{part}", name)) == {1}
    # a hand without an answer has a box, and nothing in it
    assert not [path for path in told if path.startswith("/hands/refused/track_1")]
    assert "/image/refused/track_1/joints" not in told
    assert told["/image/accepted/track_1/object_box"]["Boxes2D:labels"] == {0: ["mug"]}


def test_numbers_are_those_of_the_label(told: Told) -> None:
    row = FRAMES[0][0]
    box = told["/image/accepted/track_0/box"]
    assert box["Boxes2D:centers"][0] == [[24.0, 24.0]]
    assert box["Boxes2D:half_sizes"][0] == [[16.0, 16.0]]
    joints = np.array(told["/image/accepted/track_0/joints"]["Points2D:positions"][0])
    np.testing.assert_allclose(joints.ravel(), row["joints_2d"], atol=1e-4)
    in_metres = np.array(told["/hands/accepted/track_0/joints"]["Points3D:positions"][0])
    np.testing.assert_allclose(in_metres.ravel(), row["joints_3d"], atol=1e-6)
    vertices = np.array(told["/hands/accepted/track_0/mesh"]["Mesh3D:vertex_positions"][0])
    with torch.no_grad():
        posed = MODEL(torch.zeros(3), torch.zeros(45), torch.zeros(10))
    np.testing.assert_allclose(vertices, (posed.vertices - posed.joints[0]).numpy(), atol=1e-5)


def test_a_measurement_that_was_not_taken_ends_its_line(told: Told) -> None:
    line = told["/measurements/box_iou/track_0"]
    assert line["Scalars:scalars"] == {0: [0.5], 1: [0.25]}
    assert sorted(line["Clear:is_recursive"]) == [2]  # and in frame 3 it is still not there
    assert set(told["/measurements/shape_sigma/track_0"]["Scalars:scalars"]) == {0, 1, 3}
    assert told["/measurements/box_iou/limit"]["Scalars:scalars"][4] == [0.4]
    assert not [path for path in told if "confidence" in path]  # nobody calibrated any


def test_verdicts_are_told_in_words_and_in_fields(told: Told) -> None:
    first = told["/verdicts/track_0"]
    texts = {frame: value[0] for frame, value in first["TextLog:text"].items()}
    assert texts[0] == "right 0: accepted"
    assert texts[1] == "right 0: refused: mesh does not fill its box; jumps in the image"
    assert first["TextLog:level"] == {0: ["INFO"], 1: ["WARN"], 3: ["INFO"]}
    fields = told["/labels/track_0"]
    assert fields["accepted"] == {0: [True], 1: [False], 3: [True]}
    assert fields["reasons"] == {0: [], 1: ["box_iou", "motion_2d"], 3: []}
    assert fields["failure"] == {0: [], 1: [], 3: []}
    assert fields["unmeasured"][3] == ["box_iou:no_mesh"]
    assert sorted(fields["Clear:is_recursive"]) == [2, 4]
    assert told["/labels/track_1"]["failure"] == {0: [], 4: ["no_hand_in_box"]}
    assert verdict_in_words(FRAMES[4][0]) == "right 1: no answer: no_hand_in_box"


def test_the_recording_names_its_labels_and_opens_with_a_layout(path: Path) -> None:
    reader = RrdReader(path)
    (entry,) = reader.recordings()
    assert entry.application_id == "hoiray"
    assert len(reader.blueprints()) == 1


def test_colours_are_those_of_the_overlay(told: Told) -> None:
    for verdict, colour, frame in (("accepted", GOOD, 0), ("refused", BAD, 1)):
        packed = told[f"/hands/{verdict}/track_0/mesh"]["Mesh3D:albedo_factor"][frame][0]
        assert tuple(packed.to_bytes(4, "big")) == (*colour, 255)
