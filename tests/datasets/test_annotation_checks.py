import dataclasses

import dataset_files as files
import numpy as np
import pytest
from checked_samples import LIKE_DEXYCB, LIKE_HO3D, K, N, problem_of, samples

from hoiray.datasets.annotation_checks import (
    chirality,
    first_problem,
    object_problem,
    sample_problem,
    skeleton_length,
)
from hoiray.datasets.sample import HandAnnotation, ObjectAnnotation, Sample
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


def with_objects(made: list[Sample], change: np.ndarray | float = 1.0, *, of: int = N) -> list[Sample]:
    """Put an object 10 cm right of the wrist of every sample; `change` multiplies the translation of the first `of`."""
    placed = []
    for i, sample in enumerate(made):
        joints = sample.hands[0].joints_3d
        assert joints is not None
        pose = np.eye(4)
        pose[:3, 3] = (joints[0] + [0.1, 0.0, 0.0]) * (change if i < of else 1.0)
        placed.append(dataclasses.replace(sample, objects=(ObjectAnnotation("box", pose),)))
    return placed


def test_objects_beside_their_hands_pass(hands: files.Hands) -> None:
    made = with_objects(samples(hands))
    assert problem_of(made) is None
    assert [sample_problem(sample) for sample in made] == [None] * N


@pytest.mark.parametrize("with_hands", [True, False])
@pytest.mark.parametrize(
    ("change", "subject", "looks_like"),
    [
        (1e3, "object units", "millimetres"),
        (1e2, "object units", "centimetres"),
        (1e-3, "object units", "metres taken for millimetres"),
        (np.array([1.0, -1.0, -1.0]), "object axes", "OpenGL and OpenCV axes swapped"),
    ],
)
def test_an_object_in_another_unit_or_in_other_axes_is_named(
    hands: files.Hands, change: np.ndarray | float, subject: str, looks_like: str, with_hands: bool
) -> None:
    made = with_objects(samples(hands), change)
    if not with_hands:
        made = [dataclasses.replace(sample, hands=()) for sample in made]
    problem = problem_of(made)
    assert problem is not None
    assert problem.subject == subject
    assert looks_like in problem.looks_like


def test_an_object_far_from_its_hand_is_of_another_frame(hands: files.Hands) -> None:
    problem = object_problem(with_objects(samples(hands), 5.0))
    assert problem is not None
    assert "1 m of the hand" in problem.expected
    assert problem.looks_like == "an object in another camera's frame"


def test_a_minority_of_wrong_objects_is_refused_and_one_of_six_is_not(hands: files.Hands) -> None:
    assert object_problem(with_objects(samples(hands), 1e3, of=1)) is None
    problem = object_problem(with_objects(samples(hands), 1e3, of=2))
    assert problem is not None
    assert "33% of the samples" in problem.measured
    assert object_problem(with_objects(samples(hands), np.array([1.0, 1.0, -1.0]), of=1)) is None
    assert object_problem(with_objects(samples(hands), np.array([1.0, 1.0, -1.0]), of=2)) is not None


@pytest.mark.parametrize(
    ("change", "subject"), [(1e3, "units"), (np.array([1.0, -1.0, -1.0]), "axes"), (1e-2, "units")]
)
def test_an_error_of_a_minority_of_hands_is_refused(
    hands: files.Hands, change: np.ndarray | float, subject: str
) -> None:
    joints = hands.joints.copy()
    joints[0] *= change
    assert problem_of(samples(hands, joints=joints, with_mano=False)) is None
    joints[1] *= change
    problem = problem_of(samples(hands, joints=joints, with_mano=False))
    assert problem is not None
    assert problem.subject == subject


def test_a_minority_of_wrists_at_the_origin_or_in_millimetres_is_refused(hands: files.Hands) -> None:
    joints = hands.joints.copy()
    joints[:2] -= joints[:2, :1]
    problem = problem_of(samples(hands, joints=joints, with_mano=False))
    assert problem is not None
    assert problem.looks_like == "root-relative joints"
    for wrong, subject in (((0.0, 0.0, 500.0), "units"), ((0.0, 0.0, -0.5), "axes")):
        wrists = [wrong] * 2 + [(0.0, 0.0, 0.5)] * 4
        made = [
            Sample("0", "r", None, None, 0, "x.png", None, (HandAnnotation(is_right=True, wrist_3d=np.array(wrist)),))
            for wrist in wrists
        ]
        found = first_problem(made, LIKE_HO3D)
        assert found is not None
        assert (found.subject, "33%" in found.measured) == (subject, True)
        assert first_problem(made[1:], LIKE_HO3D) is None


@pytest.mark.parametrize(
    ("factor", "offset", "measured"),
    [
        (1e3, 0.0, "one of"),
        (0.3, 0.0, "one of 0.0"),
        (1.0, 11.0, "m"),
        (1.0, -2.0, "a depth of -"),
        (np.nan, 0.0, "63 that are NaN"),
    ],
)
def test_an_impossible_hand_is_told_from_one_sample(
    hands: files.Hands, factor: float, offset: float, measured: str
) -> None:
    joints = hands.joints * factor + [0.0, 0.0, offset]
    problem = sample_problem(samples(hands, joints=joints)[0])
    assert problem is not None
    assert measured in problem.measured


@pytest.mark.parametrize(
    ("depth", "measured"),
    [(10.5, "10.5 m"), (500.0, "500 m"), (-0.5, "a depth of -0.5 m"), (0.0, "a depth of 0 m"), (np.inf, "1 that are")],
)
def test_an_impossible_position_is_told_of_wrists_and_objects(depth: float, measured: str) -> None:
    pose = np.eye(4)
    pose[2, 3] = depth
    wrist = HandAnnotation(is_right=True, wrist_3d=pose[:3, 3])
    bare = Sample("0", "r", None, None, 0, "x.png", None)
    for hands_, objects in (((wrist,), ()), ((), (ObjectAnnotation("box", pose),))):
        problem = sample_problem(dataclasses.replace(bare, hands=hands_, objects=objects))
        assert problem is not None
        assert measured in problem.measured
    near = HandAnnotation(is_right=True, wrist_3d=np.array([0.0, 0.0, 9.5]))
    assert sample_problem(dataclasses.replace(bare, hands=(near,))) is None
