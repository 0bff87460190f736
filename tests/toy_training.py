"""A toy to train: three weights, batches made of a few random numbers, and losses that depend on both."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hoiray.config.what import Optimiser
from hoiray.config.where import TrainWorkers
from hoiray.errors import ContractError
from hoiray.io.store import Store
from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets
from hoiray.models.precision import Precision
from hoiray.training.checkpoints import CHECKPOINTS, StateFiles, newest_state
from hoiray.training.history import HISTORY_FILE, TIMING_COLUMNS
from hoiray.training.job import Prepared, TrainJob
from hoiray.training.loop import LoopSettings
from hoiray.training.reports import EpochReport, StepReport, Timing
from hoiray.training.schedule import Schedule
from hoiray.training.state import TrainState
from hoiray.training.work import work
from hoiray.training.world import World

SIDE_PX = 8
TWO_WORKERS = TrainWorkers(num_workers=2, num_cpus=1.0, max_failures=3)
STEP_REPORT = StepReport(0, 2, 5, 3, 2, 1e-4, {"total": 1.5, "pose": 0.5, "grad_norm": 2.0}, Timing(40.0, 0.25))
EPOCH_REPORT = EpochReport(0, 3, 5, {"total": 1.25, "grad_norm": 1.0}, {"pa_mpjpe_mm": 12.0})
CPU = torch.device("cpu")


def make_batch(seed: tuple[int, ...], size: int = 4) -> Batch:
    """A batch whose values depend on the seed alone."""
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (size, SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
    boxes = torch.tensor([[0.0, 0.0, SIDE_PX, SIDE_PX]]).repeat(size, 1)
    joints = torch.from_numpy(rng.normal(size=(size, 21, 3)).astype(np.float32))
    hand = HandTargets(
        rotations=torch.eye(3).repeat(size, 16, 1, 1),
        betas=torch.zeros(size, 10),
        joints_3d_m=joints,
        joints_2d_unit=joints[..., :2],
        has_mano=torch.ones(size, dtype=torch.bool),
    )
    nothing = torch.zeros(size, dtype=torch.bool)
    obj = ObjectTargets(nothing, torch.zeros(size, 21, 2), torch.zeros(size, 4, 4, dtype=torch.bool))
    ids = tuple(f"sample/{'.'.join(map(str, seed))}/{index}" for index in range(size))
    return Batch(NetworkInput(images, boxes, boxes), hand, obj, torch.ones(size), ids)


def spoiled(batch: Batch) -> Batch:
    """The same with one label that is no number."""
    joints = batch.hand.joints_3d_m.clone()
    joints[1, 3, 0] = float("nan")
    return replace(batch, hand=replace(batch.hand, joints_3d_m=joints))


class ToyData:
    """Batches by (seed, epoch, step); each worker has its own part."""

    def __init__(self, steps_per_epoch: int = 5, seed: int = 0, world: World | None = None) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.seed = seed
        self.world = world or World()
        self.asked: list[tuple[int, int]] = []

    def batch(self, epoch: int, step: int) -> Batch:
        return make_batch((self.seed, epoch, step, self.world.rank))

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        self.asked.append((epoch, first_step))
        for step in range(first_step, self.steps_per_epoch):
            yield self.batch(epoch, step)


class ToyModel(nn.Module):
    """Convolution, batch norm and dropout: weights, buffers, and random numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(36, 63)
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        joints = self.predict(batch)
        joints_3d = (joints - batch.hand.joints_3d_m).square().mean()
        size = joints.square().mean()
        return {"joints_3d": joints_3d, "size": size, "total": joints_3d + 0.1 * size}

    def predict(self, batch: Batch) -> Tensor:
        images = batch.inputs.images.permute(0, 3, 1, 2).float() / 255.0
        out: Tensor = self.layers(images)
        return out.reshape(-1, 21, 3)


def toy_state(seed: int = 0, *, average_decay: float | None = None) -> TrainState:
    """A fresh state of the toy."""
    from hoiray.training.average import WeightAverage

    torch.manual_seed(seed)
    model = ToyModel()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0, weight_decay=5e-4)
    average = WeightAverage(model, average_decay) if average_decay else None
    return TrainState(model, optimiser, average=average, seed=seed)


