"""What every worker of a training does, whoever started it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from pydantic import JsonValue
from torch import nn

from hoiray.errors import ConfigError, ContractError, describe
from hoiray.io.store import Store
from hoiray.training.checkpoints import SavedState, StateFiles, folder_of, pack_state
from hoiray.training.events import EventLog
from hoiray.training.history import HISTORY_FILE, epoch_row, history_bytes, last_losses, last_scores, step_row
from hoiray.training.job import Ending, Prepared, Tell, TrainJob
from hoiray.training.loop import Hooks, train
from hoiray.training.reports import EpochReport, Note, StepReport
from hoiray.training.state import TrainState
from hoiray.training.world import World

Keep = Callable[[str, StateFiles | None], None]
"""Keeps a state under the name of its folder. Every worker calls it; only worker 0 has files."""


def work(
    job: TrainJob, world: World, *, start: SavedState | None, keep: Keep, tell: Tell, is_time_up: Callable[[], bool]
) -> Ending:
    """Train to the end, or until time is up; every worker of the job calls this once.

    Args:
        job: what to train.
        world: this worker among the others.
        start: where to go on; None: from the beginning.
        keep: keeps states.
        tell: receives reports, on worker 0.
        is_time_up: asked on worker 0 after every step; ignored where the job has no limit.

    Raises:
        ConfigError: `start` belongs to other settings.
        ContractError: a loss or gradient is no number, or the workers do not see the same samples.
    """
    prepared = job.prepare(world)
    refuse_unequal_workers(world.gather(dict(prepared.identity)))
    state = prepared.state
    if start is not None:
        refuse_other_identity(start, prepared.identity)
        state.load_payload(start.payload, source=start.source)
        place = f"epoch {state.epoch + 1}, step {state.step}"
        _tell_first(world, tell, Note(f"goes on at {place} of {start.source}"))
    scribe = Scribe(job, world, prepared, keep=keep, tell=tell)
    should_stop = _agreed(is_time_up, world) if job.max_minutes is not None else _never
    hooks = Hooks(
        on_step=scribe.on_step,
        on_epoch=scribe.on_epoch,
        save=scribe.save,
        validate=prepared.validate,
        should_stop=should_stop,
        keep_batch=scribe.keep_batch,
    )
    try:
        is_complete = train(
            state, _parallel(state.model, world), prepared.data, prepared.settings, world=world, hooks=hooks
        )
    finally:
        scribe.close()
    model_uri = _publish(prepared) if world.is_first else None
    scores, means = last_scores(state.rows), last_losses(state.rows)
    return Ending(is_complete, state.epoch, state.num_steps, scores, means, model_uri)


def refuse_other_identity(start: SavedState, identity: Mapping[str, JsonValue]) -> None:
    """Refuse to go on under other settings than those a state was saved under.

    Raises:
        ConfigError: naming each setting with both values.
    """
    names = sorted({*start.settings, *identity})
    others = [name for name in names if start.settings.get(name) != identity.get(name)]
    if others:
        was = ", ".join(f"{name} {start.settings.get(name)!r}" for name in others)
        now = ", ".join(f"{name} {identity.get(name)!r}" for name in others)
        fix = "Resume with the settings the run was started with, or choose another --out."
        raise ConfigError(describe(what=f"--resume from {start.source}", expected=was, found=now, fix=fix))


def refuse_unequal_workers(identities: Sequence[Mapping[str, JsonValue]]) -> None:
    """Refuse workers that were prepared differently: their steps would not be of one batch.

    Args:
        identities: of all workers, by rank.

    Raises:
        ContractError: they differ, as where one machine cannot read a video that another can.
    """
    first = identities[0]
    for rank, other in enumerate(identities):
        differing = [name for name in sorted({*first, *other}) if first.get(name) != other.get(name)]
        if differing:
            expected = ", ".join(f"{name} {first.get(name)!r}" for name in differing)
            found = ", ".join(f"{name} {other.get(name)!r}" for name in differing)
            fix = "That machine reads other files, or has crops from a time when it did: empty its cache folder."
            raise ContractError(
                describe(what=f"worker {rank}", expected=f"{expected}, as worker 0", found=found, fix=fix)
            )


@dataclass
class Scribe:
    """Writes down what happens: rows, events, states; on worker 0, though every worker calls it."""

    job: TrainJob
    world: World
    prepared: Prepared
    keep: Keep
    tell: Tell

    def __post_init__(self) -> None:
        """Open the event file."""
        self._store = Store.open(self.job.out)
        first_step = self.prepared.state.num_steps
        self._events = EventLog(self._store, first_step=first_step) if self.world.is_first else None

    def on_step(self, report: StepReport) -> None:
        """Add a row."""
        self.prepared.state.rows.append(step_row(report))
        if self._events is not None:
            self._events.add_steps(report)
            self.tell(report)

    def on_epoch(self, report: EpochReport) -> None:
        """Add a row."""
        self.prepared.state.rows.append(epoch_row(report))
        if self._events is not None:
            self._events.add_epoch(report)
            self.tell(report)

    def save(self, state: TrainState) -> None:
        """Keep the state, then bring the history and the events up to it."""
        files = pack_state(state, self.prepared.identity) if self._events is not None else None
        self.keep(folder_of(state), files)
        if self._events is not None:
            self._store.write(HISTORY_FILE, history_bytes(state.rows))
            self._events.flush()

    def keep_batch(self, name: str, data: bytes) -> str:
        """Write a batch beside the rest; every worker writes its own."""
        self._store.write(name, data)
        return self._store.url(name)

    def close(self) -> None:
        """Write no more."""
        if self._events is not None:
            self._events.close()


def _publish(prepared: Prepared) -> str:
    state = prepared.state
    if state.average is None:
        return prepared.publish(state)
    with state.average.applied_to(state.model):
        return prepared.publish(state)


def _parallel(model: nn.Module, world: World) -> nn.Module:
    """Wrap the model such that gradients are averaged over the workers."""
    if world.size == 1:
        return model
    devices = None if world.device.type == "cpu" else [world.device]
    return nn.parallel.DistributedDataParallel(model, device_ids=devices)


def _agreed(ask: Callable[[], bool], world: World) -> Callable[[], bool]:
    """Let worker 0 decide for all: their clocks differ, and they must stop at the same step."""

    def decide() -> bool:
        wish = torch.tensor(float(world.is_first and ask()), device=world.device)
        return bool(world.sum(wish).item())

    return decide


def _never() -> bool:
    return False


def _tell_first(world: World, tell: Tell, note: Note) -> None:
    if world.is_first:
        tell(note)
