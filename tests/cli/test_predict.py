"""Pictures and videos in, drawn pictures, a video and the numbers out; with a real, untrained network."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluated_set import write_network

from hoiray.cli.predict import PredictionRequest, predict
from hoiray.errors import ConfigError, InputError
from hoiray.io.encode import VIDEO_CODECS, encode_video

BOX = "40,30,110,100"


def picture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (120, 160, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 3).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> PredictionRequest:
    folder = tmp_path_factory.mktemp("predicted")
    write_network(folder / "net.safetensors")
    cv2.imwrite(str(folder / "cup.png"), picture()[..., ::-1])
    frames = (picture(seed) for seed in range(5))
    (folder / "clip.mp4").write_bytes(encode_video(frames, VIDEO_CODECS["mp4"], fps=12.0, size_wh=(160, 120)))
    lines = ["v 0 0 0", "v 0.05 0 0", "v 0 0.08 0", "v 0 0 0.1", "f 1 3 2", "f 1 2 4", "f 1 4 3", "f 2 3 4"]
    (folder / "thing.obj").write_text("\n".join(lines))
    return PredictionRequest((folder / "cup.png",), str(folder / "net.safetensors"), folder / "out", box=BOX)


def test_a_picture_is_drawn_and_its_numbers_are_written(asked: PredictionRequest) -> None:
    out = asked.out / "a"
    thing = asked.inputs[0].with_name("thing.obj")
    predict(
        replace(asked, out=out, object_box="70,40,150,110", attention=True, object_mesh=thing, camera="150,150,80,60")
    )
    drawn = cv2.imread(str(out / "cup_predicted.png"))
    assert drawn is not None
    assert drawn.shape == (120, 160, 3)
    assert (drawn[..., ::-1] != picture()).any()
    attention = cv2.imread(str(out / "cup_attention_0.png"))
    assert attention is not None
    assert attention.shape[1] > 6 * 256
    (row,) = json.loads((out / "predictions.json").read_text())
    assert (row["file"], row["frame_index"], row["is_right"], row["failure"]) == ("cup.png", 0, True, None)
    assert np.shape(row["joints_3d_m"]) == (21, 3)
    assert np.shape(row["rotations"]) == (16, 3, 3)
    assert row["wrist_m"] is not None
    assert row["object_failure"] is not None or np.shape(row["T_cam_obj"]) == (4, 4)
    assert np.shape(row["control_points_2d_px"]) == (21, 2)


def test_without_a_camera_nothing_is_placed_and_a_left_hand_stays_left(asked: PredictionRequest) -> None:
    out = asked.out / "b"
    predict(replace(asked, out=out, is_left=True))
    (row,) = json.loads((out / "predictions.json").read_text())
    assert row["is_right"] is False
    assert row["wrist_m"] is None
    assert row["T_cam_obj"] is None
    assert row["object_failure"] == "no_object_box"
    assert not list(out.glob("*attention*"))


def test_a_video_keeps_its_frames_and_only_boxed_ones_are_drawn(asked: PredictionRequest, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.json"
    hand = {"hand_box": [40, 30, 110, 100], "is_right": True}
    boxes.write_text(json.dumps([{"key": "1", **hand}, {"key": "1", **hand, "is_right": False}, {"key": 3, **hand}]))
    clip = asked.inputs[0].with_name("clip.mp4")
    predict(replace(asked, inputs=(clip,), out=tmp_path / "out", box=None, boxes=boxes))
    table = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [(row["frame_index"], row["hand_index"], row["is_right"]) for row in table] == [
        (1, 0, True), (1, 1, False), (3, 0, True)
    ]  # fmt: skip
    assert len(table[0]["joints_3d_m"]) == 63
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip_predicted.mp4"))
    drawn = []
    while (found := capture.read())[0]:
        drawn.append(found[1][..., ::-1].astype(float))
    assert len(drawn) == 5
    source = [picture(seed) for seed in range(5)]
    # around the box's edge, where only a drawn frame has a line
    changes = [float(np.abs(a - b)[28:34, 38:112].mean()) for a, b in zip(drawn, source, strict=True)]
    assert min(changes[1], changes[3]) > 1.5 * max(changes[0], changes[2], changes[4])


def test_the_numbers_do_not_depend_on_the_batch_of_frames(asked: PredictionRequest, tmp_path: Path) -> None:
    clip = asked.inputs[0].with_name("clip.mp4")
    predict(replace(asked, inputs=(clip, asked.inputs[0]), out=tmp_path))
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 5
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"box": None}, "no hand detector yet.*--box x0,y0,x1,y1"),
        ({"boxes": Path("x.json")}, "--box or --boxes"),
        ({"inputs": (Path("a.gif"),)}, r"a picture \(.png"),
        ({"camera": "1,2,3"}, "--camera"),
        ({"attention_at": ("0.5",)}, "--attention-at"),
    ],
)
def test_a_request_that_lacks_something_says_what(
    asked: PredictionRequest, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        predict(replace(asked, **changed))  # type: ignore[arg-type]  # one of the fields


def test_a_box_that_is_none_and_a_missing_picture_are_input_errors(asked: PredictionRequest) -> None:
    with pytest.raises(InputError, match="--box"):
        predict(replace(asked, box="1,2,3"))
    with pytest.raises(InputError, match="nothing there"):
        predict(replace(asked, inputs=(asked.inputs[0].with_name("none.png"),)))
