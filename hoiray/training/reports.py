"""What a training tells while it runs: means over some steps, and over an epoch."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """How fast the steps were. The only numbers of a report that differ between two equal runs.

    Attributes:
        samples_per_s: of all workers together.
        data_wait_share: fraction of the time that worker 0 waited for its next batch.
    """

    samples_per_s: float
    data_wait_share: float


@dataclass(frozen=True)
class StepReport:
    """Means over the steps since the last report.

    Attributes:
        epoch: that has begun, from 0.
        step: steps taken in it.
        steps_per_epoch: of every epoch.
        epochs: of the whole training.
        num_steps: steps taken in all epochs.
        learning_rate: of the last step.
        means: losses by name, averaged over workers; the gradient's norm among them as `grad_norm`.
        timing: of these steps.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    epochs: int
    num_steps: int
    learning_rate: float
    means: dict[str, float]
    timing: Timing


@dataclass(frozen=True)
class EpochReport:
    """Means over an epoch, and the scores after it.

    Attributes:
        epoch: that has ended, from 0.
        epochs: of the whole training.
        num_steps: steps taken in all epochs.
        means: as of :class:`StepReport`, over the whole epoch.
        scores: of the validation set by name; empty where none was made.
    """

    epoch: int
    epochs: int
    num_steps: int
    means: dict[str, float]
    scores: dict[str, float]


@dataclass(frozen=True)
class Note:
    """Something worth a line that is no measurement."""

    text: str


Event = StepReport | EpochReport | Note


@dataclass
class Stopwatch:
    """Measures where the time of the steps goes."""

    waited_s: float = 0.0
    num_samples: int = 0
    _started_s: float = field(init=False)
    _waiting_since_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._started_s = self._waiting_since_s = time.perf_counter()

    def begin_waiting(self) -> None:
        """The next batch is asked for."""
        self._waiting_since_s = time.perf_counter()

    def got(self, num_samples: int) -> None:
        """It is there, with so many samples (over all workers)."""
        self.waited_s += time.perf_counter() - self._waiting_since_s
        self.num_samples += num_samples

    def lap(self) -> Timing:
        """Report since the last lap, and begin the next."""
        now = time.perf_counter()
        spent_s = max(now - self._started_s, 1e-9)
        timing = Timing(self.num_samples / spent_s, min(self.waited_s / spent_s, 1.0))
        self._started_s, self.waited_s, self.num_samples = now, 0.0, 0
        return timing
