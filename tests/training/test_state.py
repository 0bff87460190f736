import io

import pytest
import torch
from toy_training import ToyData, toy_settings, toy_state

from hoiray.errors import ContractError
from hoiray.training.loop import Hooks, train
from hoiray.training.state import TrainState
from hoiray.training.world import World


def saved(state: TrainState) -> dict[str, object]:
    stream = io.BytesIO()
    torch.save(state.payload(), stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


def trained(**options: float) -> TrainState:
    state = toy_state(**options)  # type: ignore[arg-type]  # one option only
    train(state, state.model, ToyData(), toy_settings(epochs=1), world=World(), hooks=Hooks())
    state.rows.append({"kind": "step", "epoch": 1, "loss": 0.5})
    state.interval.add({"a": 1.0})
    return state


def test_a_state_comes_back_whole() -> None:
    state, again = trained(average_decay=0.9), toy_state(7, average_decay=0.9)
    again.load_payload(saved(state), source="here")
    first, second = saved(state), saved(again)
    assert first.keys() == second.keys()
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert first["position"] == second["position"] == {
        "seed": 0, "epoch": 1, "step": 0, "num_steps": 5, "num_skipped": 0
    }  # fmt: skip
    assert again.rows == state.rows
    assert (again.interval, again.whole_epoch) == (state.interval, state.whole_epoch)
    moments = [s.optimiser.state_dict()["state"][0]["exp_avg"] for s in (state, again)]
    assert torch.equal(*moments)


def test_a_state_with_averages_is_not_one_without() -> None:
    with pytest.raises(ContractError, match=r"^here: expected a state without average, found one with\. Resume with"):
        toy_state().load_payload(saved(trained(average_decay=0.9)), source="here")
    with pytest.raises(ContractError, match="expected a state with average, found one without"):
        toy_state(average_decay=0.9).load_payload(saved(trained()), source="here")


def test_the_state_of_another_model_or_another_format_is_refused() -> None:
    payload = saved(trained())
    with pytest.raises(ContractError, match="expected format 1, found format 2"):
        toy_state().load_payload({**payload, "format": 2}, source="here")
    other = toy_state()
    other.model.layers[5] = torch.nn.Linear(36, 64)  # type: ignore[index]  # torch types children as modules
    with pytest.raises(ContractError, match=r"here: expected the state of this model, found .*\n.*size mismatch"):
        other.load_payload(payload, source="here")


def test_every_step_and_worker_has_random_numbers_of_its_own() -> None:
    draws = set()
    for seed in (0, 1):
        for epoch in (0, 1):
            for step in (0, 1):
                for rank in (0, 1):
                    state = toy_state()
                    state.seed, state.epoch, state.step = seed, epoch, step
                    state.seed_step(rank)
                    draws.add(float(torch.rand(())))
    assert len(draws) == 16
