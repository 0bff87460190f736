import torch
from torch import nn

from hoiray.training.average import WeightAverage


def model_of(value: float) -> nn.Module:
    model = nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(value)
    return model


def test_the_average_follows_its_recursion() -> None:
    model = model_of(1.0)
    average = WeightAverage(model, decay=0.15)
    expected = 1.0
    for number, value in enumerate((3.0, -2.0, 5.0)):
        with torch.no_grad():
            model.weight.fill_(value)
            model.num_batches_tracked.fill_(number)
        average.update(model)
        decay = min(0.15, (1 + number) / (10 + number))  # 0.1, then 0.15
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(average.tensors["weight"], torch.tensor([expected]))
    assert int(average.tensors["num_batches_tracked"]) == 2


def test_a_model_gets_its_own_weights_back() -> None:
    model = model_of(1.0)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(7.0)
    with average.applied_to(model):
        assert float(model.weight.detach()) == 1.0
    assert float(model.weight.detach()) == 7.0


def test_a_saved_average_goes_on_as_before() -> None:
    model = model_of(1.0)
    averages = [WeightAverage(model, decay=0.5) for _ in range(2)]
    with torch.no_grad():
        model.weight.fill_(2.0)
    averages[0].update(model)
    averages[1].load_state_dict(averages[0].state_dict())
    averages[0].tensors["weight"].add_(0.0)
    with torch.no_grad():
        model.weight.fill_(5.0)
    for average in averages:
        average.update(model)
    assert torch.equal(averages[0].tensors["weight"], averages[1].tensors["weight"])
    assert averages[1].num_updates == 2
