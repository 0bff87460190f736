"""Both diameters on shapes whose size is known, and against all pairs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.metrics.object_model import aabb_diagonal_m, hull_vertex_indices, true_diameter_m


def _box(a: float, b: float, c: float) -> np.ndarray:
    return np.array(list(itertools.product((0.0, a), (0.0, b), (0.0, c))))


def _cylinder(radius: float, height: float, num_sides: int = 360) -> np.ndarray:
    angles = 2 * np.pi / num_sides * np.arange(num_sides)
    ring = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    return np.concatenate([np.insert(ring, 2, z, axis=1) for z in (0.0, height)])


def test_a_box_along_the_axes_has_one_diameter() -> None:
    expected = math.sqrt(0.1**2 + 0.2**2 + 0.3**2)
    assert aabb_diagonal_m(_box(0.1, 0.2, 0.3)) == pytest.approx(expected)
    assert true_diameter_m(_box(0.1, 0.2, 0.3)) == pytest.approx(expected)


def test_a_cylinder_is_smaller_than_its_box() -> None:
    radius, height = 0.04, 0.1
    points = _cylinder(radius, height)
    assert true_diameter_m(points) == pytest.approx(math.hypot(2 * radius, height), rel=1e-12)
    assert aabb_diagonal_m(points) == pytest.approx(math.sqrt(2 * (2 * radius) ** 2 + height**2), rel=1e-12)
    assert aabb_diagonal_m(points) / true_diameter_m(points) == pytest.approx(math.sqrt(0.0228 / 0.0164))


def test_only_the_box_diagonal_depends_on_the_axes() -> None:
    box = _box(0.1, 0.2, 0.3)
    turned = box @ Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix().T
    assert true_diameter_m(turned) == pytest.approx(true_diameter_m(box))
    assert aabb_diagonal_m(turned) > 1.05 * aabb_diagonal_m(box)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(2, 120), st.integers(1, 3))
def test_the_true_diameter_is_that_of_all_pairs_in_any_dimension(seed: int, num_points: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=0.1, size=(num_points, rank)) @ rng.normal(size=(rank, 3)) + rng.normal(size=3)
    assert true_diameter_m(points) == pytest.approx(pdist(points).max(), rel=1e-12)
    assert aabb_diagonal_m(points) >= true_diameter_m(points) * (1 - 1e-12)


def test_more_hull_vertices_than_one_block_are_all_compared() -> None:
    directions = np.random.default_rng(0).normal(size=(2500, 3))
    sphere = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert len(hull_vertex_indices(sphere)) == 2500
    assert true_diameter_m(sphere) == pytest.approx(pdist(sphere).max(), rel=1e-14)


def test_inner_points_are_no_hull_vertices() -> None:
    box = _box(1.0, 1.0, 1.0)
    points = np.concatenate([box, np.full((1, 3), 0.5), box * 0.5 + 0.25])
    np.testing.assert_array_equal(hull_vertex_indices(points), np.arange(8))


@pytest.mark.parametrize("num_points", [1, 5])
def test_a_single_place_has_no_extent(num_points: int) -> None:
    points = np.tile([0.3, -0.2, 0.1], (num_points, 1))
    assert true_diameter_m(points) == 0.0
    assert aabb_diagonal_m(points) == 0.0


def test_a_model_that_is_no_finite_point_list_is_refused() -> None:
    with pytest.raises(ContractError, match="finite"):
        true_diameter_m(np.array([[0.0, 0.0, np.nan]]))
    with pytest.raises(ContractError, match="one object at a time"):
        aabb_diagonal_m(np.zeros((2, 5, 3)))
