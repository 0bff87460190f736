from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, commit_pending, plan_of, video, videos

from hoiray.config.what import Sharding
from hoiray.io.store import Store
from hoiray.stages import plan_window
from hoiray.stages.pending import pending_buckets, pending_cost, pending_shards, pending_table, without_committed
from hoiray.stages.plan import Plan, ShardEntry, load_shard
from hoiray.stages.run_layout import labels_area, predictions_area

PREDICTIONS, LABELS = predictions_area(PREDICT_ID), labels_area(JUDGE_ID)


def entry(name: str, cost: int = 1) -> ShardEntry:
    return ShardEntry(name, name, "part", 0, 0, 1, cost)


def test_two_sorted_streams_are_laid_side_by_side() -> None:
    entries = [entry(name) for name in "bcegh"]
    found = [(it.shard_id, done) for it, done in without_committed(entries, iter("abdeh"))]
    assert found == [("b", True), ("c", False), ("e", True), ("g", False), ("h", True)]
    assert [done for _, done in without_committed(entries, iter(()))] == [False] * 5
    assert list(without_committed([], iter("ab"))) == []


def test_the_most_expensive_shards_come_first(tmp_path: Path) -> None:
    found = [video(f"v{index}.mp4", num_frames=40 + 10 * index) for index in range(12)]
    plan = plan_of(Store.open(tmp_path / "plan"), found)
    costs = [it.cost_frames for it in pending_shards(plan, Store.open(tmp_path), PREDICTIONS)]
    assert costs == sorted(costs, reverse=True)
    assert sum(costs) == plan.head.cost_frames


def test_what_is_committed_is_no_longer_pending(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(20))
    first, *rest = pending_shards(plan, store, PREDICTIONS)
    commit(store, plan, first)
    assert pending_shards(plan, store, PREDICTIONS) == rest
    assert commit_pending(store, plan) == len(rest)
    assert commit_pending(store, plan) == 0


def test_a_grown_plan_asks_for_what_is_new_only(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit_pending(store, plan_of(store.below("plan"), videos(20)))
    grown = plan_of(store.below("plan"), [*videos(20), video("new.mp4")], update=True)
    (only,) = pending_shards(grown, store, PREDICTIONS)
    assert load_shard(grown, only).videos["video_id"].to_pylist() == ["new.mp4"]


def test_a_table_of_what_is_pending_holds_the_same_shards_in_the_same_order(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(20))
    commit(store, plan, pending_shards(plan, store, PREDICTIONS)[0])
    rows = [ShardEntry(**row) for row in pending_table(plan, store, PREDICTIONS).to_pylist()]
    assert rows == pending_shards(plan, store, PREDICTIONS)
    assert pending_cost(plan, store, PREDICTIONS) == (len(rows), sum(row.cost_frames for row in rows))
    commit_pending(store, plan)
    assert pending_table(plan, store, PREDICTIONS).num_rows == 0
    assert pending_cost(plan, store, PREDICTIONS) == (0, 0)


@pytest.fixture
def plan_with_a_long_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """One long video in three segments beside short ones."""
    facts = plan_window.ContainerFacts(25, 12.0, 64, 48)
    monkeypatch.setattr(plan_window, "_probe", lambda uri, _: facts if "long" in uri else None)
    found = [video("long.mp4"), *videos(4, num_frames=5)]
    from hoiray.config.what import Videos
    from hoiray.stages.index import IndexRequest, make_plan

    request = IndexRequest(Videos(uri="s3://b"), Sharding(target_frames=10, max_video_frames=20), "all", 1000.0)
    return make_plan(request, Store.open(tmp_path / "plan"), listing=iter(found))


def test_segments_of_a_long_video_come_last_and_together(tmp_path: Path, plan_with_a_long_video: Plan) -> None:
    entries = pending_shards(plan_with_a_long_video, Store.open(tmp_path), PREDICTIONS)
    assert [it.bucket_id != it.shard_id for it in entries] == [False] * (len(entries) - 3) + [True] * 3
    assert len({it.bucket_id for it in entries[-3:]}) == 1
    assert max(it.cost_frames for it in entries) == entries[-3].cost_frames, "by cost alone they would be first"


def test_a_bucket_is_ready_when_its_last_segment_is_committed(tmp_path: Path, plan_with_a_long_video: Plan) -> None:
    plan, store = plan_with_a_long_video, Store.open(tmp_path)
    entries = list(plan.shards())
    segments = [it for it in entries if it.bucket_id != it.shard_id]
    assert len(segments) == 3
    for done, it in enumerate(segments):
        assert pending_buckets(plan, store, PREDICTIONS, LABELS) == []
        commit(store, plan, it)
        assert done < 3
    (bucket,) = pending_buckets(plan, store, PREDICTIONS, LABELS)
    assert {it.shard_id for it in bucket.entries} == {it.shard_id for it in segments}
    commit_pending(store, plan)
    ready = pending_buckets(plan, store, PREDICTIONS, LABELS)
    assert [it.bucket_id for it in ready] == sorted({it.bucket_id for it in entries})
    commit(store, plan, bucket.entries[0], judged=True)
    assert bucket.bucket_id not in {it.bucket_id for it in pending_buckets(plan, store, PREDICTIONS, LABELS)}
