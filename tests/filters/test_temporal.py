import math

import filter_oracles as oracle
import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.filters.temporal import HELD_CROP_CHANGE, MEASURED_HERE, Motion, Temporal, measure_temporal
from hoiray.filters.unmeasured import WORDS

BOX = np.array([10.0, 20.0, 50.0, 60.0])
NAMES_2D = MEASURED_HERE[:3]
NAMES_POSE = MEASURED_HERE[3:7]


def chain(pose: np.ndarray, **changes: np.ndarray) -> Motion:
    """One track, one row a frame, in which nothing moves but the pose."""
    count = len(pose)
    values = {
        "frame_index": np.arange(count),
        "predecessor": np.arange(count) - 1,
        "is_duplicate": np.zeros(count, dtype=bool),
        "joints_2d_px": np.zeros((count, 21, 2)),
        "bbox_xyxy": np.tile(BOX, (count, 1)),
        "pose": pose,
        "crop_change": np.full(count, 0.05),
    }
    return Motion(**(values | changes))


def answers(measured: Temporal, row: int) -> dict[str, oracle.Answer]:
    found: dict[str, oracle.Answer] = {}
    for column, name in enumerate(MEASURED_HERE):
        value, code = float(measured.values[row, column]), int(measured.reasons[row, column])
        assert math.isnan(value) == (code > 0)
        found[name] = WORDS[code - 1] if code else value
    return found


