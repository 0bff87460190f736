import numpy as np
import pytest

from hoiray.render.occlusion import ambient_visibility, parallel_frame
from hoiray.render.raster import concatenate_meshes
from hoiray.render.shade import vertex_normals

PLATE = (
    np.array([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1], [0, 0, 0]]) * 0.1,
    np.array([[0, 4, 1], [1, 4, 2], [2, 4, 3], [3, 4, 0]]),
)
UP = np.tile([0.0, 1.0, 0.0], (5, 1))


def test_a_free_plate_sees_all_of_its_sky() -> None:
    np.testing.assert_allclose(ambient_visibility(*PLATE, UP, num_directions=64), 1.0)


def test_a_vertical_wall_takes_half_of_the_sky_at_its_foot() -> None:
    wall = np.array([[-9.0, -1e-3, 0.0], [9.0, -1e-3, 0.0], [9.0, 9.0, 0.0], [-9.0, 9.0, 0.0]])
    points = np.array([[0.0, 0.0, 0.4]])
    vertices, faces, _ = concatenate_meshes([(wall, np.array([[0, 1, 2], [0, 2, 3]])), (points, np.zeros((0, 3), int))])
    normals = np.vstack([np.tile([0.0, 0.0, 1.0], (4, 1)), [[0.0, 1.0, 0.0]]])
    visibility = ambient_visibility(vertices, faces, normals, num_directions=400, map_px=256)
    assert visibility[4] == pytest.approx(0.5, abs=0.04)


def test_a_lid_hides_the_sky_and_opening_it_gives_it_back() -> None:
    seen = []
    for height_m in (0.01, 0.1, 1.0):
        lid = PLATE[0] * [1, 0, 1] + [0, height_m, 0]
        vertices, faces, _ = concatenate_meshes([PLATE, (lid, PLATE[1])])
        seen.append(ambient_visibility(vertices, faces, np.vstack([UP, UP]), num_directions=200)[4])
    assert seen[0] < 0.05
    assert seen[0] < seen[1] < seen[2]
    assert seen[2] > 0.9


def test_a_convex_body_sees_all_and_no_mesh_sees_nothing() -> None:
    corners = np.array([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)]) * 0.05
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))])
    normals = vertex_normals(corners, faces)
    assert (np.sum(normals * corners, axis=1) > 0).all()
    assert ambient_visibility(corners, faces, normals, num_directions=64).min() > 0.97
    assert ambient_visibility(np.zeros((0, 3)), np.zeros((0, 3), int), np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("towards", [(0, 0, -1), (0, 1, 0), (0.6, 0, 0.8)])
def test_a_parallel_eye_looks_against_the_direction_it_stands_in(towards: tuple[float, float, float]) -> None:
    frame = parallel_frame(np.array(towards, float))
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(frame) == pytest.approx(1.0)
    np.testing.assert_allclose(frame @ towards, [0, 0, -1], atol=1e-12)
