from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from filter_scenes import predictions

from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, InputError
from hoiray.io.parquet import parquet_bytes, read_parquet
from hoiray.io.store import Store
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.stages.commit import CommitFields, commit_shard
from hoiray.stages.ids import make_judge_id
from hoiray.stages.judge import judge
from hoiray.stages.rejudge import Judgement, list_parts, rejudge, write_labels

LIMITS = PaperLimits(max_motion_2d_box_sides=None, max_joint_angle_deg=120.0)


def with_id(table: pa.Table, name: str, value: str) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.repeat(pa.scalar(value), table.num_rows))


def labels_of(uri: str, predict_id: str | None = None) -> pa.Table:
    found = [labels for _, labels in rejudge(list_parts(uri, predict_id), Judgement.by(LIMITS))]
    return pa.concat_tables(found).sort_by([(name, "ascending") for name in LABELS.key])


def wanted(table: pa.Table, predict_id: str = "x") -> bytes:
    judge_id = make_judge_id(predict_id, LIMITS)
    return parquet_bytes(judge(table, Judgement.by(LIMITS).rules, judge_id))


def write(path: Path, table: pa.Table, rows_of_group: int = 100000) -> None:
    whole, rest = divmod(table.num_rows, rows_of_group)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(parquet_bytes(table, groups=[rows_of_group] * whole + [rest]))


@pytest.mark.parametrize("rows_of_group", [1, 7, 30, 100000])
def test_videos_are_judged_whole_however_a_file_is_cut(tmp_path: Path, rows_of_group: int) -> None:
    table = predictions(seed=1, num_videos=3)
    write(tmp_path / "a.parquet", table, rows_of_group)
    parts = list_parts(str(tmp_path / "a.parquet"))
    assert len(parts) == table.num_rows // rows_of_group + 1
    assert parquet_bytes(labels_of(str(tmp_path / "a.parquet"))) == wanted(table)


def test_videos_are_judged_whole_however_their_rows_are_strewn_over_files(tmp_path: Path) -> None:
    table = predictions(seed=2, num_videos=6)
    order = np.random.default_rng(0).permutation(table.num_rows)
    for index, rows in enumerate(np.array_split(order, 4)):
        write(tmp_path / f"deep/{index}/a file.parquet", table.take(pa.array(rows)), 20)
    assert parquet_bytes(labels_of(str(tmp_path))) == wanted(table)


def test_labels_and_predictions_can_be_judged_together(tmp_path: Path) -> None:
    table = predictions(seed=3, num_videos=6)
    half = table.num_rows // 2
    rules = Judgement.by(PaperLimits()).rules
    write(tmp_path / "predictions.parquet", table.slice(0, half))
    write(tmp_path / "labels.parquet", judge(table.slice(half), rules, "old"))
    assert parquet_bytes(labels_of(str(tmp_path))) == wanted(table)


def test_parts_are_ended_as_they_come(tmp_path: Path) -> None:
    table = predictions(seed=4, num_videos=6)
    write(tmp_path / "a.parquet", table, 20)
    parts = list_parts(str(tmp_path))
    sizes = {index: labels.num_rows for index, labels in rejudge(parts, Judgement.by(LIMITS))}
    assert sum(sizes.values()) == table.num_rows
    assert len(sizes) > 2


def test_of_a_run_only_what_its_markers_name_is_judged(tmp_path: Path) -> None:
    table = predictions(seed=5, num_videos=4)
    half = table.num_rows // 2  # one video lies in both shards, as a long one would
    store = Store.open(tmp_path)
    for predict_id in ("p1", "p2"):
        for shard, rows in (("s1", table.slice(0, half)), ("s2", table.slice(half))):
            fields = CommitFields(plan_id="plan", predict_id=predict_id, judge_id=None, shard_id=shard, num_videos=2)
            commit_shard(store, with_id(with_id(rows, "shard_id", shard), "predict_id", predict_id), fields)
    write(tmp_path / "predictions/p1/data/orphan-0.parquet", table)
    found = labels_of(str(tmp_path), "p1")
    assert found.num_rows == table.num_rows
    assert set(found["judge_id"].to_pylist()) == {make_judge_id("p1", LIMITS)}
    with pytest.raises(ConfigError, match="found p1, p2"):
        list_parts(str(tmp_path))
    with pytest.raises(InputError, match="found none"):
        list_parts(str(tmp_path), "p3")


def test_rows_of_two_predictors_are_not_mixed(tmp_path: Path) -> None:
    table = predictions(seed=6, num_videos=2)
    write(tmp_path / "a.parquet", with_id(table, "predict_id", "one"))
    write(tmp_path / "b.parquet", with_id(with_id(table, "predict_id", "two"), "video_id", "other"))
    with pytest.raises(ConfigError, match="one predict_id, found one, two"):
        list(rejudge(list_parts(str(tmp_path)), Judgement.by(LIMITS)))


def test_a_place_without_predictions_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found none"):
        list_parts(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"gone\.parquet"):
        list_parts(str(tmp_path / "gone.parquet"))
    write(tmp_path / "other.parquet", pa.table({"a": [1]}))
    with pytest.raises(InputError, match=r"other\.parquet, row group 0: expected rows of predictions"):
        list(rejudge(list_parts(str(tmp_path)), Judgement.by(LIMITS)))


def test_labels_are_written_under_the_number_of_their_part(tmp_path: Path) -> None:
    labels = judge(predictions(seed=7, num_videos=1), Judgement.by(LIMITS).rules, "j")
    write_labels(Store.open(tmp_path), 12, labels)
    data = (tmp_path / "labels-000012.parquet").read_bytes()
    assert data == parquet_bytes(labels)
    assert read_parquet(data, name="it")["accepted"].equals(labels["accepted"])


def test_predictions_and_labels_of_an_older_version_are_judged_with_what_they_lack_as_null(tmp_path: Path) -> None:
    table, newer = predictions(seed=5, num_videos=2), {"side_lead", "upright_px"}
    for schema, lacking in ((PREDICTIONS, newer), (LABELS, newer | {"confidence_by_joint"})):
        whole = table if schema is PREDICTIONS else judge(table, Judgement.by(LIMITS).rules, "x")
        old = whole.drop_columns(list(lacking)).replace_schema_metadata(
            {"hoiray.schema": schema.name, "hoiray.schema_version": str(min(schema.reads))}
        )
        write(tmp_path / schema.name / "old.parquet", old)
        assert labels_of(str(tmp_path / schema.name))["side_lead"].null_count == table.num_rows
        too_old = old.replace_schema_metadata({"hoiray.schema": schema.name, "hoiray.schema_version": "1"})
        write(tmp_path / f"{schema.name} 1" / "old.parquet", too_old)
        with pytest.raises(InputError, match="found other columns"):
            labels_of(str(tmp_path / f"{schema.name} 1"))
