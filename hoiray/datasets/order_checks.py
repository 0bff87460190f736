"""Do labels lie beside their own images? Measured with what a set itself holds of the pixels: masks, else depth.

Labels that moved by one file look like hands, in the right axes and units, and no check of the labels alone can find
them. So the labels of a place are drawn as a rough hand and compared with the mask (or the depth) of that place, and so
are the labels of its neighbours. In a sound set the own label fits best; in one that moved by `n`, that of the `n`-th
file before does. Only places where the choice is clear have a vote, and it takes many of one mind to refuse a set: what
hides part of a hand (an object, the border, a coarse mask, a forearm in the mask) costs every candidate alike, and a
hand that does not move has no vote.

Not found, because nothing tells it: labels of sets of which neither masks nor depth were unpacked; images that moved
while labels and masks stayed together (DexYCB keeps both in one file, so only its depth can tell); hands that hardly
move from file to file; fewer than :data:`MIN_VOTES` places at which anything moves, or fewer than :data:`MIN_SOURCES`
sequences; an error that only a part of the set has. Depth of a sensor misses a shift by one file now and then.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Problem
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.parameter_checks import hand_mesh
from hoiray.datasets.sample import AnnotatedDataset, DepthView, FloatArray, Sample
from hoiray.errors import InputError
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import transform_points
from hoiray.hand.joints import BONES, FINGER_JOINTS, FINGERS, WRIST
from hoiray.hand.load import HandArrays

NUM_PLACES: Final = 64
"""Places at which labels are read, with a neighbour on each side; those where they differ most are looked at."""

NUM_LOOKED_AT: Final = 32
"""Places of which mask or depth is read."""

MAX_SHIFT: Final = 3
"""Files by which a shift is told exactly; a longer one of a moving hand still looks like one in its direction."""

MIN_MOTION_PX: Final = 8.0
"""Mean motion of the joints from neighbour to neighbour below which a place cannot tell: a rough hand is off by less,
but not by much less."""

MIN_GAIN: Final = 0.03
"""By which one label must fit better than another to be preferred; fits are shares from 0 to 1."""

MIN_MESH_MOTION_PX: Final = 2.0
MIN_MESH_GAIN: Final = 0.01
"""The same where the mesh of the hand is known: its outline is off to no side."""

MIN_VOTES: Final = 8
MIN_SOURCES: Final = 4
"""Recordings or cameras that the votes come from: within one, what fools a place fools its neighbours too."""

NUM_VOTES_ENOUGH: Final = 16
MIN_SHARE: Final = (0.8, 0.6)
"""Of the votes that a shifted set gives to one side, below and from :data:`NUM_VOTES_ENOUGH` votes. In 18 moving
sequences the sides got 0.91 and 0.01 by masks where labels were one file late, 0.78 and 0.05 by depth; in sound ones
0.05 and 0.03 by masks, 0.06 and 0.03 by masks of 8 px cells, 0.13 and 0.26 by masks 12 px too wide, 0.27 and 0.19 by
depth."""

MAX_OTHER_SHARE: Final = 0.2
"""Of the votes that the other side may have."""

MAX_LOST_SHARE: Final = 0.35
"""Of the comparisons with labels of unrelated places that the own label may lose; a set in another order loses half,
sound ones lost at most 5 %."""

NUM_PROBED: Final = 3
"""Places asked for pixels before a set counts as one without."""

NUM_STRANGERS: Final = 8
"""Unrelated places whose labels are compared at each place."""

CANVAS_PX: Final = 320
"""Width to which masks are thinned out before they are compared with drawings."""

FINGER_RADIUS_M: Final = 0.009
"""Half the width of an adult's finger."""

_PALM: Final = (WRIST, 1, *(FINGER_JOINTS[finger][0] for finger in FINGERS[1:]))
_MIN_POINTS: Final = 20

DEPTH_TOLERANCE_M: Final = 0.025
"""Between a bone and the surface the sensor sees before it: half a finger, and what fits and sensors are off."""

Fit = Callable[[Sample], float]
"""How well a sample's labels fit the pixels of some place, 0 to 1; NaN where the sample cannot be asked."""


