"""A budget of a labelling: how long it may run, or how much it may hold, before it stops at a shard's end."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hoiray.config.where import Pools
from hoiray.engine.label import Tick
from hoiray.errors import ConfigError, describe
from hoiray.stages.label_shard import BucketResult, ShardResult

Unit: TypeAlias = Literal["time", "gpu", "cpu"]

HOUR_S: Final = 3600.0

_TIMES_S: Final = {"h": HOUR_S, "min": 60.0, "s": 1.0}
_FORM: Final = re.compile(r"(?P<amount>\d+(\.\d+)?)\s*(?P<unit>h|min|s|gpu-h|cpu-h)")


@dataclass(frozen=True)
class Budget:
    """What may be spent.

    Attributes:
        text: as it was typed.
        amount_s: seconds: of time, or of one GPU or one CPU.
        unit: of what.
    """

    text: str
    amount_s: float
    unit: Unit


@dataclass(frozen=True)
class Held:
    """What a labelling holds while it runs, whether or not it is busy: what a cloud asks money for."""

    num_gpus: float
    num_cpus: float

    @classmethod
    def by(cls, pools: Pools) -> "Held":
        """Return what pools reserve at most."""
        every = [pools.predict, pools.measure, pools.judge]
        if pools.decode.where == "pool":
            every.append(pools.decode)
        return cls(sum(it.max * it.num_gpus for it in every), sum(it.max * it.num_cpus for it in every))


def parse_budget(text: str) -> Budget:
    """Read a budget: `2h`, `30min`, `90s`, `10gpu-h`, `40cpu-h`.

    Raises:
        ConfigError: it is none, or nothing.
    """
    form = _FORM.fullmatch(text.strip())
    amount = 0.0 if form is None else float(form["amount"])
    if form is None or amount <= 0.0:
        expected = "a time (2h, 30min, 90s) or hours of what is held (10gpu-h, 40cpu-h)"
        raise ConfigError(describe(what="--budget", expected=expected, found=repr(text), fix="Write it like these."))
    name = form["unit"]
    if name in _TIMES_S:
        return Budget(text, amount * _TIMES_S[name], "time")
    return Budget(text, amount * HOUR_S, "gpu" if name == "gpu-h" else "cpu")


class Meter:
    """Says whether another shard may be begun.

    No shard is begun that would probably not end within the budget: it has to last for the mean time of the shards so
    far. What has begun is always brought to its end.
    """

    def __init__(self, budget: Budget, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start the clock."""
        self.budget, self._now_s = budget, now_s
        self._begin_s, self._rate = now_s(), 1.0
        self._shards_s, self._num_shards = 0.0, 0
        self.is_used = False

    def holds(self, held: Held) -> None:
        """Say what the labelling holds.

        Raises:
            ConfigError: the budget is one of what it does not hold.
        """
        if self.budget.unit == "time":
            return
        self._rate = held.num_gpus if self.budget.unit == "gpu" else held.num_cpus
        if self._rate <= 0.0:
            fix = "Give the time instead (2h), or reserve some in the cluster file (pools.predict.num_gpus)."
            what, expected = f"--budget {self.budget.text}", f"a labelling that holds {self.budget.unit.upper()}s"
            raise ConfigError(describe(what=what, expected=expected, found="one that holds none", fix=fix))

    def count(self, event: ShardResult | BucketResult | Tick) -> None:
        """Count a shard that has ended: the time its stages took is what the next one will probably take."""
        if isinstance(event, ShardResult):
            self._shards_s, self._num_shards = self._shards_s + sum(event.timings_s.values()), self._num_shards + 1

    @property
    def spent_s(self) -> float:
        """Seconds of the budget's unit so far."""
        return (self._now_s() - self._begin_s) * self._rate

    def may_begin(self) -> bool:
        """Whether there is enough left for another shard; once there is not, there never is again."""
        if not self.is_used:
            left_s = (self.budget.amount_s - self.spent_s) / self._rate
            self.is_used = left_s <= self._shards_s / max(self._num_shards, 1)
        return not self.is_used
