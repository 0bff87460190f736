import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.render.raster import (
    concatenate_meshes,
    interpolate,
    orthographic_depth,
    rasterise,
)

K = np.array([[40.0, 0.0, 15.5], [0.0, 38.0, 11.5], [0.0, 0.0, 1.0]])
SIZE = (24, 32)
NEAR_M = 0.3


FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def trace_pixel(
    origin_ray: FloatArray, vertices: FloatArray, faces: IntArray, near_m: float
) -> tuple[tuple[float, int, tuple[float, float]] | None, float]:
    """Möller and Trumbore's ray-triangle test, one triangle after the other: the slow and independent answer.

    Returns the nearest (depth, triangle, weights) and how clear the answer is (distance to an edge or to a rival).
    """
    hits, clearance = [], np.inf
    for t, (i, j, k) in enumerate(faces):
        e1, e2 = vertices[j] - vertices[i], vertices[k] - vertices[i]
        p = np.cross(origin_ray, e2)
        det = e1 @ p
        if abs(det) < 1e-14:
            continue
        s = -vertices[i] / det
        u = s @ p
        q = np.cross(s, e1)
        v = origin_ray @ q
        depth = e2 @ q
        inside = min(u, v, 1 - u - v)
        if depth > 0:
            clearance = min(clearance, abs(inside), abs(depth - near_m))
        if inside > 0 and depth >= near_m:
            hits.append((depth, t, (u, v)))
    hits.sort()
    if len(hits) > 1:
        clearance = min(clearance, hits[1][0] - hits[0][0])
    return (hits[0] if hits else None), clearance


def assert_agrees_with_tracing(vertices: FloatArray, faces: IntArray, *, at_least: int) -> None:
    seen = rasterise(vertices, faces, K, SIZE, near_m=NEAR_M)
    compared = covered = 0
    pixels = [(y, x) for y in range(0, SIZE[0], 2) for x in range(0, SIZE[1], 2)]
    for y, x in pixels:
        hit, clearance = trace_pixel(np.linalg.solve(K, [x, y, 1.0]), vertices, faces, NEAR_M)
        if clearance < 1e-3:  # corners are snapped to 1/4096 px
            continue
        compared += 1
        if hit is None:
            assert seen.triangle_id[y, x] == -1
            assert seen.depth_m[y, x] == np.inf
            continue
        covered += 1
        depth, triangle, weights = hit
        assert seen.triangle_id[y, x] == triangle
        np.testing.assert_allclose(seen.depth_m[y, x], depth, rtol=1e-3)
        np.testing.assert_allclose(seen.barycentric[y, x], weights, atol=1e-3)
    assert compared > 0.9 * len(pixels)
    assert covered >= at_least


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_random_triangles_agree_with_ray_tracing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.uniform([-0.6, -0.5, 0.3], [0.6, 0.5, 1.5], (12, 3))
    assert_agrees_with_tracing(vertices, rng.permutation(12).reshape(4, 3), at_least=1)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6))
def test_triangles_through_the_camera_agree_with_ray_tracing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.uniform([-0.5, -0.5, -1.0], [0.5, 0.5, 1.0], (9, 3))
    vertices[::3, 2] = rng.uniform(0.2, 1.0, 3)  # one corner of each in front
    assert_agrees_with_tracing(vertices, np.arange(9).reshape(3, 3), at_least=0)


def test_a_floor_that_starts_behind_the_camera_fills_the_lower_half() -> None:
    floor = np.array([[-50.0, 0.5, -10.0], [50.0, 0.5, -10.0], [50.0, 0.5, 200.0], [-50.0, 0.5, 200.0]])
    seen = rasterise(floor, np.array([[0, 1, 2], [0, 2, 3]]), K, SIZE, near_m=NEAR_M)
    rows = np.arange(SIZE[0])
    with np.errstate(divide="ignore"):
        expected = np.where(rows > 11.5, 0.5 * 38.0 / (rows - 11.5), np.inf)
    expected[expected > 200] = np.inf
    np.testing.assert_allclose(seen.depth_m, np.repeat(expected[:, None], SIZE[1], 1).astype(np.float32), rtol=1e-6)


