import json
from pathlib import Path

import pytest
from run_folders import commit, plan_of, videos
from typer.testing import CliRunner

from hoiray.cli.main import app
from hoiray.io.store import Store
from hoiray.stages.pending import pending_shards
from hoiray.stages.run_layout import predictions_area


def test_a_folder_says_what_its_labels_cost(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    plan = plan_of(store.below("plan"), videos(8))
    first, *_ = pending_shards(plan, store, predictions_area("p" * 32))
    commit(store, plan, first, costs_s={"predict": {"model_gpu": 6.0, "wait": 2.0}})
    commit(store, plan, first, judged=True, costs_s={"judge": {"filter": 1.0}})
    result = CliRunner().invoke(app, ["cost", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["num_shards"], told["num_videos"]) == (1, first.num_videos)
    assert told["by_resource_s"]["model_gpu"] == 6.0
    # writing the rows was paid too
    assert told["costs_s"]["measure"]["store"] > 0.0
    text = CliRunner().invoke(app, ["cost", str(tmp_path)]).stdout
    assert "1 shards" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("predict")] == ["model_gpu", "wait"]


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_predictions_alone_have_a_cost(tmp_path: Path, arguments: list[str]) -> None:
    store = Store.open(str(tmp_path))
    plan = plan_of(store.below("plan"), videos(8))
    for entry in pending_shards(plan, store, predictions_area("p" * 32)):
        commit(store, plan, entry, costs_s={"predict": {"wait": 2.0}})
    assert CliRunner().invoke(app, ["cost", str(tmp_path), *arguments]).exit_code == 0
