import time
from pathlib import Path

import pytest
from run_folders import PREDICT_ID, commit, commit_pending, letter, plan_of, videos
from s3_server import S3Server

from hoiray.io.store import Store
from hoiray.stages.dead import retry_dead
from hoiray.stages.gc import delete_garbage, find_garbage
from hoiray.stages.inflight import begin_attempt
from hoiray.stages.run_layout import predictions_area
from hoiray.stages.snapshot import make_snapshot
from hoiray.stages.verify import Verification, verify_area

AREA = predictions_area(PREDICT_ID)
LATER_S = 2 * 24 * 3600.0


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "run")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def garbage(store: Store, *, later_s: float = LATER_S) -> dict[str, str]:
    return {it.key: it.reason for it in find_garbage(store, now_s=time.time() + later_s)}


def test_a_clean_run_has_no_garbage(store: Store) -> None:
    commit_pending(store, plan_of(store.below("plan"), videos(12)))
    assert garbage(store) == {}


def test_data_without_marker_is_garbage_when_it_is_old(store: Store) -> None:
    plan = plan_of(store.below("plan"), videos(12))
    first, second, _ = plan.shards()
    kept = commit(store, plan, first).marker
    commit(store, plan, first, seed=5)  # a second, different result: its data counts for nothing
    marker = commit(store, plan, second).marker
    store.delete(AREA.commit_key(second.shard_id))
    found = garbage(store)
    assert marker.data_key in found
    assert kept.data_key not in found
    assert len(found) == 2
    assert garbage(store, later_s=0.0) == {}


def test_notes_of_the_gone_are_garbage(store: Store) -> None:
    plan_of(store.below("plan"), videos(2))
    begin_attempt(store, PREDICT_ID, "s", 1)
    assert list(garbage(store).values()) == ["note of a worker that is gone"]
    assert garbage(store, later_s=60.0) == {}


def test_what_a_snapshot_names_is_kept_for_ever(store: Store) -> None:
    plan = plan_of(store.below("plan"), videos(12))
    first, *_ = plan.shards()
    commit(store, plan, first, seed=1, dead_letters=[letter("v")])
    commit_pending(store, plan)
    snapshot = make_snapshot(store, plan, AREA)
    retry_dead(store, PREDICT_ID, plan)
    commit_pending(store, plan)
    assert garbage(store) == {}
    assert sum(table.num_rows for table in snapshot.tables()) == 24


def test_half_written_files_are_garbage(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit_pending(store, plan_of(store.below("plan"), videos(2)))
    (tmp_path / AREA.data_folder / ".x.partial").write_bytes(b"half")
    (found,) = list(find_garbage(store, now_s=time.time() + LATER_S))
    assert found.reason == "half-written file"
    delete_garbage(store, found)
    assert garbage(store) == {}


def test_deleting_all_garbage_leaves_a_run_that_verifies(store: Store) -> None:
    plan = plan_of(store.below("plan"), videos(12))
    first, *_ = plan.shards()
    commit(store, plan, first)
    commit(store, plan, first, seed=5)
    for it in list(find_garbage(store, now_s=time.time() + LATER_S)):
        delete_garbage(store, it)
    commit_pending(store, plan)
    result = Verification()
    assert {it.kind for it in verify_area(store, plan, AREA, result)} == {"nondeterministic"}
    assert result.num_committed == 3
