import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.datasets.leaks import DEFAULT_MAX_DISTANCE
from hoiray.datasets.perceptual_hash import MAX_DISTANCE, pairs_within, perceptual_hash
from hoiray.errors import ContractError


def scenery(seed: int, size: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
    """A picture with structure at every scale, as photographs have (amplitude falls with frequency)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3))
    for octave in range(2, 7):
        coarse = rng.normal(size=(2**octave * 3 // 4, 2**octave, 3))
        image += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) / 2 ** (octave - 2)
    image = (image - image.min()) / (image.max() - image.min())
    return np.asarray(image * 255, dtype=np.uint8)


def distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    a, b = perceptual_hash(first), perceptual_hash(second)
    assert a is not None
    assert b is not None
    return (a ^ b).bit_count()


def _jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_a_copy_is_found_however_it_was_saved(seed: int) -> None:
    image = scenery(seed)
    assert distance(image, _jpeg(image, 50)) <= DEFAULT_MAX_DISTANCE
    assert (
        distance(image, cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)) <= DEFAULT_MAX_DISTANCE
    )
    brighter = np.clip(image.astype(np.float64) * 1.15, 0, 255).astype(np.uint8)
    assert distance(image, brighter) <= DEFAULT_MAX_DISTANCE


def test_unrelated_images_are_far_apart() -> None:
    hashes = [perceptual_hash(scenery(seed)) for seed in range(150)]
    values = np.array([value for value in hashes if value is not None], dtype=np.uint64)
    distances = np.bitwise_count(values[:, None] ^ values[None])[np.triu_indices(len(values), 1)]
    assert distances.mean() == pytest.approx(32, abs=1.5)
    assert distances.min() > MAX_DISTANCE


def test_a_flat_image_has_no_hash() -> None:
    rng = np.random.default_rng(0)
    assert perceptual_hash(np.full((64, 64, 3), 7, np.uint8)) is None
    assert perceptual_hash(rng.integers(100, 104, (64, 64, 3)).astype(np.uint8)) is None


def test_grey_and_colour_of_the_same_picture_agree() -> None:
    grey = cv2.cvtColor(scenery(1), cv2.COLOR_RGB2GRAY)
    assert perceptual_hash(np.asarray(grey, np.uint8)) == perceptual_hash(np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("max_distance", [0, 3, MAX_DISTANCE])
def test_the_search_finds_what_comparing_all_pairs_finds(max_distance: int) -> None:
    rng = np.random.default_rng(5)
    first = rng.integers(0, 2**63, 400, dtype=np.uint64)
    second = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for index in range(120):  # plant copies with 0 to 11 flipped bits
        bits = rng.choice(64, index % 12, replace=False).astype(np.uint64)
        second[index] = first[index] ^ np.bitwise_or.reduce(np.uint64(1) << bits, initial=np.uint64(0))
    all_pairs = np.bitwise_count(first[:, None] ^ second[None])
    rows, columns = np.nonzero(all_pairs <= max_distance)
    left, right, distances = pairs_within(first, second, max_distance)
    assert {*zip(left, right, strict=True)} == {*zip(rows, columns, strict=True)}
    np.testing.assert_array_equal(distances, all_pairs[left, right])
    assert (np.diff(distances) >= 0).all()


def test_empty_sets_have_no_pairs() -> None:
    empty = np.zeros(0, np.uint64)
    assert [len(part) for part in pairs_within(empty, empty, 4)] == [0, 0, 0]
    assert [len(part) for part in pairs_within(empty, np.ones(3, np.uint64), 4)] == [0, 0, 0]


def test_a_distance_the_search_cannot_promise_is_refused() -> None:
    empty = np.zeros(0, np.uint64)
    with pytest.raises(ContractError, match="0 to 7 bits, found 8"):
        pairs_within(empty, empty, 8)
