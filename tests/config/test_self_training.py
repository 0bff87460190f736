"""The section `self_training` of a run file: what it takes, and what it refuses."""

from pathlib import Path

import pytest

from hoiray.config.load import load_run
from hoiray.errors import ConfigError

RUN_FILE = Path(__file__).parents[2] / "jobs/self_train.yaml"


def test_the_example_is_valid_and_says_what_decides() -> None:
    settings = load_run(RUN_FILE).self_training
    assert settings is not None
    assert (settings.max_rounds, settings.starts_from) == (3, "scratch")
    assert (settings.audit.metric, settings.audit.groups, settings.audit.max_samples) == (
        "pa_mpjpe_mm",
        "recordings",
        None,
    )


def test_a_run_without_it_has_no_rounds() -> None:
    assert load_run(RUN_FILE, ["self_training=null"]).self_training is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("self_training.max_rounds=0", "self_training.max_rounds"),
        ("self_training.max_rounds=51", "self_training.max_rounds"),
        ("self_training.audit.groups=frames", "self_training.audit.groups"),
        ("self_training.audit.metric=loss", "self_training.audit.metric"),
        ("self_training.starts_from=imagenet", "self_training.starts_from"),
        ("self_training.audti.uri=x", "did you mean 'audit'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_run(RUN_FILE, [change])
