"""`hoiray self-train`: what is typed goes to the commands it concerns, and what came of it is said."""

from pathlib import Path

import pytest

from hoiray.cli.self_train import SelfTrainRequest, read_request, self_train, story_lines
from hoiray.errors import ConfigError
from hoiray.evaluation.bootstrap import Interval
from hoiray.io.store import Store
from hoiray.selftrain.audit import Audit, Compared
from hoiray.selftrain.lock import only_here
from hoiray.selftrain.rounds import RoundResult, Story

ROOT = Path(__file__).parents[2]
RUN_FILE = str(ROOT / "jobs/self_train.yaml")


def test_options_go_to_the_commands_they_concern() -> None:
    request = read_request(
        SelfTrainRequest(
            RUN_FILE,
            cluster=ROOT / "cluster/laptop.yaml",
            overrides=("limits.min_box_iou=0.5", "pools.predict.batch_size=8"),
            ray_address="auto",
            workers=3,
        )
    )
    assert request.run.limits.model_dump()["min_box_iou"] == 0.5
    assert request.overrides == ("limits.min_box_iou=0.5",)
    where = (
        "--set",
        "pools.predict.batch_size=8",
        "--cluster",
        str(ROOT / "cluster/laptop.yaml"),
        "--ray-address",
        "auto",
    )
    assert request.label_options == where
    assert request.train_options == (*where, "--workers", "3")


def test_a_misspelt_option_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="did you mean 'limits'"):
        read_request(SelfTrainRequest(RUN_FILE, overrides=("limts.min_box_iou=0.5",)))


def test_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    request = SelfTrainRequest(RUN_FILE, overrides=(f"output_uri={tmp_path}",))
    with only_here(Store.open(tmp_path)), pytest.raises(ConfigError, match="one self-training at a time"):
        self_train(request)


def test_the_story_is_told_in_a_table() -> None:
    both = Compared(Interval(8.0, 7.5, 8.5), Interval(9.0, 8.5, 9.5), Interval(-1.0, -1.5, -0.5))
    audit = Audit("digest", 40, {"pa_mpjpe_mm": both, "mpjpe_mm": both}, {})
    rounds = (
        RoundResult(1, "teacher", "one", 1000, 250, None, audit, "better", "next round"),
        RoundResult(2, "one", "one", 1000, 0, None, None, None, "stopped: no labels"),
    )
    text = "\n".join(story_lines(Story(rounds, "teacher", "one")))
    assert (
        "| 1 | 250 of 1,000 (25.0%) | PA-MPJPE, mm | 9.00 [8.50, 9.50] | 8.00 [7.50, 8.50] | -1.00 [-1.50, -0.50] |"
        in text
    )
    assert "| 2 | 0 of 1,000 (0.0%) |" in text
    assert text.endswith("use: one")
