import dataclasses
import math

import filter_oracles as oracle
import numpy as np
import pytest
from filter_scenes import SIZE_WH, hands

from hoiray.errors import ContractError
from hoiray.filters.spatial import MEASURED_HERE, Hands, Spatial, measure_spatial, mesh_extent
from hoiray.filters.unmeasured import WORDS
from hoiray.geometry.cameras import WeakPerspectiveStatus, solve_weak_perspective
from hoiray.hand.anatomy import bend_angles, bone_lengths

BOX = np.array([100.0, 60.0, 180.0, 160.0])


def hands_of(joints_3d: np.ndarray, **changes: np.ndarray) -> Hands:
    """Hands seen at 400 px/m around (140, 110), which agree with their image unless something is changed."""
    count = len(joints_3d)
    values = {
        "joints_3d_m": joints_3d,
        "joints_2d_px": 400.0 * joints_3d[..., :2] + np.array([140.0, 110.0]),
        "mesh_extent_m": mesh_extent(joints_3d),
        "bbox_xyxy": np.tile(BOX, (count, 1)),
        "image_size_wh_px": np.tile(SIZE_WH, (count, 1)),
        "spread_joints_2d_px": np.full((count, 21), 4.0),
        "spread_joints_3d_m": np.full((count, 21), 0.01),
    }
    return Hands(**(values | changes))


def answer(measured: Spatial, name: str, row: int = 0) -> oracle.Answer:
    """The value, or the word for its absence; a row must have exactly one of them."""
    column = MEASURED_HERE.index(name)
    value, code = float(measured.values[row, column]), int(measured.reasons[row, column])
    assert math.isnan(value) == (code > 0)
    return WORDS[code - 1] if code else value


def answers(measured: Spatial, row: int = 0) -> dict[str, oracle.Answer]:
    return {name: answer(measured, name, row) for name in MEASURED_HERE}


def expected(hand: Hands, row: int, vertices: np.ndarray) -> dict[str, oracle.Answer]:
    X, x, box = hand.joints_3d_m[row], hand.joints_2d_px[row], hand.bbox_xyxy[row]
    projected = oracle.reprojection(X, x, box)
    return {
        "box_iou": oracle.box_iou(vertices, oracle.camera(X, x), box, hand.image_size_wh_px[row]),
        **{f"reprojection_{name}_box_sides": value for name, value in projected.items()},
        "min_bone_length_ratio": oracle.shortest_bone(X),
        "max_joint_angle_rad": oracle.largest_bend(X),
        "spread_2d_box_sides": oracle.spread(hand.spread_joints_2d_px[row], oracle.side_of(box)),
        "spread_3d_m": oracle.spread(hand.spread_joints_3d_m[row], 1.0),
    }


def assert_same(found: dict[str, oracle.Answer], wanted: dict[str, oracle.Answer]) -> None:
    for name, value in wanted.items():
        if isinstance(value, str):
            assert found[name] == value, name
        else:
            assert found[name] == pytest.approx(value, rel=1e-7, abs=1e-9), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_is_that_of_its_definition(dtype: type) -> None:
    rng = np.random.default_rng(1)
    joints, count = hands(rng, 60), 60
    vertices = joints[:, rng.integers(0, 21, 100)] + rng.normal(scale=0.01, size=(count, 100, 3))
    corner = rng.uniform([-40, -40], [400, 200], size=(count, 2))
    box = np.concatenate([corner, corner + rng.uniform(1, 120, size=(count, 2))], axis=1)
    joints, vertices, box = joints.astype(dtype), vertices.astype(dtype), box.astype(dtype)
    hand = hands_of(
        joints,
        joints_2d_px=(400 * joints[..., :2] + corner[:, None] + rng.normal(scale=9, size=(count, 21, 2))).astype(dtype),
        mesh_extent_m=mesh_extent(vertices),
        bbox_xyxy=box,
        spread_joints_2d_px=rng.random((count, 21)).astype(dtype),
        spread_joints_3d_m=rng.random((count, 21)).astype(dtype),
    )
    measured = measure_spatial(hand)
    for row in range(count):
        assert_same(answers(measured, row), expected(hand, row, vertices[row]))


