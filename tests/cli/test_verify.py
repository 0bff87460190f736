from pathlib import Path

import pytest
from run_folders import commit, plan_of, videos

from hoiray.cli.verify import verify_run
from hoiray.io.store import Store


def test_a_damaged_object_is_named_and_the_exit_status_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    assert verify_run(str(tmp_path), None) == 0
    assert "nothing is committed yet" in capsys.readouterr().out
    markers = [commit(store, plan, entry).marker for entry in plan.shards()]
    assert verify_run(str(tmp_path), None) == 0
    assert "ok: predictions/" in capsys.readouterr().out
    store.delete(markers[1].data_key)
    assert verify_run(str(tmp_path), None) == 1
    said = capsys.readouterr().out
    assert f"damaged: {markers[1].shard_id}: " in said
    assert markers[1].data_key in said
    assert "DAMAGED: predictions/" in said
    assert "2 committed shards, 16 rows" in said
