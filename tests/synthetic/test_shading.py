import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.render.light import sphere_directions
from hoiray.render.occlusion import parallel_frame
from hoiray.render.raster import concatenate_meshes
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.shading import (
    SHADOW_BLOCK_PX,
    block_minima,
    face_views,
    find_shown,
    longest_motion_px,
    measure_openness,
    splat_depth,
)

FloatArray = NDArray[np.float64]

FRAMES = np.stack([parallel_frame(direction) for direction in sphere_directions(200)])
QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def _square(half: float, height: float) -> FloatArray:
    corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    return np.column_stack([corners, np.full(4, height)])


def _openness(
    vertices: FloatArray,
    faces: NDArray[np.int64],
    points: FloatArray,
    normals: FloatArray,
    size: int = 128,
    radius: float = 1.0,
) -> NDArray[np.float32]:
    everything = np.concatenate([vertices, points])
    directions = np.concatenate([np.tile([0.0, 0.0, 1.0], (len(vertices), 1)), normals])
    scale = (size / 2 - 2) / radius
    share = measure_openness(
        everything, directions, len(vertices), faces, FRAMES, np.zeros(3), scale, 1.5 / scale, size
    )
    return share[len(vertices) :]


def test_a_point_under_an_open_sky_sees_all_of_it() -> None:
    share = _openness(_square(0.5, -0.3), QUAD, np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(share, 1.0)


def test_a_roof_hides_the_share_that_geometry_says() -> None:
    """A point below the middle of a square of half side a, at distance h: the form factor in closed form."""
    half, height = 0.5, 0.3
    q = half / height
    # Howell, catalogue of radiation configuration factors, B-3, four corners
    corner = q / np.sqrt(1 + q * q) * np.arctan(q / np.sqrt(1 + q * q)) / np.pi
    share = _openness(_square(half, height), QUAD, np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(share, 1.0 - 4 * corner, atol=0.06)


def test_a_buried_point_sees_nothing() -> None:
    parts = []
    for axis in range(3):
        for sign in (-1, 1):
            wall = _square(0.3, 0.3 * sign)
            parts.append((np.roll(wall, axis, axis=1), QUAD))
    vertices, faces, _ = concatenate_meshes(parts)
    share = _openness(vertices, faces, np.zeros((1, 3)), np.array([[0.0, 1.0, 0.0]]))
    assert share[0] < 0.02


def test_block_minima_bound_their_neighbourhood() -> None:
    depth = np.random.default_rng(0).uniform(1, 2, (32, 32)).astype(np.float32)
    blocks = block_minima(depth)
    assert blocks.shape == (32 // SHADOW_BLOCK_PX,) * 2
    for y in range(4):
        for x in range(4):
            rows = slice(max(0, (y - 1) * SHADOW_BLOCK_PX), (y + 2) * SHADOW_BLOCK_PX)
            columns = slice(max(0, (x - 1) * SHADOW_BLOCK_PX), (x + 2) * SHADOW_BLOCK_PX)
            assert blocks[y, x] == depth[rows, columns].min()


def test_faces_know_their_side_and_their_mip_level() -> None:
    vertices = _square(0.1, 1.0)
    faces = np.array([[0, 2, 1], [0, 1, 2], [0, 2, 3]])
    uv = np.zeros((3, 3, 2), np.float32)
    uv[0], uv[1] = [[0, 0], [1, 1], [1, 0]], [[0, 0], [1, 0], [1, 1]]
    K = np.array([[320.0, 0, 0], [0, 320.0, 0], [0, 0, 1]])
    facing, level = face_views(vertices, faces, uv, np.full(3, 256.0), np.full(3, 7, np.int32), K)
    np.testing.assert_array_equal(facing[:2], [1.0, -1.0])
    # 256 texels on 64 pixels: two halvings leave one texel a pixel
    np.testing.assert_array_equal(level, [2, 2, 0])


def test_faces_that_look_away_are_shown_only_where_the_surface_is_open() -> None:
    vertices = np.concatenate([_square(0.1, 1.0), [[0.0, 0.0, 0.0], [0.1, 0.0, 1.0], [-0.1, 0.0, 1.0]]])
    towards, away, on_edge = [0, 2, 1], [0, 1, 2], [4, 5, 6]
    faces = np.array([towards, away, on_edge])
    np.testing.assert_array_equal(find_shown(vertices, faces, np.zeros(3, np.bool_)), [0, 2])
    np.testing.assert_array_equal(find_shown(vertices, faces, np.ones(3, np.bool_)), [0, 1, 2])


def test_of_a_closed_surface_the_outside_is_nearest() -> None:
    mesh = build_object("mug")
    placed = mesh.vertices * [400.0, 400.0, 1.0] + [32.0, 32.0, 0.0]
    maps = np.full((2, 64, 64), np.inf, np.float32)
    for depth_m, is_closed in zip(maps, (False, True), strict=True):
        splat_depth(placed, mesh.faces, depth_m, is_closed)
    assert np.isfinite(maps[0]).sum() > 300
    np.testing.assert_array_equal(*maps)


def test_the_longest_motion_is_that_of_what_is_seen() -> None:
    K = np.array([[100.0, 0, 50], [0, 100.0, 50], [0, 0, 1]])
    vertices = np.array([[0.0, 0, 1.0], [0.0, 0, 2.0], [9.0, 0, 1.0], [0.0, 0, 0.01]])
    moved = np.array([[0.03, 0.04, 0], [0.2, 0, 0], [5, 0, 0], [5, 0, 0]], np.float32)
    assert longest_motion_px(vertices, moved, K, 100, 100, 0.05) == pytest.approx(10.0)
    assert longest_motion_px(vertices[:1], moved[:1], K, 100, 100, 0.05) == pytest.approx(5.0)
    assert longest_motion_px(vertices[2:], moved[2:], K, 100, 100, 0.05) == 0.0
