import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.config.what import PaperLimits
from hoiray.errors import ContractError
from hoiray.schema import (
    BOXES,
    DEAD_LETTERS,
    LABELS,
    PREDICTIONS,
    REJECT_REASONS,
    TABLES,
    UNMEASURED_REASONS,
    Column,
    CommitMarker,
    TableSchema,
    conform,
    empty_table,
    pack_column,
    parse_marker,
    published_schemas,
    unpack_column,
)

ROOT = Path(__file__).parents[1]
every_table = pytest.mark.parametrize("schema", TABLES.values(), ids=TABLES.keys())


def column_of(column: Column, num_rows: int, rng: np.random.Generator) -> pa.Array:
    """Any valid values for a column; keys are counted up so that they are unique."""
    if column.is_list:
        return pa.array([[] for _ in range(num_rows)], column.arrow_type)
    if column.dtype == "string":
        words = column.vocabulary or tuple(f"{column.name}-{i}" for i in range(num_rows))
        return pa.array([words[i % len(words)] for i in range(num_rows)])
    if column.dtype == "bool":
        return pa.array([True] * num_rows)
    if column.dtype.startswith("int"):
        return pa.array(range(num_rows), column.arrow_type)
    return pack_column(column, rng.random((num_rows, *column.shape)).astype(column.dtype))


def table_of(schema: TableSchema, num_rows: int = 5) -> pa.Table:
    rng = np.random.default_rng(7)
    return pa.table({column.name: column_of(column, num_rows, rng) for column in schema.columns})


def replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


# ------------------------------------------------------------------------------------------------------------ conform


@every_table
def test_a_table_that_fits_conforms_and_gets_the_schemas_metadata(schema: TableSchema) -> None:
    table = conform(table_of(schema), schema)
    assert table.schema.equals(schema.to_arrow(), check_metadata=True)
    assert table.num_rows == 5


@every_table
def test_an_empty_table_conforms(schema: TableSchema) -> None:
    table = empty_table(schema)
    assert table.num_rows == 0
    assert conform(table, schema).schema.equals(schema.to_arrow(), check_metadata=True)


@every_table
def test_every_nullable_column_may_be_all_null(schema: TableSchema) -> None:
    table = table_of(schema)
    for column in schema.columns:
        if column.nullable:
            table = replaced(table, column.name, pa.nulls(5, column.arrow_type))
    assert conform(table, schema).num_rows == 5


@every_table
def test_columns_may_come_in_any_order_and_leave_in_the_schemas(schema: TableSchema) -> None:
    table = table_of(schema)
    assert conform(table.select(table.column_names[::-1]), schema).column_names == schema.names


@every_table
def test_each_column_that_is_missing_is_named(schema: TableSchema) -> None:
    table = table_of(schema)
    for name in schema.names:
        with pytest.raises(
            ContractError, match=rf"table {schema.name} .*, column '{name}': expected .* no such column"
        ):
            conform(table.drop_columns([name]), schema)


@every_table
def test_each_column_of_a_wrong_type_is_named(schema: TableSchema) -> None:
    table = table_of(schema)
    for name in schema.names:
        with pytest.raises(ContractError, match=rf"column '{name}': expected .*, found date32"):
            conform(replaced(table, name, pa.nulls(5, pa.date32())), schema)


@every_table
def test_each_column_that_may_not_be_null_is_named_when_it_is(schema: TableSchema) -> None:
    table = table_of(schema)
    for column in schema.columns:
        if not column.nullable:
            hole = pa.concat_arrays([table[column.name].combine_chunks()[:4], pa.nulls(1, column.arrow_type)])
            with pytest.raises(
                ContractError, match=rf"column '{column.name}': expected no null, found 1 null\(s\) in 5"
            ):
                conform(replaced(table, column.name, hole), schema)


@every_table
def test_each_column_of_numbers_refuses_infinity(schema: TableSchema) -> None:
    table = table_of(schema)
    for column in schema.columns:
        if column.dtype.startswith("float"):
            values = np.zeros((5, *column.shape), column.dtype)
            values.reshape(5, -1)[3, -1] = -np.inf
            with pytest.raises(ContractError, match=rf"column '{column.name}': expected finite numbers"):
                conform(replaced(table, column.name, pack_column(column, values)), schema)


