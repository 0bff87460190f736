"""What each limit refuses: of all, beyond the limits before it, and where nothing else stands against a label."""

from dataclasses import dataclass

import numpy as np

from hoiray.report.label_rows import REASONS, Bools


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason.

    Attributes:
        reason: the word.
        num_rows: rows it stands against.
        num_alone: those it alone stands against. Without the limit others could be accepted, too, or refused: it also
            decides which frames are compared, so only a verdict made again tells that.
        num_before: rows that no reason before it, in the order of the list, stands against.
        num_left: those of them that are left after it.
    """

    reason: str
    num_rows: int
    num_alone: int
    num_before: int
    num_left: int


def refusals_of(reasons: Bools) -> list[Refusal]:
    """Count refusals, reason by reason in the order of the vocabulary; reasons that stand against no row are left out.

    Args:
        reasons: (N, R), columns as :data:`hoiray.report.label_rows.REASONS`.
    """
    is_alone = reasons.sum(axis=1) == 1
    is_left = np.ones(len(reasons), dtype=np.bool_)
    found = []
    for index, reason in enumerate(REASONS):
        fails = reasons[:, index]
        num_before = int(is_left.sum())
        is_left &= ~fails
        if fails.any():
            found.append(
                Refusal(reason, int(fails.sum()), int((fails & is_alone).sum()), num_before, int(is_left.sum()))
            )
    return found
