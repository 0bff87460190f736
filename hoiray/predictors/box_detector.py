"""Hands found by a detection network of torchvision whose weights the user gives, followed by the overlap of boxes.

The weights are a file: nothing is downloaded, not for the trunk either. torchvision's networks answer in coordinates in
which the first pixel reaches from 0 to 1; hoiray's has its centre at 0.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.config.what import HAND_CLASSES, Detector
from hoiray.errors import ContractError, describe
from hoiray.geometry import boxes
from hoiray.predictors.detector_tracks import FrameHands, IouTracker

if TYPE_CHECKING:
    from torch import Tensor, nn

FloatArray = npt.NDArray[np.floating]

EDGE_TO_CENTRE_PX: Final = -0.5
"""From torchvision's coordinates, in which a pixel begins at its number, to those of pixel centres."""

SAME_HAND_IOU: Final = 0.5
"""Boxes of one frame that overlap more are one hand, of whatever class they are; torchvision's own limit in a class."""

_VERSION: Final = 1
"""Of everything here that changes boxes; part of the digest."""


@dataclass(frozen=True, eq=False)
class BoxDetector:
    """A detection network that finds hands: :class:`hoiray.predictors.detector.FindsHands`.

    Attributes:
        network: in evaluation mode, on its device; answers as torchvision's do.
        classes: what its labels 0, 1, ... mean; see :data:`hoiray.config.what.HAND_CLASSES`.
        min_score: below it there is no hand.
        digest: of weights and settings.
        device: where it computes.
    """

    network: "nn.Module"
    classes: tuple[str, ...]
    min_score: float
    digest: str
    device: str = "cpu"

    def new_tracker(self) -> IouTracker:
        """Begin a video."""
        return IouTracker(self.detect)

    def detect(self, image: npt.NDArray[np.uint8]) -> FrameHands:
        """Find the hands of a frame.

        Args:
            image: (H, W, 3) RGB.

        Returns:
            Boxes in px of the frame, best first; a box that overlaps a better one is part of it and tells its side.
        """
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1).float() / 255.0
        with torch.inference_mode():
            answer = self.network([pixels])[0]
        found, labels, scores = (_on_host(answer[name]) for name in ("boxes", "labels", "scores"))
        right_of_label = np.array([HAND_CLASSES.get(name, np.nan) for name in self.classes])
        rights = right_of_label[labels.astype(np.int64)]
        is_hand = np.isfinite(rights) & (scores >= self.min_score) & np.asarray(boxes.is_valid(found))
        return merged(found[is_hand] + EDGE_TO_CENTRE_PX, rights[is_hand], scores[is_hand])


def merged(boxes_xyxy: FloatArray, rights: FloatArray, scores: FloatArray) -> FrameHands:
    """Make one hand of boxes that overlap: the best one's box, and the side that all of them say by their scores.

    Args:
        boxes_xyxy: (N, 4).
        rights: (N,) 1: a right hand, 0: a left one, 0.5: a hand.
        scores: (N,) above 0.
    """
    order = np.argsort(-scores, kind="stable")
    overlap = np.nan_to_num(boxes.iou_matrix(boxes_xyxy, boxes_xyxy))
    kept: list[int] = []
    told: list[list[int]] = []
    for row in order.tolist():
        same = next((place for place, other in enumerate(kept) if overlap[other, row] > SAME_HAND_IOU), None)
        if same is None:
            kept.append(row)
            told.append([row])
        else:
            told[same].append(row)
    right = [float(np.average(rights[rows], weights=scores[rows])) for rows in told]
    return FrameHands(boxes_xyxy[kept].reshape(-1, 4), np.array(right, np.float64))


def load_detector(settings: Detector, *, device: str) -> BoxDetector:
    """Load the detector of a run.

    Args:
        settings: which network, where its weights are, and what its labels mean.
        device: `cpu`, `cuda`, ...; `auto` takes an accelerator where there is one.

    Raises:
        InputError: the weights are not there.
        ContractError: they are no file of weights, or not of this network and number of classes.
        ConfigError: there is no such device.
    """
    from hoiray.io.store import open_uri
    from hoiray.models.pretrained import parse_state_dict
    from hoiray.predictors.load import choose_device

    store, key = open_uri(settings.checkpoint_uri)
    data = store.read(key)
    network = _network(settings)
    _fill(network, parse_state_dict(data, name=settings.checkpoint_uri), settings)
    chosen = choose_device(device)
    told = f"{hashlib.sha256(data).hexdigest()}/{_VERSION}/{settings.model_dump_json(exclude={'checkpoint_uri'})}"
    digest = hashlib.sha256(told.encode()).hexdigest()
    return BoxDetector(network.eval().to(chosen), tuple(settings.classes), settings.min_score, digest, chosen)


def _network(settings: Detector) -> "nn.Module":
    """Build the network of random weights."""
    from torchvision.models import get_model

    count = len(settings.classes)
    network: nn.Module = get_model(settings.architecture, weights=None, weights_backbone=None, num_classes=count)
    return network


def _fill(network: "nn.Module", found: "dict[str, Tensor]", settings: Detector) -> None:
    """Put weights into a network; all of them have to fit.

    Raises:
        ContractError: names what is missing, and what is foreign.
    """
    from hoiray.models.pretrained import difference

    wanted: dict[str, Any] = network.state_dict()
    fitting = {name: value for name, value in found.items() if name in wanted and value.shape == wanted[name].shape}
    # frozen norms, as a network has that was begun from published weights, count no batches
    missing = [name for name in wanted if name not in fitting and not name.endswith("num_batches_tracked")]
    foreign = [name for name in found if name not in fitting]
    if missing or foreign:
        expected = f"the weights of torchvision's {settings.architecture} for {len(settings.classes)} classes"
        fix = "Set detector.architecture and detector.classes (background is the first) to what was trained."
        what = f"detector {settings.checkpoint_uri}"
        raise ContractError(describe(what=what, expected=expected, found=difference(missing, foreign), fix=fix))
    network.load_state_dict(fitting, strict=False)


def _on_host(values: "Tensor") -> FloatArray:
    array: FloatArray = values.double().cpu().numpy()
    return array
