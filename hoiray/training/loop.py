"""The loop: epochs of steps, with reports, checkpoints and validation in between. It knows no file and no Ray."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from hoiray.models.batch import Batch
from hoiray.models.precision import Precision
from hoiray.training.offending import batch_bytes
from hoiray.training.reports import EpochReport, StepReport, Stopwatch
from hoiray.training.schedule import Schedule
from hoiray.training.state import TrainState
from hoiray.training.step import NotFiniteError, take_step
from hoiray.training.world import World


class Batches(Protocol):
    """The batches of one worker; a function of (seed, epoch, step), so that any position can be begun at."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one epoch, the same on every worker."""
        ...

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """The batches of an epoch from a step on."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How long, and how often what.

    Attributes:
        epochs: of the whole training.
        schedule: of the learning rate.
        max_grad_norm: longer gradients are shortened to it; None: never.
        precision: of the forward pass.
        report_every: steps between two reports.
        save_every: steps between two checkpoints.
        validate_every: epochs between two validations; the last epoch always has one.
    """

    epochs: int
    schedule: Schedule
    max_grad_norm: float | None
    precision: Precision
    report_every: int
    save_every: int
    validate_every: int = 1


def _ignore(*_: object) -> None:
    """Do nothing."""


def _no_scores(_: nn.Module) -> Mapping[str, float]:
    return {}


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Hooks:
    """What happens around the steps. Every worker calls every hook, in the same order.

    Attributes:
        on_step: receives means every `report_every` steps.
        on_epoch: receives means and scores of an epoch.
        save: keeps the state.
        validate: scores a model (the averaged weights where there are such).
        should_stop: asked after every step whether to end early; must answer alike on every worker.
        keep_batch: keeps the bytes of a batch under a name, and tells where.
    """

    on_step: Callable[[StepReport], None] = _ignore
    on_epoch: Callable[[EpochReport], None] = _ignore
    save: Callable[[TrainState], None] = _ignore
    validate: Callable[[nn.Module], Mapping[str, float]] = _no_scores
    should_stop: Callable[[], bool] = _never
    keep_batch: Callable[[str, bytes], str | None] = lambda _name, _data: None


def train(
    state: TrainState, model: nn.Module, data: Batches, settings: LoopSettings, *, world: World, hooks: Hooks
) -> bool:
    """Train from the state's position to the end, or until told to stop.

    Args:
        state: continued in place.
        model: the state's model, or a data-parallel wrapper around it.
        data: batches of this worker.
        settings: how long, and how often what.
        world: this worker among the others.
        hooks: reports, checkpoints, validation.

    Returns:
        True at the end of the last epoch, False where `should_stop` ended it earlier. Either way the state was saved.

    Raises:
        NotFiniteError: the loss or the gradient is no number; the message names the samples and the saved batch.
    """
    loop = _Loop(state, model, data, settings, world, hooks)
    while state.epoch < settings.epochs:
        if not loop.finish_steps():
            hooks.save(state)
            return False
        loop.finish_epoch()
        hooks.save(state)
        if state.epoch < settings.epochs and hooks.should_stop():
            return False
    return True


@dataclass(frozen=True)
class _Loop:
    state: TrainState
    model: nn.Module
    data: Batches
    settings: LoopSettings
    world: World
    hooks: Hooks

    def finish_steps(self) -> bool:
        """Take the steps of the epoch that are left; False where told to stop before they were all taken."""
        state, steps_per_epoch = self.state, self.data.steps_per_epoch
        watch = Stopwatch()
        batches = self.data.batches(state.epoch, state.step)
        self.model.train()
        while state.step < steps_per_epoch:
            watch.begin_waiting()
            batch = next(batches).to(self.world.device)
            watch.got(len(batch) * self.world.size)
            rate = self.settings.schedule.learning_rate(state.num_steps)
            self._step(batch, rate)
            is_last = state.step == steps_per_epoch
            if is_last or state.num_steps % self.settings.report_every == 0:
                self._report(rate, watch)
            if self.hooks.should_stop():
                return is_last
            if not is_last and state.num_steps % self.settings.save_every == 0:
                self.hooks.save(state)
        return True

    def _step(self, batch: Batch, learning_rate: float) -> None:
        state = self.state
        try:
            outcome = take_step(
                state,
                self.model,
                batch,
                learning_rate=learning_rate,
                max_grad_norm=self.settings.max_grad_norm,
                precision=self.settings.precision,
                world=self.world,
            )
        except NotFiniteError as error:
            name = f"nan_batch_epoch{state.epoch:04d}_step{state.step:06d}_worker{self.world.rank}.pt"
            place = self.hooks.keep_batch(name, batch_bytes(batch))
            kept = f" The batch of worker {self.world.rank} is kept in {place}." if place else ""
            fix = " Look for wrong labels in it; else lower the learning rate or set optimiser.max_grad_norm."
            raise NotFiniteError(f"{error}.{kept}{fix}", batch) from None
        state.interval.add(outcome.values())
        state.whole_epoch.add(outcome.values())
        state.step += 1
        state.num_steps += 1

    def _report(self, learning_rate: float, watch: Stopwatch) -> None:
        state = self.state
        report = StepReport(
            epoch=state.epoch,
            step=state.step,
            steps_per_epoch=self.data.steps_per_epoch,
            epochs=self.settings.epochs,
            num_steps=state.num_steps,
            learning_rate=learning_rate,
            means=state.interval.means(),
            timing=watch.lap(),
        )
        state.interval.reset()
        self.hooks.on_step(report)

    def finish_epoch(self) -> None:
        """Score, report, and move on to the next epoch."""
        state, epochs = self.state, self.settings.epochs
        is_due = (state.epoch + 1) % self.settings.validate_every == 0 or state.epoch + 1 == epochs
        scores = self._scores() if is_due else {}
        report = EpochReport(state.epoch, epochs, state.num_steps, state.whole_epoch.means(), scores)
        state.whole_epoch.reset()
        state.epoch += 1
        state.step = 0
        self.hooks.on_epoch(report)

    def _scores(self) -> dict[str, float]:
        model, average = self.state.model, self.state.average
        model.eval()
        with nullcontext() if average is None else average.applied_to(model):
            # every worker normalises by statistics of its own samples; a checkpoint, and so a score, has worker 0's
            self.world.copy_from_first(model.buffers())
            return dict(self.hooks.validate(model))