def test_what_is_nearer_than_near_is_cut_through_the_middle_of_a_triangle() -> None:
    wall = np.array([[-1.0, -0.1, 0.02], [1.0, -0.1, 0.12], [0.0, 0.1, 0.3]])
    cut = rasterise(wall, np.array([[0, 1, 2]]), K, SIZE, near_m=0.15)
    whole = rasterise(wall, np.array([[0, 1, 2]]), K, SIZE, near_m=0.001)
    assert cut.depth_m[cut.covered].min() >= 0.15
    np.testing.assert_array_equal(cut.covered, whole.covered & (whole.depth_m >= 0.15))
    assert 0 < cut.covered.sum() < whole.covered.sum()


def grid_mesh(columns: int, rows: int, jitter: float, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
    """A plane at z = 1 whose corners project onto pixel centres (jitter 0) or anywhere."""
    u, v = np.meshgrid(np.linspace(2, 29, columns).round(), np.linspace(2, 21, rows).round())
    inner = np.zeros_like(u, bool)
    inner[1:-1, 1:-1] = True
    u, v = u + inner * rng.uniform(-jitter, jitter, u.shape), v + inner * rng.uniform(-jitter, jitter, v.shape)
    points = np.stack([(u - 15.5) / 40, (v - 11.5) / 38, np.ones_like(u)], -1).reshape(-1, 3)
    faces = []
    for r in range(rows - 1):
        for c in range(columns - 1):
            a, b = r * columns + c, (r + 1) * columns + c
            quad = [[a, a + 1, b], [a + 1, b + 1, b]] if rng.random() < 0.5 else [[a, b + 1, b], [a, a + 1, b + 1]]
            faces += [face if rng.random() < 0.5 else face[::-1] for face in quad]
    return points, np.array(faces)


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_shared_edge_belongs_to_exactly_one_triangle(jitter: float, seed: int) -> None:
    points, faces = grid_mesh(7, 6, jitter, np.random.default_rng(seed))
    times = sum(rasterise(points, face[None], K, SIZE).covered.astype(int) for face in faces)
    inside = np.zeros(SIZE, int)
    inside[2:21, 2:29] = 1  # left and top edges are in, right and bottom edges are out
    np.testing.assert_array_equal(times, inside)


def test_a_fan_of_slivers_round_a_pixel_centre_covers_it_once() -> None:
    angles = np.linspace(0, 2 * np.pi, 37)[:-1]
    rim = np.stack([(14 + 9 * np.cos(angles) - 15.5) / 40, (11 + 9 * np.sin(angles) - 11.5) / 38, np.ones(36)], 1)
    points = np.vstack([[(14 - 15.5) / 40, (11 - 11.5) / 38, 1.0], rim])
    times = sum(
        rasterise(points, np.array([[0, 1 + i, 1 + (i + 1) % 36]]), K, SIZE).covered.astype(int) for i in range(36)
    )
    assert times.max() == 1
    assert times[11, 14] == 1
    assert times[5:18, 8:21].min() == 1


def test_a_plane_has_its_analytic_depth_at_every_pixel_centre() -> None:
    normal, offset = np.array([0.2, -0.3, 1.0]), 0.8
    corners = np.array([[-2.0, -2.0], [2.0, -2.0], [2.0, 2.0], [-2.0, 2.0]])
    plane = np.column_stack([corners, (offset - corners @ normal[:2]) / normal[2]])
    seen = rasterise(plane, np.array([[0, 1, 2], [0, 2, 3]]), K, SIZE)
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    rays = np.stack([(u - 15.5) / 40, (v - 11.5) / 38, np.ones(SIZE)], -1)
    np.testing.assert_allclose(seen.depth_m, offset / (rays @ normal), rtol=2e-6)


def sphere(radius_m: float, centre: list[float], rows: int = 64, columns: int = 128) -> tuple[FloatArray, IntArray]:
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, rows), np.linspace(0, 2 * np.pi, columns, endpoint=False))
    points = np.stack([np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)], -1)
    index = np.arange(rows * columns).reshape(columns, rows)
    after = np.roll(index, -1, axis=0)
    a, b, c, d = index[:, :-1], after[:, :-1], index[:, 1:], after[:, 1:]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])
    return points.reshape(-1, 3) * radius_m + centre, faces


