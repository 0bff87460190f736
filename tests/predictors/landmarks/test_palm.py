import numpy as np
import pytest

from hoiray.geometry.crops import apply_affine
from hoiray.predictors.landmarks.palm import INPUT_PX, anchors, decode_palms, letterbox

NUM_ANCHORS = 2016


def _answer(found: dict[int, tuple[float, tuple[float, float, float, float]]]) -> tuple[np.ndarray, np.ndarray]:
    """What the network says where palms (score's logit, centre and size, px of the input) are at these anchors."""
    regressions, logits = np.zeros((NUM_ANCHORS, 18)), np.full((NUM_ANCHORS, 1), -50.0)
    origin = anchors() * INPUT_PX
    for anchor, (logit, (x, y, width, height)) in found.items():
        logits[anchor] = logit
        regressions[anchor, :4] = [x - origin[anchor, 0], y - origin[anchor, 1], width, height]
        regressions[anchor, 4:] = np.tile([x - origin[anchor, 0], y - origin[anchor, 1]], 7)
    return regressions, logits


def test_anchors_are_the_centres_of_the_cells_of_both_layers() -> None:
    grid = anchors()
    assert grid.shape == (NUM_ANCHORS, 2)
    np.testing.assert_allclose(grid[:4] * 24, [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5], [1.5, 0.5]])
    np.testing.assert_allclose(grid[2 * 24 * 24] * 12, [0.5, 0.5])
    np.testing.assert_allclose(grid[-1] * 12, [11.5, 11.5])


@pytest.mark.parametrize(("width", "height"), [(640, 480), (240, 426), (192, 192)])
def test_a_whole_frame_lies_in_the_middle_of_the_input(width: int, height: int) -> None:
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    low, high = apply_affine(letterbox(width, height), corners)
    np.testing.assert_allclose(low + high, INPUT_PX - 1.0)
    assert (high - low).max() == pytest.approx(INPUT_PX)


def test_answers_of_one_palm_are_averaged_by_their_scores() -> None:
    size = (40.0, 40.0)
    answer = _answer(
        {100: (10.0, (60.0, 50.0, *size)), 101: (0.0, (66.0, 50.0, *size)), 900: (2.0, (140.0, 150.0, *size))}
    )
    palms = decode_palms(*answer, np.eye(3))
    assert len(palms) == 2
    assert palms.scores == pytest.approx([1.0, 1 / (1 + np.exp(-2.0))], abs=1e-3)
    centre = (palms.boxes_xyxy[0, :2] + palms.boxes_xyxy[0, 2:]) / 2
    # weights 1 and 1/2; pixel centres are integers: half a pixel less than in the network
    np.testing.assert_allclose(centre, [62.0 - 0.5, 50.0 - 0.5], atol=1e-3)
    np.testing.assert_allclose(palms.points_px[1], np.tile([139.5, 149.5], (7, 1)))


def test_palms_are_told_in_px_of_the_frame() -> None:
    A = letterbox(640, 480)
    centre = apply_affine(A, np.array([[400.0, 120.0]]))[0] + 0.5
    palms = decode_palms(*_answer({7: (5.0, (*centre, 30.0, 30.0))}), A)
    np.testing.assert_allclose(palms.points_px[0, 0], [400.0, 120.0])
    np.testing.assert_allclose(palms.boxes_xyxy[0, 2:] - palms.boxes_xyxy[0, :2], 100.0)


def test_a_frame_without_palms_has_none() -> None:
    palms = decode_palms(*_answer({}), np.eye(3))
    assert len(palms) == 0
    assert palms.boxes_xyxy.shape == (0, 4)
    assert palms.points_px.shape == (0, 7, 2)
