"""A running average of the weights, which scores better than the last weights and costs one addition a step."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all weights and float buffers; whole-number buffers are copied.

    The decay begins low, `min(decay, (1 + n) / (10 + n))` after n steps, lest the random first weights linger.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin with the weights as they are."""
        self.decay = decay
        self.num_updates = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after one step."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        new = model.state_dict()
        moving = [name for name, tensor in new.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.tensors[name] for name in moving], [new[name] for name in moving], 1.0 - decay)
        for name in new.keys() - set(moving):
            self.tensors[name].copy_(new[name])

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Lend the averages to the model; its own weights come back unharmed."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.tensors)
        try:
            yield
        finally:
            model.load_state_dict(own)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """What a checkpoint keeps."""
        return {"num_updates": self.num_updates, "tensors": self.tensors}

    def load_state_dict(self, saved: dict[str, int | dict[str, Tensor]]) -> None:
        """Take over what a checkpoint kept; the names must be the model's."""
        num_updates, tensors = saved["num_updates"], saved["tensors"]
        assert isinstance(num_updates, int)
        assert isinstance(tensors, dict)
        self.num_updates = num_updates
        for name, tensor in self.tensors.items():
            tensor.copy_(tensors[name])
