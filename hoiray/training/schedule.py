"""The learning rate as a pure function of the step: nothing to save, nothing to restore, nothing to get out of step."""

import math
from dataclasses import dataclass

from hoiray.config.what import Optimiser


@dataclass(frozen=True)
class Schedule:
    """Learning rates of a whole training.

    Attributes:
        optimiser: the configured rates.
        steps_per_epoch: optimiser steps of one epoch.
        epochs: of the whole training; the cosine ends there.
    """

    optimiser: Optimiser
    steps_per_epoch: int
    epochs: int

    def learning_rate(self, step: int) -> float:
        """Give the rate of one step.

        Args:
            step: optimiser steps taken before this one, over all epochs.

        Returns:
            The base rate times the warm-up times the decay. `step`: the released code's StepLR, constant within an
            epoch, `factor ** (epoch // step_epochs)`. `cosine`: from 1 at the end of the warm-up down to
            `final_fraction` at the last step.
        """
        settings = self.optimiser
        warmup = min(1.0, (step + 1) / (settings.warmup_steps + 1))
        decay = self._cosine(step) if settings.schedule == "cosine" else self._stairs(step)
        return settings.learning_rate * warmup * decay

    def _stairs(self, step: int) -> float:
        epoch = step // self.steps_per_epoch
        return float(self.optimiser.step_factor ** (epoch // self.optimiser.step_epochs))

    def _cosine(self, step: int) -> float:
        last = self.steps_per_epoch * self.epochs - 1
        span = max(1, last - self.optimiser.warmup_steps)
        passed = min(max(step - self.optimiser.warmup_steps, 0) / span, 1.0)
        final = self.optimiser.final_fraction
        return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * passed))
