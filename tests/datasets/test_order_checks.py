import dataclasses
import functools

import cv2
import dataset_files as files
import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.datasets.order_checks import MAX_SHIFT, dice, lost_share, order_problem, preferred_step
from hoiray.datasets.sample import HandAnnotation, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import InputError

NUM_SEQUENCES, NUM_FRAMES = 8, 6
WIDTH, HEIGHT = 320, 240
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
FACES = files.model("ho3d").faces(is_right=True).numpy()


class Moving:
    """Hands on straight ways, a direction a sequence; masks and depth are drawn from the mesh, labels may move."""

    name, split = "moving", "train"

    def __init__(self, shift: int = 0, *, speed: float = 0.03, order: NDArray[np.intp] | None = None) -> None:
        self.shift, self.order, self.kind = shift, order, "hand"
        rng = np.random.default_rng(4)
        hands = files.hands(NUM_SEQUENCES, tip_set="ho3d", seed=2)
        turns = rng.uniform(0, 2 * np.pi, NUM_SEQUENCES)
        way = np.stack([np.cos(turns), np.sin(turns), np.zeros(NUM_SEQUENCES)], axis=-1)
        steps = speed * (np.arange(NUM_FRAMES) - NUM_FRAMES / 2)[:, None]
        offsets = (way[:, None] * steps).reshape(-1, 1, 3)
        self.joints = np.repeat(hands.joints, NUM_FRAMES, axis=0) + offsets
        self.vertices = np.repeat(hands.vertices, NUM_FRAMES, axis=0) + offsets

    def __len__(self) -> int:
        return NUM_SEQUENCES * NUM_FRAMES

    def _label(self, index: int) -> int:
        sequence, frame = divmod(index, NUM_FRAMES)
        moved = sequence * NUM_FRAMES + int(np.clip(frame + self.shift, 0, NUM_FRAMES - 1))
        return moved if self.order is None else int(self.order[index])

    def sample(self, index: int) -> Sample:
        sequence, frame = divmod(index, NUM_FRAMES)
        label = self._label(index)
        hand = HandAnnotation(is_right=True, joints_3d=self.joints[label])
        points = self.vertices[label] @ K.T
        target = ObjectAnnotation("thing", control_points_2d_px=points[:, :2] / points[:, 2:])
        key = f"{sequence}/{frame}.png"
        hands, objects = ((hand,), ()) if self.kind != "object" else ((), (target,))
        return Sample(str(index), f"r{sequence}", None, None, frame, key, K, hands, objects)

    def _draw(self, sample: Sample) -> NDArray[np.float64]:
        return drawn(self.vertices[int(sample.sample_id)].tobytes())

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        raise NotImplementedError

    def masks(self, sample: Sample) -> Masks | None:
        seen = np.isfinite(self._draw(sample))
        return {"hand": Masks(hand=seen), "object": Masks(objects={"thing": seen})}.get(self.kind)

    def depth_m(self, sample: Sample) -> NDArray[np.float64]:
        if self.kind != "depth":
            raise InputError("no depth")
        return np.nan_to_num(self._draw(sample), nan=1.5)

    def object_model(self, name: str) -> ObjectModel | None:
        return None


@functools.cache
def drawn(data: bytes) -> NDArray[np.float64]:
    """Draw the depth of a mesh, NaN elsewhere: the far triangles first."""
    vertices = np.frombuffer(data).reshape(-1, 3)
    pixels = vertices @ K.T
    corners = np.rint(pixels[:, :2] / pixels[:, 2:]).astype(np.int32)[FACES]
    canvas = np.full((HEIGHT, WIDTH), np.nan)
    depths = vertices[FACES][..., 2].mean(axis=1)
    for face in np.argsort(-depths):
        cv2.fillConvexPoly(canvas, corners[face], float(depths[face]))
    canvas.setflags(write=False)
    return canvas


def of_kind(dataset: Moving, kind: str) -> Moving:
    dataset.kind = kind
    return dataset


@pytest.mark.parametrize("kind", ["hand", "depth", "object"])
def test_labels_beside_their_own_images_pass(kind: str) -> None:
    assert order_problem(of_kind(Moving(), kind)) is None


@pytest.mark.parametrize(
    ("kind", "labels"), [("hand", "hand labels"), ("depth", "hand labels"), ("object", "object labels")]
)
@pytest.mark.parametrize(
    ("shift", "number", "where"), [(1, "1 file", "before"), (-1, "1 file", "after"), (2, "2 files", "before")]
)
def test_labels_that_moved_are_named_with_their_number(
    kind: str, labels: str, shift: int, number: str, where: str
) -> None:
    problem = order_problem(of_kind(Moving(shift), kind))
    assert problem is not None
    assert problem.looks_like == f"{labels} shifted by {number}"
    assert f"most often {number} {where}" in problem.measured


