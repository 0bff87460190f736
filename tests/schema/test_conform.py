from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from valid_tables import every_table, replaced, table_of

from hoiray.errors import ContractError
from hoiray.schema.columns import TableSchema, pack_column, unpack_column
from hoiray.schema.conform import completed, conform, empty_table
from hoiray.schema.tables import BOXES, LABELS, TRUTH_OBJECTS


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


@pytest.mark.parametrize("length", [3, 5])
def test_a_vector_of_another_length_is_refused(length: int) -> None:
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(5 * length, np.float32)), length)
    expected = rf"expected fixed_size_list<float32>\[4\], found fixed_size_list<.*>\[{length}\]"
    with pytest.raises(ContractError, match=expected):
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


def test_a_list_of_numbers_is_no_vector_and_has_no_hole() -> None:
    runs = [[], [3], [0, 7, 2], [], [9]]
    table = replaced(table_of(TRUTH_OBJECTS), "mask_rle", pa.array(runs, pa.list_(pa.int32())))
    assert conform(table, TRUTH_OBJECTS)["mask_rle"].to_pylist() == runs
    hole = pa.array([[], [3, None], [], [], []], pa.list_(pa.int32()))
    with pytest.raises(ContractError, match="column 'mask_rle': expected no null inside a row, found 1"):
        conform(replaced(table, "mask_rle", hole), TRUTH_OBJECTS)
    wide = pa.array(runs, pa.list_(pa.int64()))
    with pytest.raises(ContractError, match="column 'mask_rle': expected list<int32>, found list<"):
        conform(replaced(table, "mask_rle", wide), TRUTH_OBJECTS)


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


def test_null_vectors_survive_a_parquet_file(tmp_path: Path) -> None:
    column = LABELS["T_cam_obj"]
    poses = np.random.default_rng(1).random((5, 4, 4)).astype(np.float32)
    is_null = np.array([True, False, False, True, False])
    table = conform(replaced(table_of(LABELS), "T_cam_obj", pack_column(column, poses, is_null)), LABELS)
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    again = unpack_column(conform(pq.read_table(tmp_path / "t.parquet"), LABELS), column)
    np.testing.assert_array_equal(again[~is_null], poses[~is_null])
    assert np.isnan(again[is_null]).all()


def test_a_table_of_a_version_that_lacks_new_columns_only_is_read_as_if_they_were_null() -> None:
    old = table_of(LABELS).drop_columns(["confidence_by_joint"])
    old = old.replace_schema_metadata({"hoiray.schema": "labels", "hoiray.schema_version": str(LABELS.reads[0])})
    table = conform(completed(old, LABELS), LABELS)
    assert table["confidence_by_joint"].null_count == table.num_rows
    unknown = old.replace_schema_metadata({"hoiray.schema": "labels", "hoiray.schema_version": "1"})
    with pytest.raises(ContractError, match=r"column 'confidence_by_joint': expected .*, found no such column"):
        conform(completed(unknown, LABELS), LABELS)
