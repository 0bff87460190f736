"""`hoiray reproduce`: what cannot be asked for."""

from dataclasses import replace
from pathlib import Path

import pytest

from hoiray.cli.reproduce import ReproduceRequest, amounts_of, run_reproduce
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.selftrain.lock import only_here

REQUEST = ReproduceRequest(("table2",), "out", "results", "tiny", None, 1, None, None)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (replace(REQUEST, tables=("table1",)), "TABLE: expected one of table2, .*, all, found 'table1'"),
        (replace(REQUEST, size="medium"), "--size: expected one of tiny, nano, found 'medium'"),
        (replace(REQUEST, num_steps=15), "--steps: expected a multiple of its 2 epochs, found 15"),
        (replace(REQUEST, out="s3://bucket/x"), "--out: expected a folder"),
        (replace(REQUEST, changes=("training.epochs=3",)), "--set training.epochs=3: .* --steps says how long"),
        (replace(REQUEST, changes=("training={}",)), "--set training={}: .* images are trained on"),
        (replace(REQUEST, changes=("training.labels_uri.x=1",)), "arms differ in it"),
        (replace(REQUEST, changes=("train.learning_rate=1",)), "'train' is a key of the cluster file"),
        (replace(REQUEST, changes=("nothing",)), "--set nothing: expected"),
        (replace(REQUEST, changes=("limits.preset=calibrated",)), "limits"),
    ],
)
def test_what_cannot_be_run_is_refused(
    request_: ReproduceRequest, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        run_reproduce(request_)
    assert not list(tmp_path.rglob("*.mp4"))


def test_an_experiment_may_train_for_longer() -> None:
    usual = amounts_of(REQUEST)
    assert amounts_of(replace(REQUEST, num_steps=40)) == replace(usual, steps_per_epoch=20)
    assert usual.epochs * usual.steps_per_epoch == 10


def test_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    with only_here(Store.open(tmp_path)), pytest.raises(ConfigError, match="one self-training at a time"):
        run_reproduce(replace(REQUEST, out=str(tmp_path)))
