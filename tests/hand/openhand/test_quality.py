import dataclasses
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray

from hoiray.hand.anatomy import anatomical_axes
from hoiray.hand.joints import MANO_ROTATION_NAMES
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.openhand import quality
from hoiray.hand.openhand.layout import FINGER_JOINTS, TIP_IDS
from hoiray.hand.openhand.poses import sample_poses
from hoiray.hand.openhand.quality import Check, HandFile
from hoiray.hand.openhand.skinning import boundary_edges, pose_skin
from hoiray.hand.poses import pose_from_angles, random_angles


def failed(hand: HandFile) -> set[str]:
    return {row.name for row in quality.check_hand(hand, np.random.default_rng(0), num_poses=30) if not row.passed}


def test_the_packaged_hand_passes_every_check(hand: HandFile) -> None:
    assert failed(hand) == set()


def test_the_packaged_arm_passes_every_check(hand: HandFile, arm_arrays: dict[str, NDArray[Any]]) -> None:
    assert [row for row in quality.check_arm(arm_arrays, hand) if not row.passed] == []


@pytest.mark.parametrize(("value", "passed"), [(1.0, True), (2.0, True), (0.999, False), (2.001, False)])
def test_a_range_includes_its_ends(value: float, passed: bool) -> None:
    assert Check("x", value, 1.0, 2.0).passed is passed


def test_a_measurement_that_could_not_be_taken_does_not_pass() -> None:
    assert not Check("x", float("nan"), 0.0, 1.0).passed


def test_a_missing_face_is_noticed(hand: HandFile) -> None:
    assert {"faces", "boundary edges"} <= failed(dataclasses.replace(hand, faces=hand.faces[:-1]))


def test_a_face_wound_the_other_way_is_noticed(hand: HandFile) -> None:
    faces = hand.faces.copy()
    faces[700] = faces[700][::-1]
    assert "edges used twice in one direction" in failed(dataclasses.replace(hand, faces=faces))


def test_a_tip_on_another_finger_is_noticed(hand: HandFile) -> None:
    swapped = np.arange(778)
    a, b = TIP_IDS["ring"][1], TIP_IDS["pinky"][1]
    swapped[[a, b]] = b, a
    weights = hand.weights[swapped]
    assert "tip vertices on another bone" in failed(dataclasses.replace(hand, weights=weights))


def test_weights_that_do_not_sum_to_one_are_noticed(hand: HandFile) -> None:
    weights = hand.weights.copy()
    weights[5, 0] += 1e-4
    assert "skin weights: error of the sum" in failed(dataclasses.replace(hand, weights=weights))


def test_a_vertex_of_the_wrong_bone_is_noticed_although_the_volume_is_not(hand: HandFile) -> None:
    vertex = int(hand.weights[:, FINGER_JOINTS["pinky"][1]].argmax())
    weights = hand.weights.copy()
    weights[vertex] = 0.0
    weights[vertex, FINGER_JOINTS["pinky"][1]] = 0.6
    weights[vertex, FINGER_JOINTS["thumb"][2]] = 0.4
    assert "largest drift from the own bone [mm]" in failed(dataclasses.replace(hand, weights=weights))


def test_a_finger_that_moves_another_is_noticed(hand: HandFile) -> None:
    weights = hand.weights.copy()
    tip = TIP_IDS["ring"][0]
    weights[tip, FINGER_JOINTS["ring"][2]] -= 0.01
    weights[tip, FINGER_JOINTS["middle"][2]] += 0.01
    assert "middle curled: other tips [mm]" in failed(dataclasses.replace(hand, weights=weights))


def test_a_finger_that_bends_backwards_is_noticed(hand: HandFile) -> None:
    flexion = hand.axes.flexion.copy()
    flexion[list(FINGER_JOINTS["index"])] *= -1
    axes = dataclasses.replace(hand.axes, flexion=flexion)
    assert "index half curled: its tip to the palm [mm]" in failed(dataclasses.replace(hand, axes=axes))


def test_a_hand_without_correctives_loses_too_much_volume(hand: HandFile) -> None:
    plain = dataclasses.replace(hand, posedirs=np.zeros_like(hand.posedirs))
    assert "volume, every joint at its limit" in failed(plain)


