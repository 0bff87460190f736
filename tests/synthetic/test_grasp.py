import numpy as np
import pytest
import torch

from hoiray.geometry.transforms import is_rigid, transform_points
from hoiray.hand.anatomy import ARTICULATED_NAMES, NORMAL_RANGES, anatomical_axes, joint_angles
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.hand.sides import mirror_axis_angle
from hoiray.synthetic.closing import CONTACT_M
from hoiray.synthetic.grasp import MAX_PENETRATION_M, ContactStatistics, Grasp, find_grasp, holds, mirror_grasp
from hoiray.synthetic.holding import Hand, make_hand
from hoiray.synthetic.objects import GraspKind, build_object

ARRAYS = load_hand_arrays()
MODEL = HandModel(ARRAYS, flat_hand_mean=True, tip_set="smplx", dtype=torch.float64)
BETAS = [np.clip(np.random.default_rng(seed).normal(size=10), -2.5, 2.5) for seed in range(3)]
HANDS: list[Hand] = [make_hand(ARRAYS, betas) for betas in BETAS]
CASES: list[tuple[str, GraspKind]] = [
    ("can", "power"), ("021_bleach_cleanser", "power"), ("006_mustard_bottle", "power"), ("hammer", "power"),
    ("010_potted_meat_can", "power"), ("banana", "hook"), ("mug", "hook"), ("box", "precision"), ("bowl", "precision"),
    ("ball", "tripod"), ("marker", "tripod"), ("screwdriver", "lateral"), ("mug", "lateral"), ("milk", "power"),
]  # fmt: skip


def _grasp(name: str, kind: GraspKind, seed: int, *, is_right: bool = True) -> Grasp:
    rng = np.random.default_rng(seed)
    found = find_grasp(HANDS[seed % 3], build_object(name), kind, is_right=is_right, rng=rng)
    assert found is not None
    return found


def _distances(name: str, grasp: Grasp, seed: int) -> np.ndarray:
    """Signed distance of all 778 vertices, posed by the hand model from what a label would hold."""
    zero = torch.zeros(3, dtype=torch.float64)
    betas = torch.tensor(BETAS[seed % 3])
    posed = MODEL(zero, torch.tensor(grasp.hand_pose), betas, is_right=torch.tensor(grasp.is_right))
    points = transform_points(np.linalg.inv(grasp.T_hand_obj), posed.vertices.numpy())
    return build_object(name).signed_distance(np.asarray(points))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_hands_touch_what_they_hold_and_do_not_enter_it(name: str, kind: GraspKind) -> None:
    for seed in range(4):
        grasp = _grasp(name, kind, seed)
        distance = _distances(name, grasp, seed)
        assert distance.min() > -MAX_PENETRATION_M
        assert grasp.statistics.max_penetration_m == pytest.approx(max(0.0, -distance.min()), abs=1e-6)
        assert grasp.statistics.mean_penetration_m < 0.001
        assert grasp.statistics.mean_contact_distance_m < CONTACT_M
        assert (distance < CONTACT_M).sum() >= 4
        assert holds(kind, grasp.statistics)


def test_a_power_grasp_goes_round() -> None:
    """Contacts of thumb and fingers face each other: their normals, seen from the object, do not share a half space."""
    can = build_object("can")
    for seed in range(4):
        grasp = _grasp("can", "power", seed)
        distance = _distances("can", grasp, seed)
        zero = torch.zeros(3, dtype=torch.float64)
        posed = MODEL(zero, torch.tensor(grasp.hand_pose), torch.tensor(BETAS[seed % 3])).vertices.numpy()
        points = np.asarray(transform_points(np.linalg.inv(grasp.T_hand_obj), posed))[distance < CONTACT_M]
        angles = np.sort(np.arctan2(points[:, 1], points[:, 0]))
        largest_gap = np.diff(np.concatenate([angles, angles[:1] + 2 * np.pi])).max()
        assert largest_gap < np.pi
    assert can.name == "can"