def test_the_kernel_agrees_with_the_general_functions() -> None:
    rng = np.random.default_rng(2)
    joints = hands(rng, 40)
    hand = hands_of(joints, joints_2d_px=rng.normal(scale=50, size=(40, 21, 2)))
    measured, camera = measure_spatial(hand), solve_weak_perspective(hand.joints_3d_m, hand.joints_2d_px)
    assert (camera.status == WeakPerspectiveStatus.SOLVED).any()
    assert (camera.status == WeakPerspectiveStatus.NON_POSITIVE_SCALE).any()
    np.testing.assert_allclose(measured.camera[:, 0], camera.scale_px_per_m, rtol=1e-9)
    np.testing.assert_allclose(measured.camera[:, 1:], camera.translation_px, rtol=1e-9)
    np.testing.assert_allclose(measured.values[:, 5], bend_angles(joints).max(axis=1), rtol=1e-12)
    lengths = bone_lengths(joints)
    np.testing.assert_allclose(measured.values[:, 4], lengths.min(axis=1) / lengths[:, 8], rtol=1e-12)


def test_a_hand_that_agrees_with_its_image_has_no_reprojection_error() -> None:
    measured = measure_spatial(hands_of(hands(np.random.default_rng(3), 1)))
    assert answer(measured, "reprojection_max_box_sides") < 1e-12
    np.testing.assert_allclose(measured.camera[0], [400, 140, 110])


def test_the_unit_of_the_reprojection_is_the_geometric_mean_of_the_sides() -> None:
    joints = hands(np.random.default_rng(3), 1)
    hand = hands_of(joints, joints_2d_px=hands_of(joints).joints_2d_px + np.random.default_rng(0).normal(size=(21, 2)))
    wide = dataclasses.replace(hand, bbox_xyxy=np.array([[0.0, 0.0, 40.0, 10.0]]))
    square = dataclasses.replace(hand, bbox_xyxy=np.array([[7.0, 7.0, 27.0, 27.0]]))
    assert answer(measure_spatial(wide), "reprojection_mean_box_sides") == pytest.approx(
        answer(measure_spatial(square), "reprojection_mean_box_sides")
    )


def test_a_wrong_orientation_is_not_absorbed_by_the_camera() -> None:
    joints = hands(np.random.default_rng(4), 1)
    turned = joints @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    measured = measure_spatial(hands_of(joints, joints_2d_px=400 * turned[..., :2] + 100))
    assert answer(measured, "reprojection_frobenius_box_sides") in ("camera_mirrored",) or (
        answer(measured, "reprojection_frobenius_box_sides") > 0.65
    )


def test_a_mesh_is_cut_to_the_image_before_it_is_compared() -> None:
    joints = hands(np.random.default_rng(5), 1)
    extent = np.array([[-0.1, -0.1, 0.1, 0.1]])  # 40 px around the image of the wrist
    at_corner = hands_of(joints, joints_2d_px=400 * joints[..., :2], mesh_extent_m=extent)
    half = dataclasses.replace(at_corner, bbox_xyxy=np.array([[-0.5, -0.5, 40.0, 40.0]]))
    assert answer(measure_spatial(half), "box_iou") == pytest.approx(1.0)
    far_corner = np.array([[SIZE_WH[0] - 0.5, SIZE_WH[1] - 0.5]])
    joints_2d = 400 * joints[..., :2] + far_corner
    box = np.concatenate([far_corner - 40, far_corner], axis=1)
    other = hands_of(joints, joints_2d_px=joints_2d, mesh_extent_m=extent, bbox_xyxy=box)
    assert answer(measure_spatial(other), "box_iou") == pytest.approx(1.0)


@pytest.mark.parametrize("shift", [[-900.0, 0.0], [900.0, 0.0], [0.0, -900.0], [0.0, 900.0], [900.0, 900.0]])
def test_a_mesh_outside_the_image_overlaps_nothing(shift: list[float]) -> None:
    joints = hands(np.random.default_rng(5), 1)
    joints_2d = hands_of(joints).joints_2d_px + np.array(shift)
    box = BOX + np.tile(shift, 2)  # even where the given box is out there with it
    measured = measure_spatial(hands_of(joints, joints_2d_px=joints_2d, bbox_xyxy=box[None]))
    assert answer(measured, "box_iou") == 0.0


def test_boxes_that_touch_or_miss_each_other_overlap_by_nothing() -> None:
    joints, extent = hands(np.random.default_rng(5), 1), np.array([[-0.05, -0.05, 0.05, 0.05]])  # 120..160, 90..130
    for box in ([160.0, 90, 200, 130], [120.0, 130, 160, 170], [300.0, 200, 310, 210], [10.0, 10, 20, 20]):
        measured = measure_spatial(hands_of(joints, mesh_extent_m=extent, bbox_xyxy=np.array([box])))
        assert answer(measured, "box_iou") == pytest.approx(0.0, abs=1e-12)


