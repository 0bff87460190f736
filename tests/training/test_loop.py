import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_training import ToyData, ToyModel, make_batch, spoiled, toy_settings, toy_state

from hoiray.models.batch import Batch
from hoiray.training.loop import Hooks, train
from hoiray.training.reports import EpochReport, StepReport
from hoiray.training.state import TrainState
from hoiray.training.step import NotFiniteError
from hoiray.training.world import World


class Watcher:
    """Hooks that remember everything, and can stop the training or break it off at a step."""

    def __init__(self, *, stop_at: int | None = None, break_at: int | None = None) -> None:
        self.steps: list[StepReport] = []
        self.epochs: list[EpochReport] = []
        self.saved: list[tuple[int, int, bytes]] = []
        self.asked = 0
        self.stop_at, self.break_at = stop_at, break_at

    def hooks(self) -> Hooks:
        return Hooks(on_step=self.steps.append, on_epoch=self.epochs.append, save=self.save,
                     validate=self.validate, should_stop=self.should_stop)  # fmt: skip

    def save(self, state: TrainState) -> None:
        stream = io.BytesIO()
        torch.save(state.payload(), stream)
        self.saved.append((state.epoch, state.step, stream.getvalue()))

    def validate(self, model: nn.Module) -> dict[str, float]:
        assert isinstance(model, ToyModel)
        assert not model.training
        with torch.no_grad():
            return {"error": float(model.predict(make_batch((99,))).square().mean())}

    def should_stop(self) -> bool:
        self.asked += 1
        if self.asked == self.break_at:
            raise KeyboardInterrupt
        return self.asked == self.stop_at

    def facts(self) -> list[object]:
        """All that must not depend on the clock."""
        steps = [(r.epoch, r.step, r.num_steps, r.learning_rate, tuple(r.means.items())) for r in self.steps]
        return [*steps, *((r.epoch, r.num_steps, tuple(r.means.items()), tuple(r.scores.items())) for r in self.epochs)]


def run(watcher: Watcher, state: TrainState | None = None, data: ToyData | None = None) -> TrainState:
    state = state or toy_state(average_decay=0.9)
    train(state, state.model, data or ToyData(), toy_settings(), world=World(), hooks=watcher.hooks())
    return state


def weights_of(state: TrainState) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in state.model.state_dict().items()}


def test_reports_checkpoints_and_validations_come_when_they_are_due() -> None:
    watcher = Watcher()
    run(watcher)
    # a report every 2 steps counted over all epochs, and one at the end of each epoch of 5
    assert [report.num_steps for report in watcher.steps] == [2, 4, 5, 6, 8, 10, 12, 14, 15]
    assert [(report.epoch, report.num_steps) for report in watcher.epochs] == [(0, 5), (1, 10), (2, 15)]
    # every 3 steps, but not twice at the end of an epoch
    assert [(epoch, step) for epoch, step, _ in watcher.saved] == [
        (0, 3),
        (1, 0),
        (1, 1),
        (1, 4),
        (2, 0),
        (2, 2),
        (3, 0),
    ]
    assert all(set(report.scores) == {"error"} for report in watcher.epochs)


def test_the_rate_follows_the_schedule() -> None:
    watcher = Watcher()
    run(watcher)
    rates = {report.epoch: report.learning_rate for report in watcher.steps}
    assert rates == {0: 1e-2, 1: pytest.approx(7e-3), 2: pytest.approx(4.9e-3)}


def test_two_runs_with_one_seed_are_equal_to_the_last_bit() -> None:
    first, second = Watcher(), Watcher()
    states = [run(watcher) for watcher in (first, second)]
    assert first.facts() == second.facts()
    for name, tensor in weights_of(states[0]).items():
        assert torch.equal(tensor, weights_of(states[1])[name])


def test_another_seed_is_another_run() -> None:
    first, second = Watcher(), Watcher()
    run(first)
    run(second, toy_state(1, average_decay=0.9))
    assert first.facts() != second.facts()


