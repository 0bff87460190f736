"""The predictor that costs nothing keeps the protocol, and puts its hand where the boxes are."""

import numpy as np

from hoiray.benchmarks.free_predictor import make, stretched_hand_m
from hoiray.geometry.boxes import from_points
from hoiray.predictors.protocol import HandRequest, Predictor


def test_a_hand_lies_in_each_box_whatever_is_in_the_picture() -> None:
    predictor = make(checkpoint_uri=None, hand_path=None, device="cpu")
    assert isinstance(predictor, Predictor)
    boxes = np.array([[10.0, 20.0, 50.0, 60.0], [5.0, 5.0, 25.0, 45.0]])
    request = HandRequest.make(np.zeros((1, 80, 80, 3), np.uint8), [0, 0], boxes, [True, False])
    answer = predictor.predict(request)
    assert answer.joints_3d_m.shape == (2, 21, 3)
    for pixels, box in zip(answer.joints_2d_px, boxes, strict=True):
        found = from_points(pixels)
        side = (box[2:] - box[:2]).max()
        assert np.all(np.abs((found[:2] + found[2:] - box[:2] - box[2:]) / 2) < side / 2)
        assert 0.3 * side < (found[2:] - found[:2]).max() < 1.5 * side


def test_its_hand_is_a_hand() -> None:
    joints = stretched_hand_m()
    lengths = np.linalg.norm(joints[4::4] - joints[0], axis=1)
    np.testing.assert_allclose(lengths, 0.16)
