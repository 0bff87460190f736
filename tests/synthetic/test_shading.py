import numpy as np
from numpy.typing import NDArray

from hoiray.render.light import sphere_directions
from hoiray.render.occlusion import parallel_frame
from hoiray.render.raster import concatenate_meshes
from hoiray.synthetic.shading import SHADOW_BLOCK_PX, block_minima, face_views, measure_openness

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