def test_a_sphere_covers_its_analytic_area_and_has_its_analytic_depth() -> None:
    radius, distance, focal = 0.1, 0.5, 400.0
    camera = np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1]])
    seen = rasterise(*sphere(radius, [0, 0, distance]), camera, (256, 256))
    disc_px = focal * radius / np.sqrt(distance**2 - radius**2)
    assert seen.covered.sum() == pytest.approx(np.pi * disc_px**2, rel=3e-3)
    v, u = np.mgrid[:256, :256]
    rays = np.stack([(u - 127.5) / focal, (v - 127.5) / focal, np.ones((256, 256))], -1)
    squared = (rays**2).sum(-1)
    inner = seen.covered & (distance**2 - squared * (distance**2 - radius**2) > 0.1 * radius**2)
    exact = (distance - np.sqrt((distance**2 - squared * (distance**2 - radius**2))[inner])) / squared[inner]
    assert inner.sum() > 10000
    np.testing.assert_allclose(seen.depth_m[inner], exact, atol=3e-4)  # chords of a 128-gon lie up to 0.03 mm inside


@pytest.mark.parametrize("pixel", [(0, 0), (7, 3), (31, 23)])
def test_pixel_centres_lie_at_integers(pixel: tuple[int, int]) -> None:
    u, v = pixel
    corners = np.array([[u - 0.4, v - 0.4], [u + 0.4, v - 0.4], [u, v + 0.4]])
    points = np.column_stack([(corners - K[:2, 2]) / [40, 38], np.ones(3)]) * 0.7
    seen = rasterise(points, np.array([[0, 1, 2]]), K, SIZE)
    assert [tuple(hit[::-1]) for hit in np.argwhere(seen.covered)] == [pixel]


def test_the_intrinsics_skew_is_honoured() -> None:
    skewed = K.copy()
    skewed[0, 1] = 8.0
    point = np.array([0.1, 0.2, 1.0])
    u, v, _ = skewed @ point
    corners = np.array([[u - 0.9, v - 0.9], [u + 0.9, v - 0.9], [u, v + 0.9]])
    points = np.linalg.solve(skewed, np.column_stack([corners, np.ones(3)]).T).T
    seen = rasterise(points, np.array([[0, 1, 2]]), skewed, SIZE)
    assert np.abs(np.argwhere(seen.covered) - [v, u]).max() < 1


def test_attributes_are_interpolated_in_perspective() -> None:
    floor = np.array([[-1.0, 0.2, 0.4], [1.0, 0.2, 0.4], [0.0, -0.4, 4.0]])
    seen = rasterise(floor, np.array([[0, 1, 2]]), K, SIZE)
    carried = interpolate(seen, np.array([[0, 1, 2]]), floor)
    v, u = np.nonzero(seen.covered)
    projected = carried[v, u] @ K.T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], np.stack([u, v], 1), atol=2e-4)
    np.testing.assert_allclose(carried[v, u, 2], seen.depth_m[v, u], rtol=1e-5)
    assert np.isnan(carried[~seen.covered]).all()


def test_the_nearer_mesh_hides_the_farther_whatever_the_order() -> None:
    near = (np.array([[-1.0, -1, 0.5], [1, -1, 0.5], [0, 1, 0.5]]), np.array([[0, 1, 2]]))
    far = (np.array([[-3.0, -3, 1.5], [3, -3, 1.5], [0, 3, 1.5]]), np.array([[2, 1, 0]]))
    for parts, front in (((near, far), 0), ((far, near), 1)):
        vertices, faces, mesh_id = concatenate_meshes(parts)
        seen = rasterise(vertices, faces, K, SIZE)
        assert mesh_id[seen.triangle_id[11, 15]] == front
        assert seen.depth_m[11, 15] == np.float32(0.5)
        assert set(mesh_id.tolist()) == {0, 1}


