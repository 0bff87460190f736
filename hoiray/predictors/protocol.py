"""What every predictor is asked and answers: the one interface of hoiray's network, of ensembles and of plug-ins.

**How a predictor is called.** Once per batch of hands, not once per image. Full frames come in as uint8, each of them
once, and every hand names its frame and its box: so pixels cross to the accelerator once, however many hands and views
there are, and all crops are cut there in one batched warp (:mod:`hoiray.predictors.warp` does that for any affine).

**How a plug-in is written.** Implement :class:`Predictor`: one method. Cut the crops your network was trained on from
`request.frames`, run it, and answer in the conventions below. A hand you cannot answer is a row of NaN with a reason in
`failures`; a row is never left out and never invented. A network of right hands only mirrors left ones itself: see
:func:`mirror_rows`. A network of landmarks only leaves `rotations` and `betas` None.

**Conventions of the answer**, whatever crop, view or mirroring the predictor used inside:

* pixels are those of the full frame, pixel centres at integers; all views are undone;
* 3D is in OpenCV camera axes of the *unturned* frame, metres, relative to the wrist;
* rotations are absolute (zero is the flat hand), MANO order, of the hand's own side: those of a left hand are a left
  hand's, as :class:`hoiray.hand.model.HandModel` takes them with `is_right=False`;
* joints are in the simple order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hoiray.datasets.augment import Views
from hoiray.errors import ContractError, describe
from hoiray.hand.joints import NUM_JOINTS, NUM_MANO_JOINTS
from hoiray.hand.sides import mirror_boxes_xyxy

if TYPE_CHECKING:
    from hoiray.hand.model import HandModel

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]

NO_OBJECT_BOX: Final = "no_object_box"
NO_INTRINSICS: Final = "no_intrinsics"
NO_CONTROL_POINTS: Final = "no_control_points"
"""Reasons why an object has no pose that lie in the request, not in the predictor."""


@dataclass(frozen=True, eq=False)
class HandRequest:
    """A batch of hands to predict.

    Attributes:
        frames: (F, H, W, 3) uint8 RGB, each full frame once; frames of another size go into another request.
        frame_index: (B,) the frame of each hand, 0 to F - 1.
        hand_boxes_xyxy: (B, 4) px of the full frame, tight around the hand, as data sets annotate it: a predictor
            widens it as it was trained.
        is_right: (B,).
        object_boxes_xyxy: (B, 4); NaN where no object is given.
        K: (B, 3, 3) of the full frame; NaN where unknown.
        control_points_m: (B, 21, 3) of the object's model in its own axes, published order; NaN where unknown.
        views: how each row's crop deviates from the predictor's own square, for a test-time ensemble; None: not at all.
            A predictor that cannot vary its crops refuses a request that has some.
        upright_px: (B, 2, 2) of the square that shows each hand upright, its centre and the middle of its upper edge,
            as the predictor's own tracker said; NaN where it said nothing; None: of no hand. A predictor whose crops
            follow from boxes takes no notice.
    """

    frames: npt.NDArray[np.uint8]
    frame_index: npt.NDArray[np.integer]
    hand_boxes_xyxy: FloatArray
    is_right: BoolArray
    object_boxes_xyxy: FloatArray
    K: FloatArray
    control_points_m: FloatArray
    views: Views | None = None
    upright_px: FloatArray | None = None

    @classmethod
    def make(
        cls,
        frames: npt.NDArray[np.uint8],
        frame_index: Sequence[int] | npt.NDArray[np.integer],
        hand_boxes_xyxy: npt.ArrayLike,
        is_right: npt.ArrayLike,
        *,
        object_boxes_xyxy: npt.ArrayLike | None = None,
        K: npt.ArrayLike | None = None,
        control_points_m: npt.ArrayLike | None = None,
        views: Views | None = None,
        upright_px: npt.ArrayLike | None = None,
    ) -> "HandRequest":
        """Fill in NaN for what is not known, and repeat one K or one object for all hands.

        Raises:
            ContractError: a shape is wrong; see :meth:`__post_init__`.
        """
        count = len(frame_index)
        return cls(
            frames,
            np.asarray(frame_index, dtype=np.int64),
            _rows(hand_boxes_xyxy, count, (4,)),
            np.broadcast_to(np.asarray(is_right, dtype=np.bool_), (count,)),
            _rows(object_boxes_xyxy, count, (4,)),
            _rows(K, count, (3, 3)),
            _rows(control_points_m, count, (NUM_JOINTS, 3)),
            views,
            None if upright_px is None else _rows(upright_px, count, (2, 2)),
        )

    def __post_init__(self) -> None:
        """Refuse wrong shapes, a frame that is not there and a hand without a box.

        Raises:
            ContractError: names what is wrong and in which row.
        """
        count = len(self)
        if self.frames.ndim != 4 or self.frames.shape[3] != 3 or self.frames.dtype != np.uint8:
            _refuse("request, frames", "uint8 (F, H, W, 3)", f"{self.frames.dtype} {self.frames.shape}")
        _expect("request, hand_boxes_xyxy", self.hand_boxes_xyxy, (count, 4))
        _expect("request, is_right", self.is_right, (count,))
        _expect("request, object_boxes_xyxy", self.object_boxes_xyxy, (count, 4))
        _expect("request, K", self.K, (count, 3, 3))
        _expect("request, control_points_m", self.control_points_m, (count, NUM_JOINTS, 3))
        if self.views is not None and len(self.views.side_factors) != count:
            _refuse("request, views", f"{count}, one a hand", str(len(self.views.side_factors)))
        if self.upright_px is not None:
            _expect("request, upright_px", self.upright_px, (count, 2, 2))
        outside = (self.frame_index < 0) | (self.frame_index >= len(self.frames))
        if outside.any():
            row = int(np.argmax(outside))
            _refuse(f"request, row {row}", f"a frame of 0 to {len(self.frames) - 1}", str(self.frame_index[row]))
        self._require_boxes()

    def _require_boxes(self) -> None:
        box = self.hand_boxes_xyxy
        is_box = np.isfinite(box).all(axis=1) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
        if not is_box.all():
            row = int(np.argmin(is_box))
            _refuse(f"request, row {row}", "a hand box x0, y0, x1, y1 with an area", str(box[row].tolist()))

    def __len__(self) -> int:
        """Hands (times views)."""
        return len(self.frame_index)

    @property
    def image_size_wh(self) -> tuple[int, int]:
        """Width and height of the frames, px."""
        return self.frames.shape[2], self.frames.shape[1]

    def with_views(self, views: Views) -> "HandRequest":
        """Return the request of V views of each hand, hand by hand: rows h * V to h * V + V - 1.

        The frames are shared, not copied.

        Args:
            views: B * V of them, as :func:`hoiray.datasets.augment.draw_views` draws them.

        Raises:
            ContractError: the number of views is no multiple of the number of hands.
        """
        count, num_views = len(self), len(views.side_factors)
        if count == 0 or num_views % count:
            _refuse("views", f"a multiple of {count} hands", str(num_views))
        plain = replace(self, views=None)
        return replace(plain.rows(np.repeat(np.arange(count), num_views // count)), views=views)

    def rows(self, chosen: npt.NDArray[np.integer] | slice) -> "HandRequest":
        """Return some of the hands; the frames are shared."""
        views = self.views
        if views is not None:
            views = Views(*(getattr(views, spec.name)[chosen] for spec in fields(views)))
        upright_px = None if self.upright_px is None else self.upright_px[chosen]
        names = ("frame_index", "hand_boxes_xyxy", "is_right", "object_boxes_xyxy", "K", "control_points_m")
        of_rows = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, views=views, upright_px=upright_px, **of_rows)

    def object_obstacles(self) -> tuple[str | None, ...]:
        """Say for each row why no object pose can be asked for; None where it can."""
        lacks = {
            NO_OBJECT_BOX: _is_absent(self.object_boxes_xyxy),
            NO_INTRINSICS: _is_absent(self.K),
            NO_CONTROL_POINTS: _is_absent(self.control_points_m),
        }
        rows = range(len(self))
        first = (next((name for name, is_lacking in lacks.items() if is_lacking[row]), None) for row in rows)
        return tuple(first)


@dataclass(frozen=True, eq=False)
class HandPredictions:
    """The answer, one row per row of the request; conventions in the module.

    Attributes:
        joints_3d_m: (B, 21, 3) relative to the wrist; NaN where the hand failed.
        joints_2d_px: (B, 21, 2); NaN where the hand failed.
        rotations: (B, 16, 3, 3) wrist and the 15 joints of MANO; None: the predictor knows joints only.
        betas: (B, 10), or None.
        joint_confidence: (B, 21) in [0, 1], or None: the predictor has none.
        T_cam_obj: (B, 4, 4) object to camera; NaN where there is none; None: the predictor knows no objects.
        control_points_2d_px: (B, 21, 2) image of the object's control points as the predictor sees them, or None.
        failures: (B,) why a hand has no answer, None where it has one.
        object_failures: (B,) why an object has no pose, None where it has one; empty without `T_cam_obj`.
        side_logit: (B,) log odds that the hand is of the side that was asked for, from what is seen of it; NaN where
            the hand failed; None: the predictor cannot tell.
    """

    joints_3d_m: FloatArray
    joints_2d_px: FloatArray
    rotations: FloatArray | None = None
    betas: FloatArray | None = None
    joint_confidence: FloatArray | None = None
    T_cam_obj: FloatArray | None = None
    control_points_2d_px: FloatArray | None = None
    failures: tuple[str | None, ...] = ()
    object_failures: tuple[str | None, ...] = ()
    side_logit: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse wrong shapes and a hand or object that is absent without a reason, or present with one.

        Raises:
            ContractError: names the field and the row.
        """
        count = len(self.joints_3d_m)
        shapes: dict[str, tuple[int, ...]] = {
            "joints_3d_m": (NUM_JOINTS, 3),
            "joints_2d_px": (NUM_JOINTS, 2),
            "rotations": (NUM_MANO_JOINTS, 3, 3),
            "betas": (10,),
            "joint_confidence": (NUM_JOINTS,),
            "side_logit": (),
            "T_cam_obj": (4, 4),
            "control_points_2d_px": (NUM_JOINTS, 2),
        }
        for name, shape in shapes.items():
            if getattr(self, name) is not None:
                _expect(f"prediction, {name}", getattr(self, name), (count, *shape))
        if not self.failures:
            object.__setattr__(self, "failures", (None,) * count)
        _expect_reasons("failures", self.failures, self.joints_3d_m)
        if self.T_cam_obj is not None:
            _expect_reasons("object_failures", self.object_failures, self.T_cam_obj)

    def __len__(self) -> int:
        return len(self.joints_3d_m)


