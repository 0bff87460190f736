"""How much of its sky each vertex sees: the soft darkening of creases and of the places where things touch.

The share is measured by looking at the mesh from directions all over the sphere, one small depth map each, and asking
of every vertex whether it is seen. That is exact in the limit, needs no acceleration structure, costs one small
rasterisation a direction, and includes what other meshes hide when they are passed in one call.
"""

import numba
import numpy as np
import numpy.typing as npt

from hoiray.render.light import sphere_directions
from hoiray.render.raster import FloatArray, IntArray, check_mesh, orthographic_depth

# A vertex lies on the surface it is tested against: it is lifted off by this many pixels of the map first.
_LIFT_TEXELS = 1.5
_MARGIN_PX = 2.0

_compiled = numba.njit(cache=True, error_model="numpy", nogil=True)


def ambient_visibility(
    vertices: FloatArray, faces: IntArray, normals: FloatArray, *, num_directions: int = 32, map_px: int = 96
) -> npt.NDArray[np.float32]:
    """Measure the cosine-weighted share of the upper half-space that each vertex sees.

    Args:
        vertices: (V, 3) metres, any frame.
        faces: (F, 3).
        normals: (V, 3) unit, outward.
        num_directions: how many directions of the whole sphere are tried; about half of them lie above a vertex.
        map_px: side of a depth map; its pixel is the finest crease that is seen.

    Returns:
        (V,) float32 from 0 (buried) to 1 (free). A vertex without a normal gets 1.

    Raises:
        ContractError: as `hoiray.render.raster.rasterise`.
    """
    points, triangles = check_mesh(vertices, faces)
    if not len(points):
        return np.ones(0, np.float32)
    unit = np.ascontiguousarray(normals, np.float64)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius_m = max(float(np.linalg.norm(points - centre, axis=1).max()), 1e-9)
    texels_per_m = (map_px / 2 - _MARGIN_PX) / radius_m
    lifted = points + unit * (_LIFT_TEXELS / texels_per_m)
    seen, weight = np.zeros(len(points)), np.zeros(len(points))
    for direction in sphere_directions(num_directions):
        frame = parallel_frame(direction)
        project = frame * np.array([[texels_per_m], [texels_per_m], [1.0]])
        offset = np.array([map_px / 2, map_px / 2, 0.0]) - project @ centre
        depth_m = orthographic_depth(points @ project.T + offset, triangles, (map_px, map_px))
        _accumulate(lifted @ project.T + offset, unit @ direction, depth_m, seen, weight)
    return np.where(weight > 0, seen / np.maximum(weight, 1e-12), 1.0).astype(np.float32)


def parallel_frame(towards: FloatArray) -> npt.NDArray[np.float64]:
    """Return the (3, 3) rotation whose rows are right, down and forward for an eye that looks along ``-towards``."""
    forward = -np.asarray(towards, np.float64)
    helper = np.array([0.0, 1.0, 0.0]) if abs(forward[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


@_compiled
def _accumulate(
    points: npt.NDArray[np.float64],
    cosine: npt.NDArray[np.float64],
    depth_m: npt.NDArray[np.float32],
    seen: npt.NDArray[np.float64],
    weight: npt.NDArray[np.float64],
) -> None:
    """Add one direction to every vertex that faces it; the four nearest depth pixels vote by their distance."""
    size = depth_m.shape[0]
    for i in range(len(points)):
        if cosine[i] <= 0.0:
            continue
        weight[i] += cosine[i]
        u, v, distance = points[i, 0], points[i, 1], points[i, 2]
        x, y = int(np.floor(u)), int(np.floor(v))
        share_x, share_y = u - x, v - y
        free = 0.0
        for dy in range(2):
            for dx in range(2):
                share = (share_x if dx else 1.0 - share_x) * (share_y if dy else 1.0 - share_y)
                inside = 0 <= x + dx < size and 0 <= y + dy < size
                if not inside or depth_m[y + dy, x + dx] >= distance:
                    free += share
        seen[i] += cosine[i] * free