def test_natural_poses_keep_nine_tenths_of_the_volume_of_every_shape_in_the_domain(hand: HandFile) -> None:
    rng = np.random.default_rng(6)
    axes = anatomical_axes(load_hand_arrays())
    sampled = sample_poses(hand.axes, 200, rng)
    blends = np.stack([pose_from_angles(random_angles(rng), axes) for _ in range(200)])
    ratios = quality.volume_ratios(hand, np.concatenate([sampled, blends]), quality.sample_shapes(400, rng))
    assert ratios.min() > 0.9
    assert ratios.max() < 1.02


def test_the_domain_of_shapes_is_one_extreme_beta_or_ten_normal_ones() -> None:
    shapes = quality.sample_shapes(400, np.random.default_rng(0))
    assert np.abs(shapes).max() == 2.5
    assert (np.abs(shapes[::2]).sum(axis=1) == 2.5).all()
    assert len(np.unique(shapes[::2], axis=0)) == 20
    assert 0.9 < shapes[1::2].std() < 1.05


def test_a_volume_ratio_is_that_of_the_posed_hand_to_its_own_rest(hand: HandFile) -> None:
    pose, betas = sample_poses(hand.axes, 1, np.random.default_rng(0)), np.full((1, 10), 0.5)
    skin = hand.skin(betas[0])
    corners = (pose_skin(skin, pose[0]), skin.vertices)
    rim = np.unique(boundary_edges(hand.faces))
    posed, rest = (trimesh_volume(vertices, hand.faces, rim) for vertices in corners)
    assert quality.volume_ratios(hand, pose, betas)[0] == pytest.approx(posed / rest, rel=1e-9)
    assert quality.volume_ratios(hand, np.zeros((1, 45)), betas)[0] == pytest.approx(1.0, abs=1e-6)


def trimesh_volume(vertices: NDArray[np.float64], faces: NDArray[np.int64], rim: NDArray[np.int64]) -> float:
    """Close the wrist by a fan and let trimesh measure the solid."""
    centre = np.concatenate([vertices, vertices[rim].mean(axis=0, keepdims=True)])
    fan = [(b, a, len(vertices)) for a, b in boundary_edges(faces)]
    return float(trimesh.Trimesh(centre, np.concatenate([faces, fan]), process=False).volume)


@pytest.mark.parametrize(
    ("owned", "from_joint", "part", "name"),
    [
        ("ring_dip", "middle_pip", 0.01, "middle curled: others beyond the knuckle [mm]"),
        ("ring_mcp", "middle_dip", 0.09, "middle curled: others' knuckles [mm]"),
        ("ring_mcp", "middle_dip", 0.3, "middle curled: webs to the others [mm]"),
    ],
)
def test_skin_that_follows_another_finger_too_far_is_noticed(
    hand: HandFile, owned: str, from_joint: str, part: float, name: str
) -> None:
    weights = hand.weights.copy()
    own, foreign = MANO_ROTATION_NAMES.index(owned), MANO_ROTATION_NAMES.index(from_joint)
    vertex = weights[:, own].argmax()
    weights[vertex] = 0.0
    weights[vertex, [own, foreign]] = 1 - part, part
    assert name in failed(dataclasses.replace(hand, weights=weights))


def test_an_arm_of_another_hand_is_noticed(hand: HandFile, arm_arrays: dict[str, NDArray[Any]]) -> None:
    moved = dataclasses.replace(hand, vertices=hand.vertices + np.array([0.0, 1e-6, 0.0]))
    names = {row.name for row in quality.check_arm(arm_arrays, moved) if not row.passed}
    assert names == {"arm: difference at the hand's vertices"}


def test_distance_to_a_surface_is_that_of_a_slow_search(hand: HandFile) -> None:
    rng = np.random.default_rng(0)
    points = hand.vertices[rng.integers(0, 778, 40)] + rng.normal(scale=0.002, size=(40, 3))
    found = quality.distance_to_surface_m(points, hand.vertices, hand.faces)
    corners = hand.vertices[hand.faces]
    for point, distance in zip(points, found, strict=True):
        nearest = trimesh.triangles.closest_point(corners, np.tile(point, (len(corners), 1)))
        assert distance == pytest.approx(np.linalg.norm(nearest - point, axis=1).min(), abs=1e-9)


def test_a_rigid_hand_never_drifts(hand: HandFile) -> None:
    assert quality.max_drift_m(hand, np.zeros((2, 45))) == pytest.approx(0.0, abs=1e-8)
