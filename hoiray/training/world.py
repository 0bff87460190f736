"""The workers of a data-parallel training, seen from one of them. One worker needs no process group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
    """Who this worker is.

    With more than one worker `torch.distributed` must have been initialised (gloo or nccl); whoever starts the
    workers does that.

    Attributes:
        rank: of this worker, from 0; worker 0 writes.
        size: number of workers.
        device: where this worker computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this worker writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Add up the workers' tensors of one shape; every worker gets the sum."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(values)
        return values

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite every worker's tensors by those of worker 0."""
        if self.size > 1:
            import torch.distributed as dist

            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gather(self, item: Item) -> Sequence[Item]:
        """Collect one small picklable object of each worker, in order of rank, on every worker."""
        if self.size == 1:
            return [item]
        import torch.distributed as dist

        items: list[Item] = [item] * self.size
        dist.all_gather_object(items, item)
        return items