def test_of_equally_near_triangles_the_first_is_kept() -> None:
    points = np.array([[-0.1, -0.1, 0.5], [0.1, -0.1, 0.5], [0, 0.1, 0.5]])
    seen = rasterise(points, np.array([[0, 1, 2], [0, 1, 2], [2, 1, 0]]), K, SIZE)
    assert set(np.unique(seen.triangle_id)) == {-1, 0}


def test_depth_under_parallel_projection_is_affine() -> None:
    points = np.array([[-5.0, -5.0, -1.0], [45.0, -5.0, 3.0], [-5.0, 45.0, 0.5]])
    depth = orthographic_depth(points, np.array([[0, 1, 2]]), SIZE)
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    expected = -1.0 + (u + 5) / 50 * 4.0 + (v + 5) / 50 * 1.5
    covered = np.isfinite(depth)
    np.testing.assert_array_equal(covered, u + v < 40)  # the hypotenuse passes through pixel centres, and is not a left
    np.testing.assert_allclose(depth[covered], expected[covered], atol=1e-6)


def test_the_same_input_gives_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    vertices, faces = rng.uniform([-0.6, -0.5, -0.3], [0.6, 0.5, 1.5], (90, 3)), np.arange(90).reshape(30, 3)
    first, second = (rasterise(vertices, faces, K, SIZE) for _ in range(2))
    for name in ("depth_m", "triangle_id", "barycentric"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_no_argument_is_changed() -> None:
    vertices, faces = np.array([[-1.0, -1, 0.5], [1, -1, 0.5], [0, 1, 0.5]]), np.array([[0, 1, 2]])
    for array in (vertices, faces):
        array.setflags(write=False)
    assert rasterise(vertices, faces, K, SIZE).covered.any()


def test_an_empty_mesh_is_seen_nowhere() -> None:
    seen = rasterise(np.zeros((0, 3)), np.zeros((0, 3), int), K, SIZE)
    assert not seen.covered.any()
    assert np.isinf(seen.depth_m).all()
    vertices, faces, mesh_id = concatenate_meshes([])
    assert (len(vertices), len(faces), len(mesh_id)) == (0, 0, 0)


@pytest.mark.parametrize("z", [-0.5, 0.0, 0.001])
def test_what_is_behind_the_camera_or_too_near_is_not_seen(z: float) -> None:
    points = np.array([[-1.0, -1, z], [1, -1, z], [0, 1, z]])
    assert not rasterise(points, np.array([[0, 1, 2]]), K, SIZE).covered.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vertex_that_is_not_finite_is_refused(bad: float) -> None:
    points = np.array([[-1.0, -1, 1], [1, bad, 1], [0, 1, 1]])
    with pytest.raises(ContractError, match=r"vertices\[1\].*finite"):
        rasterise(points, np.array([[0, 1, 2]]), K, SIZE)


def test_what_does_not_fit_is_refused() -> None:
    points, face = np.eye(3), np.array([[0, 1, 2]])
    with pytest.raises(ContractError, match="0 to 2, found 0 to 3"):
        rasterise(points, np.array([[0, 1, 3]]), K, SIZE)
    with pytest.raises(ContractError, match=r"vertices: expected shape \(N, 3\)"):
        rasterise(points[:, :2], face, K, SIZE)
    with pytest.raises(ContractError, match="last row"):
        rasterise(points, face, np.ones((3, 3)), SIZE)
    with pytest.raises(ContractError, match="image_size"):
        rasterise(points, face, K, (0, 5))
    with pytest.raises(ContractError, match="near_m"):
        rasterise(points, face, K, SIZE, near_m=0.0)