Draw = Callable[[Sample, FloatArray, tuple[int, int]], NDArray[np.bool_] | None]
"""Draws a sample's hand into an image of a size (W, H), whose pixels a (3, 3) makes of the sample's own."""


@dataclass(frozen=True)
class Clue:
    """A kind of label and the pixels that tell of it.

    Attributes:
        labels, pixels: for messages.
        fit_of: reads the pixels of a sample; None where there are none.
        points: (P, 2) px of a sample's labels, whose motion tells whether a place is worth looking at, or None.
        min_motion_px, min_gain: what makes a place worth looking at, and a preference one.
    """

    labels: str
    pixels: str
    fit_of: Callable[[AnnotatedDataset, Sample], Fit | None]
    points: Callable[[Sample], FloatArray | None]
    min_motion_px: float = MIN_MOTION_PX
    min_gain: float = MIN_GAIN


def order_problem(dataset: AnnotatedDataset, arrays: HandArrays | None = None) -> Problem | None:
    """Ask whether labels are those of their own files.

    Args:
        dataset: opened; its samples have passed the checks of units, axes and order.
        arrays: the hand model the labels were made with, for finer outlines; None draws rough hands.

    Returns:
        The first problem, or None; also where the set holds nothing to compare with. A place whose label, mask or
        depth cannot be read is passed over.
    """
    reader = _Reader(dataset)
    clues = _clues(reader, arrays)
    return next((problem for clue in clues if (problem := _clue_problem(reader, clue)) is not None), None)


def _clue_problem(reader: "_Reader", clue: Clue) -> Problem | None:
    places = _places(reader, clue)
    if len(places) < MIN_VOTES:
        return None
    near, far = _measure(reader, clue, places)
    votes = {
        index: vote
        for index, fits in zip(places, near, strict=True)
        if (vote := preferred_step(fits, clue.min_gain)) is not None
    }
    if len(votes) < MIN_VOTES or len({reader.source(index) for index in votes}) < MIN_SOURCES:
        return None
    return _judge(list(votes.values()), lost_share(near[:, MAX_SHIFT], far), clue)


class _Reader:
    """Samples by index, read once; None where one cannot be read or lies outside."""

    def __init__(self, dataset: AnnotatedDataset) -> None:
        self.dataset = dataset
        self._known: dict[int, Sample | None] = {}

    def sample(self, index: int) -> Sample | None:
        if not 0 <= index < len(self.dataset):
            return None
        if index not in self._known:
            try:
                self._known[index] = self.dataset.sample(index)
            except InputError:
                self._known[index] = None
        return self._known[index]

    def fit(self, index: int, clue: "Clue") -> Fit | None:
        """Read the pixels of a place."""
        sample = self.sample(index)
        try:
            return None if sample is None else clue.fit_of(self.dataset, sample)
        except InputError:
            return None

    def source(self, index: int) -> tuple[str, str]:
        """Return what filmed a place: folder and recording."""
        sample = self.sample(index)
        return ("", "") if sample is None else (_folder(sample), sample.recording_id)

    def neighbour(self, index: int, step: int) -> Sample | None:
        """Return the sample `step` files on in the same folder."""
        own, other = self.sample(index), self.sample(index + step)
        if own is None or other is None:
            return None
        return other if _folder(own) == _folder(other) else None


def _folder(sample: Sample) -> str:
    return str(PurePosixPath(sample.image_key).parent)


def _places(reader: _Reader, clue: Clue) -> list[int]:
    """Choose the places where labels differ most from their neighbours'; none where the set has no such pixels."""
    labelled: dict[int, FloatArray] = {}
    for index in spread_indices(len(reader.dataset), NUM_PLACES):
        sample = reader.sample(index)
        points = None if sample is None else clue.points(sample)
        if points is not None:
            labelled[index] = points
    if not any(reader.fit(index, clue) for index in list(labelled)[:NUM_PROBED]):
        return []
    motions = {index: _motion_px(reader, clue, index, points) for index, points in labelled.items()}
    moving = sorted((index for index in motions if motions[index] >= clue.min_motion_px), key=lambda i: -motions[i])
    return moving[:NUM_LOOKED_AT]


