"""An ensemble that ends early: the views of a hand that could still change its verdict, and no others.

1. One view of every hand. A hand whose mesh does not fill its box, or whose 3D no camera brings near its 2D, by the
   paper's own measurements and a margin, is hopeless: it stays with one view.
2. The others get a few more. Where these members agree, the rest would say the same: they are enough.
3. The rest get all views.

The bounds were calibrated on one synthetic wild set and tried on another. A verdict hangs on more than a view can tell:
of the labels that 8 views accept, 7 of these views accept 91 % and 4 of them 68 to 74 %, since motion between two
frames is held against a limit that most hands are near. So the bound on agreement is small, and what is saved is saved
on hands that are refused anyway.

What a hand gets follows from its key, its picture and the bounds, never from its company: hands that go on are passed
on in portions of a fixed size, filled up with repetitions, so that a network sees the same shapes whoever is in a batch
(:mod:`hoiray.stages.predict` does the same one level up). The views themselves are those of the whole ensemble, in its
order, so a hand that goes through to the end has the very members it would have had.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.config.what import Cascade, Ensemble
from hoiray.datasets.augment import Views
from hoiray.errors import ContractError, describe
from hoiray.filters.spatial import MEASURED_HERE, Hands, measure_spatial, mesh_extent
from hoiray.geometry import boxes
from hoiray.hand.joints import NUM_JOINTS
from hoiray.predictors.ensemble import Fused, draw_ensemble_views, fuse, predict_ensemble, require_rows
from hoiray.predictors.meshes import mesh_about_wrist
from hoiray.predictors.protocol import BoolArray, FloatArray, HandPredictions, HandRequest, Predictor

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

NOT_ASKED: Final = "not_asked"
"""Stands where a view was not predicted; a hand itself never fails for it."""

PORTIONS: Final = 4
"""Parts of a batch in which hands go on: the more, the fewer repetitions fill up the last one; the fewer, the better a
device is used."""


@dataclass(frozen=True, eq=False)
class Cascaded:
    """What came of a cascade.

    Attributes:
        fused: the answer; `num_members` says how many views a hand has had, but for those that failed.
        num_views: (B,) int16 views that were predicted of each hand.
        num_passes: crops that went through the predictor, repetitions included.
    """

    fused: Fused
    num_views: npt.NDArray[np.int16]
    num_passes: int


def predict_views(predictor: Predictor, request: HandRequest, keys: Sequence[str], ensemble: Ensemble) -> Fused:
    """Predict every hand in as many views as the ensemble says: all of them, or as its cascade decides.

    Raises:
        ContractError: the keys do not fit the request, or the predictor breaks its contract.
    """
    if ensemble.cascade is None:
        return predict_ensemble(predictor, request, keys, ensemble)
    return predict_cascade(predictor, request, keys, ensemble, ensemble.cascade).fused


def predict_cascade(
    predictor: Predictor, request: HandRequest, keys: Sequence[str], ensemble: Ensemble, cascade: Cascade
) -> Cascaded:
    """Predict as many views of every hand as it takes, and fuse them.

    Args:
        predictor: anything that predicts.
        request: B hands without views.
        keys: (B,) see :func:`hoiray.predictors.ensemble.draw_ensemble_views`.
        ensemble: the views there may be.
        cascade: where it ends early.

    Raises:
        ContractError: the predictor breaks its contract.
    """
    run = _Run(predictor, request, draw_ensemble_views(ensemble, keys), ensemble.num_views)
    everyone, portion = np.arange(len(request)), math.ceil(len(request) / PORTIONS)
    run.predict(everyone, 0, 1, portion=len(request))
    hopeful = everyone[~is_hopeless(run.view(0), request, cascade, predictor.hand)]
    run.predict(hopeful, 1, cascade.probe_views, portion=portion)
    torn = hopeful[~is_agreed(run.fused(cascade.probe_views), request, cascade)[hopeful]]
    run.predict(torn, cascade.probe_views, ensemble.num_views, portion=portion)
    return Cascaded(run.fused(ensemble.num_views), run.num_views, run.num_passes)


def is_hopeless(
    single: HandPredictions, request: HandRequest, cascade: Cascade, hand: "HandModel | None" = None
) -> BoolArray:
    """Say of which hands (B,) one view is enough to refuse them.

    Only of an answer that is finite and far off; a view without an answer says nothing about the others. The overlap of
    boxes is judged where there is a mesh and a bound.

    Args:
        single: one view of every hand.
        request: of the hands.
        cascade: the bounds.
        hand: model of the parameters; None where the predictor has none.
    """
    count, extent = len(request), np.full((len(request), 4), np.nan)
    if hand is not None and single.rotations is not None and single.betas is not None:
        extent = mesh_extent(mesh_about_wrist(hand, single.rotations, single.betas, request.is_right)[0])
    unknown = np.full((count, NUM_JOINTS), np.nan)
    size_wh = np.tile(np.array(request.image_size_wh), (count, 1))
    boxes_xyxy = request.hand_boxes_xyxy
    hands = Hands(single.joints_3d_m, single.joints_2d_px, extent, boxes_xyxy, size_wh, unknown, unknown)
    measured = dict(zip(MEASURED_HERE, measure_spatial(hands).values.T, strict=True))
    with np.errstate(invalid="ignore"):
        far: BoolArray = measured["reprojection_frobenius_box_sides"] > cascade.max_reprojection_box_sides
        if cascade.min_box_iou is not None:
            far |= measured["box_iou"] < cascade.min_box_iou
    return far


def is_agreed(fused: Fused, request: HandRequest, cascade: Cascade) -> BoolArray:
    """Say of which hands (B,) the members so far agree; fewer than two never do."""
    spread = fused.spread_joints_2d_px.mean(axis=1) / box_sides_px(request)
    with np.errstate(invalid="ignore"):
        agreed: BoolArray = spread <= cascade.max_spread_2d_box_sides
        if fused.mean.rotations is not None:
            agreed &= np.degrees(fused.spread_rotation_rad) <= cascade.max_spread_rotation_deg
    return agreed


def box_sides_px(request: HandRequest) -> FloatArray:
    """Return the side of each hand's box, the root of its area, (B,) px."""
    return np.asarray(np.sqrt(boxes.area(request.hand_boxes_xyxy)))


