from pathlib import Path

import pyarrow.parquet as pq
from valid_tables import every_table, table_of

from hoiray.schema import tables
from hoiray.schema.columns import TableSchema
from hoiray.schema.conform import conform
from hoiray.schema.tables import DEAD_LETTERS, LABELS, LIMITS, PREDICTIONS, TABLES, TRUTH_HANDS, TRUTH_OBJECTS
from hoiray.schema.vocabularies import REJECT_REASONS


def test_every_table_is_found_by_its_name() -> None:
    assert [name for name, schema in TABLES.items() if schema.name != name] == []
    assert list(TABLES.values()) == [item for item in vars(tables).values() if isinstance(item, TableSchema)]


@every_table
def test_columns_are_well_described(schema: TableSchema) -> None:
    assert len(set(schema.names)) == len(schema.names)
    assert set(schema.key) <= set(schema.names)
    for column in schema.columns:
        assert column.doc.endswith("."), column.name
        assert column.unit or not column.dtype.startswith("float"), f"{column.name} is a number without a unit"
        assert ("null" in column.doc.lower()) == column.nullable, f"{column.name} must say when it is null"


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


def test_limits_are_set_on_the_measurements_of_a_label() -> None:
    assert LIMITS["measurement"].vocabulary == tuple(LABELS.measurements)
    assert set(PREDICTIONS.measurements) < set(LABELS.measurements)


def test_a_label_is_refused_for_known_reasons_in_their_order() -> None:
    assert LABELS["reasons"].vocabulary == tuple(REJECT_REASONS)


def test_dead_letters_belong_to_a_shard_of_the_plan() -> None:
    assert set(DEAD_LETTERS.key) <= set(TABLES["shards"].key)


def test_truth_says_in_the_shape_and_unit_of_a_label_what_a_label_says() -> None:
    shared = [name for name in TRUTH_HANDS.names if name in LABELS.names]
    assert {"betas", "global_orient", "hand_pose", "transl", "joints_3d", "joints_2d", "is_right"} < set(shared)
    for name in shared:
        truth, label = TRUTH_HANDS[name], LABELS[name]
        assert (truth.shape, truth.unit) == (label.shape, label.unit), name


def test_hands_and_objects_of_a_frame_are_found_by_the_same_columns() -> None:
    assert TRUTH_HANDS.key[:-1] == TRUTH_OBJECTS.key[:-1]
    shared = [column for column in TRUTH_HANDS.columns if column in TRUTH_OBJECTS.columns]
    own = set(TRUTH_OBJECTS.names) - {column.name for column in shared}
    assert own == {"object_index", "name", "T_cam_obj"}
