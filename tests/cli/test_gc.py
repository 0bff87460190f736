from pathlib import Path

import pytest
from run_folders import commit, plan_of, videos

from hoiray.cli.gc import collect_garbage
from hoiray.io.store import Store


def test_garbage_is_listed_first_and_deleted_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(4))
    entry = next(plan.shards())
    commit(store, plan, entry)
    kept = store.local_path(commit(store, plan, entry, seed=2).marker.data_key)
    assert kept is not None
    assert collect_garbage(str(tmp_path), delete=False, min_age_h=24.0) == 0
    assert capsys.readouterr().out.startswith("0 objects")
    before = set(store.list())
    assert collect_garbage(str(tmp_path), delete=False, min_age_h=0.0) == 0
    said = capsys.readouterr().out
    assert "garbage: predictions/" in said
    assert "1 objects" in said
    assert "add --delete" in said
    assert set(store.list()) == before
    assert collect_garbage(str(tmp_path), delete=True, min_age_h=0.0) == 0
    assert len(before - set(store.list())) == 1
    assert kept.exists()
