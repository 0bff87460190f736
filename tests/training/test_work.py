import multiprocessing
from functools import partial
from pathlib import Path

import pytest
import torch.distributed as dist
from toy_training import ToyData, losses_of, prepare_toy, spoiled

from hoiray.errors import ConfigError, ContractError
from hoiray.io.store import Store
from hoiray.models.batch import Batch
from hoiray.training.checkpoints import CHECKPOINTS, SavedState, StateFiles, newest_state
from hoiray.training.job import Prepared, TrainJob
from hoiray.training.offending import read_batch
from hoiray.training.work import refuse_other_identity, work
from hoiray.training.world import World


def test_a_setting_that_changed_is_named_with_both_values() -> None:
    start = SavedState("there", 3, {"seed": 1, "size": 2, "old": True}, {})
    with pytest.raises(ConfigError) as raised:
        refuse_other_identity(start, {"seed": 5, "size": 2})
    assert str(raised.value).startswith(
        "--resume from there: expected old True, seed 1, found old None, seed 5. Resume with the settings"
    )
    refuse_other_identity(start, {"seed": 1, "size": 2, "old": True})


class _SpoiledData(ToyData):
    def batch(self, epoch: int, step: int) -> Batch:
        batch = super().batch(epoch, step)
        return spoiled(batch) if (epoch, step) == (0, 1) and self.world.rank == self.world.size - 1 else batch


def _prepare_spoiled(world: World, *, out: str) -> Prepared:
    prepared = prepare_toy(world, out=out)
    object.__setattr__(prepared, "data", _SpoiledData(world=world))
    return prepared


def test_the_offending_batch_lies_beside_the_rest(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path), partial(_prepare_spoiled, out=str(tmp_path)))
    with pytest.raises(ContractError, match=r"is kept in .*nan_batch_epoch0000_step000001_worker0\.pt"):
        work(job, World(), start=None, keep=lambda *_: None, tell=lambda _: None, is_time_up=lambda: False)
    batch = read_batch(tmp_path / "nan_batch_epoch0000_step000001_worker0.pt")
    assert batch.sample_ids[0] == "sample/0.0.1.0/0"


def _part(rank: int, meeting: str, job: TrainJob, log: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    store = Store.open(job.out)

    def keep(folder: str, files: StateFiles | None) -> None:
        for name, data in files.items() if files else ():
            store.write(f"{CHECKPOINTS}/{folder}/{name}", data)

    try:
        work(job, World(rank, 2), start=newest_state(store), keep=keep, tell=lambda _: None, is_time_up=lambda: True)
    except ContractError as error:
        Path(f"{log}.{rank}").write_text(str(error))
    dist.destroy_process_group()


def on_two_workers(job: TrainJob, folder: Path) -> None:
    """Run a job on two forked processes that know no Ray."""
    folder.mkdir(exist_ok=True)
    meeting = folder / f"meeting{len(list(folder.iterdir()))}"
    context = multiprocessing.get_context("fork")
    arguments = [(rank, str(meeting), job, str(folder / "error")) for rank in range(2)]
    processes = [context.Process(target=_part, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


def test_two_workers_that_were_stopped_end_with_the_losses_of_two_that_were_not(tmp_path: Path) -> None:
    outs = tmp_path / "whole", tmp_path / "parts"
    for out, limits in zip(outs, ([None], [0.0, 0.0, None]), strict=True):
        for limit in limits:
            job = TrainJob(str(out), partial(prepare_toy, out=str(out)), max_minutes=limit)
            on_two_workers(job, tmp_path / "meetings")
    whole, parts = map(losses_of, outs)
    assert len(whole) == 12
    assert parts == whole


def test_two_workers_learn_from_both_parts_of_a_batch(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path / "two"), partial(prepare_toy, out=str(tmp_path / "two"), epochs=1))
    on_two_workers(job, tmp_path / "meetings")
    one = TrainJob(str(tmp_path / "one"), partial(prepare_toy, out=str(tmp_path / "one"), epochs=1))
    work(one, World(), start=None, keep=lambda *_: None, tell=lambda _: None, is_time_up=lambda: False)
    assert (tmp_path / "two" / "weights.json").read_bytes() != (tmp_path / "one" / "weights.json").read_bytes()


def test_when_one_worker_meets_no_number_both_stop_and_name_it(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path / "out"), partial(_prepare_spoiled, out=str(tmp_path / "out")))
    on_two_workers(job, tmp_path / "meetings")
    messages = [(tmp_path / "meetings" / f"error.{rank}").read_text() for rank in range(2)]
    for message in messages:
        assert "worker 0: finite losses, but the gradient is not (samples sample/0.0.1.0/0" in message
        assert "worker 1: loss joints_3d nan, loss total nan (samples sample/0.0.1.1/0" in message
    assert "batch of worker 1 is kept in" in messages[1]
