from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.hand.openhand import skinning
from hoiray.hand.openhand.poses import sample_poses
from hoiray.hand.openhand.quality import HandFile

TETRAHEDRON = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
CLOSED = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def test_smplx_reads_the_packaged_file_and_poses_it_alike(
    hand_arrays: dict[str, NDArray[Any]], hand: HandFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import smplx
    import torch

    path = tmp_path / "MANO_RIGHT.npz"  # smplx reads the kind of model from the file's name
    np.savez(path, **hand_arrays)
    layer = smplx.MANO(str(path), is_rhand=True, use_pca=False, flat_hand_mean=True, ext="npz", batch_size=3)
    capsys.readouterr()  # smplx prints how many shape coefficients there are
    rng = np.random.default_rng(3)
    betas, poses = rng.normal(size=(3, 10)), sample_poses(hand.axes, 3, rng)
    ours = np.stack([skinning.pose_skin(hand.skin(b), p) for b, p in zip(betas, poses, strict=True)])
    theirs = layer(betas=torch.tensor(betas).float(), hand_pose=torch.tensor(poses).float())
    np.testing.assert_allclose(ours, theirs.vertices.detach().numpy(), atol=2e-6)


def test_the_rest_pose_is_the_template(hand: HandFile) -> None:
    np.testing.assert_allclose(skinning.pose_skin(hand.skin(), np.zeros(45)), hand.vertices, atol=1e-8)


def test_a_chain_of_rotations_turns_about_moved_joints() -> None:
    joints = np.zeros((16, 3))
    joints[1:4, 0] = -1.0, -2.0, -3.0
    rotations = np.tile(np.eye(3), (16, 1, 1))
    quarter = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
    rotations[1] = rotations[2] = quarter
    moved = skinning.joint_transforms(joints, rotations) @ np.array([-3.0, 0, 0, 1])
    np.testing.assert_allclose(moved[0, :3], [-3, 0, 0], atol=1e-12)
    np.testing.assert_allclose(moved[1, :3], [-1, -2, 0], atol=1e-12)
    np.testing.assert_allclose(moved[3, :3], [0, -1, 0], atol=1e-12)


def test_pose_features_are_the_rotations_less_the_identity() -> None:
    rotations = np.tile(np.eye(3), (16, 1, 1))
    rotations[2, 0, 1] = 5.0
    features = skinning.pose_features(rotations)
    assert features.shape == (135,)
    assert np.flatnonzero(features).tolist() == [9 + 1]


def test_volume_of_a_closed_and_of_an_open_tetrahedron() -> None:
    whole = skinning.volume_m3(TETRAHEDRON, CLOSED, np.array([1, 2, 3]))
    opened = skinning.volume_m3(TETRAHEDRON, np.delete(CLOSED, 2, axis=0), np.array([1, 2, 3]))
    assert whole == pytest.approx(1 / 6)
    assert opened == pytest.approx(1 / 6)


def test_the_hands_volume_is_trimeshs(hand: HandFile) -> None:
    rim = skinning.boundary_edges(hand.faces)
    centre = hand.vertices[np.unique(rim)].mean(axis=0)
    fan = np.concatenate([rim[:, ::-1], np.full((len(rim), 1), len(hand.vertices))], axis=1)
    closed = trimesh.Trimesh(
        np.concatenate([hand.vertices, centre[None]]), np.concatenate([hand.faces, fan]), process=False
    )
    assert closed.is_watertight
    assert skinning.volume_m3(hand.vertices, hand.faces, np.unique(rim)) == pytest.approx(closed.volume)


def test_normals_point_outwards_with_the_area_as_weight() -> None:
    np.testing.assert_allclose(skinning.face_normals(TETRAHEDRON, CLOSED)[2], [1, 1, 1])
    normals = skinning.vertex_normals(TETRAHEDRON, CLOSED)
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3))
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)


def test_boundary_edges_keep_the_direction_of_their_face() -> None:
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    assert {tuple(e) for e in skinning.boundary_edges(faces).tolist()} == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert len(skinning.boundary_edges(CLOSED)) == 0


def test_euler_characteristic_of_a_disc_and_a_sphere() -> None:
    assert skinning.euler_characteristic(np.array([[0, 1, 2], [0, 2, 3]]), 4) == 1
    assert skinning.euler_characteristic(CLOSED, 4) == 2
