"""Commits: counted once, whoever races, whatever dies, however the network behaves."""

import json
import signal
import threading
from functools import partial
from pathlib import Path

import pytest
from committing_process import STEPS, exit_code, start
from fault_proxy import running_fault_proxy
from run_folders import (
    PREDICT_ID,
    commit,
    commit_pending,
    fields_of,
    letter,
    plan_of,
    rows_of,
    videos,
)
from s3_server import S3Server
from valid_tables import replaced

from hoiray.errors import ContractError, InputError
from hoiray.io import retry, s3_backend
from hoiray.io.store import Store
from hoiray.stages.commit import commit_shard, is_committed, read_marker, read_rows
from hoiray.stages.pending import committed_ids
from hoiray.stages.plan import Plan, ShardEntry
from hoiray.stages.run_layout import labels_area, predictions_area

AREA = predictions_area(PREDICT_ID)
NUM_VIDEOS = 12


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "run")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def planned(store: Store) -> tuple[Plan, list[ShardEntry]]:
    plan = plan_of(store.below("plan"), videos(NUM_VIDEOS))
    return plan, list(plan.shards())


def committed_data(store: Store) -> dict[str, str]:
    """What counts: the digest of every committed shard's rows, all of them read."""
    found = {}
    for shard_id in committed_ids(store, AREA):
        marker = read_marker(store, AREA, shard_id)
        assert marker is not None
        read_rows(store, marker)
        found[shard_id] = marker.data_sha256
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an undisturbed run commits."""
    store = Store.open(tmp_path_factory.mktemp("unbroken"))
    plan, entries = planned(store)
    assert commit_pending(store, plan) == len(entries) == 3
    return committed_data(store)


def test_a_commit_is_found_again_with_its_rows(store: Store, unbroken: dict[str, str]) -> None:
    plan, entries = planned(store)
    assert not is_committed(store, AREA, entries[0].shard_id)
    done = commit(store, plan, entries[0], attempt=2, timings_s={"decode": 0.5})
    assert (done.is_first, done.is_same_data) == (True, True)
    assert is_committed(store, AREA, entries[0].shard_id)
    marker = read_marker(store, AREA, entries[0].shard_id)
    assert marker == done.marker
    assert (marker.attempt, marker.num_rows, marker.num_videos) == (2, 2 * entries[0].num_videos, entries[0].num_videos)
    assert read_rows(store, marker).num_rows == marker.num_rows
    assert committed_data(store) == {entries[0].shard_id: unbroken[entries[0].shard_id]}


def test_the_order_of_the_rows_makes_no_difference(store: Store, unbroken: dict[str, str]) -> None:
    plan, (entry, *_) = planned(store)
    rows = rows_of(plan, entry)
    done = commit_shard(store, rows.take(list(reversed(range(rows.num_rows)))), fields_of(plan, entry))
    assert done.marker.data_sha256 == unbroken[entry.shard_id]


def test_a_shard_without_rows_is_committed_too(store: Store) -> None:
    plan, (entry, *_) = planned(store)
    done = commit_shard(store, rows_of(plan, entry).slice(0, 0), fields_of(plan, entry))
    assert done.marker.num_rows == 0
    assert read_rows(store, done.marker).num_rows == 0


def test_labels_count_their_reasons_and_accepted_rows(store: Store) -> None:
    plan, (entry, *_) = planned(store)
    rows = rows_of(plan, entry, judged=True)
    accepted = [index % 3 == 0 for index in range(rows.num_rows)]
    reasons = [
        [] if ok else ["box_iou", "spread_2d"] if index % 3 == 1 else ["box_iou"] for index, ok in enumerate(accepted)
    ]
    rows = replaced(replaced(rows, "accepted", [accepted]), "reasons", [reasons])
    marker = commit_shard(store, rows, fields_of(plan, entry, judged=True)).marker
    assert marker.num_accepted == sum(accepted)
    assert marker.reasons == {"box_iou": accepted.count(False), "spread_2d": sum(len(it) == 2 for it in reasons)}
    assert read_marker(store, labels_area(marker.judge_id or ""), entry.bucket_id) == marker


def test_the_second_result_is_compared_and_a_different_one_is_reported_loudly(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    plan, (entry, *_) = planned(store)
    first = commit(store, plan, entry)
    same = commit(store, plan, entry, attempt=2, timings_s={"decode": 9.0})
    assert (same.is_first, same.is_same_data, same.marker) == (False, True, first.marker)
    assert caplog.text == ""
    other = commit(store, plan, entry, seed=3)
    assert (other.is_first, other.is_same_data, other.marker) == (False, False, first.marker)
    assert "NONDETERMINISM" in caplog.text
    assert entry.shard_id in caplog.text
    (note,) = store.list("nondeterminism")
    assert json.loads(store.read(note))["data_sha256"] != first.marker.data_sha256


def test_rows_that_break_their_schema_are_never_written(store: Store) -> None:
    plan, (entry, *_) = planned(store)
    rows = rows_of(plan, entry)
    with pytest.raises(ContractError, match="a unique key"):
        commit_shard(
            store, replaced(rows, "frame_index", [[0] * rows.num_rows]).cast(rows.schema), fields_of(plan, entry)
        )
    assert list(store.list("predictions")) == []


def test_a_marker_that_was_moved_or_damaged_is_refused(store: Store) -> None:
    plan, (first, second, *_) = planned(store)
    commit(store, plan, first)
    store.write(AREA.commit_key(second.shard_id), store.read(AREA.commit_key(first.shard_id)))
    with pytest.raises(ContractError, match="Markers must not be moved"):
        read_marker(store, AREA, second.shard_id)
    store.write(AREA.commit_key(second.shard_id), b"{")
    with pytest.raises(ContractError, match=r"[Dd]elete it to redo"):
        read_marker(store, AREA, second.shard_id)


def test_rows_that_were_damaged_or_lost_are_refused(store: Store) -> None:
    plan, (entry, *_) = planned(store)
    marker = commit(store, plan, entry).marker
    data = store.read(marker.data_key)
    store.write(marker.data_key, data[:-1] + b"x")
    with pytest.raises(ContractError, match="expected sha256"):
        read_rows(store, marker)
    store.delete(marker.data_key)
    with pytest.raises(InputError, match="nothing there"):
        read_rows(store, marker)


def test_threads_that_race_for_a_shard_leave_one_marker_and_the_same_bytes(
    store: Store, unbroken: dict[str, str]
) -> None:
    plan, (entry, *_) = planned(store)
    rows, barrier, firsts = rows_of(plan, entry), threading.Barrier(8), list[bool]()

    def race(attempt: int) -> None:
        barrier.wait()
        done = commit_shard(store, rows, fields_of(plan, entry, attempt=attempt))
        assert done.is_same_data
        firsts.append(done.is_first)

    threads = [threading.Thread(target=race, args=(attempt,)) for attempt in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == [False] * 7 + [True]
    assert committed_data(store) == {entry.shard_id: unbroken[entry.shard_id]}
    assert len(list(store.list(AREA.data_folder))) == 1


def test_processes_that_race_for_a_run_do_all_of_it_once(store: Store, unbroken: dict[str, str]) -> None:
    planned(store)
    processes = [start(store.uri) for _ in range(3)]
    assert [exit_code(process) for process in processes] == [0, 0, 0]
    assert committed_data(store) == unbroken
    assert list(store.list("nondeterminism")) == []


@pytest.mark.parametrize("store", ["local"], indirect=True)
@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_at_any_step_loses_and_doubles_nothing(
    store: Store, step: str, unbroken: dict[str, str]
) -> None:
    _kill_and_run_again(store, step, unbroken)


@pytest.mark.s3
@pytest.mark.parametrize("store", ["s3"], indirect=True)
@pytest.mark.parametrize("step", ["in_data", "in_marker"])
def test_a_process_killed_between_request_and_answer_loses_and_doubles_nothing(
    store: Store, step: str, unbroken: dict[str, str]
) -> None:
    _kill_and_run_again(store, step, unbroken)


def _kill_and_run_again(store: Store, step: str, unbroken: dict[str, str]) -> None:
    plan, entries = planned(store)
    assert exit_code(start(store.uri, step, 2)) == -signal.SIGKILL
    before = committed_data(store)
    # the second shard was being committed: the first counts, and the second only if its marker was created
    is_second_done = step == "after_marker" or (step == "in_marker" and not store.is_local)
    assert len(before) == (2 if is_second_done else 1)
    assert commit_pending(store, plan) == len(entries) - len(before)
    assert committed_data(store) == unbroken


@pytest.mark.s3
def test_commits_through_a_bad_network_are_exact(
    s3_environment: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: dict[str, str]
) -> None:
    monkeypatch.setattr(s3_backend, "call_with_retries", partial(retry.call_with_retries, sleep=lambda _: None))
    with running_fault_proxy(s3_environment.endpoint, rate=0.15, seed=11) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        store = Store.open(f"{s3_environment.uri}/{tmp_path.name}")
        plan, entries = planned(store)
        for entry in entries:
            first = commit(store, plan, entry, dead_letters=[letter("v0000.mp4")])
            second = commit(store, plan, entry, dead_letters=[letter("v0000.mp4")], attempt=2)
            assert (first.is_first, second.is_first, second.is_same_data) == (True, False, True)
        assert committed_data(store) == unbroken
        assert sum(proxy.planted.values()) >= 8
