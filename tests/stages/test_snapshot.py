from pathlib import Path

import pyarrow as pa
import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, commit_pending, letter, plan_of, rows_of, video, videos
from s3_server import S3Server

from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.stages import snapshot as snapshot_module
from hoiray.stages.run_layout import labels_area, predictions_area, snapshot_keys
from hoiray.stages.snapshot import list_snapshots, make_snapshot, open_snapshot

AREA = predictions_area(PREDICT_ID)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "run")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def test_a_snapshot_holds_every_row_once(store: Store) -> None:
    plan = plan_of(store.below("plan"), videos(12))
    commit_pending(store, plan)
    snapshot = make_snapshot(store, plan, AREA)
    rows = pa.concat_tables(list(snapshot.tables()))
    expected = pa.concat_tables([rows_of(plan, entry) for entry in plan.shards()])
    keys = ["video_id", "frame_index"]
    assert (
        rows.select(keys).sort_by([(key, "ascending") for key in keys]).to_pylist()
        == expected.select(keys).sort_by([(key, "ascending") for key in keys]).to_pylist()
    )
    head = snapshot.head
    assert (head.num_shards, head.num_missing, head.num_videos, head.num_rows) == (3, 0, 12, 24)
    assert [it.snapshot_id for it in list_snapshots(store)] == [head.snapshot_id]


def test_the_same_results_give_the_same_snapshot_and_it_never_changes(store: Store) -> None:
    plan = plan_of(store.below("plan"), videos(12))
    first, *rest = plan.shards()
    commit(store, plan, first, dead_letters=[letter("v")])
    with pytest.raises(InputError, match="expected all 3 shards committed, found 2 that are not"):
        make_snapshot(store, plan, AREA)
    partial = make_snapshot(store, plan, AREA, allow_partial=True)
    assert (partial.head.num_missing, partial.head.num_dead) == (2, 1)
    for entry in rest:
        commit(store, plan, entry)
    whole = make_snapshot(store, plan, AREA)
    assert make_snapshot(store, plan, AREA) == whole
    assert whole.head.snapshot_id != partial.head.snapshot_id
    assert [it.shard_id for it in open_snapshot(store, partial.head.snapshot_id).entries()] == [first.shard_id]


def test_results_of_an_earlier_plan_are_left_out(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    commit_pending(store, plan_of(store.below("plan"), videos(12)))
    changed = [video("v0000.mp4", etag="other"), *videos(12)[1:]]
    plan = plan_of(store.below("plan"), changed, update=True)
    commit_pending(store, plan)
    assert len(list(store.list(AREA.commit_folder))) == 4
    head = make_snapshot(store, plan, AREA).head
    assert (head.num_shards, head.num_videos, head.num_missing) == (3, 12, 0)


def test_labels_are_listed_by_bucket_with_what_was_accepted(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    for entry in plan.shards():
        commit(store, plan, entry, judged=True)
    head = make_snapshot(store, plan, labels_area(JUDGE_ID)).head
    assert (head.num_shards, head.num_rows, head.num_accepted) == (3, 24, 24)


def test_chunks_make_no_difference_to_what_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_module, "CHUNK_ROWS", 2)
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(30))
    commit_pending(store, plan)
    snapshot = make_snapshot(store, plan, AREA)
    assert [it.shard_id for it in snapshot.entries()] == [it.shard_id for it in plan.shards()]


def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(4))
    commit_pending(store, plan)
    snapshot = make_snapshot(store, plan, AREA)
    head_key, list_key = snapshot_keys(snapshot.head.snapshot_id)
    good = store.read(list_key)
    store.write(list_key, good[:-1] + b"x")
    with pytest.raises(ContractError, match="expected sha256"):
        open_snapshot(store, snapshot.head.snapshot_id)
    store.write(head_key, b"{}")
    with pytest.raises(ContractError, match="the head of a snapshot"):
        open_snapshot(store, snapshot.head.snapshot_id)
