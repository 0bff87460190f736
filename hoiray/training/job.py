"""What a training is made of, before it knows how many workers it has and who starts them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from torch import nn

from hoiray.training.loop import Batches, LoopSettings
from hoiray.training.reports import Event
from hoiray.training.state import TrainState
from hoiray.training.world import World


@dataclass(frozen=True)
class Prepared:
    """One worker's part of a training, ready to begin.

    Attributes:
        state: fresh, on the worker's device.
        data: batches of this worker.
        settings: of the loop.
        validate: scores a model on all workers together; every worker gets the scores.
        publish: writes the model where others find it and tells where; called on worker 0 at the end of every run, the
            averaged weights in place where there are such.
        identity: what the results depend on. A state that was saved under another one cannot be resumed.
    """

    state: TrainState
    data: Batches
    settings: LoopSettings
    validate: Callable[[nn.Module], Mapping[str, float]]
    publish: Callable[[TrainState], str]
    identity: Mapping[str, JsonValue]


Prepare = Callable[[World], Prepared]
"""Builds a worker's part; it must travel to another process, so it is a function of a module, or a `partial` of one."""


@dataclass(frozen=True)
class TrainJob:
    """A training to run, here or on Ray.

    Attributes:
        out: local folder or `s3://` prefix of everything it writes.
        prepare: builds each worker's part.
        keep: checkpoints that are kept, the newest ones.
        max_minutes: of this run, start-up and all; None: to the end. What is not done goes on with the next run.
    """

    out: str
    prepare: Prepare
    keep: int = 2
    max_minutes: float | None = None


Tell = Callable[[Event], None]
"""Receives what happens; called on worker 0 only."""


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        is_complete: False where its time was up first.
        epoch: complete epochs.
        num_steps: steps taken in all runs together.
        scores: of the last validation; empty where there was none.
        means: losses of the last complete epoch; empty where there was none.
        model_uri: the model as it is now; None on every worker but the first.
    """

    is_complete: bool
    epoch: int
    num_steps: int
    scores: dict[str, float]
    means: dict[str, float]
    model_uri: str | None
