from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, commit_pending, letter, plan_of, rows_of, videos

from hoiray.io.store import Store
from hoiray.stages.commit import read_marker
from hoiray.stages.dead import dead_budget_message, list_dead, retry_dead, wilson_lower_bound
from hoiray.stages.inflight import Attempt, Note, reap
from hoiray.stages.listing import Refusal
from hoiray.stages.pending import pending_shards
from hoiray.stages.run_layout import labels_area, predictions_area
from hoiray.stages.snapshot import make_snapshot

AREA, LABELS = predictions_area(PREDICT_ID), labels_area(JUDGE_ID)


def test_the_dead_are_those_refused_at_planning_and_those_of_the_shards(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    refused = [Refusal("video", "empty.mp4", "empty", "0 bytes"), Refusal("file", "x.txt", "suffix", "no video")]
    plan = plan_of(store.below("plan"), [*videos(8), *refused])
    first, second = plan.shards()
    commit(store, plan, first, dead_letters=[letter("a.mp4"), letter("b.mp4")])
    commit(store, plan, second)
    found = [(it.letter.video_id, it.letter.stage, it.shard_id) for it in list_dead(store, PREDICT_ID, plan)]
    assert found == [
        ("empty.mp4", "index", None), ("a.mp4", "decode", first.shard_id), ("b.mp4", "decode", first.shard_id)
    ]  # fmt: skip


def test_letters_of_a_shard_that_is_not_committed_do_not_count(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write(f"dead/{PREDICT_ID}/letters/{'0' * 32}.json", b"{}")
    assert list(list_dead(store, PREDICT_ID)) == []


def test_a_retry_makes_shards_pending_and_leaves_no_double(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    bad, *good = plan.shards()
    # the first time a video is lost, the second time it is there
    commit(store, plan, bad, seed=1, dead_letters=[letter("v0001.mp4")])
    commit_pending(store, plan)
    commit(store, plan, bad, judged=True)
    snapshot = make_snapshot(store, plan, AREA)
    note = Note(bad.shard_id, "w", 1, "v0001.mp4", "gone-host", 1, "1", 0.0, 0.0)
    Attempt(store, PREDICT_ID, note)
    assert reap(store, PREDICT_ID, bad.shard_id).num_kills == 1

    assert retry_dead(store, PREDICT_ID, plan) == [bad.shard_id]
    assert pending_shards(plan, store, AREA) == [bad]
    assert read_marker(store, LABELS, bad.bucket_id) is None
    assert list(list_dead(store, PREDICT_ID)) == []
    assert reap(store, PREDICT_ID, bad.shard_id).num_kills == 0
    assert len(list(store.list("retired"))) == 2
    assert retry_dead(store, PREDICT_ID, plan) == []

    done = commit(store, plan, bad)
    assert done.is_first
    again = make_snapshot(store, plan, AREA)
    assert again.head.snapshot_id != snapshot.head.snapshot_id
    assert again.head.num_rows == sum(rows_of(plan, entry).num_rows for entry in [bad, *good])
    # the snapshot of before still reads what it named
    assert sum(table.num_rows for table in snapshot.tables()) == snapshot.head.num_rows


def test_one_video_can_be_retried_alone(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    first, second, _ = plan.shards()
    commit(store, plan, first, dead_letters=[letter("a.mp4")])
    commit(store, plan, second, dead_letters=[letter("b.mp4")])
    assert retry_dead(store, PREDICT_ID, plan, video_id="b.mp4") == [second.shard_id]
    assert [it.letter.video_id for it in list_dead(store, PREDICT_ID)] == ["a.mp4"]


@pytest.mark.parametrize(
    ("num_dead", "num_finished", "limit", "is_over", "stops"),
    [
        (0, 0, 0.0, False, False),
        (100, 100, 0.1, False, False),  # too early to tell
        (200, 200, 0.1, False, True),
        (24, 200, 0.1, False, False),  # 12 % may be chance
        (1200, 10_000, 0.1, False, True),  # 12 % of many is not
        (1000, 10_000, 0.1, False, False),
        (1000, 10_000, 0.1, True, False),
        (1001, 10_000, 0.1, True, True),
        (2, 3, 0.5, True, True),
        (0, 10_000, 0.0, True, False),
        (1, 10_000, 0.0, True, True),
    ],
)
def test_a_run_stops_when_too_many_die(
    num_dead: int, num_finished: int, limit: float, is_over: bool, stops: bool
) -> None:
    message = dead_budget_message(num_dead, num_finished, limit, is_over=is_over)
    assert (message is not None) is stops
    if message is not None:
        assert f"{num_dead} of {num_finished} videos" in message
        assert "max_dead_fraction" in message


def test_wilsons_bound_is_the_published_one() -> None:
    # 10 of 100 at 95 %: 0.0552 (Newcombe 1998, method 3)
    assert wilson_lower_bound(10, 100) == pytest.approx(0.0552, abs=1e-4)
    assert wilson_lower_bound(0, 50) == 0.0
