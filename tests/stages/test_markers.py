import threading
import time
from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, commit_pending, plan_of, video, videos

from hoiray.config.what import Sharding, Videos
from hoiray.io.store import Store
from hoiray.stages import plan_window
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.markers import committed_units, in_order, read_markers, unit_ids
from hoiray.stages.run_layout import labels_area, predictions_area

AREA, LABELS = predictions_area(PREDICT_ID), labels_area(JUDGE_ID)


def test_results_come_in_order_and_few_calls_run_ahead() -> None:
    started: list[int] = []

    def call(number: int) -> int:
        started.append(number)
        time.sleep(0.002 if number % 3 else 0.01)
        return number * number

    results = in_order(call, iter(range(100)), num_threads=3)
    assert next(results) == 0
    assert len(started) <= 8
    assert list(results) == [number * number for number in range(1, 100)]
    assert threading.active_count() < 20


def test_an_error_reaches_the_caller() -> None:
    def call(number: int) -> int:
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        list(in_order(call, [1, 0, 1]))


def test_markers_are_read_in_order_and_missing_ones_left_out(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    commit_pending(store, plan)
    names = [entry.shard_id for entry in plan.shards()]
    assert [it.shard_id for it in read_markers(store, AREA, [names[2], "0" * 32, names[0]])] == [names[2], names[0]]


def test_units_are_shards_or_buckets_each_once_and_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = plan_window.ContainerFacts(25, 12.0, 64, 48)
    monkeypatch.setattr(plan_window, "_probe", lambda uri, _: facts if "long" in uri else None)
    found = [*(video(f"long{index}.mp4") for index in range(4)), *videos(8, num_frames=5)]
    request = IndexRequest(Videos(uri="s3://b"), Sharding(target_frames=10, max_video_frames=20), "all", 1000.0)
    plan = make_plan(request, Store.open(tmp_path / "plan"), listing=iter(found))
    entries = list(plan.shards())
    assert list(unit_ids(plan, AREA)) == sorted(it.shard_id for it in entries)
    assert list(unit_ids(plan, LABELS)) == sorted({it.bucket_id for it in entries})
    assert plan.head.num_buckets == len({it.bucket_id for it in entries}) == plan.head.num_shards - 8
    store = Store.open(tmp_path)
    commit(store, plan, entries[3])
    assert [name for name, is_done in committed_units(plan, store, AREA) if is_done] == [entries[3].shard_id]
    assert [is_done for _, is_done in committed_units(plan, store, LABELS)] == [False] * plan.head.num_buckets
