"""What labels cost: seconds of every resource, by stage, as the commit markers have them.

Seconds of `wait` and `model_*` are those of a predictor, which holds its device all the while; seconds of `cpu` are
processor time of decoders; all others are time passed in one process. Not in it: the start of Ray and of its actors,
work that was lost with a process, and what Ray itself takes.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from hoiray.schema.marker import CommitMarker

Costs: TypeAlias = Mapping[str, Mapping[str, float]]
"""Seconds by stage and resource."""

CPU: Final = "cpu"
WAIT: Final = "wait"
FILTER: Final = "filter"
STORE: Final = "store"
DECODE: Final = "decode"
PREDICT: Final = "predict"
MEASURE: Final = "measure"
JUDGE: Final = "judge"
STAGES: Final = (DECODE, PREDICT, MEASURE, JUDGE)

_DIGITS: Final = 6


def model_on(device: str) -> str:
    """Name the model's seconds on a device: `model_cpu`, or `model_gpu` for any accelerator."""
    return "model_cpu" if device.partition(":")[0] == "cpu" else "model_gpu"


class Spending:
    """Seconds that are being added up. Not for several threads."""

    def __init__(self, costs_s: Costs | None = None) -> None:
        """Begin with what was spent before."""
        self._spent: dict[str, dict[str, float]] = {}
        self.add_all(costs_s or {})

    def add(self, stage: str, resource: str, seconds: float) -> None:
        """Add seconds."""
        of_stage = self._spent.setdefault(stage, {})
        of_stage[resource] = of_stage.get(resource, 0.0) + seconds

    def add_all(self, costs_s: Costs) -> None:
        """Add all of what was spent elsewhere."""
        for stage, seconds in costs_s.items():
            for resource, amount in seconds.items():
                self.add(stage, resource, amount)

    @contextmanager
    def timed(self, stage: str, resource: str) -> Iterator[None]:
        """Add the time that passes inside."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, resource, time.monotonic() - begin)

    def costs_s(self) -> dict[str, dict[str, float]]:
        """Return what was spent, stages and resources in a fixed order."""
        rank = {name: number for number, name in enumerate(STAGES)}
        stages = sorted(self._spent, key=lambda name: (rank.get(name, len(rank)), name))
        return {
            stage: {name: round(seconds, _DIGITS) for name, seconds in sorted(self._spent[stage].items())}
            for stage in stages
        }


@dataclass(frozen=True)
class Ledger:
    """What a labelling has cost so far.

    Attributes:
        costs_s: seconds by stage and resource, over all shards.
        num_shards, num_videos, num_hands, num_accepted: that were paid with it; of predictions, of labels the last.
        num_unknown: committed shards and buckets that do not say what they cost; they count nowhere here.
    """

    costs_s: Costs
    num_shards: int
    num_videos: int
    num_hands: int
    num_accepted: int
    num_unknown: int = 0

    @property
    def total_s(self) -> float:
        """All seconds, whatever of."""
        return sum(by_resource_s(self.costs_s).values())


def by_resource_s(costs_s: Costs) -> dict[str, float]:
    """Return the seconds of each resource over all stages; the decoders' processor time is called `decode_cpu`."""
    total: dict[str, float] = {}
    for stage, seconds in costs_s.items():
        for resource, amount in seconds.items():
            name = f"{DECODE}_{CPU}" if stage == DECODE else resource
            total[name] = total.get(name, 0.0) + amount
    return dict(sorted(total.items()))


def ledger_of(predicted: Iterable[CommitMarker], judged: Iterable[CommitMarker]) -> Ledger:
    """Sum up what markers say.

    Args:
        predicted: markers of predictions.
        judged: markers of labels.
    """
    spending = Spending()
    num_shards = num_videos = num_hands = num_accepted = num_unknown = 0
    for marker in predicted:
        if not marker.costs_s:
            num_unknown += 1
            continue
        num_shards, num_hands = num_shards + 1, num_hands + marker.num_rows
        num_videos += marker.num_videos
        spending.add_all(marker.costs_s)
    for marker in judged:
        if not marker.costs_s:
            num_unknown += 1
            continue
        num_accepted += marker.num_accepted or 0
        spending.add_all(marker.costs_s)
    return Ledger(spending.costs_s(), num_shards, num_videos, num_hands, num_accepted, num_unknown)


def ledger_lines(ledger: Ledger) -> list[str]:
    """Write a ledger for a person: one line a stage and resource, seconds in all, a video, and an accepted label."""
    if not ledger.num_shards and not ledger.costs_s:
        return ["nothing is known of what it cost: " + (_unknown(ledger) or "nothing is committed yet")]
    lines = [f"{'stage':<9}{'resource':<11}{'seconds':>12}{'share':>8}{'ms a video':>13}{'ms a label':>13}"]
    total = ledger.total_s
    for stage, seconds in ledger.costs_s.items():
        lines += [_line(ledger, stage, resource, amount, total) for resource, amount in seconds.items()]
    lines.append(_line(ledger, "all", "", total, total))
    unknown = _unknown(ledger)
    return [*lines, *([unknown] if unknown else [])]


def _line(ledger: Ledger, stage: str, resource: str, seconds: float, total: float) -> str:
    share = f"{seconds / total:.1%}" if total else "-"
    video, label = (_each_ms(seconds, count) for count in (ledger.num_videos, ledger.num_accepted))
    return f"{stage:<9}{resource:<11}{seconds:>12,.1f}{share:>8}{video:>13}{label:>13}"


def _each_ms(seconds: float, count: int) -> str:
    return f"{1000.0 * seconds / count:,.2f}" if count else "-"


def _unknown(ledger: Ledger) -> str:
    return f"{ledger.num_unknown:,} markers of an older version do not say" if ledger.num_unknown else ""