def test_a_collapsed_mesh_is_measured_and_is_bad() -> None:
    joints = hands(np.random.default_rng(5), 1)
    measured = measure_spatial(hands_of(joints, mesh_extent_m=np.array([[0.01, 0.01, 0.01, 0.01]])))
    assert answer(measured, "box_iou") == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_measured(bad: float, dtype: type) -> None:
    joints = hands(np.random.default_rng(6), 1).astype(dtype)
    broken = joints.copy()
    broken[0, 20, 2] = bad
    measured = answers(measure_spatial(hands_of(broken, mesh_extent_m=mesh_extent(joints))))
    assert {measured[name] for name in MEASURED_HERE[:6]} == {"non_finite"}
    image = hands_of(joints).joints_2d_px.copy()
    image[0, 0, 1] = bad
    measured = answers(measure_spatial(hands_of(joints, joints_2d_px=image)))
    assert {measured[name] for name in MEASURED_HERE[:4]} == {"non_finite"}
    assert isinstance(measured["min_bone_length_ratio"], float)
    assert isinstance(measured["max_joint_angle_rad"], float)


@pytest.mark.parametrize("place", range(4))
def test_a_mesh_without_numbers_says_whether_it_is_absent_or_broken(place: int) -> None:
    joints = hands(np.random.default_rng(6), 1)
    for bad, word in ((np.nan, "not_attempted"), (np.inf, "non_finite"), (-np.inf, "non_finite")):
        extent = mesh_extent(joints)
        extent[0, place] = bad
        measured = measure_spatial(hands_of(joints, mesh_extent_m=extent))
        assert answer(measured, "box_iou") == word
        assert answer(measured, "reprojection_mean_box_sides") == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    "box",
    [
        [10.0, 10, 10, 20],
        [10.0, 10, 20, 10],
        [20.0, 10, 10, 20],
        [10.0, 20, 20, 10],
        [np.nan, 0, 1, 1],
        [0, 0, np.inf, 1],
    ],
)
def test_without_a_box_nothing_in_its_unit_is_measured(box: list[float]) -> None:
    measured = answers(measure_spatial(hands_of(hands(np.random.default_rng(7), 1), bbox_xyxy=np.array([box]))))
    assert {measured[name] for name in MEASURED_HERE[:4]} == {"no_box"}
    assert measured["spread_2d_box_sides"] == "no_box"
    assert measured["spread_3d_m"] == pytest.approx(0.01)


def test_joints_that_coincide_fix_no_camera() -> None:
    joints = hands(np.random.default_rng(8), 1)
    joints[..., :2] *= 1e-9  # all fingers along the optical axis
    measured = answers(measure_spatial(hands_of(joints, joints_2d_px=hands(np.random.default_rng(9), 1)[..., :2])))
    assert {measured[name] for name in MEASURED_HERE[:4]} == {"camera_degenerate"}
    assert np.isnan(measure_spatial(hands_of(joints)).camera).all()


def test_the_camera_needs_a_spread_of_a_tenth_of_a_millimetre() -> None:
    joints = hands(np.random.default_rng(8), 1)
    flat = joints[0, :, :2] - joints[0, :, :2].mean(0)
    rms = math.sqrt((flat**2).sum() / 21)
    for factor, word in ((0.99, "camera_degenerate"), (1.01, None)):
        thin = joints * np.array([1e-4 * factor / rms, 1e-4 * factor / rms, 1.0])
        measured = measure_spatial(hands_of(thin))
        found = answer(measured, "box_iou")
        assert found == word if word else isinstance(found, float)


def test_a_hand_turned_half_round_has_no_camera() -> None:
    joints = hands(np.random.default_rng(8), 1)
    measured = answers(measure_spatial(hands_of(joints, joints_2d_px=-400 * joints[..., :2] + 100)))
    assert {measured[name] for name in MEASURED_HERE[:4]} == {"camera_mirrored"}


def test_joints_seen_in_one_point_have_no_camera() -> None:
    joints = hands(np.random.default_rng(8), 1)
    measured = measure_spatial(hands_of(joints, joints_2d_px=np.full((1, 21, 2), 33.0)))
    assert answer(measured, "box_iou") == "camera_mirrored"
    rms = math.sqrt(((joints[0, :, :2] - joints[0, :, :2].mean(0)) ** 2).sum() / 21)
    for factor, is_solved in ((0.9, False), (1.1, True)):
        image = joints[..., :2] * (1e-6 * factor / rms)
        assert (measure_spatial(hands_of(joints, joints_2d_px=image)).camera[0, 0] > 0) == is_solved


