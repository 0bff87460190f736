from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hoiray.config.what import Detector
from hoiray.errors import ContractError, InputError
from hoiray.predictors.box_detector import BoxDetector, load_detector, merged
from hoiray.predictors.detector import FindsHands

SIDE_PX = 64
"""Of the one anchor, and of the square that stands for a hand."""

SIZE_WH = (256, 192)


class Brightness(nn.Module):
    """A trunk of one map: the mean brightness, red and blue, of every square of the anchor's size, 8 px apart."""

    out_channels = 2

    def forward(self, images: Tensor) -> Tensor:
        means = nn.functional.avg_pool2d(images[:, [0, 2]], SIDE_PX, 8, padding=SIDE_PX // 2)
        # the pooled square k reaches from 8k - 32 on; anchors are centred at 8k
        return means[:, :, : images.shape[2] // 8, : images.shape[3] // 8]


def find_squares() -> nn.Module:
    """torchvision's RetinaNet with weights by hand: class 1 are blue squares, class 2 red ones, at their anchors."""
    from torchvision.models.detection import RetinaNet
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    width, height = SIZE_WH
    network = RetinaNet(
        Brightness(), num_classes=3, anchor_generator=AnchorGenerator(((SIDE_PX,),), ((1.0,),)),
        min_size=height, max_size=width, image_mean=[0.0] * 3, image_std=[1.0] * 3,
    )  # fmt: skip
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        for head in (network.head.classification_head, network.head.regression_head):
            for layer in head.conv:
                for channel in range(2):
                    layer[0].weight[channel, channel, 1, 1] = 1.0
        logits = network.head.classification_head.cls_logits
        logits.bias.fill_(-20.0)
        logits.weight[1, 1, 1, 1] = logits.weight[2, 0, 1, 1] = 24.0
    return network.eval()


def image_of(*squares: tuple[int, int, int]) -> np.ndarray:
    """Black, with squares at (x, y) in a channel."""
    image = np.zeros((SIZE_WH[1], SIZE_WH[0], 3), np.uint8)
    for x, y, channel in squares:
        image[y : y + SIDE_PX, x : x + SIDE_PX, channel] = 255
    return image


@pytest.fixture(scope="module")
def detector() -> BoxDetector:
    return BoxDetector(find_squares(), ("background", "left_hand", "right_hand"), 0.6, "0")


def test_a_box_lies_around_the_pixels_of_its_hand(detector: BoxDetector) -> None:
    found = detector.detect(image_of((40, 80, 0)))
    # pixel centres are at integers: pixels 40 to 103 reach from 39.5 to 103.5
    np.testing.assert_allclose(found.boxes_xyxy, [[39.5, 79.5, 103.5, 143.5]], atol=1e-3)
    assert found.right.tolist() == [1.0]


def test_classes_tell_sides_and_what_is_no_hand_is_left_out(detector: BoxDetector) -> None:
    image = image_of((16, 16, 0), (160, 96, 2))
    found = detector.detect(image)
    assert sorted(zip(found.boxes_xyxy[:, 0].round(1), found.right, strict=True)) == [(15.5, 1.0), (159.5, 0.0)]
    other = BoxDetector(detector.network, ("background", "cup", "hand"), 0.6, "0")
    assert other.detect(image).right.tolist() == [0.5]
    assert len(detector.detect(image_of()).boxes_xyxy) == 0


def test_a_hand_keeps_its_number_through_a_video(detector: BoxDetector) -> None:
    assert isinstance(detector, FindsHands)
    tracker = detector.new_tracker()
    told = [tracker.step(number, image_of((16 + 8 * number, 16, 0), (168, 96, 2))) for number in range(3)]
    by_side = [dict(zip(hands.is_right.tolist(), hands.hand_index.tolist(), strict=True)) for hands in told]
    assert by_side[0] == by_side[1] == by_side[2]
    assert set(by_side[0]) == {True, False}
    # such boxes made the crops: whoever compares with them is told so
    assert [hands.sources for hands in told] == [("detected",) * 2, ("tracked",) * 2, ("tracked",) * 2]


def test_boxes_that_overlap_are_one_hand_whose_side_all_of_them_tell() -> None:
    boxes = np.array([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [50.0, 0.0, 60.0, 10.0]])
    hands = merged(boxes, np.array([0.0, 1.0, 1.0]), np.array([0.9, 0.6, 0.7]))
    assert hands.boxes_xyxy.tolist() == [boxes[0].tolist(), boxes[2].tolist()]
    np.testing.assert_allclose(hands.right, [0.4, 1.0])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a small published architecture with two classes, as torchvision's own training script saves them."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("detector") / "hands.pth"
    network = get_model("ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None, num_classes=2)
    torch.save({"model": network.state_dict(), "epoch": 3}, path)
    return path


def settings(path: Path, **changes: object) -> Detector:
    values = {"architecture": "ssdlite320_mobilenet_v3_large", "checkpoint_uri": str(path), "min_score": 0.0}
    return Detector.model_validate(values | changes)


def test_a_users_file_fills_torchvisions_network(checkpoint: Path) -> None:
    detector = load_detector(settings(checkpoint), device="cpu")
    state = torch.load(checkpoint, weights_only=True)["model"]
    assert all(torch.equal(value, state[name]) for name, value in detector.network.state_dict().items())
    found = detector.detect(image_of((16, 16, 0)))
    assert len(found.boxes_xyxy) > 0  # of random weights every score is enough
    assert np.isfinite(found.boxes_xyxy).all()
    assert (found.right == 0.5).all()


def test_other_settings_are_another_detector(checkpoint: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.pth"
    moved.write_bytes(checkpoint.read_bytes())
    digests = [load_detector(settings(*one), device="cpu").digest for one in [(checkpoint,), (moved,)]]
    assert digests[0] == digests[1]
    assert load_detector(settings(checkpoint, min_score=0.5), device="cpu").digest != digests[0]


def test_weights_of_another_network_are_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ContractError, match=r"of torchvision's ssdlite320_mobilenet_v3_large for 3 classes, found 12 mi"
    ):
        load_detector(settings(checkpoint, classes=["background", "object", "hand"]), device="cpu")
    with pytest.raises(InputError, match=r"none\.pth"):
        load_detector(settings(tmp_path / "none.pth"), device="cpu")
