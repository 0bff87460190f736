"""Two ways to judge the same rows, and rows that grow; nothing here is timed."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hoiray.benchmarks.judging import (
    Grown,
    judge_by_sql,
    judge_folder,
    predicted_job,
    predictions_of,
    refuse_other_verdicts,
    rows_of,
)
from hoiray.io.parquet import parquet_bytes
from hoiray.stages.pending import pending_buckets


def test_sql_finds_the_very_reasons_that_hoiray_finds(tmp_path: Path) -> None:
    source, mine, theirs = tmp_path / "rows.parquet", tmp_path / "labels", tmp_path / "sql.parquet"
    source.write_bytes(parquet_bytes(predictions_of([f"{number}.mp4" for number in range(30)])))
    assert judge_folder(source, mine) == 30 * 43
    judge_by_sql(source, theirs)
    refuse_other_verdicts(mine, theirs)
    reasons = {reason for row in pq.read_table(theirs)["reasons"].to_pylist() for reason in row}
    assert {"bone_length", "joint_angle", "motion_2d", "no_predecessor", "predecessor_refused"} <= reasons
    accepted = pq.read_table(theirs)["accepted"].to_pylist()
    assert any(accepted)


def test_other_verdicts_are_noticed(tmp_path: Path) -> None:
    source, mine = tmp_path / "rows.parquet", tmp_path / "labels"
    source.write_bytes(parquet_bytes(predictions_of(["a.mp4", "b.mp4"])))
    judge_folder(source, mine)
    labels = pq.read_table(mine)
    order = labels.num_rows - 1
    pq.write_table(labels.take(list(range(order, -1, -1))), tmp_path / "other.parquet")
    with pytest.raises(RuntimeError, match="verdicts differ"):
        refuse_other_verdicts(mine, tmp_path / "other.parquet")


def test_all_shards_of_the_job_wait_to_be_judged(tmp_path: Path) -> None:
    job = predicted_job(tmp_path / "job", 150)
    waiting = pending_buckets(job.plan, job.store, job.predictions, job.labels)
    assert len(waiting) == job.plan.head.num_shards > 1


def test_growth_is_time_a_row_against_a_part_and_memory_against_the_smallest() -> None:
    found = [Grown(100, 1.0, 50.0, 100, 1.0), Grown(1000, 11.0, 52.0, 100, 1.0), Grown(10_000, 240.0, 60.0, 100, 2.0)]
    assert {row.key: round(row.figure.median, 6) for row in rows_of(found)} == {
        "judge_10": 1.1, "judge_100": 1.2, "judge_memory": 1.2,
    }  # fmt: skip