def test_a_straight_finger_bends_by_nothing_and_a_folded_one_by_half_a_turn() -> None:
    straight = hands(np.random.default_rng(1), 1, max_bend_deg=0.0)
    assert answer(measure_spatial(hands_of(straight)), "max_joint_angle_rad") < 1e-7
    folded = straight.copy()
    folded[0, 8] = folded[0, 7] + 0.5 * (folded[0, 6] - folded[0, 7])
    assert answer(measure_spatial(hands_of(folded)), "max_joint_angle_rad") == pytest.approx(math.pi)


@pytest.mark.parametrize("joint", oracle.BETWEEN_TWO_BONES)
def test_every_joint_between_two_bones_counts(joint: int) -> None:
    joints = hands(np.random.default_rng(1), 1, max_bend_deg=0.0)
    direction = joints[0, joint] - joints[0, oracle.PARENTS[joint]]
    across = np.cross(direction, [0.1, 0.7, 0.3])
    joints[0, joint + 1] = joints[0, joint] + 0.03 * across / np.linalg.norm(across)
    assert answer(measure_spatial(hands_of(joints)), "max_joint_angle_rad") >= math.pi / 2 - 1e-9


@pytest.mark.parametrize("child", range(1, 21))
def test_every_bone_counts(child: int) -> None:
    joints = hands(np.random.default_rng(1), 1)
    joints[0, child] = joints[0, oracle.PARENTS[child]] + 0.001 * (joints[0, child] - joints[0, oracle.PARENTS[child]])
    shortest = answer(measure_spatial(hands_of(joints)), "min_bone_length_ratio")
    assert shortest == pytest.approx(oracle.shortest_bone(joints[0]))
    assert shortest < 0.01 or child == 9  # the reference bone itself


def test_a_bone_without_length_has_a_ratio_and_no_angle() -> None:
    joints = hands(np.random.default_rng(1), 1)
    joints[0, 4] = joints[0, 3]
    measured = answers(measure_spatial(hands_of(joints)))
    assert measured["min_bone_length_ratio"] == 0.0
    assert measured["max_joint_angle_rad"] == "joints_coincide"


def test_a_palm_without_length_has_neither() -> None:
    joints = hands(np.random.default_rng(1), 1)
    joints[0, 9] = joints[0, 0]
    measured = answers(measure_spatial(hands_of(joints)))
    assert measured["min_bone_length_ratio"] == measured["max_joint_angle_rad"] == "joints_coincide"


def test_spread_is_missing_throughout_or_broken() -> None:
    joints = hands(np.random.default_rng(1), 1)
    missing = np.full((1, 21), np.nan)
    measured = answers(measure_spatial(hands_of(joints, spread_joints_2d_px=missing, spread_joints_3d_m=missing)))
    assert measured["spread_2d_box_sides"] == measured["spread_3d_m"] == "too_few_members"
    partly = missing.copy()
    partly[0, 3] = 1.0
    assert answer(measure_spatial(hands_of(joints, spread_joints_3d_m=partly)), "spread_3d_m") == "non_finite"
    infinite = np.full((1, 21), np.inf)
    assert answer(measure_spatial(hands_of(joints, spread_joints_3d_m=infinite)), "spread_3d_m") == "non_finite"


def test_no_hands_are_measured_as_none() -> None:
    measured = measure_spatial(hands_of(np.zeros((0, 21, 3))))
    assert measured.values.shape == measured.reasons.shape == (0, len(MEASURED_HERE))


def test_inputs_stay_as_they_are() -> None:
    hand = hands_of(hands(np.random.default_rng(1), 2))
    for field in dataclasses.fields(hand):
        getattr(hand, field.name).setflags(write=False)
    measure_spatial(hand)


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ContractError, match="bbox_xyxy: expected"):
        hands_of(hands(np.random.default_rng(1), 2), bbox_xyxy=BOX[None])


def test_the_extent_is_that_of_the_vertices() -> None:
    vertices = np.random.default_rng(0).normal(size=(3, 50, 3))
    extent = mesh_extent(vertices)
    np.testing.assert_array_equal(extent[:, :2], vertices[..., :2].min(1))
    np.testing.assert_array_equal(extent[:, 2:], vertices[..., :2].max(1))