def _motion_px(reader: _Reader, clue: Clue, index: int, own: FloatArray) -> float:
    neighbours = (reader.neighbour(index, step) for step in (-1, 1))
    others = (clue.points(other) for other in neighbours if other is not None)
    return max((float(np.linalg.norm(one - own, axis=-1).mean()) for one in others if one is not None), default=0.0)


def _measure(reader: _Reader, clue: Clue, places: list[int]) -> tuple[FloatArray, FloatArray]:
    """Measure the fit of neighbours' and of unrelated labels.

    Returns:
        (P, 2 MAX_SHIFT + 1) fit of the labels from `MAX_SHIFT` files before a place to as many behind it, and
        (P, NUM_STRANGERS) fit of the labels of other places; NaN where there are none.
    """
    near = np.full((len(places), 2 * MAX_SHIFT + 1), np.nan)
    far = np.full((len(places), NUM_STRANGERS), np.nan)
    for row, index in enumerate(places):
        fit = reader.fit(index, clue)
        if fit is None:
            continue
        for step in range(-MAX_SHIFT, MAX_SHIFT + 1):
            other = reader.neighbour(index, step)
            near[row, MAX_SHIFT + step] = np.nan if other is None else fit(other)
        strangers = [one for one in np.roll(places, -row - 1).tolist() if abs(one - index) > MAX_SHIFT]
        for column, elsewhere in enumerate(strangers[:NUM_STRANGERS]):
            stranger = reader.sample(elsewhere)
            far[row, column] = np.nan if stranger is None else fit(stranger)
    return near, far


def _judge(votes: list[int], lost: float, clue: Clue) -> Problem | None:
    steps = np.array(votes)
    expected = f"{clue.labels} that fit the {clue.pixels} of their files"
    for side, other in ((steps[steps < 0], steps[steps > 0]), (steps[steps > 0], steps[steps < 0])):
        min_share = MIN_SHARE[len(steps) >= NUM_VOTES_ENOUGH]
        if len(side) >= min_share * len(steps) and len(other) <= MAX_OTHER_SHARE * len(steps):
            step = int(np.bincount(np.abs(side)).argmax())
            files = f"{step} file{'' if step == 1 else 's'}"
            where = "before" if side[0] < 0 else "after"
            measured = (
                f"those of files {where} fit better in {len(side)} of {len(steps)} places, most often {files} {where}"
            )
            return Problem("order of labels", expected, measured, f"{clue.labels} shifted by {files}")
    if lost <= MAX_LOST_SHARE:
        return None
    measured = f"labels of other files that fit better in {lost:.0%} of the comparisons"
    return Problem("order of labels", expected, measured, f"{clue.labels} of other images")


def lost_share(own: FloatArray, far: FloatArray) -> float:
    """Return the share of comparisons that own fits (P,) lose against unrelated ones (P, S), a tie being half lost.

    Returns:
        0 where there are fewer than :data:`MIN_VOTES` places with comparisons.
    """
    known = np.isfinite(own)[:, None] & np.isfinite(far)
    if int(known.any(axis=1).sum()) < MIN_VOTES:
        return 0.0
    difference = (far - own[:, None])[known]
    return float(np.mean(difference > 0.0) + 0.5 * np.mean(difference == 0.0))


def preferred_step(fits: FloatArray, min_gain: float = MIN_GAIN) -> int | None:
    """Return the neighbour (or 0, the own label) that fits best.

    Args:
        fits: (2 MAX_SHIFT + 1,) from the neighbour that many files before to the one behind; NaN where there is none.
        min_gain: see :class:`Clue`.

    Returns:
        Its step. None where the own label has no fit or no neighbour, or where nothing tells: a neighbour must be
        better than the own label and than all on the other side by `min_gain`, the own label than the worst.
    """
    own, others = fits[MAX_SHIFT], np.delete(fits, MAX_SHIFT)
    if not np.isfinite(own) or not np.any(np.isfinite(others)):
        return None
    step = int(np.nanargmax(fits)) - MAX_SHIFT
    best = float(fits[MAX_SHIFT + step])
    if step == 0:
        return 0 if best - float(np.nanmin(others)) >= min_gain else None
    rivals = fits[MAX_SHIFT:] if step < 0 else fits[: MAX_SHIFT + 1]
    return step if best - float(np.nanmax(rivals)) >= min_gain else None


