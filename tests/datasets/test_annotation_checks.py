import dataclasses

import dataset_files as files
import numpy as np
import pytest
from checked_samples import LIKE_DEXYCB, LIKE_HO3D, K, N, problem_of, samples

from hoiray.datasets.annotation_checks import chirality, first_problem, skeleton_length
from hoiray.datasets.sample import HandAnnotation, Sample
from hoiray.hand.joints import JOINT_NAMES, SIMPLE_NAMES, permutation


@pytest.fixture
def hands() -> files.Hands:
    return files.hands(N, tip_set="ho3d")


def test_right_annotations_pass_every_check(hands: files.Hands) -> None:
    assert problem_of(samples(hands)) is None
    assert problem_of(samples(hands, with_mano=False, with_vertices=True)) is None
    assert problem_of(samples(hands, is_right=None, with_mano=False)) is None


def test_right_left_hands_pass_every_check() -> None:
    left = files.hands(N, tip_set="manopth", is_right=False)
    assert problem_of(samples(left, is_right=False), LIKE_DEXYCB) is None


def test_no_hands_are_no_problem() -> None:
    assert first_problem([Sample("0", "r", None, None, 0, "x.png", None)], LIKE_HO3D) is None


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "millimetres"), (100.0, "centimetres"), (1e-7, "no hand")])
def test_another_unit_is_named(hands: files.Hands, factor: float, unit: str) -> None:
    problem = problem_of(samples(hands, joints=hands.joints * factor))
    assert problem is not None
    assert problem.subject == "units"
    assert unit in problem.looks_like


def test_metres_in_a_millimetre_format_are_named(hands: files.Hands) -> None:
    in_mm = dataclasses.replace(LIKE_HO3D, unit="millimetres")
    problem = problem_of(samples(hands, joints=hands.joints / 1000), in_mm)
    assert problem is not None
    assert (problem.subject, problem.looks_like) == ("units", "metres")


@pytest.mark.parametrize(("axes", "other"), [("opengl", "OpenCV"), ("opencv", "OpenGL")])
def test_axes_of_the_other_convention_are_named(hands: files.Hands, axes: str, other: str) -> None:
    conventions = dataclasses.replace(LIKE_HO3D, axes=axes)  # type: ignore[arg-type]  # both values are axes
    problem = problem_of(samples(hands, joints=hands.joints @ files.FLIP), conventions)
    assert problem is not None
    assert problem.subject == "axes"
    assert problem.looks_like.startswith(f"{other} axes")


def test_root_relative_joints_are_named(hands: files.Hands) -> None:
    problem = problem_of(samples(hands, joints=hands.joints - hands.joints[:, :1]))
    assert problem is not None
    assert problem.looks_like == "root-relative joints"


@pytest.mark.parametrize(("declared", "true"), [(a, b) for a in JOINT_NAMES for b in JOINT_NAMES if a != b])
def test_another_joint_order_is_named(hands: files.Hands, declared: str, true: str) -> None:
    in_file = hands.joints[:, permutation("simple", true)]  # type: ignore[arg-type]  # names of orders
    misread = in_file[:, permutation(declared, "simple")]  # type: ignore[arg-type]  # names of orders
    problem = problem_of(samples(hands, joints=misread), dataclasses.replace(LIKE_HO3D, joint_order=declared))  # type: ignore[arg-type]  # names of orders
    assert problem is not None
    assert (problem.subject, problem.looks_like) == ("joint order", f"the {true} order")


def test_ring_and_pinky_exchanged_are_named(hands: files.Hands) -> None:
    swapped = [n.replace("ring", "?").replace("pinky", "ring").replace("?", "pinky") for n in SIMPLE_NAMES]
    misread = hands.joints[:, [SIMPLE_NAMES.index(name) for name in swapped]]
    problem = problem_of(samples(hands, joints=misread))
    assert problem is not None
    assert problem.looks_like == "MANO's order with the ring finger before the pinky"


def test_the_right_order_gives_the_shortest_skeleton(hands: files.Hands) -> None:
    right = skeleton_length(hands.joints)
    for order in ("mano", "fpha"):
        assert np.all(skeleton_length(hands.joints[:, permutation("simple", order)]) > right)  # type: ignore[arg-type]  # names


def test_mirrored_hands_are_named(hands: files.Hands) -> None:
    mirrored = hands.joints * [-1.0, 1.0, 1.0]
    for made, side in ((samples(hands, joints=mirrored), "left"), (samples(hands, is_right=False), "right")):
        problem = problem_of(made)
        assert problem is not None
        assert problem.subject == "side"
        assert f"mirrored ({side}) hands" in problem.looks_like


def test_chirality_changes_its_sign_in_the_mirror(hands: files.Hands) -> None:
    np.testing.assert_allclose(chirality(hands.joints * [-1.0, 1.0, 1.0]), -chirality(hands.joints))
    assert np.median(chirality(hands.joints)) > 0.3


def test_flat_hands_tell_no_side() -> None:
    flat = files.hands(N, tip_set="ho3d").joints.copy()
    flat[..., 2] = 0.5
    assert np.all(np.abs(chirality(flat)) < 1e-9)


def test_joints_outside_the_image_are_refused(hands: files.Hands) -> None:
    far = hands.joints + np.array([2.0, 0.0, 0.0])
    problem = problem_of(samples(hands, joints=far, with_mano=False))
    assert problem is not None
    assert problem.subject == "projection"


def test_2d_joints_of_another_order_are_refused(hands: files.Hands) -> None:
    pixels = hands.joints @ K.T
    pixels = pixels[..., :2] / pixels[..., 2:]
    assert problem_of(samples(hands, joints_2d=pixels)) is None
    problem = problem_of(samples(hands, joints_2d=pixels[:, files.MANO_OF_SIMPLE]))
    assert problem is not None
    assert "2D joints" in problem.expected


BOX = np.array([300.0, 200.0, 400.0, 300.0])


@pytest.mark.parametrize(
    ("wrist", "subject", "looks_like"),
    [
        ((20.0, 30.0, 500.0), "units", "millimetres"),
        ((0.0, 0.0, 1e6), "units", "another unit"),
        ((0.02, 0.03, -0.5), "axes", "z of the other sign"),
        ((0.02, -0.2, 0.5), "projection", "y of the other sign"),
    ],
)
def test_a_wrist_alone_tells_units_and_axes(wrist: tuple[float, ...], subject: str, looks_like: str) -> None:
    def sample(position: tuple[float, ...]) -> Sample:
        hand = HandAnnotation(is_right=True, wrist_3d=np.array(position), bbox_xyxy=BOX)
        return Sample("0", "r", None, None, 0, "x.png", K, (hand,))

    assert first_problem([sample((0.02, 0.03, 0.5))] * 3, LIKE_HO3D) is None
    problem = first_problem([sample(wrist)] * 3, LIKE_HO3D)
    assert problem is not None
    assert problem.subject == subject
    assert looks_like in problem.looks_like
