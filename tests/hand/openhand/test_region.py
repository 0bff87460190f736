import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.hand.openhand import region
from hoiray.hand.openhand.skinning import face_normals
from hoiray.hand.openhand.source import BaseMesh


def strip_mesh(num_quads: int = 40) -> BaseMesh:
    """A strip of 10 mm quads along x; the elbow lies at its end, the wrist 250 mm before it."""
    x = np.arange(num_quads + 1) * 0.01
    vertices = np.concatenate([np.stack([x, 0 * x + y, 0 * x], axis=1) for y in (0.0, 0.02)])
    k = np.arange(num_quads)
    top = k + num_quads + 1
    quads = np.stack([k, k + 1, top + 1, top], axis=1)
    groups = {name: np.array([15, 15 + num_quads + 1]) for name in region.LANDMARK_GROUPS}
    groups["joint-r-elbow"] = np.array([num_quads, 2 * num_quads + 1])
    return BaseMesh(vertices, vertices[:, :2], quads, quads, groups)


def cut(mesh: BaseMesh, weight: float = 1.0) -> region.ArmRegion:
    bones = np.zeros((len(mesh.vertices), 16))
    bones[:, 0] = weight
    return region.cut_arm(mesh, bones, bones[:, 0] * (mesh.vertices[:, 0] > 0.15))


def test_the_arm_ends_twenty_centimetres_behind_the_wrist_and_the_hand_two() -> None:
    mesh = strip_mesh()
    arm = cut(mesh)
    x = mesh.vertices[arm.vertex_ids, 0]
    assert x.max() == pytest.approx(0.15 + 0.19)
    assert x[arm.is_hand].max() == pytest.approx(0.15 + 0.01)
    assert x.min() == 0.0
    np.testing.assert_array_equal(arm.forearm_weights, x > 0.15)


def test_vertices_of_the_rest_of_the_body_stay_out_of_the_forearm() -> None:
    mesh = strip_mesh()
    half_body = cut(mesh, weight=0.4)
    assert half_body.is_hand.all(), "0.4 is enough for the hand and too little for the forearm"


def test_texture_corners_follow_their_vertices() -> None:
    mesh = strip_mesh()
    arm = cut(mesh)
    np.testing.assert_allclose(arm.uv[arm.uv_faces], mesh.vertices[arm.vertex_ids][arm.faces][..., :2])


def test_a_missing_landmark_is_named() -> None:
    mesh = strip_mesh()
    groups = {name: ids for name, ids in mesh.groups.items() if name != "joint-r-finger-3-2"}
    with pytest.raises(ContractError, match="joint-r-finger-3-2"):
        cut(BaseMesh(mesh.vertices, mesh.uv, mesh.body_quads, mesh.body_uv_quads, groups))


def test_a_quad_is_split_along_its_shorter_diagonal_and_keeps_its_winding() -> None:
    kite = np.array([[0.0, 0, 0], [3, -1, 0], [6, 0, 0], [3, 1, 0]])
    for turn in range(4):
        quad = np.roll([0, 1, 2, 3], turn)[None]
        faces, uv_faces = region.split_quads(kite, quad, quad + 10)
        assert all({1, 3} <= set(face) for face in faces.tolist())
        assert (face_normals(kite, faces)[:, 2] > 0).all()
        np.testing.assert_array_equal(uv_faces, faces + 10)


def test_small_weights_are_dropped_and_rows_still_sum_to_one() -> None:
    pruned = region.prune_weights(np.array([[0.9992, 0.0008], [0.5, 0.5]]))
    np.testing.assert_array_equal(pruned, [[1.0, 0.0], [0.5, 0.5]])


def test_faces_that_lose_a_corner_go() -> None:
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4]])
    np.testing.assert_array_equal(
        region.restrict_faces(faces, np.array([False, True, True, True, True])), [[0, 2, 1], [1, 2, 3]]
    )


def test_the_mask_is_read_with_v_upwards() -> None:
    mask = np.array([[0.1, 0.2], [0.3, 0.4]])
    uv = np.array([[0.1, 0.9], [0.9, 0.1], [1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(region.sample_mask(mask, uv), [0.1, 0.4, 0.2, 0.3])
