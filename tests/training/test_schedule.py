import math

import pytest

from hoiray.config.what import Optimiser
from hoiray.training.schedule import Schedule


def test_the_papers_rate_falls_by_three_tenths_every_ten_epochs() -> None:
    schedule = Schedule(Optimiser(), steps_per_epoch=100, epochs=60)
    rates = {epoch: schedule.learning_rate(100 * epoch) for epoch in (0, 9, 10, 19, 20, 59)}
    expected = {0: 1e-4, 9: 1e-4, 10: 7e-5, 19: 7e-5, 20: 4.9e-5, 59: 1e-4 * 0.7**5}
    assert rates == pytest.approx(expected, rel=1e-12)
    assert schedule.learning_rate(999) == 1e-4
    assert schedule.learning_rate(1000) == pytest.approx(7e-5)


def test_the_stairs_are_those_of_torch() -> None:
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.3)
    reference = torch.optim.lr_scheduler.StepLR(optimiser, step_size=2, gamma=0.5)
    schedule = Schedule(Optimiser(learning_rate=0.3, step_epochs=2, step_factor=0.5), steps_per_epoch=3, epochs=7)
    for epoch in range(7):
        assert schedule.learning_rate(3 * epoch) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()


def test_the_warm_up_is_a_line_that_reaches_the_full_rate_behind_its_last_step() -> None:
    schedule = Schedule(Optimiser(learning_rate=1.0, warmup_steps=4), steps_per_epoch=100, epochs=2)
    assert [schedule.learning_rate(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_the_cosine_goes_from_the_full_rate_to_its_final_fraction() -> None:
    settings = Optimiser(learning_rate=2.0, schedule="cosine", final_fraction=0.1)
    schedule = Schedule(settings, steps_per_epoch=3, epochs=3)
    # nine steps: step 4 is half way, step 2 a quarter of the way
    assert schedule.learning_rate(0) == pytest.approx(2.0)
    assert schedule.learning_rate(2) == pytest.approx(2.0 * (0.1 + 0.45 * (1.0 + math.sqrt(0.5))))
    assert schedule.learning_rate(4) == pytest.approx(2.0 * 0.55)
    assert schedule.learning_rate(8) == pytest.approx(0.2)
    assert schedule.learning_rate(50) == pytest.approx(0.2)


def test_the_cosine_begins_where_the_warm_up_ends() -> None:
    settings = Optimiser(learning_rate=1.0, schedule="cosine", final_fraction=0.0, warmup_steps=2)
    schedule = Schedule(settings, steps_per_epoch=7, epochs=1)
    assert [schedule.learning_rate(step) for step in (0, 1, 2, 4, 6)] == pytest.approx([1 / 3, 2 / 3, 1.0, 0.5, 0.0])


def test_a_training_of_one_step_has_a_rate() -> None:
    assert (
        Schedule(Optimiser(learning_rate=1.0, schedule="cosine"), steps_per_epoch=1, epochs=1).learning_rate(0) == 1.0
    )
