from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hoiray.datasets.sample import (
    DeadLetter,
    HandAnnotation,
    ManoParameters,
    Masks,
    ObjectAnnotation,
    ObjectModel,
    Sample,
)
from hoiray.errors import InputError
from hoiray.geometry.cameras import project_points
from hoiray.hand.model import HandModel
from hoiray.report import contact_sheet

K = np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])
CUBE = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=np.float64) * 0.05
CUBE_FACES = np.array([[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4]])
FULL = ManoParameters(np.array([1.5, 0.0, 0.0]), np.zeros(45), np.zeros(10), np.array([-0.05, 0.0, 0.5]))


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.load(flat_hand_mean=True, tip_set="smplx")


@dataclass
class OneImage:
    """A data set in memory: a grey image; the second one cannot be read."""

    name: str = "memory"
    split: str = "train"

    def __len__(self) -> int:
        return 2

    def sample(self, index: int) -> Sample:
        raise AssertionError("the sheet draws the entries it is given")

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        if sample.sample_id == "broken":
            raise InputError("broken.png: expected an image, found half of one. Restore it.")
        return np.full((240, 320, 3), 128, np.uint8)

    def masks(self, sample: Sample) -> Masks | None:
        return None

    def object_model(self, name: str) -> ObjectModel | None:
        return ObjectModel(name, CUBE, CUBE, CUBE_FACES)


def _sample(model: HandModel, *, is_right: bool | None = True) -> Sample:
    hand = HandAnnotation(is_right, mano=FULL, bbox_xyxy=np.array([100.0, 80.0, 200.0, 180.0]))
    with torch.no_grad():
        joints = model(
            *(torch.tensor(np.array(v), dtype=torch.float32) for v in (FULL.global_orient, FULL.hand_pose, FULL.betas)),
            torch.tensor(FULL.transl, dtype=torch.float32),
        ).joints.numpy()
    hand = replace(hand, joints_3d=joints.astype(np.float64))
    T = np.eye(4)
    T[:3, 3] = [0.0, 0.0, 0.45]
    control = project_points(np.concatenate([CUBE, np.zeros((13, 3))]) + T[:3, 3], K)
    return Sample("ok", "r", None, "0", 0, "ok.png", K, (hand,), (ObjectAnnotation("mug", T, control),))


def _colours(cell: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(int(v) for v in row) for row in np.unique(cell.reshape(-1, 3), axis=0)}


def test_a_hand_in_view_is_drawn_where_its_joints_are(model: HandModel) -> None:
    sample = _sample(model)
    frame, close, shaded, outlined = contact_sheet._cells(OneImage(), sample, OneImage().image(sample), model, 200)
    assert close is not None
    assert len(_colours(close)) <= 2  # the bare close-up: grey, and black where it leaves the image
    assert shaded is not None
    assert np.abs(shaded.astype(int) - close).max() > 50
    assert outlined is not None
    assert frame is not None
    box = contact_sheet.region_of_interest(sample, 320, 240)
    assert box is not None
    joints = project_points(sample.hands[0].joints_3d, K)  # type: ignore[arg-type]  # set above
    assert (joints >= box[:2] - 1e-6).all()
    assert (joints <= box[2:] + 1e-6).all()


def test_the_mesh_lies_on_the_joints_of_either_side(model: HandModel) -> None:
    for is_right in (True, False):
        hand = replace(_sample(model).hands[0], is_right=is_right)
        vertices = contact_sheet.posed_vertices(hand, model)
        centre = vertices.mean(axis=0)
        expected_x = model.arrays.v_template.mean(axis=0)[0] * (1 if is_right else -1) + FULL.transl[0]
        assert centre[0] == pytest.approx(expected_x, abs=0.02)


def test_the_colour_tells_the_side() -> None:
    colours = {contact_sheet.colour_of(HandAnnotation(side)) for side in (True, False, None)}
    assert len(colours) == 3


def test_nothing_annotated_shows_the_frame_alone(model: HandModel) -> None:
    bare = Sample("ok", "r", None, None, 0, "ok.png", None)
    cells = contact_sheet._cells(OneImage(), bare, OneImage().image(bare), model, 100)
    assert cells[0] is not None
    assert cells[1:] == [None, None, None]


def test_a_hand_far_outside_the_image_has_no_close_up() -> None:
    hand = HandAnnotation(True, joints_2d_px=np.full((21, 2), 5000.0))
    sample = Sample("x", "r", None, None, 0, "x.png", None, (hand,))
    assert contact_sheet.region_of_interest(sample, 320, 240) is None


def test_a_dead_letter_takes_a_row_and_says_why(model: HandModel) -> None:
    broken = replace(_sample(model), sample_id="broken")
    entries = [_sample(model), broken, DeadLetter("k", "read annotation", "k.pkl: no key 'handPose'")]
    sheet = contact_sheet.draw_contact_sheet(OneImage(), entries, model, cell_px=120)
    assert sheet.dtype == np.uint8
    assert sheet.shape[0] > 3 * 120
    letters = contact_sheet._dead_cells(DeadLetter("k", "s", "reason " * 20), 120)[0]
    assert letters is not None
    assert (letters < 200).any()


def test_the_close_up_follows_the_hands_and_what_they_touch() -> None:
    hand = HandAnnotation(None, bbox_xyxy=np.array([100.0, 100.0, 140.0, 150.0]))
    held = ObjectAnnotation("0001", bbox_xyxy=np.array([130.0, 120.0, 180.0, 160.0]))
    apart = ObjectAnnotation("0002", bbox_xyxy=np.array([280.0, 200.0, 330.0, 230.0]))
    sample = Sample("x", "r", None, None, 0, "x.png", None, (hand,), (held, apart))
    np.testing.assert_allclose(contact_sheet.region_of_interest(sample, 320, 240), [100, 100, 180, 160])
    without_hand = replace(sample, hands=())
    np.testing.assert_allclose(contact_sheet.region_of_interest(without_hand, 320, 240), [130, 120, 319, 230])
