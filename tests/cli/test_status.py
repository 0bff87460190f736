import json
from pathlib import Path

import pytest
from run_folders import PREDICT_ID, commit, letter, plan_of, videos

from hoiray.cli.status import show_status, status_lines
from hoiray.io.store import Store
from hoiray.stages.inflight import Attempt, Note
from hoiray.stages.listing import Refusal
from hoiray.stages.status import run_status

NOTE = Note("s" * 32, "w", 2, "a b.mp4", "node-1", 77, "", 0.0, 1000.0)


def test_a_run_is_described_from_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), [*videos(12), Refusal("video", "x.mp4", "empty", "0 bytes")])
    assert show_status(str(tmp_path), None, as_json=False) == 3
    assert "nothing is committed yet" in capsys.readouterr().out
    first, *rest = plan.shards()
    commit(store, plan, first, dead_letters=[letter("v")])
    Attempt(store, PREDICT_ID, NOTE)
    assert show_status(str(tmp_path), None, as_json=False) == 3
    said = capsys.readouterr().out
    assert "12 videos, 3 shards" in said
    assert "1 videos could not be planned" in said
    assert f"predictions/{PREDICT_ID}: 1 of 3 done (33.3%)" in said
    assert "8 rows, 4 videos, 1 dead" in said
    assert "node-1:77, attempt 2, video a b.mp4, silent for" in said
    for entry in rest:
        commit(store, plan, entry)
    commit(store, plan, first, judged=True)
    for entry in rest:
        commit(store, plan, entry, judged=True)
    assert show_status(str(tmp_path), str(tmp_path / "plan"), as_json=False) == 0
    assert "24 accepted (100.0%)" in capsys.readouterr().out


def test_programs_get_the_same_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    commit(store, plan, next(plan.shards()))
    assert show_status(str(tmp_path), None, as_json=True) == 3
    said = json.loads(capsys.readouterr().out)
    assert said["plan"]["num_videos"] == 12
    assert (said["areas"][0]["num_done"], said["areas"][0]["num_pending"]) == (1, 2)
    assert said["in_flight"] == []


def test_a_living_worker_is_told_from_a_silent_one(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(2))
    commit(store, plan, next(plan.shards()))
    commit(store, plan, next(plan.shards()), seed=2)
    Attempt(store, PREDICT_ID, NOTE)
    status = run_status(store, plan)
    assert any("heard 5 s ago" in line for line in status_lines(status, 1005.0))
    assert any("silent for 17 min" in line for line in status_lines(status, 2000.0))
    assert any("NONDETERMINISM: 1 shards" in line for line in status_lines(status, 1005.0))
