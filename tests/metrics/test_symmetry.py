"""The transforms a symmetry stands for."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.metrics.symmetry import (
    BOP_MAX_STEP_FRACTION,
    HALF_TURN_ABOUT_Z,
    HO3D_HALF_TURN_SYMMETRIES,
    NO_SYMMETRY,
    ObjectSymmetry,
    SymmetryAxis,
    symmetry_transforms,
)


def test_without_symmetry_only_the_identity_is_left() -> None:
    np.testing.assert_array_equal(symmetry_transforms(NO_SYMMETRY), np.eye(4)[None])


def test_a_half_turn_about_z_negates_x_and_y() -> None:
    transforms = symmetry_transforms(HALF_TURN_ABOUT_Z)
    np.testing.assert_allclose(transforms, [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])], atol=1e-15)


def test_the_three_scored_objects_of_ho3d_have_a_half_turn_and_no_other_object() -> None:
    assert set(HO3D_HALF_TURN_SYMMETRIES) == {"006_mustard_bottle", "010_potted_meat_can", "021_bleach_cleanser"}
    assert all(symmetry == HALF_TURN_ABOUT_Z for symmetry in HO3D_HALF_TURN_SYMMETRIES.values())


def test_the_axes_of_a_box_compose_to_its_group_of_four() -> None:
    box = ObjectSymmetry(discrete=(SymmetryAxis((0, 0, 1), num_turns=2), SymmetryAxis((1, 0, 0), num_turns=2)))
    diagonals = sorted(tuple(np.round(np.diag(t)[:3]).astype(int)) for t in symmetry_transforms(box))
    assert diagonals == [(-1, -1, 1), (-1, 1, -1), (1, -1, -1), (1, 1, 1)]


def test_turns_agree_with_scipy_and_keep_the_axis_in_place() -> None:
    axis, point = np.array([1.0, -2.0, 0.5]), np.array([0.1, 0.2, -0.3])
    symmetry = ObjectSymmetry(discrete=(SymmetryAxis(tuple(axis), tuple(point), num_turns=5),))
    transforms = symmetry_transforms(symmetry)
    for step, transform in enumerate(transforms):
        expected = Rotation.from_rotvec(step * 2 * math.pi / 5 * axis / np.linalg.norm(axis)).as_matrix()
        np.testing.assert_allclose(transform[:3, :3], expected, atol=1e-14)
        on_axis = np.append(point + 0.7 * axis, 1.0)
        np.testing.assert_allclose(transform @ on_axis, on_axis, atol=1e-14)


def test_a_continuous_axis_is_cut_into_the_315_steps_of_the_bop_challenge() -> None:
    bottle = ObjectSymmetry(continuous=(SymmetryAxis((0, 0, 1)),))
    transforms = symmetry_transforms(bottle)
    assert len(transforms) == 315
    np.testing.assert_allclose(transforms[0], np.eye(4), atol=1e-15)
    # The farthest a vertex can be from the axis is half a diameter.
    farthest = np.array([0.5, 0.0, 0.0, 1.0])
    steps = np.linalg.norm(np.diff(transforms @ farthest, axis=0), axis=1)
    assert steps.max() <= BOP_MAX_STEP_FRACTION
    assert steps.max() > 0.99 * BOP_MAX_STEP_FRACTION


def test_discrete_and_continuous_parts_are_composed() -> None:
    can = ObjectSymmetry(discrete=(SymmetryAxis((1, 0, 0), num_turns=2),), continuous=(SymmetryAxis((0, 0, 1)),))
    transforms = symmetry_transforms(can, max_step_fraction=0.5)
    assert len(transforms) == 2 * math.ceil(math.pi / 0.5)
    assert np.isclose(transforms[:, 2, 2], -1.0).sum() == math.ceil(math.pi / 0.5)
    np.testing.assert_allclose(np.linalg.det(transforms), 1.0)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, math.nan])
def test_a_step_that_is_no_fraction_is_refused(fraction: float) -> None:
    with pytest.raises(ContractError, match="fraction of the diameter"):
        symmetry_transforms(NO_SYMMETRY, max_step_fraction=fraction)


@pytest.mark.parametrize(
    ("axis", "num_turns"), [((0.0, 0.0, 0.0), 2), ((math.nan, 0.0, 1.0), None), ((0.0, 0.0, 1.0), 1)]
)
def test_an_axis_without_direction_or_turns_is_refused(axis: tuple[float, float, float], num_turns: int | None) -> None:
    with pytest.raises(ContractError, match="symmetry axis"):
        SymmetryAxis(axis, num_turns=num_turns)


def test_an_axis_in_the_wrong_list_is_refused() -> None:
    with pytest.raises(ContractError, match="other list"):
        ObjectSymmetry(discrete=(SymmetryAxis((0, 0, 1)),))
    with pytest.raises(ContractError, match="other list"):
        ObjectSymmetry(continuous=(SymmetryAxis((0, 0, 1), num_turns=2),))
