"""Everything a training is, apart from its data and its settings: save it, load it, and it goes on as if unbroken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from hoiray.errors import ContractError, describe
from hoiray.training.average import WeightAverage
from hoiray.training.meter import Meter

STATE_FORMAT: Final = 1

Row = dict[str, str | int | float]
"""One row of the history; see :mod:`hoiray.training.history`."""


@dataclass
class TrainState:
    """Weights, optimiser, position, and the means that are being taken.

    Random numbers are no part of it: every step seeds its generators from (seed, epoch, step, rank), so the position
    *is* the state of the generators, for the model (:meth:`seed_step`) as for the data (their loader does the same).
    Nor is the schedule, which is a function of the position.

    Attributes:
        model: takes a :class:`~hoiray.models.batch.Batch`, returns losses by name, `total` among them.
        optimiser: of its parameters.
        average: of its weights, or None.
        scaler: of the loss, in float16 only.
        seed: of the training.
        epoch: complete epochs.
        step: steps taken in the epoch that has begun.
        num_steps: steps taken in all epochs.
        num_skipped: steps in a row that the scaler refused.
        interval, whole_epoch: means since the last report, and since the beginning of the epoch.
        rows: the history so far.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage | None = None
    scaler: torch.amp.GradScaler | None = None
    seed: int = 0
    epoch: int = 0
    step: int = 0
    num_steps: int = 0
    num_skipped: int = 0
    interval: Meter = field(default_factory=Meter)
    whole_epoch: Meter = field(default_factory=Meter)
    rows: list[Row] = field(default_factory=list)

    def seed_step(self, rank: int) -> None:
        """Seed torch's global generators for the step that comes next on one worker."""
        words = np.random.SeedSequence((self.seed, self.epoch, self.step, rank)).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 32 | int(words[1]))

    def payload(self) -> dict[str, Any]:
        """What to save: tensors, numbers, text, and containers of these (`torch.load(weights_only=True)` reads it)."""
        return {
            "format": STATE_FORMAT,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "position": {name: getattr(self, name) for name in _POSITION},
            "interval": {"sums": self.interval.sums, "counts": self.interval.counts},
            "whole_epoch": {"sums": self.whole_epoch.sums, "counts": self.whole_epoch.counts},
            "rows": self.rows,
        }

    def load_payload(self, payload: Mapping[str, Any], *, source: str) -> None:
        """Take over a saved state.

        Args:
            payload: from :meth:`payload`.
            source: where it came from, for messages.

        Raises:
            ContractError: it is of another format, another model, or another set of options.
        """
        if payload.get("format") != STATE_FORMAT:
            raise _mismatch(source, f"format {STATE_FORMAT}", f"format {payload.get('format')!r}")
        for name, own in (("average", self.average), ("scaler", self.scaler)):
            if (own is None) != (payload[name] is None):
                with_or_without = ("with", "without") if own is not None else ("without", "with")
                raise _mismatch(source, f"a state {with_or_without[0]} {name}", f"one {with_or_without[1]}")
        try:
            self.model.load_state_dict(payload["model"])
            self.optimiser.load_state_dict(payload["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise _mismatch(source, "the state of this model", str(error)) from error
        if self.average is not None:
            self.average.load_state_dict(payload["average"])
        if self.scaler is not None:
            self.scaler.load_state_dict(payload["scaler"])
        for name in _POSITION:
            setattr(self, name, payload["position"][name])
        self.interval, self.whole_epoch = Meter(**payload["interval"]), Meter(**payload["whole_epoch"])
        self.rows = list(payload["rows"])


_POSITION: Final = ("seed", "epoch", "step", "num_steps", "num_skipped")


def _mismatch(source: str, expected: str, found: str) -> ContractError:
    fix = "Resume with the settings the run was started with, or start a new one elsewhere."
    return ContractError(describe(what=source, expected=expected, found=found, fix=fix))
