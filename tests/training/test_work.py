from functools import partial
from pathlib import Path

import pytest
from toy_training import losses_of, prepare_spoiled, prepare_toy, train_on_two_forks

from hoiray.errors import ConfigError, ContractError
from hoiray.training.checkpoints import SavedState
from hoiray.training.job import TrainJob
from hoiray.training.offending import read_batch
from hoiray.training.work import refuse_other_identity, refuse_unequal_workers, work
from hoiray.training.world import World


def test_a_setting_that_changed_is_named_with_both_values() -> None:
    start = SavedState("there", 3, {"seed": 1, "size": 2, "old": True}, {})
    with pytest.raises(ConfigError) as raised:
        refuse_other_identity(start, {"seed": 5, "size": 2})
    assert str(raised.value).startswith(
        "--resume from there: expected old True, seed 1, found old None, seed 5. Resume with the settings"
    )
    refuse_other_identity(start, {"seed": 1, "size": 2, "old": True})


def test_workers_that_see_other_samples_are_refused() -> None:
    refuse_unequal_workers([{"seed": 1, "training samples": "a"}] * 3)
    with pytest.raises(ContractError, match=r"worker 2: expected training samples 'a', as worker 0, found .* 'b'"):
        refuse_unequal_workers([{"training samples": name} for name in "aab"])


def test_the_offending_batch_lies_beside_the_rest(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path), partial(prepare_spoiled, out=str(tmp_path)))
    with pytest.raises(ContractError, match=r"is kept in .*nan_batch_epoch0000_step000001_worker0\.pt"):
        work(job, World(), start=None, keep=lambda *_: None, tell=lambda _: None, is_time_up=lambda: False)
    batch = read_batch(tmp_path / "nan_batch_epoch0000_step000001_worker0.pt")
    assert batch.sample_ids[0] == "sample/0.0.1.0/0"


def test_two_workers_that_were_stopped_end_with_the_losses_of_two_that_were_not(tmp_path: Path) -> None:
    outs = tmp_path / "whole", tmp_path / "parts"
    for out, limits in zip(outs, ([None], [0.0, 0.0, None]), strict=True):
        for limit in limits:
            job = TrainJob(str(out), partial(prepare_toy, out=str(out)), max_minutes=limit)
            train_on_two_forks(job, tmp_path / "meetings")
    whole, parts = map(losses_of, outs)
    assert len(whole) == 12
    assert parts == whole


def test_two_workers_learn_from_both_parts_of_a_batch(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path / "two"), partial(prepare_toy, out=str(tmp_path / "two"), epochs=1))
    train_on_two_forks(job, tmp_path / "meetings")
    one = TrainJob(str(tmp_path / "one"), partial(prepare_toy, out=str(tmp_path / "one"), epochs=1))
    work(one, World(), start=None, keep=lambda *_: None, tell=lambda _: None, is_time_up=lambda: False)
    assert (tmp_path / "two" / "weights.json").read_bytes() != (tmp_path / "one" / "weights.json").read_bytes()


def test_when_one_worker_meets_no_number_both_stop_and_name_it(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path / "out"), partial(prepare_spoiled, out=str(tmp_path / "out")))
    train_on_two_forks(job, tmp_path / "meetings")
    messages = [(tmp_path / "meetings" / f"error.{rank}").read_text() for rank in range(2)]
    for message in messages:
        assert "worker 0: finite losses, but the gradient is not (samples sample/0.0.1.0/0" in message
        assert "worker 1: loss joints_3d nan, loss total nan (samples sample/0.0.1.1/0" in message
    assert "batch of worker 1 is kept in" in messages[1]