@every_table
def test_two_rows_with_one_key_are_refused(schema: TableSchema) -> None:
    table = table_of(schema)
    with pytest.raises(ContractError, match="expected a unique key, found 2 rows with"):
        conform(pa.concat_tables([table, table.slice(2, 1)]), schema)


def test_an_unknown_column_is_named() -> None:
    table = table_of(BOXES).append_column("colour", pa.array(["red"] * 5))
    with pytest.raises(ContractError, match=r"table boxes \(version 1\), column 'colour': expected no such column"):
        conform(table, BOXES)


def test_a_column_given_twice_is_named() -> None:
    table = table_of(BOXES)
    with pytest.raises(ContractError, match="column 'kind': expected one column of this name, found 2"):
        conform(table.append_column("kind", table["kind"]), BOXES)


def test_a_vector_of_another_length_is_refused() -> None:
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(15, np.float32)), 3)
    with pytest.raises(ContractError, match=r"expected fixed_size_list<float32>\[4\], found fixed_size_list<.*>\[3\]"):
        conform(replaced(table_of(BOXES), "bbox_xyxy", boxes), BOXES)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 4), pa.large_list(pa.float32())])
def test_a_vector_is_a_fixed_size_list_of_its_own_numbers(kind: pa.DataType) -> None:
    boxes = pa.array([[0.0, 1.0, 2.0, 3.0]] * 5, kind)
    with pytest.raises(ContractError, match="column 'bbox_xyxy'"):
        conform(replaced(table_of(BOXES), "bbox_xyxy", boxes), BOXES)


def test_a_hole_inside_a_vector_is_no_null() -> None:
    boxes = pa.array([[0.0, 1.0, None, 3.0]] * 5, pa.list_(pa.float32(), 4))
    with pytest.raises(ContractError, match="column 'bbox_xyxy': expected no null inside a row, found 5"):
        conform(replaced(table_of(BOXES), "bbox_xyxy", boxes), BOXES)


def test_nothing_is_converted() -> None:
    table = replaced(table_of(BOXES), "score", pa.array(np.zeros(5)))
    with pytest.raises(ContractError, match="column 'score': expected float32, found double"):
        conform(table, BOXES)


def test_a_word_outside_the_vocabulary_is_named() -> None:
    table = replaced(table_of(BOXES), "kind", pa.array(["hand", "foot", "hand", "object", "arm"]))
    with pytest.raises(ContractError, match="column 'kind': expected only hand, object, found 'arm', 'foot'"):
        conform(table, BOXES)


def test_a_reason_outside_the_vocabulary_is_named() -> None:
    reasons = pa.array([[], [], ["box_iou", "ugly"], [], []])
    with pytest.raises(ContractError, match=r"column 'reasons': expected only box_iou, .*, found 'ugly'"):
        conform(replaced(table_of(LABELS), "reasons", reasons), LABELS)


def test_other_metadata_of_the_file_is_kept_and_a_stale_version_is_not() -> None:
    stale = {"hoiray.run": "abc", "hoiray.schema": "labels", "hoiray.schema_version": "0"}
    table = conform(table_of(BOXES).replace_schema_metadata(stale), BOXES)
    expected = {b"hoiray.run": b"abc", b"hoiray.schema": b"boxes", b"hoiray.schema_version": b"1"}
    assert table.schema.metadata == expected


def test_the_input_is_not_changed() -> None:
    table = table_of(BOXES)
    before = table.schema
    conform(table, BOXES)
    assert table.schema.equals(before, check_metadata=True)


# ----------------------------------------------------------------------------------------------- rules between columns


def with_nan(table: pa.Table, name: str, unmeasured: list[list[str]]) -> pa.Table:
    values = table[name].to_numpy().copy()
    values[1] = np.nan
    entries = pa.array(unmeasured, pa.list_(pa.string()))
    return replaced(replaced(table, name, pa.array(values)), "unmeasured", entries)


@pytest.mark.parametrize("schema", [PREDICTIONS, LABELS], ids=["predictions", "labels"])
def test_every_measurement_may_be_missing_for_a_reason_and_only_so(schema: TableSchema) -> None:
    for name in schema.measurements:
        table = with_nan(table_of(schema), name, [[], [f"{name}:no_box"], [], [], []])
        assert conform(table, schema).num_rows == 5
        with pytest.raises(ContractError, match=rf"{name} is NaN without an entry in unmeasured in 1 row.*row 1"):
            conform(with_nan(table_of(schema), name, [[], [], [], [], []]), schema)
        with pytest.raises(ContractError, match=rf"{name} is measured, yet listed in unmeasured in 1 row.*row 3"):
            conform(with_nan(table_of(schema), name, [[], [f"{name}:gap"], [], [f"{name}:gap"], []]), schema)


