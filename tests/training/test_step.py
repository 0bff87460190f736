import pickle

import pytest
import torch
from toy_training import make_batch, spoiled, toy_state

from hoiray.errors import ContractError
from hoiray.models.losses import HAND_ANNOTATED, HAND_PSEUDO, PSEUDO_SHARE
from hoiray.models.precision import Precision
from hoiray.training.state import TrainState
from hoiray.training.step import NotFiniteError, StepOutcome, take_step
from hoiray.training.world import World

FLOAT32 = Precision("cpu", None)


def step(state: TrainState, *, rate: float = 1e-2, clip: float | None = None, bad: bool = False) -> StepOutcome:
    batch = make_batch((9,))
    if bad:
        batch = spoiled(batch)
    return take_step(
        state, state.model, batch, learning_rate=rate, max_grad_norm=clip, precision=FLOAT32, world=World()
    )


def weights_of(state: TrainState) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in state.model.parameters()]).clone()


def test_a_step_is_adams_step_on_the_total_loss() -> None:
    state, reference = toy_state(), toy_state()
    outcome = step(state)
    optimiser = torch.optim.Adam(reference.model.parameters(), lr=1e-2, weight_decay=5e-4)
    reference.seed_step(0)
    losses = reference.model(make_batch((9,)))
    losses["total"].backward()
    optimiser.step()
    assert torch.equal(weights_of(state), weights_of(reference))
    assert outcome.losses == {name: pytest.approx(float(loss.detach())) for name, loss in losses.items()}


def test_a_rate_of_zero_changes_no_weight() -> None:
    state = toy_state()
    before = weights_of(state)
    step(state, rate=0.0)
    assert torch.equal(weights_of(state), before)


def test_the_gradient_is_shortened_to_its_limit_and_reported_unshortened() -> None:
    free, clipped = toy_state(), toy_state()
    for state in (free, clipped):
        state.optimiser = torch.optim.SGD(state.model.parameters(), lr=0.0)
    before = weights_of(free)
    norm = step(free, rate=1.0).grad_norm
    assert norm is not None
    assert norm == pytest.approx(float((weights_of(free) - before).norm()), rel=1e-5)
    assert step(clipped, rate=1.0, clip=norm / 4).grad_norm == pytest.approx(norm)
    assert float((weights_of(clipped) - before).norm()) == pytest.approx(norm / 4, rel=1e-4)


def test_the_random_numbers_of_a_step_are_those_of_its_position() -> None:
    first, second, elsewhere = toy_state(), toy_state(), toy_state()
    elsewhere.step = 1
    torch.manual_seed(123)
    outcome = step(first)
    torch.manual_seed(456)
    assert step(second) == outcome
    assert step(elsewhere) != outcome


def test_a_loss_that_is_no_number_stops_before_any_weight_changes() -> None:
    state = toy_state(average_decay=0.5)
    before = weights_of(state)
    with pytest.raises(NotFiniteError) as raised:
        step(state, bad=True)
    assert torch.equal(weights_of(state), before)
    assert state.average is not None
    assert state.average.num_updates == 0
    message = str(raised.value)
    assert message.startswith("training, epoch 0, step 0: expected finite losses and gradients, found worker 0: loss ")
    assert "loss joints_3d nan, loss total nan (samples sample/9/0, sample/9/1, sample/9/2" in message
    assert raised.value.batch.sample_ids == make_batch((9,)).sample_ids


def test_a_gradient_that_is_no_number_stops_even_if_the_loss_is_one() -> None:
    state = toy_state()
    weight = next(state.model.parameters())
    weight.register_hook(lambda gradient: gradient / 0.0)
    with pytest.raises(NotFiniteError, match=r"found worker 0: finite losses, but the gradient is not \(samples"):
        step(state)


def test_the_error_travels_between_processes_as_what_stops_a_run() -> None:
    error = pickle.loads(pickle.dumps(NotFiniteError("no number", make_batch((1,)))))
    assert type(error) is ContractError
    assert str(error) == "no number"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_float16_skips_steps_until_its_scale_fits_and_gives_up_in_the_end() -> None:
    state = toy_state()
    device = torch.device("cuda")
    state.model.to(device)
    precision = Precision.choose("float16", device)
    state.scaler = precision.scaler()
    batch = make_batch((9,)).to(device)
    next(state.model.parameters()).register_hook(lambda gradient: gradient / 0.0)
    world = World(device=device)

    def step() -> StepOutcome:
        return take_step(
            state, state.model, batch, learning_rate=1e-2, max_grad_norm=None, precision=precision, world=world
        )

    assert [step().grad_norm for _ in range(25)] == [None] * 25
    with pytest.raises(NotFiniteError):
        step()


def test_losses_of_kinds_are_means_over_the_samples_of_each() -> None:
    parts = {"total": 3.0, HAND_ANNOTATED: 1.5, HAND_PSEUDO: 0.5, PSEUDO_SHARE: 0.25}
    assert StepOutcome(parts, None).values() == {"total": 3.0, HAND_ANNOTATED: 2.0, HAND_PSEUDO: 2.0}
    none = StepOutcome({"total": 3.0, HAND_ANNOTATED: 1.5, HAND_PSEUDO: 0.0, PSEUDO_SHARE: 0.0}, 1.0)
    assert none.values() == {"total": 3.0, HAND_ANNOTATED: 1.5, "grad_norm": 1.0}
