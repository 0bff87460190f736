import dataclasses
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hoiray.datasets.sample import ManoParameters
from hoiray.errors import ContractError
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.hand.model import HandModel
from hoiray.render.raster import rasterise
from hoiray.render.shade import vertex_normals
from hoiray.synthetic import arm as arm_module
from hoiray.synthetic.arm import SleeveCut, faces_of_side, load_arm, pose_arm, shape_arm, sleeve_uv, turns_of

FloatArray = NDArray[np.float64]


def _parameters(seed: int) -> ManoParameters:
    rng = np.random.default_rng(seed)
    return ManoParameters(rng.normal(size=3), 0.5 * rng.normal(size=45), rng.normal(size=10), rng.normal(size=3))


@lru_cache(maxsize=1)
def _model() -> HandModel:
    return HandModel.load(flat_hand_mean=True, tip_set="freihand", dtype=torch.float64)


def _truth(mano: ManoParameters, is_right: bool) -> FloatArray:
    model = _model()
    values = (torch.tensor(x) for x in (mano.global_orient, mano.hand_pose, mano.betas, mano.transl))
    return np.asarray(model(*values, is_right=torch.tensor(is_right)).vertices.numpy())


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), is_right=st.booleans(), bend=st.floats(-0.8, 0.8))
def test_the_drawn_hand_is_the_labelled_hand_however_the_wrist_bends(seed: int, is_right: bool, bend: float) -> None:
    mano = _parameters(seed)
    shaped = shape_arm(np.asarray(mano.betas), SleeveCut())
    posed = pose_arm(shaped, mano, np.array([0.2, bend, -bend]), is_right=is_right)
    # where the rim's plane bulges backwards by 1.2 mm, a bend may move a rim vertex by a few micrometres
    np.testing.assert_allclose(posed[load_arm().hand_ids], _truth(mano, is_right), atol=5e-5)


@pytest.mark.parametrize("is_right", [True, False])
def test_the_drawn_hand_covers_the_pixels_of_the_labelled_hand(is_right: bool) -> None:
    arm, K = load_arm(), np.array([[300.0, 0, 120], [0, 300.0, 120], [0, 0, 1]])
    faces = [arm.faces[arm.face_is_hand], arm.hand_ids[arm.hand.faces]]
    for seed in range(12):
        mano = dataclasses.replace(_parameters(seed), transl=np.array([0.0, 0.0, 0.45]))
        posed = pose_arm(shape_arm(np.asarray(mano.betas), SleeveCut()), mano, np.zeros(3), is_right=is_right)
        drawn, labelled = (rasterise(posed, chosen, K, (240, 240)).covered for chosen in faces)
        assert (drawn & labelled).sum() / (drawn | labelled).sum() > 0.97


def test_a_bent_wrist_moves_the_forearm_and_nothing_else() -> None:
    mano = _parameters(1)
    shaped = shape_arm(np.asarray(mano.betas), SleeveCut())
    straight = pose_arm(shaped, mano, np.zeros(3), is_right=True)
    bent = pose_arm(shaped, mano, np.array([0.0, 0.0, 0.6]), is_right=True)
    moved = np.linalg.norm(bent - straight, axis=1)
    behind = load_arm().behind_cut_m
    assert moved[: len(behind)][behind < 0].max() == 0.0
    assert moved[: len(behind)][behind > 0.1].min() > 0.03


def test_a_left_arm_is_the_mirror_image() -> None:
    right, rng = _parameters(2), np.random.default_rng(0)
    bend = 0.3 * rng.normal(size=3)
    shaped = shape_arm(np.asarray(right.betas), SleeveCut())
    signs = np.tile([1.0, -1.0, -1.0], 15)
    mirrored = ManoParameters(
        right.global_orient * signs[:3], right.hand_pose * signs, right.betas, right.transl * [-1.0, 1.0, 1.0]
    )
    first = pose_arm(shaped, right, bend, is_right=True)
    second = pose_arm(shaped, mirrored, bend * signs[:3], is_right=False)
    np.testing.assert_allclose(second * [-1.0, 1.0, 1.0], first, atol=1e-12)


@pytest.mark.parametrize("is_right", [True, False])
def test_every_face_looks_outwards(is_right: bool) -> None:
    mano = ManoParameters(np.zeros(3), np.zeros(45), np.zeros(10), np.zeros(3))
    shaped = shape_arm(np.asarray(mano.betas), SleeveCut(fold_m=0.0))
    posed = pose_arm(shaped, mano, np.zeros(3), is_right=is_right)
    faces = faces_of_side(shaped, is_right=is_right)
    normals = vertex_normals(posed, faces)
    sleeve = np.arange(len(posed)) >= shaped.num_arm_vertices
    # behind the folded cuff the sleeve is a tube about its axis
    ring = sleeve & (np.abs(posed[:, 0]) > np.abs(shaped.pivot[0]) + 0.12)
    outwards = posed[ring] - posed[ring].mean(axis=0)
    outwards[:, 0] = 0
    assert (np.einsum("vd,vd->v", outwards, normals[ring]) > 0).mean() > 0.95
    back = (posed[: shaped.num_arm_vertices, 1] > 0.018) & (load_arm().behind_cut_m < 0)
    assert (normals[: shaped.num_arm_vertices][back, 1] > 0).mean() > 0.95


def test_the_forearm_stays_inside_its_sleeve() -> None:
    shaped = shape_arm(np.zeros(10), SleeveCut(start_m=0.03, slack_m=0.005, fold_m=0.001))
    arm = load_arm()
    covered = (arm.behind_cut_m > 0.08) & np.isin(np.arange(len(arm.vertices)), arm.faces[shaped.arm_face_ids])
    assert not covered.any(), "what the sleeve hides is not drawn"
    kept = arm.behind_cut_m > 0.04
    sleeve = shaped.vertices[shaped.num_arm_vertices :]
    for point in arm.vertices[kept & (arm.behind_cut_m < 0.15)]:
        near = sleeve[np.abs(sleeve[:, 0] - point[0]) < 0.03, 1:]
        middle = near.mean(axis=0)
        direction = (point[1:] - middle) / np.linalg.norm(point[1:] - middle)
        assert ((near - middle) @ direction).max() > (point[1:] - middle) @ direction


def test_another_seed_folds_the_sleeve_otherwise() -> None:
    first, second = (shape_arm(np.zeros(10), SleeveCut(seed=seed)).vertices for seed in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, shape_arm(np.zeros(10), SleeveCut(seed=0)).vertices)


def test_the_sleeve_has_a_texture_place_for_each_corner() -> None:
    shaped = shape_arm(np.zeros(10), SleeveCut())
    uv = sleeve_uv()
    assert len(uv) == len(shaped.faces) - len(shaped.arm_face_ids)
    assert np.ptp(uv[..., 0], axis=1).max() < 0.1, "no face runs back across the seam"


def test_a_missing_arm_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(arm_module, "ARM_PATH", tmp_path / "no.npz")
    with pytest.raises(ContractError, match=r"no\.npz"):
        load_arm.__wrapped__()


@pytest.mark.parametrize("angle_rad", [0.0, 1e-7, 1e-4, 1.001e-4, 0.7, np.pi - 1e-6, np.pi, 7.0])
def test_turns_are_those_of_the_geometry(angle_rad: float) -> None:
    axes = np.random.default_rng(0).normal(size=(5, 3))
    axis_angle = angle_rad * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    np.testing.assert_allclose(turns_of(axis_angle), axis_angle_to_matrix(axis_angle), atol=1e-12)
