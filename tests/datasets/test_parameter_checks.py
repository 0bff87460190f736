import dataclasses

import dataset_files as files
import numpy as np
import pytest
from checked_samples import LIKE_HO3D, N, problem_of, samples

from hoiray.datasets.annotation_checks import first_problem
from hoiray.datasets.parameter_checks import hand_mesh, parameter_problem, tip_problem
from hoiray.hand.joints import TIP_SETS
from hoiray.hand.load import mirror_hand_arrays


@pytest.fixture
def hands() -> files.Hands:
    return files.hands(N, tip_set="ho3d")


@pytest.mark.parametrize(
    ("declared", "sign", "named"), [(True, -1.0, "flat_hand_mean=False"), (False, 1.0, "flat_hand_mean=True")]
)
@pytest.mark.parametrize("is_right", [True, False])
def test_a_swapped_mean_pose_is_named(declared: bool, sign: float, named: str, is_right: bool) -> None:
    hands = files.hands(N, tip_set="ho3d", is_right=is_right)
    conventions = dataclasses.replace(LIKE_HO3D, flat_hand_mean=declared)
    mean = files.arrays().hands_mean if is_right else mirror_hand_arrays(files.arrays()).hands_mean
    made = samples(hands, hand_pose=hands.hand_pose + sign * mean, is_right=is_right)
    problem = problem_of(made, conventions)
    assert problem is not None
    assert problem.subject == "hand pose"
    assert named in problem.looks_like


def test_parameters_of_the_other_side_are_named(hands: files.Hands) -> None:
    left = files.hands(N, tip_set="ho3d", is_right=False)
    mirrored_poses = problem_of(samples(left, joints=left.joints * [-1.0, 1.0, 1.0]))
    assert mirrored_poses is not None
    assert "poses of the mirrored hand" in mirrored_poses.looks_like
    made = [sample.hands[0] for sample in samples(left, is_right=True)]
    other_side = parameter_problem(made, LIKE_HO3D, files.arrays())
    assert other_side is not None
    assert "hands of the other side" in other_side.looks_like


def test_labels_of_another_hand_model_are_named(hands: files.Hands) -> None:
    stretched = hands.joints.copy()
    stretched[:, 5:] += 0.3 * (stretched[:, 5:] - stretched[:, :1])
    problem = problem_of(samples(hands, joints=stretched))
    assert problem is not None
    assert "another hand model" in problem.looks_like


@pytest.mark.parametrize("with_hand", [True, False])
def test_a_global_orientation_in_other_axes_is_named(hands: files.Hands, with_hand: bool) -> None:
    turned = np.stack([files.axis_angle(files.FLIP @ files.rotation(one)) for one in hands.global_orient])
    for axes, other in (("opengl", "OpenCV"), ("opencv", "OpenGL")):
        conventions = dataclasses.replace(LIKE_HO3D, orientation_axes=axes)  # type: ignore[arg-type]  # axes
        arrays = files.arrays() if with_hand else None
        problem = first_problem(samples(hands, global_orient=turned), conventions, hand=arrays)
        assert problem is not None
        assert (problem.subject, problem.looks_like) == ("global orientation", f"an orientation in {other} axes")


def test_a_wrist_stored_as_translation_is_named(hands: files.Hands) -> None:
    problem = problem_of(samples(hands, transl=hands.joints[:, 0]))
    assert problem is not None
    assert (problem.subject, problem.looks_like) == ("translation", "the wrist itself")


def test_a_flipped_translation_is_refused(hands: files.Hands) -> None:
    off = hands.transl + np.array([0.0, 0.02, 0.0])
    problem = problem_of(samples(hands, transl=off))
    assert problem is not None
    assert "rest joint was not rotated" in problem.looks_like


@pytest.mark.parametrize("with_vertices", [True, False])
@pytest.mark.parametrize(("declared", "true"), [(a, b) for a in TIP_SETS for b in TIP_SETS if a != b])
def test_other_tip_vertices_are_named(declared: str, true: str, with_vertices: bool) -> None:
    hands = files.hands(N, tip_set=true)
    made = [sample.hands[0] for sample in samples(hands, with_vertices=with_vertices)]
    problem = tip_problem(made, dataclasses.replace(LIKE_HO3D, tip_set=declared), files.arrays())
    assert problem is not None
    assert problem.subject == "finger tips"
    assert f"'{true}' (0.0 mm)" in problem.looks_like


def test_a_left_hand_has_the_tips_of_the_left_set() -> None:
    left = files.hands(N, tip_set="manopth", is_right=False)
    made = [sample.hands[0] for sample in samples(left, is_right=False)]
    conventions = dataclasses.replace(LIKE_HO3D, tip_set="manopth")
    assert tip_problem(made, conventions, files.arrays()) is None


def test_sensors_are_no_tip_vertices(hands: files.Hands) -> None:
    moved = hands.joints.copy()
    moved[:, [4, 8, 12, 16, 20]] += 0.01
    problem = problem_of(samples(hands, joints=moved, with_vertices=True))
    assert problem is not None
    assert "no published tip vertices" in problem.looks_like
    without = dataclasses.replace(LIKE_HO3D, tip_set=None)
    assert problem_of(samples(hands, joints=moved, with_vertices=True, with_mano=False), without) is None


def test_a_mesh_is_as_stored_or_as_the_parameters_give_it(hands: files.Hands) -> None:
    posed, stored = samples(hands)[0].hands[0], samples(hands, with_mano=False, with_vertices=True)[0].hands[0]
    np.testing.assert_allclose(hand_mesh(posed, files.arrays()), hands.vertices[0], atol=1e-9)
    assert hand_mesh(stored, None) is stored.vertices
    assert hand_mesh(posed, None) is None