@pytest.mark.parametrize("entry", ["box_iou", "box_iou:", "box_iou:tired", "betas:no_box", "box_iou:no_box:x"])
def test_an_entry_names_a_measurement_and_a_known_reason(entry: str) -> None:
    table = with_nan(table_of(PREDICTIONS), "box_iou", [[], [entry], [], [], []])
    with pytest.raises(ContractError, match=f"table predictions: unmeasured holds '{entry}', expected"):
        conform(table, PREDICTIONS)


def test_several_entries_of_a_row_explain_several_measurements() -> None:
    table = with_nan(table_of(PREDICTIONS), "box_iou", [[]] * 5)
    entries = [[], ["box_iou:no_box", "crop_change:no_pixels"], [], [], []]
    assert conform(with_nan(table, "crop_change", entries), PREDICTIONS).num_rows == 5


@pytest.mark.parametrize(("accepted", "reasons"), [(True, ["box_iou"]), (False, [])])
def test_a_row_is_accepted_exactly_without_reasons(accepted: bool, reasons: list[str]) -> None:
    table = replaced(table_of(LABELS), "accepted", pa.array([True, True, accepted, True, True]))
    table = replaced(table, "reasons", pa.array([[], [], reasons, [], []], pa.list_(pa.string())))
    with pytest.raises(ContractError, match=r"accepted and reasons contradict each other in 1 row.* in row 2"):
        conform(table, LABELS)


def test_a_refused_row_conforms_with_its_reasons() -> None:
    table = replaced(table_of(LABELS), "accepted", pa.array([False] * 5))
    table = replaced(table, "reasons", pa.array([[reason] for reason in list(REJECT_REASONS)[:5]]))
    assert conform(table, LABELS)["accepted"].to_pylist() == [False] * 5


# -------------------------------------------------------------------------------------------------- what a label holds


def test_every_limit_has_its_stored_measurement() -> None:
    by_limit = {
        "min_box_iou": ["box_iou"],
        "max_reprojection_box_sides": [f"reprojection_{r}_box_sides" for r in ("frobenius", "mean", "max")],
        "min_bone_length_ratio": ["min_bone_length_ratio"],
        "max_joint_angle_deg": ["max_joint_angle_rad"],
        "max_motion_2d_box_sides": [f"motion_2d_{r}_box_sides" for r in ("frobenius", "mean", "max")],
        "max_motion_pose": [
            f"motion_pose_{reading}" for reading in PaperLimits.model_fields["motion_pose_reading"].annotation.__args__
        ],
        "max_shape_deviation_sigma": ["shape_deviation_sigma"],
        "max_spread_2d_box_sides": ["spread_2d_box_sides"],
        "max_spread_3d_m": ["spread_3d_m"],
        "max_spread_rotation_deg": ["spread_rotation_rad"],
        "max_held_sample_score": ["held_sample_score"],
    }
    limits = {name for name, value in PaperLimits.model_fields.items() if name.startswith(("min_", "max_"))}
    assert limits - {"max_predecessor_gap_frames"} == set(by_limit)
    measurements = [name for names in by_limit.values() for name in names]
    assert set(measurements) | {"shape_sigma", "crop_change"} == set(LABELS.measurements)
    assert "predecessor_gap_frames" in LABELS.names


def test_a_prediction_is_a_label_without_track_and_verdict() -> None:
    assert set(PREDICTIONS.names) < set(LABELS.names)
    assert all(LABELS[name] == PREDICTIONS[name] for name in PREDICTIONS.names)


def test_a_label_takes_about_a_kilobyte() -> None:
    bytes_per_row = sum(
        column.length * np.dtype(column.dtype).itemsize for column in LABELS.columns if column.dtype != "string"
    )
    assert 900 < bytes_per_row < 1400


