"""One optimiser step on one worker: losses, gradients, a check of both, and the update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from hoiray.errors import ContractError
from hoiray.models.batch import Batch
from hoiray.models.losses import HAND_ANNOTATED, HAND_PSEUDO, PSEUDO_SHARE
from hoiray.models.precision import Precision
from hoiray.training.state import TrainState
from hoiray.training.world import World

TOTAL: Final = "total"
"""Name of the loss that is minimised; the others are its parts."""

MAX_SKIPPED_STEPS: Final = 25
"""In a row, in float16: the scale begins at 2^16 and halves at each, so by then it is 2^-9 and not to blame."""


@dataclass(frozen=True)
class StepOutcome:
    """What one step yielded.

    Attributes:
        losses: by name, averaged over the workers.
        grad_norm: of all gradients together, before clipping, averaged over the workers by construction; None where
            the scaler refused the step.
    """

    losses: dict[str, float]
    grad_norm: float | None

    def values(self) -> dict[str, float]:
        """Losses and gradient norm for a meter; of kinds of labels, the means of those that the step had."""
        losses = by_kind(self.losses)
        return losses if self.grad_norm is None else {**losses, GRAD_NORM: self.grad_norm}


GRAD_NORM: Final = "grad_norm"


def by_kind(losses: Mapping[str, float]) -> dict[str, float]:
    """Turn parts of annotated samples and pseudo labels into means over each; a kind without a sample is left out."""
    known = dict(losses)
    if PSEUDO_SHARE not in known:
        return known
    share = known.pop(PSEUDO_SHARE)
    for name, part in ((HAND_ANNOTATED, 1.0 - share), (HAND_PSEUDO, share)):
        value = known.pop(name)
        if part > 0.0:
            known[name] = value / part
    return known


class NotFiniteError(ContractError):
    """The loss or the gradient is no number. Training stops: the next step would make every weight NaN."""

    def __init__(self, message: str, batch: Batch) -> None:
        """Keep the batch beside the message.

        Args:
            message: as of every error.
            batch: of this worker.
        """
        super().__init__(message)
        self.batch = batch

    def __reduce__(self) -> tuple[type[ContractError], tuple[str]]:
        # on its way between processes the batch stays behind: it has been saved by then
        return ContractError, (str(self),)


def take_step(
    state: TrainState,
    model: nn.Module,
    batch: Batch,
    *,
    learning_rate: float,
    max_grad_norm: float | None,
    precision: Precision,
    world: World,
) -> StepOutcome:
    """Improve the weights by one batch.

    Args:
        state: its optimiser, average and scaler are updated; the position is the loop's.
        model: the state's model, or a data-parallel wrapper around it.
        batch: on the model's device.
        learning_rate: of this step.
        max_grad_norm: longer gradients are shortened to it; None: never.
        precision: of the forward pass.
        world: the workers, all of which take this step together.

    Raises:
        NotFiniteError: on every worker, where the loss or the gradient of any is no number. No weight was changed.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate
    state.seed_step(world.rank)
    state.optimiser.zero_grad(set_to_none=True)
    with precision.autocast():
        losses: Mapping[str, Tensor] = model(batch)
    _backward(state, losses[TOTAL])
    norm = _clipped_norm(state.model, max_grad_norm)
    local = torch.stack([*(loss.detach().float() for loss in losses.values()), norm.float()]).cpu().double()
    values = world.sum(local.clone().to(world.device)).cpu() / world.size
    *means, grad_norm = values.tolist()
    if not _may_go_on(state, means, grad_norm):
        raise NotFiniteError(_culprits(state, batch, dict(zip(losses, local.tolist(), strict=False)), world), batch)
    is_skipped = not math.isfinite(grad_norm)
    _update(state, is_skipped=is_skipped)
    return StepOutcome(dict(zip(losses, means, strict=True)), None if is_skipped else grad_norm)


def _backward(state: TrainState, total: Tensor) -> None:
    if state.scaler is None:
        torch.autograd.backward(total)
        return
    torch.autograd.backward(state.scaler.scale(total))
    state.scaler.unscale_(state.optimiser)


def _clipped_norm(model: nn.Module, max_norm: float | None) -> Tensor:
    if max_norm is not None:
        return nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return nn.utils.get_total_norm([weight.grad for weight in model.parameters() if weight.grad is not None])


def _update(state: TrainState, *, is_skipped: bool) -> None:
    state.num_skipped = state.num_skipped + 1 if is_skipped else 0
    if state.scaler is None:
        state.optimiser.step()
    else:
        state.scaler.step(state.optimiser)
        state.scaler.update()
    if state.average is not None and not is_skipped:
        state.average.update(state.model)


def _may_go_on(state: TrainState, losses: Sequence[float], grad_norm: float) -> bool:
    """Tell whether the step counts; every worker answers alike, since all of them see the same means."""
    may_skip = state.scaler is not None and state.num_skipped < MAX_SKIPPED_STEPS
    return all(map(math.isfinite, losses)) and (math.isfinite(grad_norm) or may_skip)


def _culprits(state: TrainState, batch: Batch, losses: Mapping[str, float], world: World) -> str:
    """Say which worker's losses are no numbers, and what its samples are."""
    bad = ", ".join(f"loss {name} {value}" for name, value in losses.items() if not math.isfinite(value))
    mine = (world.rank, bad or "finite losses, but the gradient is not", batch.sample_ids)
    reports = [f"worker {rank}: {found} (samples {', '.join(ids)})" for rank, found, ids in world.gather(mine)]
    what = f"training, epoch {state.epoch}, step {state.step}"
    return f"{what}: expected finite losses and gradients, found {'; '.join(reports)}"
