import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.hand.openhand.decimate import decimate
from hoiray.hand.openhand.skinning import boundary_edges, euler_characteristic, face_normals


def dome(side: int = 14) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bulging square patch of `side` x `side` vertices, 40 mm wide, with weights that change across it."""
    x, y = (axis.reshape(-1) for axis in np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side)))
    vertices = 0.02 * np.stack([x, y, 0.6 * np.cos(x) * np.cos(y) + 0.01 * np.sin(5 * x + y)], axis=1)
    k = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = np.concatenate([np.stack([k, k + 1, k + side], 1), np.stack([k + 1, k + side + 1, k + side], 1)])
    right = (x > 0).astype(float)
    return vertices, faces, np.stack([right, 1 - right], axis=1)


def is_manifold(faces: np.ndarray) -> bool:
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    return len(np.unique(directed, axis=0)) == len(directed)


@pytest.mark.parametrize(("num_vertices", "num_boundary"), [(120, 40), (90, 24), (60, 24)])
def test_counts_are_exact_and_the_surface_stays_a_disc(num_vertices: int, num_boundary: int) -> None:
    vertices, faces, weights = dome()
    result = decimate(vertices, faces, weights, num_vertices=num_vertices, num_boundary_edges=num_boundary)
    assert len(result.kept) == num_vertices
    assert len(boundary_edges(result.faces)) == num_boundary
    assert len(result.faces) == 2 * num_vertices - num_boundary - 2
    assert euler_characteristic(result.faces, num_vertices) == 1
    assert is_manifold(result.faces)


def test_kept_vertices_are_a_sorted_subset_and_all_in_use() -> None:
    vertices, faces, weights = dome()
    result = decimate(vertices, faces, weights, num_vertices=80, num_boundary_edges=20)
    assert (np.diff(result.kept) > 0).all()
    assert result.kept.max() < len(vertices)
    np.testing.assert_array_equal(np.unique(result.faces), np.arange(80))


def test_no_face_turns_over_and_the_surface_stays_close() -> None:
    vertices, faces, weights = dome()
    result = decimate(vertices, faces, weights, num_vertices=80, num_boundary_edges=20)
    small = vertices[result.kept]
    normals = face_normals(small, result.faces)
    assert (normals[:, 2] > 0).all()
    area, area_before = (np.linalg.norm(n, axis=1).sum() / 2 for n in (normals, face_normals(vertices, faces)))
    assert area == pytest.approx(area_before, rel=0.03)


def test_protected_vertices_stay() -> None:
    vertices, faces, weights = dome()
    free = decimate(vertices, faces, weights, num_vertices=70, num_boundary_edges=28)
    inner = [v for v in range(len(vertices)) if v not in free.kept][:12]
    held = decimate(vertices, faces, weights, num_vertices=70, num_boundary_edges=28, protected=inner)
    assert set(inner) <= set(held.kept.tolist())


def test_a_crease_is_kept_while_the_planes_beside_it_lose_vertices() -> None:
    vertices, faces, weights = dome(13)
    roof = np.stack([vertices[:, 0], vertices[:, 1], -np.abs(vertices[:, 0])], axis=1)
    result = decimate(roof, faces, np.ones_like(weights), num_vertices=70, num_boundary_edges=30)
    area, area_before = (
        np.linalg.norm(face_normals(v, f), axis=1).sum() / 2
        for v, f in ((roof[result.kept], result.faces), (roof, faces))
    )
    assert area == pytest.approx(area_before, rel=1e-9)


def test_the_foot_of_a_spike_is_never_pinched() -> None:
    """Merging two feet of a spike is cheapest and folds nothing, but would glue two of its sides together."""
    third, sixth = np.arange(3) * 2 * np.pi / 3, np.arange(6) * np.pi / 3
    feet = 0.001 * np.stack([np.cos(third), np.sin(third), 0 * third], axis=1)
    rim = 0.004 * np.stack([np.cos(sixth), np.sin(sixth), 0 * sixth], axis=1)
    vertices = np.concatenate([feet, [[0.0, 0.0, 0.003]], rim])
    sides = [[0, 1, 3], [1, 2, 3], [2, 0, 3]]
    ground = [
        face
        for k in range(3)
        for face in (
            [k, 4 + 2 * k, 5 + 2 * k],
            [k, 5 + 2 * k, (k + 1) % 3],
            [(k + 1) % 3, 5 + 2 * k, 4 + (2 * k + 2) % 6],
        )
    ]
    faces, weights = np.array(sides + ground), np.ones((10, 1))
    result = decimate(vertices, faces, weights, num_vertices=9, num_boundary_edges=6, protected=[1, 2, 3])
    assert is_manifold(result.faces)
    assert euler_characteristic(result.faces, 9) == 1


def test_no_collapse_folds_a_face_over_its_neighbour() -> None:
    tip, wing, notch, other_wing, centre = 0.0003 * np.array([[4.0, 0], [-2, 3], [0, 0], [-2, -3], [1, 0]])
    vertices = np.pad(np.stack([tip, wing, notch, other_wing, centre]), ((0, 0), (0, 1)))
    faces = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    weights = np.tile([1.0, 0.0], (5, 1))
    weights[[1, 4]] = 0.0, 1.0  # the centre would rather go to the wing, from where the notch hides a corner
    result = decimate(vertices, faces, weights, num_vertices=4, num_boundary_edges=4)
    assert (face_normals(vertices[result.kept], result.faces)[:, 2] > 0).all()


@pytest.mark.parametrize("alike", range(6))
def test_a_vertex_is_merged_into_the_neighbour_with_its_own_weights(alike: int) -> None:
    angles = np.arange(6) * np.pi / 3
    rim = 0.004 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    vertices = np.concatenate([rim, np.zeros((1, 3))])
    faces = np.array([[k, (k + 1) % 6, 6] for k in range(6)])
    weights = np.tile([1.0, 0.0], (7, 1))
    weights[[alike, 6]] = 0.0, 1.0
    result = decimate(vertices, faces, weights, num_vertices=6, num_boundary_edges=6)
    assert (result.faces == alike).any(axis=1).all(), "the centre went to this corner, so every face has it"


def test_the_input_is_not_changed() -> None:
    vertices, faces, weights = dome()
    copies = vertices.copy(), faces.copy(), weights.copy()
    decimate(vertices, faces, weights, num_vertices=120, num_boundary_edges=40)
    for before, after in zip(copies, (vertices, faces, weights), strict=True):
        np.testing.assert_array_equal(before, after)


def test_what_cannot_be_reached_is_refused() -> None:
    vertices, faces, weights = dome(5)
    with pytest.raises(ContractError, match="16 boundary edges"):
        decimate(vertices, faces, weights, num_vertices=20, num_boundary_edges=16, protected=range(25))
