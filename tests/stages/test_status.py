from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, letter, plan_of, videos

from hoiray.io.store import Store
from hoiray.stages.inflight import begin_attempt
from hoiray.stages.status import recent_rate, run_status


def test_a_run_that_has_not_begun_has_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    status = run_status(store, plan_of(store.below("plan"), videos(4)))
    assert (status.areas, status.notes, status.num_nondeterministic) == ([], [], 0)


def test_everything_is_told_from_the_store_alone(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    first, second, third = plan.shards()
    commit(store, plan, first, dead_letters=[letter("v")])
    commit(store, plan, second)
    commit(store, plan, second, seed=2)
    commit(store, plan, first, judged=True)
    begin_attempt(store, PREDICT_ID, third.shard_id, 1).open_video("v0007.mp4")
    status = run_status(store, plan)
    predictions, labels = status.areas
    assert (predictions.area.id, predictions.num_done, predictions.num_pending) == (PREDICT_ID, 2, 1)
    assert (predictions.cost_done_frames, predictions.cost_pending_frames) == (200, 100)
    assert (predictions.num_rows, predictions.num_videos, predictions.num_dead) == (16, 8, 1)
    assert predictions.num_accepted is None
    assert (labels.area.id, labels.num_done, labels.num_accepted) == (JUDGE_ID, 1, 8)
    assert [(note.shard_id, note.video_id) for note in status.notes] == [(third.shard_id, "v0007.mp4")]
    assert status.num_nondeterministic == 1


def test_only_the_newest_markers_are_read(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    for entry in plan.shards():
        commit(store, plan, entry)
    (area,) = run_status(store, plan, max_markers=1).areas
    assert (area.num_done, area.num_markers_read, area.num_rows) == (3, 1, 8)


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        ([], None),
        ([(5.0, 100)], None),
        ([(5.0, 100), (5.0, 100)], None),
        ([(10.0, 100), (0.0, 700), (20.0, 300)], 20.0),
        ([(0.0, 10**9), (99_000.0, 50), (99_010.0, 100)], 10.0),
    ],
)
def test_the_rate_is_that_of_late(commits: list[tuple[float, int]], expected: float | None) -> None:
    assert recent_rate(commits) == expected


def test_the_end_is_reckoned_from_the_rate(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    first, second, third = plan.shards()
    for moment, entry in ((1000, first), (1010, second)):
        marker = commit(store, plan, entry).marker
        import os

        path = store.local_path(f"predictions/{PREDICT_ID}/commit/{marker.shard_id}.json")
        assert path is not None
        os.utime(path, (moment, moment))
    (area,) = run_status(store, plan).areas
    assert (area.rate_frames_per_s, area.eta_s, area.last_commit_s) == (10.0, 10.0, 1010.0)
    commit(store, plan, third)
    assert run_status(store, plan).areas[0].eta_s == 0.0