@runtime_checkable
class Predictor(Protocol):
    """Anything that predicts hands, and perhaps objects, from boxes in frames."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    @property
    def digest(self) -> str:
        """Identity of weights and settings: equal digests give equal predictions."""

    @property
    def tip_set(self) -> str:
        """Whose vertices its finger tips are: a key of :data:`hoiray.hand.joints.TIP_SETS`."""

    @property
    def hand(self) -> "HandModel | None":
        """The model `rotations` and `betas` are parameters of; None where it predicts joints only."""

    def predict(self, request: HandRequest) -> HandPredictions:
        """Answer every row of a request, in its order.

        A predictor must not depend on how hands are put together in a request, beyond rounding.

        Raises:
            ContractError: the request cannot be answered at all. What is wrong with one hand is a failure of its row.
        """


def mirror_rows(request: HandRequest, is_mirrored: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return hand boxes and object boxes (B, 4), those of the mirrored rows as they lie in the mirrored frame."""
    width = request.image_size_wh[0]
    flipped = (
        np.where(is_mirrored[:, None], mirror_boxes_xyxy(np.asarray(boxes, dtype=np.float64), width), boxes)
        for boxes in (request.hand_boxes_xyxy, request.object_boxes_xyxy)
    )
    hand_boxes, object_boxes = flipped
    return hand_boxes, object_boxes


