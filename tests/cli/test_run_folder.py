from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, plan_of, videos

from hoiray.cli.run_folder import open_run
from hoiray.errors import ConfigError, InputError
from hoiray.io.store import Store


def test_a_run_is_opened_with_its_plan_wherever_that_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a plan, found none"):
        open_run(str(tmp_path), None)
    plan = plan_of(Store.open(tmp_path / "elsewhere"), videos(4))
    assert open_run(str(tmp_path), str(tmp_path / "elsewhere")).plan == plan


def test_tables_of_another_judgement_are_no_run(tmp_path: Path) -> None:
    (tmp_path / "labels-000000.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"found tables of hoiray judge, .* call hoiray label again"):
        open_run(str(tmp_path), None)


def test_the_only_predictions_need_no_name(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(4))
    folder = open_run(str(tmp_path), None)
    with pytest.raises(InputError, match="Run the job first"):
        folder.predict_id(None)
    entry = next(plan.shards())
    commit(store, plan, entry)
    commit(store, plan, entry, judged=True)
    assert folder.predict_id(None) == PREDICT_ID
    assert [area.prefix for area in folder.areas()] == [f"predictions/{PREDICT_ID}", f"labels/{JUDGE_ID}"]
    commit(store, plan, entry, predict_id="other")
    with pytest.raises(ConfigError, match="--predict-id"):
        folder.predict_id(None)
    assert folder.predict_id("other") == "other"
