import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hoiray.errors import ContractError
from hoiray.geometry import boxes as bx

Array = NDArray[np.floating]
quick = settings(max_examples=100, deadline=None, derandomize=True)
corner = st.integers(0, 12)
# whole pixels from a small range, so that boxes touch, nest and collapse often
box = st.tuples(corner, corner, corner, corner).map(
    lambda c: np.array([min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]), max(c[1], c[3])], dtype=np.float64)
)
ABSENT = np.full(4, np.nan)
INVERTED = np.array([5.0, 0.0, 2.0, 3.0])


def cells(box_xyxy: Array) -> set[tuple[int, int]]:
    """The unit squares a box of whole coordinates covers."""
    x0, y0, x1, y1 = (int(c) for c in box_xyxy)
    return {(x, y) for x in range(x0, x1) for y in range(y0, y1)}


@quick
@given(box, box)
def test_overlap_equals_counting_squares(first: Array, second: Array) -> None:
    common, either = cells(first) & cells(second), cells(first) | cells(second)
    assert bx.area(first) == len(cells(first))
    found = bx.intersection(first, second)
    assert found.is_empty == (not common)
    if common:
        assert cells(found.boxes_xyxy) == common
    else:
        assert np.isnan(found.boxes_xyxy).all()
    if either:
        assert bx.iou(first, second) == pytest.approx(len(common) / len(either), abs=1e-15)
    else:
        assert np.isnan(bx.iou(first, second))
    around = bx.union(first, second)
    assert cells(around) >= either
    assert bx.area(around) >= max(bx.area(first), bx.area(second))


@quick
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=8, max_size=8))
def test_iou_is_symmetric_between_0_and_1_and_1_with_itself(values: list[float]) -> None:
    for dtype in (np.float32, np.float64):
        corners = np.sort(np.array(values, dtype=dtype).reshape(2, 2, 2), axis=1)
        first, second = corners.reshape(2, 4)
        overlap = bx.iou(first, second)
        assert overlap.dtype == dtype
        np.testing.assert_array_equal(overlap, bx.iou(second, first))
        assert np.isnan(overlap) or 0.0 <= overlap <= 1.0
        if bx.area(first) > 0.0:
            assert bx.iou(first, first) == 1.0


def test_the_matrix_is_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    first, second = (bx.from_points(rng.uniform(0, 100, (n, 2, 2))) for n in (5, 7))
    matrix = bx.iou_matrix(first, second)
    assert matrix.shape == (5, 7)
    for i in range(5):
        for j in range(7):
            assert matrix[i, j] == bx.iou(first[i], second[j])
    assert bx.iou_matrix(first[:0], second).shape == (0, 7)
    assert bx.iou_matrix(first, second[:0]).shape == (5, 0)
    assert (bx.iou_matrix(first, second) > 0).any()


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_and_precision_are_kept(batch: tuple[int, ...], dtype: type) -> None:
    boxes = bx.from_points(np.random.default_rng(1).uniform(0, 100, (*batch, 5, 2)).astype(dtype))
    assert boxes.shape == (*batch, 4)
    for result in (
        boxes,
        bx.union(boxes, boxes),
        bx.intersection(boxes, boxes).boxes_xyxy,
        bx.clip_to_image(boxes, 50, 50),
        bx.expand(boxes, 1.5),
        bx.square(boxes),
        bx.from_xywh(bx.to_xywh(boxes)),
        bx.from_center_size(*bx.to_center_size(boxes)),
    ):
        assert result.shape == (*batch, 4)
        assert result.dtype == dtype
    assert bx.iou(boxes, boxes).shape == bx.area(boxes).shape == bx.is_valid(boxes).shape == batch


@pytest.mark.parametrize(
    "bad", [ABSENT, INVERTED, np.array([0.0, 0.0, np.inf, 1.0]), np.array([0.0, 0.0, 1.0, np.nan])]
)
def test_an_absent_box_makes_everything_computed_from_it_absent(bad: Array) -> None:
    good = np.array([0.0, 0.0, 10.0, 10.0])
    assert not bx.is_valid(bad)
    assert np.isnan(bx.area(bad))
    assert np.isnan(bx.iou(bad, good))
    assert np.isnan(bx.union(bad, good)).all()
    assert np.isnan(bx.expand(bad, 2.0)).all()
    assert np.isnan(bx.square(bad)).all()
    assert np.isnan(bx.clip_to_image(bad, 20, 20)).all()
    found = bx.intersection(good, bad)
    assert np.isnan(found.boxes_xyxy).all()
    assert not found.is_empty


@pytest.mark.parametrize("collapsed", [[3.0, 3.0, 3.0, 8.0], [3.0, 3.0, 8.0, 3.0], [3.0, 3.0, 3.0, 3.0]])
def test_a_collapsed_box_is_measured_as_no_overlap(collapsed: list[float]) -> None:
    assert not bx.is_valid(collapsed)
    assert bx.area(collapsed) == 0.0
    assert bx.iou(collapsed, [0.0, 0.0, 10.0, 10.0]) == 0.0
    assert np.isnan(bx.iou(collapsed, collapsed))


