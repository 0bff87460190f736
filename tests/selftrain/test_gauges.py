"""Signs between two rounds, on label tables whose changes are known."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.transform import Rotation
from valid_tables import replaced, table_of

from hoiray.errors import ContractError
from hoiray.geometry.rotations import axis_angle_to_matrix, mirror_axis_angle
from hoiray.schema.columns import pack_column
from hoiray.schema.tables import LABELS
from hoiray.selftrain.gauges import Gauges, PoseMoments, compare_rounds

NUM_ROWS = 6
BOX = [10.0, 10.0, 60.0, 30.0]


def round_of(accepted: list[bool], *, moved_mm: list[float] | None = None, pixels: float = 0.0) -> pa.Table:
    """Labels of one video; every joint but the wrist is moved by so much, every pixel by so much."""
    table = table_of(LABELS, NUM_ROWS)
    joints = np.zeros((NUM_ROWS, 21, 3))
    joints[:, 1:, 0] = np.array(moved_mm or [0.0] * NUM_ROWS)[:, None] / 1000.0
    numbers = {
        "joints_3d": joints,
        "joints_2d": np.full((NUM_ROWS, 21, 2), pixels),
        "bbox_xyxy": np.tile(BOX, (NUM_ROWS, 1)),
    }
    for name, values in numbers.items():
        column = LABELS[name]
        table = replaced(table, name, pack_column(column, values.astype(column.dtype)))
    table = replaced(table, "video_id", pa.array(["a"] * NUM_ROWS))
    return replaced(table, "accepted", pa.array(accepted))


def compared(before: pa.Table, after: pa.Table) -> Gauges:
    return compare_rounds([(before, after)])


def test_churn_counts_labels_that_came_and_went() -> None:
    gauges = compared(
        round_of([True, True, True, False, False, False]), round_of([True, True, False, True, True, False])
    )
    assert (gauges.num_rows, gauges.num_accepted_before, gauges.num_accepted, gauges.num_kept) == (6, 3, 4, 2)
    assert gauges.churn == pytest.approx(1 - 2 / 5)
    assert (gauges.acceptance_before, gauges.acceptance) == (0.5, pytest.approx(4 / 6))
    assert any("accepts 1.33 times as many" in words for words in gauges.warnings())


def test_movement_of_what_was_trained_on_is_told_apart_from_the_rest() -> None:
    accepted = [True, True, True, False, False, False]
    after = round_of(accepted, moved_mm=[2.1, 2.1, 2.1, 21.0, 21.0, 21.0], pixels=3.0)
    gauges = compared(round_of(accepted), after)
    assert gauges.moved_accepted.joints_3d_mm == pytest.approx(2.0, rel=1e-4)  # the wrist does not move
    assert gauges.moved_refused.joints_3d_mm == pytest.approx(20.0, rel=1e-4)
    assert gauges.recital == pytest.approx(0.1, rel=1e-4)
    assert gauges.moved_accepted.joints_2d_box_sides == pytest.approx(np.hypot(3, 3) / 50, rel=1e-4)
    assert any("moved 0.10 times as far" in words for words in gauges.warnings())


def test_rows_are_found_by_their_names_whatever_their_order_and_company() -> None:
    before = round_of([True, True, False, False, False, False])
    after = round_of([True, True, False, False, False, False]).take([5, 3, 1, 0, 2])
    gauges = compared(before, after)
    assert (gauges.num_rows, gauges.num_kept, gauges.churn) == (5, 2, 0.0)


def test_several_parts_add_up_to_the_whole() -> None:
    before, after = round_of([True, False] * 3), round_of([True, True, False] * 2, moved_mm=[1, 2, 3, 4, 5, 6])
    parts = compare_rounds([(before.slice(0, 2), after.slice(0, 2)), (before.slice(2), after.slice(2))])
    whole = compared(before, after)
    assert parts.num_kept == whole.num_kept
    assert parts.moved_accepted.joints_3d_mm == pytest.approx(whole.moved_accepted.joints_3d_mm)
    assert parts.diversity_of_all.spread_deg == pytest.approx(whole.diversity_of_all.spread_deg)


def test_rounds_without_a_hand_in_common_are_refused() -> None:
    with pytest.raises(ContractError, match="expected hands in both, found none in common"):
        compared(round_of([True] * 6), replaced(round_of([True] * 6), "video_id", pa.array(["b"] * 6)))


def test_poses_on_a_line_have_one_dimension_and_random_ones_many() -> None:
    rng = np.random.default_rng(0)
    line, cloud = PoseMoments(), PoseMoments()
    line.add(rng.normal(size=(4000, 1)) * np.ones(45), np.zeros((4000, 3)))
    cloud.add(rng.normal(size=(4000, 45)), Rotation.random(4000, rng=rng).as_rotvec())
    assert line.diversity().effective_dimensions == pytest.approx(1.0, abs=1e-3)
    assert cloud.diversity().effective_dimensions == pytest.approx(45.0, rel=0.02)
    assert line.diversity().orientation_spread == pytest.approx(0.0, abs=1e-6)
    assert cloud.diversity().orientation_spread == pytest.approx(1.0, abs=0.03)
    # a joint's three angles of one radian each: the root of three
    assert cloud.diversity().spread_deg == pytest.approx(np.rad2deg(np.sqrt(3)), rel=0.02)


def test_spread_is_told_of_sums_as_of_the_poses_themselves() -> None:
    rng = np.random.default_rng(1)
    poses, orients = rng.normal(0.3, 0.2, size=(500, 45)), rng.normal(0.2, 0.4, size=(500, 3))
    moments = PoseMoments()
    for part in np.array_split(np.arange(500), 7):
        moments.add(poses[part], orients[part])
    off = (poses - poses.mean(axis=0)).reshape(500, 15, 3)
    assert moments.diversity().spread_deg == pytest.approx(np.rad2deg(np.sqrt((off**2).sum(axis=2).mean())))
    mean = np.linalg.norm(axis_angle_to_matrix(orients).mean(axis=0)) / np.sqrt(3)
    assert moments.diversity().orientation_spread == pytest.approx(1 - mean)


def test_a_left_hand_counts_as_its_mirror_image() -> None:
    right = round_of([True] * 6)
    pose = np.random.default_rng(3).normal(size=(NUM_ROWS, 15, 3)).astype(np.float32)
    column = LABELS["hand_pose"]
    right = replaced(right, "hand_pose", pack_column(column, pose.reshape(NUM_ROWS, *column.shape)))
    mirrored = mirror_axis_angle(pose).astype(np.float32).reshape(NUM_ROWS, *column.shape)
    left = replaced(right, "hand_pose", pack_column(column, mirrored))
    left = replaced(left, "is_right", pa.array([False] * NUM_ROWS))
    found, expected = compared(left, left).diversity, compared(right, right).diversity
    assert found.spread_deg == pytest.approx(expected.spread_deg, rel=1e-5)
    assert found.effective_dimensions == pytest.approx(expected.effective_dimensions, rel=1e-5)