@every_table
def test_columns_are_well_described(schema: TableSchema) -> None:
    assert len(set(schema.names)) == len(schema.names)
    assert set(schema.key) <= set(schema.names)
    for column in schema.columns:
        assert column.doc.endswith("."), column.name
        assert column.unit or not column.dtype.startswith("float"), f"{column.name} is a number without a unit"
        assert ("null" in column.doc.lower()) == column.nullable, f"{column.name} must say when it is null"


def test_an_unknown_column_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        LABELS["limit"]


# ------------------------------------------------------------------------------------------------------------- parquet


@every_table
def test_a_schema_survives_a_parquet_file(schema: TableSchema, tmp_path: Path) -> None:
    table = conform(table_of(schema), schema)
    pq.write_table(table, tmp_path / "t.parquet")
    again = pq.read_table(tmp_path / "t.parquet")
    assert conform(again, schema).equals(table, check_metadata=True)
    assert again.schema.metadata[b"hoiray.schema"] == schema.name.encode()
    for column in schema.columns:
        metadata = again.schema.field(column.name).metadata
        assert metadata[b"hoiray.doc"] == column.doc.encode()
        assert metadata.get(b"hoiray.unit", b"") == column.unit.encode()
        assert metadata.get(b"hoiray.shape", b"") == ",".join(map(str, column.shape)).encode()