@pytest.mark.parametrize("number", range(7))
def test_from_every_checkpoint_the_rest_is_that_of_the_unbroken_run(number: int) -> None:
    unbroken, resumed = Watcher(), Watcher()
    end = run(unbroken)
    epoch, step, data = unbroken.saved[number]
    state = toy_state(55, average_decay=0.9)
    state.load_payload(torch.load(io.BytesIO(data), weights_only=True), source="memory")
    toy_data = ToyData()
    run(resumed, state, toy_data)
    num_steps = 5 * epoch + step
    assert resumed.steps or epoch == 3
    expected = [fact for fact in unbroken.facts() if _is_later(fact, num_steps, epoch)]
    assert resumed.facts() == expected
    assert toy_data.asked[:1] == ([(epoch, step)] if epoch < 3 else [])
    for name, tensor in weights_of(end).items():
        assert torch.equal(tensor, weights_of(state)[name])


def _is_later(fact: object, num_steps: int, epoch: int) -> bool:
    assert isinstance(fact, tuple)
    is_step = len(fact) == 5
    return bool(fact[2] > num_steps) if is_step else bool(fact[0] >= epoch)


def test_asked_to_stop_it_saves_and_ends_and_can_go_on() -> None:
    unbroken, stopped, rest = Watcher(), Watcher(stop_at=8), Watcher()
    run(unbroken)
    state = toy_state(average_decay=0.9)
    settings = toy_settings()
    assert not train(state, state.model, ToyData(), settings, world=World(), hooks=stopped.hooks())
    assert (state.epoch, state.step) == (1, 2)  # asked after each of 5 steps, after the epoch, and after 2 more
    assert stopped.saved[-1][:2] == (1, 2)
    assert train(state, state.model, ToyData(), settings, world=World(), hooks=rest.hooks())
    assert {*stopped.facts(), *rest.facts()} == set(unbroken.facts())


def test_stopping_right_behind_an_epoch_saves_once() -> None:
    watcher = Watcher(stop_at=6)
    state = toy_state()
    assert not train(state, state.model, ToyData(), toy_settings(), world=World(), hooks=watcher.hooks())
    assert (state.epoch, state.step) == (1, 0)
    assert [saved[:2] for saved in watcher.saved] == [(0, 3), (1, 0)]


def test_a_training_that_has_ended_does_nothing_more() -> None:
    state = run(Watcher())
    watcher = Watcher()
    assert train(state, state.model, ToyData(), toy_settings(), world=World(), hooks=watcher.hooks())
    assert (watcher.facts(), watcher.saved) == ([], [])


def test_what_is_scored_are_the_averaged_weights() -> None:
    watcher = Watcher()
    state = run(watcher)
    assert state.average is not None
    own = watcher.validate(state.model.eval())
    with state.average.applied_to(state.model):
        averaged = watcher.validate(state.model)
    assert watcher.epochs[-1].scores == averaged != own


class SpoiledData(ToyData):
    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        for step, batch in enumerate(super().batches(epoch, first_step), start=first_step):
            yield spoiled(batch) if (epoch, step) == (1, 2) else batch


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_batch(tmp_path: Path) -> None:
    state = toy_state()
    places = []

    def keep(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        places.append(name)
        return str(tmp_path / name)

    with pytest.raises(NotFiniteError) as raised:
        train(state, state.model, SpoiledData(), toy_settings(), world=World(), hooks=Hooks(keep_batch=keep))
    assert places == ["nan_batch_epoch0001_step000002_worker0.pt"]
    message = str(raised.value)
    assert "training, epoch 1, step 2: expected finite losses and gradients" in message
    assert f"The batch of worker 0 is kept in {tmp_path / places[0]}. Look for wrong labels in it" in message
    assert "sample/0.1.2.0/1" in message
    assert (state.epoch, state.step) == (1, 2)
    assert all(torch.isfinite(weight).all() for weight in state.model.parameters())
