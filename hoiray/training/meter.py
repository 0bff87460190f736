"""Running means of losses. They are part of what a checkpoint holds, so that a resumed run reports the same means."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Meter:
    """Sums since the last reset; filled by the loop. A step may leave a value out."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        """Take in the values of one step."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean of each value over the steps that had it."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def reset(self) -> None:
        """Begin anew."""
        self.sums.clear()
        self.counts.clear()
