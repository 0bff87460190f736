import numpy as np
import pytest

from hoiray.synthetic.distance import build_tree, measure_contact
from hoiray.synthetic.solids import box, revolve, tube


def _brute_force(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance by dense sampling of barycentric coordinates is inexact; this projects on planes, edges and corners."""
    distances = []
    for p in points:
        best = np.inf
        for a, b, c in vertices[faces]:
            normal = np.cross(b - a, c - a)
            normal /= np.linalg.norm(normal)
            foot = p - ((p - a) @ normal) * normal
            inside = all(np.cross(v - u, foot - u) @ normal >= 0 for u, v in ((a, b), (b, c), (c, a)))
            candidates = [abs((p - a) @ normal)] if inside else []
            for u, v in ((a, b), (b, c), (c, a)):
                along = np.clip((p - u) @ (v - u) / ((v - u) @ (v - u)), 0, 1)
                candidates.append(float(np.linalg.norm(p - u - along * (v - u))))
            best = min(best, *candidates)
        distances.append(best)
    return np.array(distances)


def _winding_number(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Sum of solid angles over 4 pi (Van Oosterom and Strackee 1983): 1 inside, 0 outside."""
    a, b, c = (vertices[faces[:, k]][None] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=2) for x in (a, b, c))
    triple = np.einsum("pfd,pfd->pf", a, np.cross(b, c))
    dots = [np.einsum("pfd,pfd->pf", x, y) for x, y in ((a, b), (b, c), (c, a))]
    angle = 2 * np.arctan2(triple, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb)
    return angle.sum(axis=1) / (4 * np.pi)


SOLIDS = {
    "box": box((0.03, 0.05, 0.07)),
    "cone": revolve([(0.002, 0.0), (0.04, 0.03), (0.01, 0.09)], num_sides=24),
    "tube": tube(np.stack([0.04 * np.cos(np.linspace(0, 2, 9)), 0.04 * np.sin(np.linspace(0, 2, 9))], 1),
                 np.full((9, 2), 0.008), num_sides=10),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLIDS)
def test_it_agrees_with_an_independent_oracle_of_loops_and_solid_angles(name: str) -> None:
    solid = SOLIDS[name]
    points = np.random.default_rng(3).uniform(-0.1, 0.1, (40, 3))
    near = solid.vertices[::7][:20] + np.random.default_rng(4).normal(0, 0.004, (len(solid.vertices[::7][:20]), 3))
    points = np.concatenate([points, near])
    measured = measure_contact(build_tree([(solid.vertices, solid.faces)]), points)
    np.testing.assert_allclose(
        np.abs(measured.distance_m), _brute_force(solid.vertices, solid.faces, points), atol=1e-12
    )
    is_inside = _winding_number(solid.vertices, solid.faces, points) > 0.5
    np.testing.assert_array_equal(measured.distance_m < 0, is_inside)
    assert is_inside.any()
    assert not is_inside.all()


def test_the_nearest_point_is_as_far_as_the_distance_says() -> None:
    solid = SOLIDS["cone"]
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (200, 3))
    measured = measure_contact(build_tree([(solid.vertices, solid.faces)]), points)
    np.testing.assert_allclose(
        np.linalg.norm(points - measured.nearest, axis=1), np.abs(measured.distance_m), atol=1e-12
    )


def test_two_surfaces_are_their_union() -> None:
    first, second = box((0.02, 0.02, 0.02)), box((0.01, 0.01, 0.05))
    surfaces = [(solid.vertices, solid.faces) for solid in (first, second)]
    points = np.random.default_rng(1).uniform(-0.08, 0.08, (300, 3))
    both = measure_contact(build_tree(surfaces), points).distance_m
    each = [measure_contact(build_tree([surface]), points).distance_m for surface in surfaces]
    np.testing.assert_array_equal(both, np.minimum(*each))


def test_beyond_the_search_radius_the_radius_is_returned() -> None:
    solid = SOLIDS["box"]
    tree = build_tree([(solid.vertices, solid.faces)])
    points = np.array([[0.2, 0.0, 0.0], [0.035, 0.0, 0.0]])
    near = measure_contact(tree, points, max_distance_m=0.02)
    np.testing.assert_allclose(near.distance_m, [0.02, 0.005], atol=1e-9)
    assert np.isnan(near.nearest[0]).all()
    assert np.isfinite(near.nearest[1]).all()


def test_corners_and_edges_have_the_right_sign() -> None:
    """Face normals alone would call points beyond a sharp corner inside; pseudo-normals do not."""
    solid = SOLIDS["cone"]
    outside = solid.vertices * 1.0
    outward = outside - outside.mean(axis=0)
    beyond = outside + 0.003 * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    tree = build_tree([(solid.vertices, solid.faces)])
    is_outside = _winding_number(solid.vertices, solid.faces, beyond) < 0.5
    np.testing.assert_array_equal(measure_contact(tree, beyond).distance_m > 0, is_outside)
    assert is_outside.sum() > 20
