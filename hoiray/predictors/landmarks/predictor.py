"""The landmark teacher: hand boxes in, hands of the model out, without any training and without a licensed file.

Where fingers point is told by the tracker that found the hand (:mod:`hoiray.predictors.detector`). In a box that was
given it is found by trying turns until one is sure, and by following the points. Then every view of the ensemble is
read around the upright square, and the hand model is fitted to the image points (:mod:`hoiray.predictors.fit`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.errors import ConfigError, describe
from hoiray.geometry.boxes import clip_to_image
from hoiray.hand.joints import NUM_JOINTS
from hoiray.predictors.fit import FitModel, FitSettings, FittedHands, fit_hands
from hoiray.predictors.landmarks.networks import HandNetworks, Readings
from hoiray.predictors.landmarks.regions import (
    TRIED_TURNS_RAD,
    Regions,
    regions_of_boxes,
    regions_of_points,
    regions_of_upright,
    turned_apart,
)
from hoiray.predictors.landmarks.tracker import LandmarkTracker
from hoiray.predictors.load import choose_device
from hoiray.predictors.protocol import HandPredictions, HandRequest
from hoiray.predictors.versions import ANSWER_VERSIONS

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

NAME: Final = "landmarks"
OUTSIDE: Final = "hand_outside_image"
NO_HAND: Final = "no_hand_in_box"
"""The network sees no hand in the box, however it is turned."""

NOT_FITTED: Final = "not_fitted"
MIN_PRESENCE: Final = 0.5
"""The published graphs' own."""

SURE_PRESENCE: Final = 0.9
MAX_SURE_TURN_RAD: Final = np.pi / 4
"""A turn is sure where the quick network is, and finds the hand no further turned: no other one is tried then."""


@dataclass(frozen=True, eq=False)
class LandmarkPredictor:
    """The landmark networks and the fit, behind the predictors' protocol.

    Attributes:
        networks: on their device.
        hand: the model of the answers.
        model: the same, for the fit.
        settings: of the fit.
        min_presence: below it there is no hand.
        fit_threads: that fit at the same time.
    """

    networks: HandNetworks
    hand: "HandModel"
    model: FitModel
    settings: FitSettings
    min_presence: float = MIN_PRESENCE
    fit_threads: int = 1

    @property
    def name(self) -> str:
        """What a table calls it."""
        return NAME

    @property
    def device(self) -> str:
        """Where the networks are."""
        return self.networks.device

    @property
    def digest(self) -> str:
        """Identity of networks and settings."""
        return f"{self.networks.digest}/{ANSWER_VERSIONS['landmarks']}/{self.settings}/{self.min_presence}"

    @property
    def tip_set(self) -> str:
        """Whose vertices its finger tips are."""
        return self.hand.tip_set

    def predict(self, request: HandRequest) -> HandPredictions:
        """Answer every hand of a request; see the protocol."""
        count = len(request)
        cut = clip_to_image(request.hand_boxes_xyxy, *request.image_size_wh)
        is_inside: npt.NDArray[np.bool_] = np.asarray(np.isfinite(cut).all(axis=1))
        rows = np.flatnonzero(is_inside)
        readings = self._read(request.rows(rows)) if len(rows) else None
        is_seen = np.zeros(count, np.bool_)
        points, world = (np.full((count, NUM_JOINTS, size), np.nan) for size in (2, 3))
        confidence = np.full((count, NUM_JOINTS), np.nan)
        if readings is not None:
            seen = readings.presence >= self.min_presence
            kept = rows[seen]
            is_seen[kept] = True
            points[kept], world[kept] = readings.points_px[seen], readings.points_m[seen]
            confidence[kept] = readings.presence[seen, None]
        fitted = fit_hands(self.model, points, world, request.is_right, self.settings, num_threads=self.fit_threads)
        return _answer(points, confidence, fitted, _failures(is_inside, is_seen, fitted))

    def new_tracker(self) -> LandmarkTracker:
        """Begin to follow the hands of a video; see :class:`hoiray.predictors.detector.FindsHands`."""
        return LandmarkTracker(self.networks, min_presence=self.min_presence)

    def _read(self, request: HandRequest) -> Readings:
        """Read every view of every hand around the square that shows it upright."""
        boxes, frame_index = np.asarray(request.hand_boxes_xyxy, np.float64), request.frame_index
        told = np.full((len(boxes), 4), np.nan) if request.upright_px is None else request.upright_px.reshape(-1, 4)
        # NaN is unlike itself; a square without a side is none either
        told = np.where(np.isfinite(told).all(axis=1, keepdims=True), told, 0.0)
        keys = np.concatenate([frame_index[:, None].astype(np.float64), boxes, told], axis=1)
        unique, hand_of_row = np.unique(keys, axis=0, return_inverse=True)
        regions = self._regions(request.frames, unique)
        return self.networks.read(
            request.frames, frame_index, regions.rows(hand_of_row.reshape(-1)), views=request.views
        )

    def _regions(self, frames: npt.NDArray[np.uint8], hands: npt.NDArray[np.float64]) -> Regions:
        """Return the upright squares of hands (N, 9): frame, box, and two points of the square, 0 where unknown."""
        regions = regions_of_upright(hands[:, 5:].reshape(-1, 2, 2))
        unknown = np.flatnonzero(regions.sides_px == 0.0)
        if len(unknown) == 0:
            return regions
        found = self.find(frames, hands[unknown, 0].astype(np.int64), hands[unknown, 1:5])
        return regions.replaced(unknown, found)

    def find(
        self, frames: npt.NDArray[np.uint8], frame_index: npt.NDArray[np.integer], boxes: npt.ArrayLike
    ) -> Regions:
        """Return the square that shows each boxed hand upright.

        Args:
            frames: (F, H, W, 3).
            frame_index: (N,).
            boxes: (N, 4) px, with an area.
        """
        upright = regions_of_boxes(boxes)
        best = self.networks.read(frames, frame_index, upright, variant="lite")
        is_open = ~_is_sure(best, 0.0)
        for turn in TRIED_TURNS_RAD[1:]:
            rows = np.flatnonzero(is_open)
            if len(rows) == 0:
                break
            other = self.networks.read(frames, frame_index[rows], upright.rows(rows).turned(turn), variant="lite")
            is_better = other.presence > best.presence[rows]
            best = best.replaced(rows[is_better], other.rows(is_better))
            is_open[rows] = ~_is_sure(other, turn)
        first = regions_of_points(best.points_px)
        readings, squares = self.networks.settle(frames, frame_index, first, min_presence=self.min_presence)
        lost = np.flatnonzero(readings.presence < self.min_presence)
        return squares.replaced(lost, first.rows(lost))


