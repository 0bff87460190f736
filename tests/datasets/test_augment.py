import numpy as np

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import Views, draw_views, plain_views, reach_sides

PAPER, RELEASED = Augmentation(), Augmentation.released()
COUNT = 2000


def draw(augmentation: Augmentation = PAPER, *, epoch: int = 0, count: int = COUNT, seed: int = 0) -> Views:
    return draw_views(augmentation, seed=seed, epochs=[epoch] * count, indices=range(count))


def test_the_papers_ranges_are_filled_and_never_left() -> None:
    views = draw()
    for values, low, high in (
        (views.side_factors, 0.8, 1.2),
        (views.shifts_sides, -0.1, 0.1),
        (views.rotations_rad, -np.pi, np.pi),
        (views.colour_factors, 0.9, 1.1),
    ):
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
    assert not views.hue_turns.any()
    assert not views.blur_px.any()


def test_the_released_codes_scale_is_a_clipped_normal_one() -> None:
    views = draw(RELEASED)
    at_limit = np.isclose(np.abs(views.side_factors - 1.0), 0.2)
    assert 0.28 < at_limit.mean() < 0.36  # a standard normal leaves +-1 in 31.7 %
    assert views.colour_factors.min() < 0.52
    assert views.colour_factors.max() > 1.48
    assert 0.14 < np.abs(views.hue_turns).max() <= 0.15
    assert 0.0 <= views.blur_px.min() < views.blur_px.max() <= 0.5


def test_a_view_depends_on_seed_epoch_and_index_and_on_no_neighbour() -> None:
    views = draw_views(PAPER, seed=3, epochs=[5, 7, 5], indices=[11, 11, 40])
    alone = draw_views(PAPER, seed=3, epochs=[5], indices=[40])
    for name, values in vars(alone).items():
        np.testing.assert_array_equal(values[0], getattr(views, name)[2])
    assert len(set(views.rotations_rad)) == 3
    assert draw_views(PAPER, seed=4, epochs=[5], indices=[40]).rotations_rad != alone.rotations_rad


def test_a_range_of_zero_changes_no_other_draw() -> None:
    upright = draw(PAPER.model_copy(update={"max_rotation_deg": 0.0}))
    assert not upright.rotations_rad.any()
    np.testing.assert_array_equal(upright.side_factors, draw().side_factors)
    np.testing.assert_array_equal(upright.colour_factors, draw().colour_factors)


def test_every_order_of_colours_comes_equally_often() -> None:
    orders, counts = np.unique(draw().colour_order, axis=0, return_counts=True)
    assert len(orders) == 24
    assert counts.max() < 2 * counts.min()


def test_plain_views_show_the_base_square() -> None:
    A = plain_views(2).affines(np.array([[50.0, 40.0], [9.0, 8.0]]), np.array([128.0, 256.0]), out_size_px=128)
    np.testing.assert_allclose(A[0], [[1, 0, 63.5 - 50], [0, 1, 63.5 - 40], [0, 0, 1]])
    np.testing.assert_allclose(A[1, :2, :2], 0.5 * np.eye(2))


def test_the_reach_holds_every_crop_and_is_not_wasteful() -> None:
    for augmentation in (PAPER, RELEASED, Augmentation(max_rotation_deg=20.0)):
        views = draw(augmentation)
        A = views.affines(np.zeros((COUNT, 2)), np.ones(COUNT), out_size_px=2)
        edges = np.array([[x, y, 1.0] for x in (-0.5, 1.5) for y in (-0.5, 1.5)])
        corners = edges @ np.swapaxes(np.linalg.inv(A), -1, -2)
        farthest = 2 * np.abs(corners[..., :2]).max()
        assert farthest <= reach_sides(augmentation) + 1e-9
        assert farthest > 0.9 * reach_sides(augmentation)