def test_labels_in_another_order_are_named() -> None:
    problem = order_problem(Moving(order=np.random.default_rng(3).permutation(NUM_SEQUENCES * NUM_FRAMES)))
    assert problem is not None
    assert problem.looks_like == "hand labels of other images"


class WithMesh(Moving):
    """Vertices are among the labels."""

    def sample(self, index: int) -> Sample:
        sample = super().sample(index)
        hand = dataclasses.replace(sample.hands[0], vertices=self.vertices[self._label(index)])
        return dataclasses.replace(sample, hands=(hand,))


def test_a_known_mesh_tells_small_motions_too() -> None:
    assert order_problem(WithMesh(0, speed=0.006), files.arrays()) is None
    assert order_problem(WithMesh(1, speed=0.006)) is None
    problem = order_problem(WithMesh(1, speed=0.006), files.arrays())
    assert problem is not None
    assert problem.looks_like == "hand labels shifted by 1 file"


@pytest.mark.parametrize("shift", [0, 1])
def test_hands_that_hardly_move_tell_nothing(shift: int) -> None:
    assert order_problem(Moving(shift, speed=0.002)) is None


class Hidden(Moving):
    """The side of every hand that is ahead on its way is hidden, or the mask is far too wide."""

    def __init__(self, shift: int, change: str) -> None:
        super().__init__(shift)
        self.change = change

    def masks(self, sample: Sample) -> Masks | None:
        seen = np.isfinite(self._draw(sample))
        if self.change == "half":
            seen[:, : int(np.median(np.nonzero(seen)[1]))] = False
        else:
            seen = cv2.dilate(seen.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.bool_)
        return Masks(hand=seen)


@pytest.mark.parametrize("change", ["half", "wide"])
def test_hidden_hands_and_coarse_masks_are_no_shift_and_hide_none(change: str) -> None:
    assert order_problem(Hidden(0, change)) is None
    problem = order_problem(Hidden(1, change))
    assert problem is not None
    assert "shifted by 1 file" in problem.looks_like


class Few(Moving):
    """The first sequences only."""

    def __init__(self, shift: int, count: int) -> None:
        super().__init__(shift)
        self.count = count

    def __len__(self) -> int:
        return self.count * NUM_FRAMES


def test_a_few_sequences_are_not_judged() -> None:
    assert order_problem(Few(1, 3)) is None
    assert order_problem(Few(1, 5)) is not None


class Damaged(Moving):
    """Every seventh label and every fifth mask cannot be read."""

    def sample(self, index: int) -> Sample:
        if index % 7 == 0:
            raise InputError("a damaged label")
        return super().sample(index)

    def masks(self, sample: Sample) -> Masks | None:
        if int(sample.sample_id) % 5 == 0:
            raise InputError("a damaged mask")
        return super().masks(sample)


def test_what_cannot_be_read_is_passed_over() -> None:
    assert order_problem(Damaged(0)) is None
    assert order_problem(Damaged(1)) is not None


def test_two_hands_or_no_mask_tell_nothing() -> None:
    class Two(Moving):
        def sample(self, index: int) -> Sample:
            sample = super().sample(index)
            return dataclasses.replace(sample, hands=sample.hands * 2)

    assert order_problem(Two(1)) is None
    assert order_problem(of_kind(Moving(1), "nothing")) is None


def fits(**values: float) -> NDArray[np.float64]:
    row = np.full(2 * MAX_SHIFT + 1, np.nan)
    for name, value in values.items():
        row[MAX_SHIFT + {"before": -1, "own": 0, "after": 1}[name]] = value
    return row


def test_a_preference_must_be_clear() -> None:
    assert preferred_step(fits(before=0.5, own=0.8, after=0.6)) == 0
    assert preferred_step(fits(before=0.8, own=0.6, after=0.4)) == -1
    assert preferred_step(fits(own=0.6, after=0.8)) == 1
    assert preferred_step(fits(before=0.62, own=0.6, after=0.4)) is None
    assert preferred_step(fits(before=0.8, own=0.6, after=0.79)) is None
    assert preferred_step(fits(before=0.6, own=0.6, after=0.6)) is None
    assert preferred_step(fits(own=0.6)) is None
    assert preferred_step(fits(before=0.6)) is None


def test_a_tie_is_half_lost() -> None:
    own, far = np.full(10, 0.5), np.array([[0.4, 0.6, 0.5, np.nan]] * 10)
    assert lost_share(own, far) == pytest.approx(0.5)
    assert lost_share(own[:5], far[:5]) == 0.0


def test_dice_is_twice_the_shared_area_over_the_sum() -> None:
    first, second = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    assert np.isnan(dice(first, second))
    first[:2], second[1:3] = True, True
    assert dice(first, second) == 0.5