def _rows(values: npt.ArrayLike | None, count: int, shape: tuple[int, ...]) -> FloatArray:
    """Return (count, *shape) of rows, of one for all, or of nothing at all."""
    if values is None:
        return np.full((count, *shape), np.nan)
    array = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(array, (count, *shape)) if array.shape == shape else array


def _is_absent(values: FloatArray) -> BoolArray:
    """Tell for each row of (B, ...) whether a number of it is not finite."""
    return np.asarray(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))), dtype=np.bool_)


def _expect(what: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        _refuse(what, f"shape {shape}", f"{array.shape}")


def _expect_reasons(name: str, reasons: tuple[str | None, ...], values: FloatArray) -> None:
    if len(reasons) != len(values):
        _refuse(f"prediction, {name}", f"{len(values)} entries", str(len(reasons)))
    for row, (reason, absent) in enumerate(zip(reasons, _is_absent(values), strict=True)):
        if (reason is not None) != bool(absent):
            found = f"values that are {'not finite' if absent else 'finite'} and {reason!r}"
            _refuse(f"prediction, {name}, row {row}", "a reason exactly where the values are NaN", found)


def _refuse(what: str, expected: str, found: str) -> None:
    fix = "See hoiray.predictors.protocol for what each array holds."
    raise ContractError(describe(what=what, expected=expected, found=found, fix=fix))