def make_landmarks(
    *,
    checkpoint_uri: str | None,
    hand_path: Path | None,
    device: str,
    folder: str | None = None,
    tip_set: str = "ho3d",
    min_presence: float = MIN_PRESENCE,
) -> LandmarkPredictor:
    """Make the teacher, as a run asks for it.

    Args:
        checkpoint_uri: None; its weights are fetched files.
        hand_path: the user's hand model; None for the open hand.
        device: `auto`, `cpu`, `cuda`, ...
        folder: of the files; None for the user's cache.
        tip_set: whose vertices the finger tips are.
        min_presence: 0 to 1; below it there is no hand.

    Raises:
        ConfigError: a checkpoint is named, or an option is out of its range.
        InputError: the files are not there: the message names the command that fetches them.
    """
    import torch

    from hoiray.hand.model import HandModel
    from hoiray.io.landmark_files import default_folder

    if checkpoint_uri is not None:
        fix = "Leave it out: the landmark networks are fetched by `hoiray assets fetch landmarks`."
        raise ConfigError(
            describe(what="teacher.checkpoint_uri", expected=f"none for {NAME}", found=checkpoint_uri, fix=fix)
        )
    if not 0.0 <= min_presence <= 1.0:
        found, fix = str(min_presence), f"Leave it out for {MIN_PRESENCE}."
        raise ConfigError(describe(what="teacher.options.min_presence", expected="0 to 1", found=found, fix=fix))
    networks = HandNetworks(default_folder() if folder is None else Path(folder), device=choose_device(device))
    hand = HandModel.load(hand_path, flat_hand_mean=True, tip_set=tip_set)
    threads = torch.get_num_threads()
    return LandmarkPredictor(networks, hand, FitModel.of(hand), FitSettings(), min_presence, threads)


def _is_sure(readings: Readings, tried_rad: float) -> npt.NDArray[np.bool_]:
    """Tell which hands (N,) lie about as their boxes were turned."""
    turns = regions_of_points(readings.points_px).turns_rad
    is_as_tried = turned_apart(turns, tried_rad) <= MAX_SURE_TURN_RAD
    return np.asarray((readings.presence >= SURE_PRESENCE) & is_as_tried)


def _failures(
    is_inside: npt.NDArray[np.bool_], is_seen: npt.NDArray[np.bool_], fitted: FittedHands
) -> tuple[str | None, ...]:
    is_fitted = np.isfinite(fitted.residual_px)
    rows = zip(is_inside.tolist(), is_seen.tolist(), is_fitted.tolist(), strict=True)
    return tuple(
        OUTSIDE if not inside else NO_HAND if not seen else None if has_fit else NOT_FITTED
        for inside, seen, has_fit in rows
    )


def _answer(
    points_px: npt.NDArray[np.float64],
    confidence: npt.NDArray[np.float64],
    fitted: FittedHands,
    failures: tuple[str | None, ...],
) -> HandPredictions:
    is_failed = np.array([failure is not None for failure in failures], np.bool_)
    points_px[is_failed] = np.nan
    return HandPredictions(
        fitted.joints_3d_m,
        points_px,
        rotations=fitted.rotations,
        betas=fitted.betas,
        joint_confidence=np.where(is_failed[:, None], np.nan, confidence),
        failures=failures,
    )
