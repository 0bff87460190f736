import filter_oracles as oracle
import numpy as np
import pyarrow as pa
import pytest
from filter_scenes import fused_of, rows_of, videos

from hoiray.errors import ContractError
from hoiray.filters.spatial import MEASURED_HERE
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.label_columns import SPATIAL_NAMES
from hoiray.schema.tables import PREDICTIONS
from hoiray.stages.measure import FUSED, measure


def random_fused(seed: int = 0) -> pa.Table:
    return fused_of(videos(np.random.default_rng(seed), 5))


def why_of(row: dict[str, object]) -> dict[str, str]:
    return dict(entry.split(":") for entry in row["unmeasured"])  # type: ignore[attr-defined]


def test_fused_columns_and_measurements_make_a_prediction() -> None:
    fused = {column.name for column in FUSED.columns}
    assert set(PREDICTIONS.names) - fused == {*MEASURED_HERE, "camera_scale_px_per_m", "camera_shift_px", "unmeasured"}
    assert fused - set(PREDICTIONS.names) == {"mesh_extent_m"}


def test_every_row_is_measured_or_says_why_not() -> None:
    fused = random_fused()
    table = measure(fused)
    assert table.schema.names == PREDICTIONS.names
    for row, given in zip(rows_of(table), rows_of(fused), strict=True):
        why = why_of(row)
        side = oracle.side_of(given["bbox_xyxy"])
        wanted = {
            "min_bone_length_ratio": oracle.shortest_bone(given["joints_3d"]),
            "max_joint_angle_rad": oracle.largest_bend(given["joints_3d"]),
        }
        for reading, value in oracle.reprojection(given["joints_3d"], given["joints_2d"], given["bbox_xyxy"]).items():
            wanted[f"reprojection_{reading}_box_sides"] = value
        if given["spread_joints_2d_px"] is not None:
            wanted["spread_2d_box_sides"] = oracle.spread(given["spread_joints_2d_px"], side)
            wanted["spread_3d_m"] = oracle.spread(given["spread_joints_3d_m"], 1.0)
        for name, value in wanted.items():
            if isinstance(value, str):
                assert (np.isnan(row[name]), why[name]) == (True, value)
            else:
                assert row[name] == pytest.approx(value, rel=1e-6)


def test_columns_that_were_handed_over_are_kept() -> None:
    fused = random_fused()
    table = measure(fused)
    kept = [name for name in PREDICTIONS.names if name in FUSED.names]
    assert parquet_bytes(table.select(kept)) == parquet_bytes(fused.select(kept).cast(table.select(kept).schema))


def test_the_camera_is_stored_where_it_is_solved() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 21, 3))
    fused = fused_of(
        {
            "frame_index": np.arange(2),
            "joints_3d": joints,
            "joints_2d": np.stack([300 * joints[0, :, :2] + [10, 20], np.zeros((21, 2))]),
            "bbox_xyxy": np.tile([0.0, 0, 30, 30], (2, 1)),
        }
    )
    solved, unsolved = rows_of(measure(fused))
    assert solved["camera_scale_px_per_m"] == pytest.approx(300)
    np.testing.assert_allclose(solved["camera_shift_px"], [10, 20], rtol=1e-5)
    assert unsolved["camera_scale_px_per_m"] is unsolved["camera_shift_px"] is None
    assert why_of(unsolved)["box_iou"] == "camera_mirrored"


def test_a_hand_without_an_answer_is_a_row_without_numbers() -> None:
    table = measure(fused_of({"frame_index": np.arange(1), "joints_3d": np.full((1, 21, 3), np.nan)}))
    assert table["joints_3d"].null_count == 1
    why = why_of(rows_of(table)[0])
    assert {why[name] for name in MEASURED_HERE[:6]} == {"non_finite"}


def test_missing_evidence_of_the_predictor_has_its_reasons() -> None:
    nothing = np.full(3, np.nan)
    fused = fused_of(
        {
            "frame_index": np.arange(3),
            "joints_3d": np.random.default_rng(0).normal(size=(3, 21, 3)),
            "num_members": np.array([1, 2, 8]),
            "spread_rotation_rad": np.array([np.nan, np.nan, 0.1]),
            "crop_change": np.array([np.nan, 0.0, 0.1]),
            "spread_joints_2d_px": np.tile(nothing[:, None], (1, 21)),
            "mesh_extent_m": np.tile(nothing[:, None], (1, 4)),
        }
    )
    why = [why_of(row) for row in rows_of(measure(fused))]
    assert [row.get("spread_rotation_rad") for row in why] == ["too_few_members", "not_attempted", None]
    assert [row.get("crop_change") for row in why] == ["no_pixels", None, None]
    assert {row["spread_2d_box_sides"] for row in why} == {"too_few_members"}


def test_a_number_too_large_to_store_is_not_measured() -> None:
    joints = np.random.default_rng(0).normal(size=(1, 21, 3))
    fused = fused_of(
        {
            "frame_index": np.arange(1),
            "joints_3d": joints,
            "joints_2d": 1e37 * np.random.default_rng(1).random((1, 21, 2)) + 1e37 * joints[..., :2],
            "bbox_xyxy": np.array([[0, 0, 1e-3, 1e-3]]),
        }
    )
    row = rows_of(measure(fused))[0]
    assert np.isnan(row["reprojection_max_box_sides"])
    assert why_of(row)["reprojection_max_box_sides"] == "non_finite"


def test_rows_stay_in_their_order_and_do_not_matter_to_each_other() -> None:
    fused = random_fused()
    order = np.random.default_rng(1).permutation(fused.num_rows)
    shuffled, straight = measure(fused.take(pa.array(order))), measure(fused)
    assert parquet_bytes(shuffled) == parquet_bytes(straight.take(pa.array(order)))


def test_no_rows_are_measured_as_none() -> None:
    assert measure(random_fused().slice(0, 0)).num_rows == 0


def test_another_table_is_refused() -> None:
    with pytest.raises(ContractError, match="mesh_extent_m"):
        measure(random_fused().drop_columns(["mesh_extent_m"]))
    assert set(SPATIAL_NAMES) >= set(MEASURED_HERE)