def test_an_image_reaches_half_a_pixel_beyond_its_outer_pixel_centres() -> None:
    image = bx.image_box(640, 480)
    assert image.tolist() == [-0.5, -0.5, 639.5, 479.5]
    assert bx.area(image) == 640 * 480


def test_clipping_keeps_what_is_visible() -> None:
    boxes = np.array(
        [
            [10.0, 10.0, 20.0, 20.0],
            [-30.0, 100.0, 700.0, 500.0],
            [-30.0, 10.0, -1.0, 20.0],
            [640.0, 10.0, 650.0, 20.0],
            [10.0, 480.0, 20.0, 490.0],
            [10.0, -20.0, 20.0, -1.0],
        ]
    )
    clipped = bx.clip_to_image(boxes, 640, 480)
    np.testing.assert_array_equal(clipped[0], boxes[0])
    np.testing.assert_array_equal(clipped[1], [-0.5, 100.0, 639.5, 479.5])
    assert np.isnan(clipped[2:]).all()
    np.testing.assert_array_equal(bx.clip_to_image(clipped, 640, 480), clipped)


def test_a_collapsed_prediction_in_the_image_stays_measurable_after_clipping() -> None:
    point = np.array([100.0, 100.0, 100.0, 100.0])
    assert bx.iou(bx.clip_to_image(point, 640, 480), [90.0, 90.0, 110.0, 110.0]) == 0.0


@pytest.mark.parametrize("size", [(0, 480), (640, 0), (-1, 480)])
def test_an_image_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ContractError, match="image size"):
        bx.clip_to_image(np.zeros(4), *size)


@quick
@given(box, st.floats(0.1, 10.0))
def test_expanding_keeps_the_centre_and_is_undone_by_the_inverse_factor(boxes: Array, factor: float) -> None:
    grown = bx.expand(boxes, factor)
    center, size = bx.to_center_size(boxes)
    np.testing.assert_allclose(bx.to_center_size(grown)[0], center, atol=1e-12)
    np.testing.assert_allclose(bx.to_center_size(grown)[1], factor * size, atol=1e-12)
    np.testing.assert_allclose(bx.expand(grown, 1.0 / factor), boxes, atol=1e-12)


def test_each_box_has_its_own_factor_and_factors_are_positive() -> None:
    grown = bx.expand([[0.0, 0.0, 2.0, 4.0]] * 2, [1.0, 2.0])
    assert grown.tolist() == [[0.0, 0.0, 2.0, 4.0], [-1.0, -2.0, 3.0, 6.0]]
    for factor in (0.0, -1.0, np.nan):
        with pytest.raises(ContractError, match="factor"):
            bx.expand(np.zeros(4), factor)


def test_a_factor_or_a_mask_that_belongs_to_other_boxes_is_refused() -> None:
    with pytest.raises(ContractError, match=r"boxes_xyxy and factor: .*found \(3,\) and \(2,\)"):
        bx.expand(np.zeros((3, 4)), np.ones(2))
    assert bx.expand(np.zeros(4), np.ones(2)).shape == (2, 4)
    for mask in [(5, 21), (20,), (2, 21)]:
        with pytest.raises(ContractError, match=r"valid: expected a shape that broadcasts to \(21,\)"):
            bx.from_points(np.zeros((21, 2)), np.ones(mask, dtype=bool))
    assert bx.from_points(np.zeros((5, 21, 2)), np.ones(21, dtype=bool)).shape == (5, 4)


def test_a_square_has_the_longer_side_and_the_same_centre() -> None:
    assert bx.square([[0.0, 0.0, 10.0, 4.0], [0.0, 0.0, 4.0, 10.0]]).tolist() == [[0, -3, 10, 7], [-3, 0, 7, 10]]


def test_a_box_from_points_touches_them_and_only_those_that_count() -> None:
    points = np.array([[1.0, 9.0], [4.0, 2.0], [100.0, -50.0]])
    assert bx.from_points(points).tolist() == [1.0, -50.0, 100.0, 9.0]
    assert bx.from_points(points, [True, True, False]).tolist() == [1.0, 2.0, 4.0, 9.0]
    points[2] = np.nan
    assert bx.from_points(points, [True, True, False]).tolist() == [1.0, 2.0, 4.0, 9.0]


def test_a_box_around_nothing_or_around_a_missing_point_is_absent() -> None:
    assert np.isnan(bx.from_points(np.zeros((0, 2)))).all()
    assert np.isnan(bx.from_points(np.zeros((3, 2)), [False] * 3)).all()
    points = np.zeros((2, 3, 2))
    points[0, 1, 0] = np.nan
    assert np.isnan(bx.from_points(points)).all(axis=-1).tolist() == [True, False]


def test_conversions_mean_what_their_names_say() -> None:
    assert bx.to_xywh([1.0, 2.0, 4.0, 8.0]).tolist() == [1.0, 2.0, 3.0, 6.0]
    assert bx.from_xywh([1.0, 2.0, 3.0, 6.0]).tolist() == [1.0, 2.0, 4.0, 8.0]
    center, size = bx.to_center_size([1.0, 2.0, 4.0, 8.0])
    assert (center.tolist(), size.tolist()) == ([2.5, 5.0], [3.0, 6.0])
