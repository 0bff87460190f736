from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, commit_pending, fields_of, letter, plan_of, rows_of, video, videos
from valid_tables import replaced

from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.stages.commit import commit_shard, read_marker
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area, labels_area, predictions_area
from hoiray.stages.verify import Finding, Verification, verify_area

AREA = predictions_area(PREDICT_ID)


def verified(store: Store, plan: Plan, area: Area = AREA) -> tuple[list[Finding], Verification]:
    result = Verification()
    return list(verify_area(store, plan, area, result)), result


def run(tmp_path: Path) -> tuple[Store, Plan]:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    for entry in plan.shards():
        commit(store, plan, entry)
    return store, plan


def first_marker(store: Store, plan: Plan) -> CommitMarker:
    marker = read_marker(store, AREA, next(plan.shards()).shard_id)
    assert marker is not None
    return marker


def test_a_sound_run_has_no_findings(tmp_path: Path) -> None:
    store, plan = run(tmp_path)
    for entry in plan.shards():
        commit(store, plan, entry, judged=True)
    for area in (AREA, labels_area(JUDGE_ID)):
        findings, result = verified(store, plan, area)
        assert findings == []
        assert (result.num_committed, result.num_pending, result.num_rows, result.num_videos) == (3, 0, 24, 12)


def test_what_is_not_committed_is_pending_and_no_finding(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    commit(store, plan, next(plan.shards()), dead_letters=[letter("v")])
    findings, result = verified(store, plan)
    assert findings == []
    assert (result.num_committed, result.num_pending, result.num_dead) == (1, 2, 1)


def lose(store: Store, marker: CommitMarker) -> None:
    store.delete(marker.data_key)


def damage(store: Store, marker: CommitMarker) -> None:
    data = bytearray(store.read(marker.data_key))
    data[len(data) // 2] ^= 1
    store.write(marker.data_key, bytes(data))


def miscount(store: Store, marker: CommitMarker) -> None:
    store.write(AREA.commit_key(marker.shard_id), marker.model_copy(update={"num_rows": 99}).to_json().encode())


def cut_marker(store: Store, marker: CommitMarker) -> None:
    store.write(AREA.commit_key(marker.shard_id), marker.to_json().encode()[:-9])


def miscount_videos(store: Store, marker: CommitMarker) -> None:
    store.write(AREA.commit_key(marker.shard_id), marker.model_copy(update={"num_videos": 99}).to_json().encode())


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lose, "nothing there"),
        (damage, "expected sha256"),
        (miscount, "rows: expected 99"),
        (cut_marker, "commit marker"),
        (miscount_videos, "videos of the shard"),
    ],
)
def test_whatever_is_broken_is_named(
    tmp_path: Path, break_it: Callable[[Store, CommitMarker], None], message: str
) -> None:
    store, plan = run(tmp_path)
    marker = first_marker(store, plan)
    break_it(store, marker)
    findings, result = verified(store, plan)
    assert [(it.kind, it.name) for it in findings] == [("damaged", marker.shard_id)]
    assert message in findings[0].message
    assert result.num_committed == 2


def test_rows_of_a_strange_video_are_found(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(2))
    (entry,) = plan.shards()
    rows = rows_of(plan, entry)
    names = ["stranger.mp4", *rows["video_id"].to_pylist()[1:]]
    commit_shard(store, replaced(rows, "video_id", [names]), fields_of(plan, entry))
    (finding,), _ = verified(store, plan)
    assert "stranger.mp4" in finding.message


def test_shards_of_an_earlier_plan_and_second_results_are_told(tmp_path: Path) -> None:
    store, plan = run(tmp_path)
    commit(store, plan, next(plan.shards()), seed=4)
    changed = plan_of(store.below("plan"), [video("v0000.mp4", etag="x"), *videos(12)[1:]], update=True)
    commit_pending(store, changed)
    findings, result = verified(store, changed)
    assert sorted(it.kind for it in findings) == ["foreign", "nondeterministic"]
    assert result.num_committed == 3