def toy_settings(
    *, epochs: int = 3, steps_per_epoch: int = 5, report_every: int = 2, save_every: int = 3
) -> LoopSettings:
    """Settings under which reports, checkpoints and epochs fall on different steps."""
    optimiser = Optimiser(learning_rate=1e-2, step_epochs=1)
    return LoopSettings(
        epochs=epochs,
        schedule=Schedule(optimiser, steps_per_epoch, epochs),
        max_grad_norm=None,
        precision=Precision.choose("auto", CPU),
        report_every=report_every,
        save_every=save_every,
    )


def prepare_toy(
    world: World,
    *,
    out: str,
    epochs: int = 3,
    seed: int = 0,
    die: tuple[int, int] | None = None,
    halt: tuple[int, int] | None = None,
) -> Prepared:
    """A worker's part of a toy training.

    Args:
        out: where the model goes.
        epochs, seed: of the training.
        die: (rank, step): this worker kills itself before this step of epoch 1, once.
        halt: (epoch, step): every worker stands still before this step, for a test that kills somebody.
    """
    state = toy_state(seed, average_decay=0.9)
    data = MortalData(ToyData(world=world), die, halt, Path(out))

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, ToyModel)
        with torch.no_grad():
            mine = float(model.predict(make_batch((99, world.rank))).square().mean())
        return {"error": sum(world.gather(mine)) / world.size}

    def publish(trained: TrainState) -> str:
        store = Store.open(out)
        store.write("weights.json", json.dumps([float(w.sum()) for w in trained.model.state_dict().values()]).encode())
        return store.url("weights.json")

    settings = toy_settings(epochs=epochs)
    return Prepared(state, data, settings, validate, publish, identity={"seed": seed})


class MortalData:
    """Data whose worker is killed while it waits for a batch, or waits for ever."""

    def __init__(self, data: ToyData, die: tuple[int, int] | None, halt: tuple[int, int] | None, out: Path) -> None:
        self.data, self.die, self.halt, self.out = data, die, halt, out
        self.steps_per_epoch = data.steps_per_epoch

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        grave, halted = (self.out.with_name(f"{self.out.name}.{what}") for what in ("died", "halted"))
        rank = self.data.world.rank
        for step, batch in enumerate(self.data.batches(epoch, first_step), start=first_step):
            if self.die is not None and (epoch, rank, step) == (1, *self.die) and not grave.exists():
                grave.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if (epoch, step) == self.halt:
                if rank == 0:
                    halted.touch()
                time.sleep(3600)
            yield batch


def losses_of(out: Path) -> list[dict[str, object]]:
    """The history without what depends on the clock."""
    table = pq.read_table(out / HISTORY_FILE)
    return table.drop_columns(list(TIMING_COLUMNS)).to_pylist()


class SpoiledPartData(ToyData):
    def batch(self, epoch: int, step: int) -> Batch:
        batch = super().batch(epoch, step)
        return spoiled(batch) if (epoch, step) == (0, 1) and self.world.rank == self.world.size - 1 else batch


def prepare_spoiled(world: World, *, out: str) -> Prepared:
    prepared = prepare_toy(world, out=out)
    object.__setattr__(prepared, "data", SpoiledPartData(world=world))
    return prepared


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


def train_on_two_forks(job: TrainJob, folder: Path) -> None:
    """Run a job on two forked processes that know no Ray."""
    # a forked child waits for ever for the threads of its parent's pool, when it comes to end them
    cv2.setNumThreads(1)
    folder.mkdir(exist_ok=True)
    meeting = folder / f"meeting{len(list(folder.iterdir()))}"
    context = multiprocessing.get_context("fork")
    arguments = [(rank, str(meeting), job, str(folder / "error")) for rank in range(2)]
    processes = [context.Process(target=_part, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)  # the test itself has a shorter limit, which loaded machines may lengthen
        assert process.exitcode == 0
