import numpy as np
import numpy.typing as npt
from landmark_files import FOLDER, needs_landmarks
from landmark_scenes import BACKGROUND, RenderedHand, rendered_hand

from hoiray.geometry.boxes import iou
from hoiray.predictors.landmarks.networks import HandNetworks, Readings
from hoiray.predictors.landmarks.palm import Palms
from hoiray.predictors.landmarks.regions import Regions, regions_of_points, regions_of_upright
from hoiray.predictors.landmarks.tracker import PALM_INTERVAL_FRAMES, LandmarkTracker


def _empty(like: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.broadcast_to(np.array(BACKGROUND, np.uint8), like.shape).copy()


def _side_by_side(first: RenderedHand, second: RenderedHand) -> npt.NDArray[np.uint8]:
    return np.concatenate([first.image, second.image], axis=1)


@needs_landmarks
def test_two_hands_keep_their_numbers_and_sides_while_they_move() -> None:
    tracker = LandmarkTracker(HandNetworks(FOLDER, device="cpu", variants=("full",)), min_presence=0.5)
    numbers: list[dict[bool, int]] = []
    for frame in range(3):
        left = rendered_hand(is_right=False, pose="spread", turn_rad=-0.3, shift_m=(0.01 * frame, 0.0))
        right = rendered_hand(pose="flat", turn_rad=0.4, shift_m=(0.0, 0.008 * frame))
        found = tracker.step(frame, _side_by_side(left, right))
        assert len(found) == 2
        assert set(found.sources) == ({"detected"} if frame == 0 else {"tracked"})
        numbers.append({bool(side): int(number) for side, number in zip(found.is_right, found.hand_index, strict=True)})
        row = np.flatnonzero(~found.is_right)[0]
        assert iou(found.boxes_xyxy[row], left.bbox_xyxy) > 0.6
        assert found.upright_px is not None
        turn = regions_of_upright(found.upright_px[[row]]).turns_rad[0]
        assert abs(turn - regions_of_points(left.joints_2d_px[None]).turns_rad[0]) < 0.3
    assert set(numbers[0]) == {False, True}
    assert numbers[0] == numbers[1] == numbers[2]


@needs_landmarks
def test_a_hand_that_leaves_is_lost_and_one_that_comes_is_found() -> None:
    tracker = LandmarkTracker(HandNetworks(FOLDER, device="cpu", variants=("full",)), min_presence=0.5)
    hand = rendered_hand()
    seen = [hand.image, _empty(hand.image), hand.image]
    assert [len(tracker.step(frame, image)) for frame, image in enumerate(seen)] == [1, 0, 1]


@needs_landmarks
def test_palms_are_looked_for_now_and_then() -> None:
    networks = HandNetworks(FOLDER, device="cpu", variants=("full",))
    looked: list[int] = []
    find = networks.find_palms

    def noting(frame: npt.NDArray[np.uint8]) -> Palms:
        looked.append(1)
        return find(frame)

    networks.find_palms = noting  # type: ignore[method-assign]
    tracker = LandmarkTracker(networks, min_presence=0.5)
    image = rendered_hand().image
    for frame in range(PALM_INTERVAL_FRAMES + 1):
        tracker.step(frame, image)
    assert len(looked) == 2  # in the first frame, and five frames later


class _TwoHands:
    """Says of whatever it is shown where the points are: for a hand that jumps, which no picture makes for certain."""

    def __init__(self, points: list[npt.NDArray[np.float64]], right: list[float]) -> None:
        self.answers = iter(zip(points, right, strict=True))

    def find_palms(self, _frame: npt.NDArray[np.uint8]) -> Palms:
        return Palms(
            np.array([[10.0, 10, 60, 60]]), np.tile(np.array([[[35.0, 60], [35.0, 10]]]), (1, 4, 1))[:, :7], np.ones(1)
        )

    def read(self, _frames: object, _index: object, regions: Regions) -> Readings:
        return self.settle(_frames, _index, regions, min_presence=0.5)[0]

    def settle(
        self, _frames: object, _index: object, regions: Regions, *, min_presence: float
    ) -> tuple[Readings, Regions]:
        points, right = next(self.answers)
        count = len(regions)
        many = np.stack([points] * count)
        return Readings(many, np.zeros((count, 21, 3)), np.ones(count), np.full(count, right)), regions


def test_a_hand_that_jumps_does_not_keep_the_side_of_the_one_before() -> None:
    points = np.random.default_rng(0).uniform(20, 80, (21, 2))
    beside, far = points + np.array([6.0, 0.0]), points + np.array([90.0, 0.0])
    # found and looked at again, followed twice, and then it is suddenly elsewhere and of the other side
    networks = _TwoHands([points, points, beside, beside, far], [0.9, 0.9, 0.9, 0.9, 0.3])
    tracker = LandmarkTracker(networks, min_presence=0.5)  # type: ignore[arg-type]
    image = np.zeros((200, 300, 3), np.uint8)
    told = [tracker.step(frame, image) for frame in range(4)]
    assert [hands.sources for hands in told] == [("detected",), ("tracked",), ("tracked",), ("detected",)]
    assert [bool(hands.is_right[0]) for hands in told] == [True, True, True, False]