def test_null_vectors_survive_a_parquet_file(tmp_path: Path) -> None:
    column = LABELS["T_cam_obj"]
    poses = np.random.default_rng(1).random((5, 4, 4)).astype(np.float32)
    is_null = np.array([True, False, False, True, False])
    table = conform(replaced(table_of(LABELS), "T_cam_obj", pack_column(column, poses, is_null)), LABELS)
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    again = unpack_column(conform(pq.read_table(tmp_path / "t.parquet"), LABELS), column)
    np.testing.assert_array_equal(again[~is_null], poses[~is_null])
    assert np.isnan(again[is_null]).all()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    shape=st.sampled_from([(), (4,), (21, 3)]),
    dtype=st.sampled_from(["float32", "float64"]),
    is_null=st.lists(st.booleans(), max_size=6),
    num_chunks=st.integers(1, 3),
)
def test_packing_and_unpacking_give_back_the_array(
    shape: tuple[int, ...], dtype: Any, is_null: list[bool], num_chunks: int
) -> None:
    column = Column("x", dtype, "Numbers; null if absent.", "1", shape, nullable=True)
    values = np.random.default_rng(3).random((len(is_null), *shape)).astype(dtype)
    mask = np.array(is_null, dtype=bool)
    packed = pa.chunked_array([pack_column(column, values, mask)] * num_chunks)
    unpacked = unpack_column(pa.table({"x": packed}).slice(len(is_null) // 2), column)
    expected = np.concatenate([np.where(mask.reshape(-1, *[1] * len(shape)), np.nan, values)] * num_chunks)
    np.testing.assert_array_equal(unpacked, expected[len(is_null) // 2 :])
    assert unpacked.dtype == np.dtype(dtype)


def test_whole_numbers_and_flags_are_unpacked_without_nulls_only() -> None:
    column = Column("x", "int32", "Count; null if absent.", nullable=True)
    values = np.array([3, 4], np.int32)
    np.testing.assert_array_equal(unpack_column(pa.table({"x": pack_column(column, values)}), column), values)
    with pytest.raises(ContractError, match="column 'x': expected no null, found some"):
        unpack_column(pa.table({"x": pack_column(column, values, np.array([True, False]))}), column)
    flags = Column("x", "bool", "Flag.")
    unpacked = unpack_column(pa.table({"x": pack_column(flags, np.array([True, False]))}), flags)
    np.testing.assert_array_equal(unpacked, [True, False])


def test_packing_refuses_what_it_would_have_to_convert() -> None:
    column = Column("x", "float32", "Numbers.", "1", (4,))
    with pytest.raises(ContractError, match=r"column 'x': expected float32 \(2, 4\), found float64 \(2, 4\)"):
        pack_column(column, np.zeros((2, 4)))
    with pytest.raises(ContractError, match=r"expected float32 \(2, 4\), found float32 \(2, 5\)"):
        pack_column(column, np.zeros((2, 5), np.float32))
    with pytest.raises(ContractError, match="column 'x': expected no null, found 1"):
        pack_column(column, np.zeros((2, 4), np.float32), np.array([True, False]))


# ------------------------------------------------------------------------------------------------------ commit markers


def marker(**changes: Any) -> CommitMarker:
    values: dict[str, Any] = {
        "hoiray_version": "0.1.0",
        "table": "labels",
        "schema_version": 1,
        "plan_id": "p",
        "predict_id": "q",
        "judge_id": "j",
        "shard_id": "s",
        "data_key": f"labels/s-{'ab' * 8}.parquet",
        "data_sha256": "ab" * 32,
        "data_bytes": 10,
        "num_videos": 2,
        "num_rows": 3,
        "num_accepted": 1,
        "reasons": {"box_iou": 2},
        "dead_letters": [
            {
                "video_id": "v",
                "uri": "v.webm",
                "stage": "decode",
                "error_class": "InputError",
                "message": "m",
                "attempts": 3,
            }
        ],
        "attempt": 1,
        "timings_s": {"decode": 0.5},
    }
    return CommitMarker.model_validate(values | changes)


def test_a_marker_reads_back_equal_and_always_as_the_same_text() -> None:
    text = marker().to_json()
    assert parse_marker(text, "k") == marker()
    assert parse_marker(text.encode(), "k").to_json() == text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judge_id": None}, "judge_id and num_accepted belong to labels"),
        ({"num_accepted": None}, "judge_id and num_accepted belong to labels"),
        ({"table": "predictions"}, "judge_id and num_accepted belong to labels"),
        ({"data_key": "labels/s.parquet"}, "must carry the first 16 digits"),
        ({"data_sha256": "AB" * 32}, "data_sha256"),
        ({"num_accepted": 4}, "num_accepted = 4 is more than num_rows = 3"),
        ({"num_videos": 0}, "1 dead letters are more than num_videos = 0"),
        ({"reasons": {"ugly": 1}}, "unknown reasons"),
        ({"marker_version": 2}, "marker_version"),
        ({"num_rows": -1}, "num_rows"),
        ({"num_rows": "3"}, "num_rows"),
        ({"when": "today"}, "when"),
    ],
)
def test_a_marker_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    content = json.loads(marker().to_json()) | changes
    with pytest.raises(ContractError, match=message) as raised:
        parse_marker(json.dumps(content), "markers/s.json")
    assert str(raised.value).startswith("commit marker markers/s.json, ")


@pytest.mark.parametrize("text", ["", "{", "[]", b"\xff"])
def test_what_is_no_marker_is_refused(text: str | bytes) -> None:
    with pytest.raises(ContractError, match="commit marker k, content: expected schemas/commit_marker"):
        parse_marker(text, "k")


def test_a_marker_may_have_accepted_all_and_lost_all() -> None:
    assert marker(num_accepted=3, num_videos=1).num_accepted == 3


def test_a_markers_dead_letters_fit_the_table() -> None:
    fields = set(type(marker().dead_letters[0]).model_fields)
    assert fields | {"shard_id"} == set(DEAD_LETTERS.names)


# ---------------------------------------------------------------------------------------------------- published schemas


def test_the_published_schemas_are_those_of_the_code() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "schemas").glob("*.json")}
    assert files == dict(published_schemas()), "run scripts/write_schemas.py"


def test_a_published_schema_tells_each_column() -> None:
    content = json.loads(published_schemas()["labels.json"])
    assert [column["name"] for column in content["columns"]] == LABELS.names
    joints = content["columns"][LABELS.names.index("joints_3d")]
    assert (joints["type"], joints["shape"], joints["unit"]) == ("float32", [21, 3], "m")
    assert (joints["nullable"], joints["frame"]) == (False, "wrist, camera axes")


def test_every_reason_has_its_explanation() -> None:
    assert all(REJECT_REASONS.values())
    assert all(UNMEASURED_REASONS.values())
    content = json.loads(published_schemas()["labels.json"])
    assert content["columns"][LABELS.names.index("reasons")]["vocabulary"] == list(REJECT_REASONS)


@pytest.fixture
def write_schemas(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts/write_schemas.py"), "--out", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_the_script_writes_what_its_check_accepts(
    write_schemas: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "old.json").write_text("{}")
    stale = write_schemas("--check")
    assert (stale.returncode, "old.json" in stale.stderr, "labels.json" in stale.stderr) == (1, True, True)
    assert write_schemas().returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict(published_schemas())
    assert write_schemas("--check").returncode == 0
