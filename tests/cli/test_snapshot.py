from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, plan_of, videos

from hoiray.cli.snapshot import take_snapshot
from hoiray.errors import ConfigError, InputError
from hoiray.io.store import Store


def test_labels_are_taken_before_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(12))
    with pytest.raises(ConfigError, match="--table"):
        take_snapshot(str(tmp_path), None, None, partial=False)
    first, *rest = plan.shards()
    commit(store, plan, first)
    with pytest.raises(InputError, match="found 2 that are not"):
        take_snapshot(str(tmp_path), None, None, partial=False)
    assert take_snapshot(str(tmp_path), None, None, partial=True) == 0
    assert "1 shards, 8 rows, 0 accepted, 0 dead, 2 shards missing" in capsys.readouterr().out
    for entry in [first, *rest]:
        commit(store, plan, entry, judged=True)
    assert take_snapshot(str(tmp_path), None, None, partial=False) == 0
    assert "3 shards, 24 rows, 24 accepted" in capsys.readouterr().out
    assert take_snapshot(str(tmp_path), None, f"predictions/{PREDICT_ID}", partial=True) == 0
    with pytest.raises(ConfigError, match=f"labels/{JUDGE_ID}"):
        take_snapshot(str(tmp_path), None, "labels/x", partial=False)
