from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from run_folders import JUDGE_ID, commit, commit_pending, letter, plan_of, videos
from valid_tables import replaced, table_of

from hoiray.errors import ConfigError, InputError
from hoiray.io.store import Store
from hoiray.report.label_rows import REASONS, join_rows
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.tables import LABELS
from hoiray.stages.plan import Plan
from hoiray.stages.report_rows import count_run, draw_units, find_judge_id, label_rows_of, read_tables
from hoiray.stages.run_layout import labels_area

AREA = labels_area(JUDGE_ID)


def judged_run(store: Store) -> Plan:
    """Three shards of predictions and labels, a video of the first given up."""
    plan = plan_of(store.below("plan"), videos(12))
    first, *rest = plan.shards()
    commit(store, plan, first, dead_letters=[letter("v")], timings_s={"predict": 2.0})
    for entry in rest:
        commit(store, plan, entry, timings_s={"predict": 3.0})
    for entry in (first, *rest):
        commit(store, plan, entry, judged=True, timings_s={"judge": 0.5})
    return plan


def test_counts_are_of_every_marker_of_labels_and_their_predictions(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    counted = count_run(store, judged_run(store), AREA)
    summary = counted.summary
    assert (summary.num_rows, summary.num_accepted, summary.num_videos, summary.num_dead) == (24, 24, 12, 1)
    assert summary.timings_s == {"predict": 8.0, "judge": 1.5}
    assert summary.is_finished
    assert [marker.num_rows for marker in counted.units] == [8, 8, 8]
    assert counted.num_bytes == sum(path.stat().st_size for path in tmp_path.rglob("data/*.parquet"))


def test_rows_are_those_of_the_tables(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    counted = count_run(store, judged_run(store), AREA)
    tables = list(read_tables(store, counted.units))
    rows = join_rows([label_rows_of(table) for table in tables])
    whole = pa.concat_tables(tables)
    assert [rows.video_names[index] for index in rows.video] == whole["video_id"].to_pylist()
    assert rows.frame.tolist() == whole["frame_index"].to_pylist()
    for name in MEASUREMENT_NAMES:
        assert np.array_equal(rows.measured[name], whole[name].to_numpy())
    assert rows.unit.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_reasons_confidence_and_missing_predictions_are_read() -> None:
    table = table_of(LABELS, 3)
    table = replaced(table, "reasons", pa.array([[], ["motion_2d", "box_iou"], ["confidence"]]))
    table = replaced(table, "confidence", pa.array([0.5, None, 0.25], pa.float32()))
    nothing = pa.nulls(1, LABELS["joints_2d"].arrow_type)
    table = replaced(table, "joints_2d", pa.chunked_array([table["joints_2d"].chunk(0)[:2], nothing]))
    rows = label_rows_of(table)
    assert [[REASONS[index] for index in np.flatnonzero(row)] for row in rows.reasons] == [
        [], ["box_iou", "motion_2d"], ["confidence"],
    ]  # fmt: skip
    assert rows.confidence.tolist()[::2] == [0.5, 0.25]
    assert np.isnan(rows.confidence[1])
    assert rows.is_answered.tolist() == [True, True, False]


def test_a_large_run_is_read_in_part_the_same_part_for_the_same_seed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    units = count_run(store, judged_run(store), AREA).units
    assert draw_units(units, 24, 0) == units
    drawn = {seed: [marker.shard_id for marker in draw_units(units, 17, seed)] for seed in range(20)}
    assert all(len(names) == 2 and names == sorted(names) for names in drawn.values())
    assert len({tuple(names) for names in drawn.values()}) == 3
    assert [marker.shard_id for marker in draw_units(units, 17, 3)] == drawn[3]
    # one shard is read however large it is
    assert len(draw_units(units, 1, 0)) == 1


def test_labels_that_are_not_there_are_not_reported(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(4))
    with pytest.raises(InputError, match="Run hoiray label first"):
        find_judge_id(store, None)
    commit_pending(store, plan)
    with pytest.raises(InputError, match="labels of this plan"):
        count_run(store, plan, AREA)


def test_one_of_several_verdicts_has_to_be_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for name in ("one", "two"):
        store.write(f"labels/{name}/commit/x.json", b"{}")
    with pytest.raises(ConfigError, match="--judge-id"):
        find_judge_id(store, None)
    assert find_judge_id(store, "two") == "two"
    with pytest.raises(InputError, match="labels three"):
        find_judge_id(store, "three")
