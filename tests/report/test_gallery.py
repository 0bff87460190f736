import base64
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from hoiray.errors import InputError
from hoiray.hand.model import HandModel
from hoiray.report import gallery
from hoiray.report.gallery import CELL_PX, STILL_PX, draw_pictures

MODEL = HandModel.load(None, flat_hand_mean=True, tip_set="ho3d")
BLUE = (20, 30, 200)


def label(video: str, frame: int, **changes: Any) -> dict[str, Any]:
    joints = np.linspace([40.0, 30.0], [80.0, 70.0], 21)
    values = {
        "video_id": video,
        "frame_index": frame,
        "accepted": True,
        "is_right": True,
        "bbox_xyxy": [30.0, 20.0, 90.0, 80.0],
        "joints_2d": joints.ravel().tolist(),
        "global_orient": [0.0, 0.0, 0.0],
        "hand_pose": [0.0] * 45,
        "betas": [0.0] * 10,
        "camera_scale_px_per_m": 300.0,
        "camera_shift_px": [60.0, 50.0],
    }
    return values | changes


class Videos:
    """Blue frames; remembers what was asked for."""

    def __init__(self, *, broken: str = "") -> None:
        self.asked: list[tuple[str, list[int]]] = []
        self.broken = broken

    def __call__(self, video: str, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        self.asked.append((video, list(numbers)))
        for number in numbers:
            if video == self.broken and number > 0:
                raise InputError("it ends here")
            yield number, np.full((100, 120, 3), BLUE, np.uint8)


def decoded(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR))[..., ::-1]


def test_each_video_is_asked_once_for_growing_frames() -> None:
    rows = {5: label("a", 3), 2: label("a", 1), 9: label("b", 0), 7: label("a", 3)}
    videos = Videos()
    pictures = draw_pictures(rows, [5, 9], [2, 5, 7], videos, None)
    assert videos.asked == [("a", [1, 3]), ("b", [0])]
    assert set(pictures.close_ups) == set(pictures.bare) == {5, 9}
    assert set(pictures.stills) == {2, 5, 7}


def test_a_close_up_is_sharp_and_the_frame_beside_it_holds_no_invented_pixel() -> None:
    pictures = draw_pictures({0: label("a", 0)}, [0], [0], Videos(), MODEL)
    close, bare, still = (decoded(of[0]) for of in (pictures.close_ups, pictures.bare, pictures.stills))
    assert close.shape == (CELL_PX, CELL_PX, 3)
    assert still.shape == (STILL_PX, STILL_PX, 3)
    assert bare.shape[0] == pytest.approx(60 * 1.9, abs=1)
    assert np.abs(bare[40, 40].astype(int) - BLUE).max() < 8


def test_the_mesh_is_green_where_the_label_is_accepted_and_orange_where_it_is_refused() -> None:
    still = {}
    for accepted in (True, False):
        pictures = draw_pictures({0: label("a", 0, accepted=accepted)}, [], [0], Videos(), MODEL)
        still[accepted] = decoded(pictures.stills[0]).astype(int)
    changed = np.abs(still[True] - still[False]).sum(axis=-1) > 60
    assert 0.01 < changed.mean() < 0.5
    assert still[True][changed][:, 1].mean() > still[False][changed][:, 1].mean()
    assert still[True][changed][:, 0].mean() < still[False][changed][:, 0].mean()


def test_a_broken_video_costs_its_pictures_and_no_other() -> None:
    rows = {0: label("a", 0), 1: label("a", 1), 2: label("b", 0)}
    pictures = draw_pictures(rows, [0, 1, 2], [], Videos(broken="a"), None)
    assert set(pictures.close_ups) == {0, 2}
    assert pictures.missing == {"a": "it ends here"}


def test_no_more_is_drawn_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {number: label("a", number) for number in range(10)}
    whole = draw_pictures(rows, list(range(10)), [], Videos(), None)
    monkeypatch.setattr(gallery, "MAX_PICTURE_BYTES", whole.num_bytes // 2)
    half = draw_pictures(rows, list(range(10)), [], Videos(), None)
    assert half.num_bytes <= whole.num_bytes // 2
    assert 3 <= len(half.close_ups) <= 5
