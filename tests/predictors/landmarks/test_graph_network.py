"""`data/interpreter_outputs.npz` was written by LiteRT's own interpreter (ai-edge-litert 2.3.0) for `_pattern`.

Every output of the four files for two pictures; of the palm networks every 16th anchor. It was made by setting the
input tensor, `invoke()`, and `get_tensor` of each output in the order of the file's list of outputs.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from landmark_files import needs_landmarks, network_file

from hoiray.io.tflite import Graph, Operator, read_graph
from hoiray.predictors.landmarks.graph_network import GraphNetwork

REFERENCE = Path(__file__).parent / "data" / "interpreter_outputs.npz"
SIDES_PX = {
    "palm_detection_full": 192,
    "palm_detection_lite": 192,
    "hand_landmark_full": 224,
    "hand_landmark_lite": 224,
}
TOLERANCE_PX = 5e-4
"""Both add in float32, in another order: up to 1.8e-4 px was seen."""


def _pattern(size: int, seed: int) -> npt.NDArray[np.float32]:
    y, x = np.mgrid[:size, :size] / size
    waves = [
        np.sin(2 * np.pi * ((3 + seed) * x + k * y) + seed) * np.cos(2 * np.pi * (2 * y - k * x * seed))
        for k in range(3)
    ]
    return np.clip(0.5 + 0.4 * np.stack(waves), 0, 1).astype(np.float32)


@needs_landmarks
@pytest.mark.parametrize("name", SIDES_PX)
def test_a_network_answers_as_the_interpreter_does(name: str) -> None:
    network = GraphNetwork(read_graph(network_file(name)))
    images = torch.from_numpy(np.stack([_pattern(SIDES_PX[name], seed) for seed in (1, 2)]))
    with torch.inference_mode():
        found = [output.numpy() for output in network(images)]
    with np.load(REFERENCE) as data:
        expected = [data[f"{name}/{number}"] for number in range(len(found))]
    for ours, theirs in zip(found, expected, strict=True):
        sampled = ours[:, ::16] if name.startswith("palm") else ours
        assert np.abs(theirs).max() > 0
        np.testing.assert_allclose(sampled, theirs, rtol=0, atol=TOLERANCE_PX)


@needs_landmarks
def test_a_crop_is_read_the_same_in_any_company() -> None:
    network = GraphNetwork(read_graph(network_file("hand_landmark_lite")))
    images = torch.from_numpy(np.stack([_pattern(224, seed) for seed in (1, 2, 3)]))
    with torch.inference_mode():
        together, alone = network(images)[0], network(images[2:])[0]
    torch.testing.assert_close(together[2:], alone, rtol=0, atol=TOLERANCE_PX)


def _one(operator: Operator, constants: dict[int, npt.NDArray[np.generic]], shape: tuple[int, ...]) -> GraphNetwork:
    return GraphNetwork(Graph((operator,), constants, {0: (), 9: shape}, (0,), (9,)))


def test_same_padding_puts_the_odd_pixel_behind() -> None:
    weight = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    options = {"padding": 0, "stride": 2, "activation": 0}
    network = _one(Operator("conv_2d", (0, 1, 2), (9,), options), {1: weight, 2: np.zeros(1, np.float32)}, (1, 2, 2, 1))
    image = np.random.default_rng(0).random((4, 4)).astype(np.float32)
    padded = np.pad(image, ((0, 1), (0, 1)))  # 4 px, stride 2, size 3: one pixel is missing, and it is added behind
    expected = [[(padded[r : r + 3, c : c + 3] * weight[0, ..., 0]).sum() for c in (0, 2)] for r in (0, 2)]
    found = network(torch.from_numpy(image)[None, None])[0]
    np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-5)
    # of three columns none is missing but one on either side
    padded = np.pad(image[:, :3], ((0, 1), (1, 1)))
    expected = [[(padded[r : r + 3, c : c + 3] * weight[0, ..., 0]).sum() for c in (0, 2)] for r in (0, 2)]
    found = network(torch.from_numpy(image[:, :3].copy())[None, None])[0]
    np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-5)


def test_a_depthwise_convolution_keeps_channels_apart() -> None:
    weight = np.array([2.0, 3.0], np.float32).reshape(1, 1, 1, 2)
    options = {"padding": 1, "stride": 1, "activation": 3}
    bias = np.array([0.0, -1.0], np.float32)
    network = _one(Operator("depthwise_conv_2d", (0, 1, 2), (9,), options), {1: weight, 2: bias}, (1, 1, 1, 2))
    image = torch.tensor([[[[1.5]], [[4.0]]]])
    assert network(image)[0].flatten().tolist() == [3.0, 6.0]  # 4 * 3 - 1 = 11, cut to 6


def test_a_reshape_reads_pixels_before_channels() -> None:
    network = _one(Operator("reshape", (0, 1), (9,), {}), {1: np.zeros(3, np.int32)}, (1, 4, 2))
    image = torch.arange(8.0).reshape(1, 2, 2, 2)  # channel 0 holds 0 to 3, channel 1 holds 4 to 7
    assert network(image)[0].tolist() == [[[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]]


def test_padding_of_channels_is_not_one_of_pixels() -> None:
    amounts = np.array([[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)
    network = _one(Operator("pad", (0, 1), (9,), {}), {1: amounts}, (1, 2, 2, 3))
    assert network(torch.ones(1, 1, 2, 2))[0].shape == (1, 3, 2, 2)