def wanted(motion: Motion, row: int) -> dict[str, oracle.Answer]:
    before = int(motion.predecessor[row])
    then, now = (
        {"joints_2d": motion.joints_2d_px[r], "bbox_xyxy": motion.bbox_xyxy[r], "pose": motion.pose[r]}
        for r in (before, row)
    )
    found = {f"motion_2d_{name}_box_sides": value for name, value in oracle.motion_2d(then, now).items()}
    poses = oracle.motion_pose(then["pose"], now["pose"])
    found |= {f"motion_pose_{name}": value for name, value in poses.items()}
    gap = int(motion.frame_index[row] - motion.frame_index[before])
    held = oracle.held_sample(poses["geodesic_mean_square"], float(motion.crop_change[row]), gap)
    return found | {"held_sample_score": held}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_is_that_of_its_definition(dtype: type) -> None:
    rng, count = np.random.default_rng(1), 60
    back = rng.choice([1, 2, 3, 8, 9, 16], size=count)  # nearer and further than the rows that are kept
    pose = rng.normal(scale=1.0, size=(count, 48))
    pose[1::3] = pose[0::3] + rng.normal(scale=0.01, size=(count // 3, 48))
    motion = chain(
        pose.astype(dtype),
        predecessor=np.maximum(np.arange(count) - back, -1),
        frame_index=np.arange(count) * rng.integers(1, 3),
        joints_2d_px=rng.normal(scale=20, size=(count, 21, 2)).astype(dtype),
        bbox_xyxy=(BOX + rng.uniform(-5, 5, size=(count, 4))).astype(dtype),
        crop_change=rng.choice([0.0, 0.002, 0.3, np.nan], size=count).astype(dtype),
    )
    measured, num_pairs = measure_temporal(motion, 100), 0
    for row in range(count):
        if motion.predecessor[row] < 0:
            assert set(answers(measured, row).values()) == {"first_of_track"}
            continue
        found, num_pairs = answers(measured, row), num_pairs + 1
        for name, value in wanted(motion, row).items():
            same = value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-15)
            assert found[name] == same, (row, name)
    assert num_pairs > 40


@pytest.mark.parametrize("angle", [0.0, 1e-8, 1e-4, 1.0, math.pi - 1e-7, math.pi])
def test_the_angle_is_exact_from_nothing_to_half_a_turn(angle: float) -> None:
    axis = np.array([0.6, 0.0, 0.8])
    pose = np.stack([np.zeros(48), np.tile(angle * axis, 16)])
    found = answers(measure_temporal(chain(pose), 1), 1)
    assert found["motion_pose_geodesic_mean_square"] == pytest.approx(angle**2 / 3, rel=1e-12)
    assert found["motion_pose_matrix_mean_square"] == pytest.approx(8 * math.sin(angle / 2) ** 2 / 9, rel=1e-12)
    assert found["motion_pose_axis_angle_l2"] == pytest.approx(4 * angle, rel=1e-12)


def test_a_small_turn_across_pi_is_small_but_for_the_readings_that_wrap() -> None:
    axis = np.array([0.0, 1.0, 0.0])
    pose = np.stack([np.tile((math.pi - 0.01) * axis, 16), np.tile((-math.pi + 0.01) * axis, 16)])
    found = answers(measure_temporal(chain(pose), 1), 1)
    assert found["motion_pose_geodesic_mean_square"] == pytest.approx(0.02**2 / 3)
    assert found["motion_pose_matrix_mean_square"] == pytest.approx(0.02**2 * 2 / 9, rel=1e-4)
    assert found["motion_pose_axis_angle_mean_square"] > 10


def test_the_first_order_of_the_readings_is_the_same() -> None:
    rng = np.random.default_rng(0)
    pose = np.stack([np.zeros(48), rng.normal(scale=1e-3, size=48)])
    found = answers(measure_temporal(chain(pose), 1), 1)
    assert found["motion_pose_geodesic_mean_square"] == pytest.approx(found["motion_pose_axis_angle_mean_square"])


def test_motion_is_measured_in_the_box_of_the_earlier_frame() -> None:
    joints = np.stack([np.zeros((21, 2)), np.full((21, 2), [3.0, 4.0])])
    boxes = np.array([[0.0, 0, 20, 5], [0.0, 0, 1000, 1000]])
    found = answers(measure_temporal(chain(np.zeros((2, 48)), joints_2d_px=joints, bbox_xyxy=boxes), 1), 1)
    assert found["motion_2d_mean_box_sides"] == pytest.approx(0.5)
    assert found["motion_2d_max_box_sides"] == pytest.approx(0.5)
    assert found["motion_2d_frobenius_box_sides"] == pytest.approx(0.5 * math.sqrt(21))


def test_a_gap_joins_no_frames_for_motion() -> None:
    motion = chain(np.zeros((3, 48)), frame_index=np.array([0, 1, 3]))
    measured = measure_temporal(motion, 1)
    assert answers(measured, 1)["motion_2d_mean_box_sides"] == 0.0
    assert set(answers(measured, 2).values()) == {"gap"}


@pytest.mark.parametrize(("max_gap", "is_measured"), [(1, False), (2, False), (3, True), (4, True)])
def test_a_wider_gap_is_measured_where_the_limit_allows_it(max_gap: int, is_measured: bool) -> None:
    found = answers(measure_temporal(chain(np.zeros((2, 48)), frame_index=np.array([5, 8])), max_gap), 1)
    assert found["motion_pose_axis_angle_l2"] == (0.0 if is_measured else "gap")
    assert found["held_sample_score"] == "gap"  # the crop was compared with the frame before, which is missing


def test_nothing_is_measured_of_a_hand_that_is_there_twice() -> None:
    motion = chain(np.zeros((2, 48)), is_duplicate=np.array([False, True]))
    assert set(answers(measure_temporal(motion, 1), 1).values()) == {"not_attempted"}


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_in_either_frame_is_not_measured(row: int, bad: float) -> None:
    joints, pose = np.zeros((2, 21, 2)), np.zeros((2, 48))
    joints[row, 20, 1] = bad
    found = answers(measure_temporal(chain(pose, joints_2d_px=joints), 1), 1)
    assert {found[name] for name in NAMES_2D} == {"non_finite"}
    assert {found[name] for name in NAMES_POSE} == {0.0}
    pose[row, 47] = bad
    found = answers(measure_temporal(chain(pose), 1), 1)
    assert {found[name] for name in NAMES_POSE} == {"non_finite"}
    assert found["held_sample_score"] == "non_finite"
    assert {found[name] for name in NAMES_2D} == {0.0}


@pytest.mark.parametrize(
    "box", [[0, 0, 0, 5], [0, 0, 5, 0], [5, 0, 0, 5], [0, 5, 5, 0], [0, 0, np.nan, 5], [0, 0, 5, np.inf]]
)
def test_without_a_box_in_the_earlier_frame_there_is_no_unit(box: list[float]) -> None:
    boxes = np.array([box, BOX])
    found = answers(measure_temporal(chain(np.zeros((2, 48)), bbox_xyxy=boxes), 1), 1)
    assert {found[name] for name in NAMES_2D} == {"no_box"}
    assert answers(measure_temporal(chain(np.zeros((2, 48)), bbox_xyxy=boxes[::-1]), 1), 1)[NAMES_2D[0]] == 0.0


def test_a_repeated_pose_under_a_changing_image_is_held() -> None:
    found = answers(measure_temporal(chain(np.ones((2, 48))), 1), 1)
    assert found["held_sample_score"] > 0.95


def test_a_copied_frame_is_no_evidence() -> None:
    found = answers(measure_temporal(chain(np.ones((2, 48)), crop_change=np.zeros(2)), 1), 1)
    assert found["held_sample_score"] == 0.0


def test_a_pose_that_moves_as_networks_jitter_is_not_held() -> None:
    pose = np.stack([np.zeros(48), np.tile([math.radians(1.0), 0, 0], 16)])
    assert answers(measure_temporal(chain(pose), 1), 1)["held_sample_score"] < 0.01


def test_evidence_is_halved_by_a_tenth_of_a_degree_and_by_a_hundredth_of_change() -> None:
    pose = np.stack([np.zeros(48), np.tile([0, math.radians(0.1), 0], 16)])
    found = answers(measure_temporal(chain(pose, crop_change=np.full(2, 1e3)), 1), 1)
    assert found["held_sample_score"] == pytest.approx(0.5, rel=1e-6)
    found = answers(measure_temporal(chain(np.zeros((2, 48)), crop_change=np.full(2, HELD_CROP_CHANGE)), 1), 1)
    assert found["held_sample_score"] == pytest.approx(0.5)


def test_without_pixels_nothing_is_said_of_held_poses() -> None:
    found = answers(measure_temporal(chain(np.zeros((2, 48)), crop_change=np.full(2, np.nan)), 1), 1)
    assert found["held_sample_score"] == "no_pixels"
    found = answers(measure_temporal(chain(np.zeros((2, 48)), crop_change=np.full(2, np.inf)), 1), 1)
    assert found["held_sample_score"] == "non_finite"


def test_several_hands_in_a_frame_are_each_compared_with_themselves() -> None:
    rng, hands, frames = np.random.default_rng(3), 11, 4
    pose = rng.normal(size=(frames, hands, 48))
    rows = np.arange(hands * frames)
    motion = chain(
        pose.reshape(-1, 48), frame_index=rows // hands, predecessor=np.where(rows < hands, -1, rows - hands)
    )
    measured = measure_temporal(motion, 1)
    alone = measure_temporal(chain(pose[:, 7]), 1)
    np.testing.assert_array_equal(measured.values[7::hands], alone.values)


def test_rows_that_all_begin_a_track_have_no_motion() -> None:
    measured = measure_temporal(chain(np.zeros((2, 48)), predecessor=np.array([-1, -1])), 1)
    assert set(answers(measured, 1).values()) == {"first_of_track"}


def test_a_predecessor_that_is_no_row_is_refused() -> None:
    for bad in (-2, 2):
        with pytest.raises(ContractError, match="predecessor: expected -1 to 1"):
            chain(np.zeros((2, 48)), predecessor=np.array([-1, bad]))
    with pytest.raises(ContractError, match="pose: expected"):
        chain(np.zeros((2, 45)))


def test_no_rows_are_measured_as_none() -> None:
    assert measure_temporal(chain(np.zeros((0, 48))), 1).values.shape == (0, len(MEASURED_HERE))