@pytest.mark.parametrize("is_right", [True, False])
def test_grasps_are_rigid_and_joints_stay_in_their_ranges(is_right: bool) -> None:
    axes = anatomical_axes(ARRAYS)
    for seed in range(4):
        grasp = _grasp("bottle", "power", seed, is_right=is_right)
        assert is_rigid(grasp.T_hand_obj)
        pose = grasp.hand_pose if is_right else mirror_axis_angle(grasp.hand_pose)
        for name, flexion in zip(ARTICULATED_NAMES, joint_angles(pose, axes).flexion, strict=True):
            if name in NORMAL_RANGES:
                low, high = NORMAL_RANGES[name].flexion_rad
                assert low - 0.1 <= flexion <= high + 1e-9, name


def test_a_left_grasp_is_the_mirror_of_the_right_one_and_touches_as_well() -> None:
    right, left = _grasp("mug", "power", 1), _grasp("mug", "power", 1, is_right=False)
    assert not left.is_right
    np.testing.assert_array_equal(left.hand_pose, mirror_axis_angle(right.hand_pose))
    assert np.linalg.det(left.T_hand_obj[:3, :3]) == pytest.approx(1.0)
    np.testing.assert_allclose(np.sort(_distances("mug", left, 1)), np.sort(_distances("mug", right, 1)), atol=2.5e-4)


def test_mirroring_twice_changes_nothing() -> None:
    grasp = _grasp("mug", "power", 2)
    back = mirror_grasp(mirror_grasp(grasp))
    np.testing.assert_array_equal(back.T_hand_obj, grasp.T_hand_obj)
    np.testing.assert_array_equal(back.hand_pose, grasp.hand_pose)
    assert back.is_right


def test_the_same_seed_gives_the_same_grasp_bit_for_bit() -> None:
    first, again, other = _grasp("can", "power", 3), _grasp("can", "power", 3), _grasp("can", "power", 0)
    np.testing.assert_array_equal(first.hand_pose, again.hand_pose)
    np.testing.assert_array_equal(first.T_hand_obj, again.T_hand_obj)
    assert not np.allclose(first.hand_pose, other.hand_pose)


def test_an_object_without_a_place_for_a_kind_gives_none() -> None:
    rng = np.random.default_rng(0)
    assert find_grasp(HANDS[0], build_object("bowl"), "hook", is_right=True, rng=rng) is None


@pytest.mark.parametrize(
    ("kind", "touching", "depth_m", "expected"),
    [
        ("power", ("wrist", "index_mcp", "middle_dip", "thumb_ip"), 0.001, True),
        ("power", ("wrist", "index_mcp", "middle_dip", "thumb_ip"), 0.0031, False),
        ("power", ("wrist", "index_mcp", "index_dip", "middle_dip"), 0.001, False),
        ("power", ("wrist", "index_mcp", "index_dip", "thumb_ip"), 0.001, False),
        ("hook", ("index_pip", "middle_pip", "ring_pip"), 0.001, True),
        ("hook", ("index_pip", "middle_pip"), 0.001, False),
        ("precision", ("index_dip", "thumb_ip"), 0.001, True),
        ("precision", ("index_pip", "thumb_ip"), 0.001, False),
        ("precision", ("index_dip", "thumb_mcp"), 0.001, False),
        ("tripod", ("index_dip", "middle_dip", "thumb_ip"), 0.001, True),
        ("tripod", ("index_dip", "ring_dip", "thumb_ip"), 0.001, False),
        ("lateral", ("index_pip", "thumb_ip"), 0.001, True),
        ("lateral", ("middle_pip", "thumb_ip"), 0.001, False),
    ],
)
def test_each_kind_of_grasp_asks_for_its_own_contacts(
    kind: GraspKind, touching: tuple[str, ...], depth_m: float, expected: bool
) -> None:
    assert holds(kind, ContactStatistics(depth_m, 0.0, 0.001, len(touching), touching)) is expected