# --- what labels look like, and what is seen -------------------------------------------------------------------------


def hand_silhouette(joints_3d: FloatArray, K: FloatArray, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a rough hand: fingers as wide as :data:`FINGER_RADIUS_M` says, and a palm.

    Args:
        joints_3d: (21, 3) metres, simple order, in front of an OpenCV camera.
        K: (3, 3) px.
        size_wh: of the image.

    Returns:
        (H, W).
    """
    import cv2

    canvas = np.zeros((size_wh[1], size_wh[0]), dtype=np.uint8)
    pixels = np.rint(project_points(joints_3d, K)).clip(-(2**14), 2**14).astype(np.int32)
    widths = 2.0 * FINGER_RADIUS_M * K[0, 0] / joints_3d[:, 2]
    for parent, child in BONES:
        thickness = max(1, round(float(widths[[parent, child]].mean())))
        cv2.line(canvas, pixels[parent].tolist(), pixels[child].tolist(), 1, min(thickness, 255))
    cv2.fillConvexPoly(canvas, cv2.convexHull(pixels[list(_PALM)]), 1)
    return canvas.astype(np.bool_)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return twice the shared area over the sum of areas; NaN of nothing."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else float("nan")


def depth_agreement(joints_3d: FloatArray, K: FloatArray, depth_m: NDArray[np.floating]) -> float:
    """Return the share of a rough hand's points at whose pixels the sensor saw something at the hand's depth.

    Args:
        joints_3d: (21, 3) metres, simple order, OpenCV axes.
        K: (3, 3) px.
        depth_m: (H, W), NaN where unknown.

    Returns:
        NaN where fewer than 20 of the points are seen.
    """
    points = np.concatenate(list(_surface_points(joints_3d)))
    pixels = np.rint(project_points(points, K)).clip(-1, 2**15)
    inside = np.all((pixels >= 0) & (pixels < np.array(depth_m.shape[::-1])), axis=-1)
    columns, rows = pixels[inside].astype(np.intp).T
    gaps = np.abs(depth_m[rows, columns] - points[inside, 2])
    seen = np.isfinite(gaps)
    return float(np.mean(gaps[seen] <= DEPTH_TOLERANCE_M)) if int(seen.sum()) >= _MIN_POINTS else float("nan")


def _surface_points(joints_3d: FloatArray) -> Iterator[FloatArray]:
    """Yield points along each bone and near the left and right edge of its finger, as the camera sees them."""
    along = np.linspace(0.0, 1.0, 6)[:, None]
    for parent, child in BONES:
        bone = joints_3d[child] - joints_3d[parent]
        across = np.array([-bone[1], bone[0], 0.0])
        across *= 0.8 * FINGER_RADIUS_M / max(float(np.linalg.norm(across)), 1e-6)
        middle = joints_3d[parent] + along * bone
        yield from (middle - across, middle, middle + across)


def _joints(sample: Sample) -> tuple[FloatArray, FloatArray] | None:
    """Return the first hand's joints and K, where they can be drawn."""
    joints_3d = next((one.joints_3d for one in sample.hands if one.joints_3d is not None), None)
    if joints_3d is None or sample.K is None or np.any(joints_3d[:, 2] <= 0.0):
        return None
    return joints_3d, sample.K


def _joints_px(sample: Sample) -> FloatArray | None:
    drawn = _joints(sample)
    return None if drawn is None else project_points(*drawn)


def _to_hand_mask(draw: Draw) -> Callable[[AnnotatedDataset, Sample], Fit | None]:
    """Compare drawings of hands with the hand's mask."""

    def fit_of(dataset: AnnotatedDataset, sample: Sample) -> Fit | None:
        masks = dataset.masks(sample)
        mask = None if masks is None else masks.hand
        if mask is None or not mask.any() or len(sample.hands) != 1:
            return None
        thinned, scale = _thinned(mask)

        def fit(other: Sample) -> float:
            drawn = draw(other, scale, (thinned.shape[1], thinned.shape[0]))
            return float("nan") if drawn is None else dice(drawn, thinned)

        return fit

    return fit_of


def _draw_roughly(sample: Sample, scale: FloatArray, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    drawn = _joints(sample)
    return None if drawn is None else hand_silhouette(drawn[0], scale @ drawn[1], size_wh)


def _mesh_drawer(arrays: HandArrays) -> Draw:
    """Return what draws the mesh of a sample's only hand; each is posed once."""
    known: dict[str, FloatArray | None] = {}

    def draw(sample: Sample, scale: FloatArray, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
        from hoiray.render.raster import rasterise

        if sample.sample_id not in known:
            known[sample.sample_id] = hand_mesh(sample.hands[0], arrays) if len(sample.hands) == 1 else None
        vertices = known[sample.sample_id]
        if vertices is None or sample.K is None:
            return None
        return rasterise(vertices, arrays.faces, scale @ sample.K, (size_wh[1], size_wh[0])).covered

    return draw


def _thinned(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], FloatArray]:
    """Take every n-th pixel of a mask; return also the (3, 3) that takes pixels to those of the result."""
    step = max(1, mask.shape[1] // CANVAS_PX)
    return mask[::step, ::step], np.diag([1.0 / step, 1.0 / step, 1.0])


def _fit_to_object_mask(dataset: AnnotatedDataset, sample: Sample) -> Fit | None:
    masks = dataset.masks(sample)
    mask = None if masks is None or len(masks.objects) != 1 else next(iter(masks.objects.values()))
    if mask is None or not mask.any():
        return None
    thinned, scale = _thinned(mask)

    def fit(other: Sample) -> float:
        import cv2

        points = _control_points_px(other)
        if points is None:
            return float("nan")
        canvas = np.zeros(thinned.shape, dtype=np.uint8)
        corners = np.rint(points * scale[0, 0]).clip(-(2**14), 2**14).astype(np.int32)
        cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
        return dice(canvas.astype(np.bool_), thinned)

    return fit


def _control_points_px(sample: Sample) -> FloatArray | None:
    return sample.objects[0].control_points_2d_px if len(sample.objects) == 1 else None


def _fit_to_depth(dataset: AnnotatedDataset, sample: Sample) -> Fit | None:
    view = _depth_view(dataset, sample)
    if view is None:
        return None

    def fit(other: Sample) -> float:
        drawn = _joints(other)
        if drawn is None:
            return float("nan")
        joints_3d = transform_points(view.T_depth_cam, drawn[0])
        return depth_agreement(joints_3d, view.K, view.depth_m) if joints_3d[:, 2].min() > 0.0 else float("nan")

    return fit


def _depth_view(dataset: AnnotatedDataset, sample: Sample) -> DepthView | None:
    """Read depth where the reader of the format offers it: of a camera of its own, or in the sample's camera."""
    read_view: Callable[[Sample], DepthView | None] | None = getattr(dataset, "depth_view", None)
    if read_view is not None:
        return read_view(sample)
    read_depth: Callable[[Sample], NDArray[np.floating]] | None = getattr(dataset, "depth_m", None)
    return None if read_depth is None or sample.K is None else DepthView(read_depth(sample), sample.K, np.eye(4))


def _clues(reader: _Reader, arrays: HandArrays | None) -> tuple[Clue, ...]:
    """Say what is looked at, where a set has it."""
    to_masks = Clue("hand labels", "hand masks", _to_hand_mask(_draw_roughly), _joints_px)
    first = next((one for index in range(NUM_PROBED) if (one := reader.sample(index)) is not None and one.hands), None)
    if arrays is not None and first is not None and (first.hands[0].mano or first.hands[0].vertices is not None):
        draw = _to_hand_mask(_mesh_drawer(arrays))
        to_masks = Clue("hand labels", "hand masks", draw, _joints_px, MIN_MESH_MOTION_PX, MIN_MESH_GAIN)
    return (
        to_masks,
        Clue("hand labels", "depth", _fit_to_depth, _joints_px),
        Clue("object labels", "object masks", _fit_to_object_mask, _control_points_px),
    )