class _Run:
    """The members there are so far: B hands of V views, those that were not asked for without an answer."""

    def __init__(self, predictor: Predictor, request: HandRequest, views: Views, num_views: int) -> None:
        self._predictor, self._request, self._views, self._most = predictor, request, views, num_views
        self._members: HandPredictions | None = None
        self.num_views = np.zeros(len(request), np.int16)
        self.num_passes = 0

    def predict(self, hands: npt.NDArray[np.integer], first: int, end: int, *, portion: int) -> None:
        """Predict views `first` to `end` - 1 of some hands, so many hands at a time."""
        for start in range(0, len(hands), portion):
            chosen = hands[start : start + portion]
            filled = np.concatenate([chosen, np.repeat(chosen[:1], portion - len(chosen))])
            rows = (filled[:, None] * self._most + np.arange(first, end)).reshape(-1)
            count = len(chosen) * (end - first)
            answer = self._predictor.predict(self._viewed(rows))
            require_rows(answer, len(rows), self._predictor.name)
            self._keep(answer, rows[:count])
            self.num_views[chosen] = end
            self.num_passes += len(rows)

    def view(self, index: int) -> HandPredictions:
        """Return one view of every hand."""
        return self._views_of(index, index + 1)

    def fused(self, num_views: int) -> Fused:
        """Fuse the first so many views of every hand."""
        members = self._views_of(0, num_views)
        return fuse(members, num_views, hand=self._predictor.hand, is_right=self._request.is_right)

    def _views_of(self, first: int, end: int) -> HandPredictions:
        assert self._members is not None
        return _rows(
            self._members, (np.arange(len(self._request))[:, None] * self._most + np.arange(first, end)).reshape(-1)
        )

    def _viewed(self, rows: npt.NDArray[np.integer]) -> HandRequest:
        views = Views(*(getattr(self._views, it.name)[rows] for it in fields(Views)))
        return replace(self._request.rows(rows // self._most), views=views)

    def _keep(self, answer: HandPredictions, rows: npt.NDArray[np.integer]) -> None:
        total = len(self._request) * self._most
        before = self._members or _nothing_like(answer, total)
        self._members = _written(before, answer, rows)


def _arrays(predictions: HandPredictions) -> dict[str, FloatArray]:
    named = {it.name: getattr(predictions, it.name) for it in fields(predictions) if not it.name.endswith("failures")}
    return {name: values for name, values in named.items() if values is not None}


def _nothing_like(answer: HandPredictions, count: int) -> HandPredictions:
    """Return rows without an answer, in the fields of one."""
    empty = {
        name: np.full((count, *values.shape[1:]), np.nan, values.dtype) for name, values in _arrays(answer).items()
    }
    reasons = (NOT_ASKED,) * count
    return HandPredictions(**empty, failures=reasons, object_failures=reasons if answer.object_failures else ())


def _written(before: HandPredictions, answer: HandPredictions, rows: npt.NDArray[np.integer]) -> HandPredictions:
    """Return the members with the first answers at these rows."""
    new = _arrays(answer)
    if new.keys() != _arrays(before).keys():
        expected, found = ", ".join(_arrays(before)), ", ".join(new)
        fix = "A predictor must answer every request in the same fields."
        raise ContractError(describe(what="answers of one predictor", expected=expected, found=found, fix=fix))
    arrays = {name: values.copy() for name, values in _arrays(before).items()}
    for name, values in arrays.items():
        values[rows] = new[name][: len(rows)]

    def told(old: tuple[str | None, ...], later: tuple[str | None, ...]) -> tuple[str | None, ...]:
        reasons = list(old)
        for row, reason in zip(rows.tolist(), later, strict=False):  # repetitions at the end are left out
            reasons[row] = reason
        return tuple(reasons)

    failures = told(before.failures, answer.failures)
    object_failures = told(before.object_failures, answer.object_failures) if before.object_failures else ()
    return HandPredictions(**arrays, failures=failures, object_failures=object_failures)


def _rows(members: HandPredictions, rows: npt.NDArray[np.integer]) -> HandPredictions:
    arrays = {name: values[rows] for name, values in _arrays(members).items()}
    reasons = tuple(members.failures[row] for row in rows.tolist())
    objects = tuple(members.object_failures[row] for row in rows.tolist()) if members.object_failures else ()
    return HandPredictions(**arrays, failures=reasons, object_failures=objects)
