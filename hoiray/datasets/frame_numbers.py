"""Telling the numbers of frames from positions in a list, the commonest mistake with annotations that have holes."""

import itertools
from collections.abc import Sequence

from hoiray.datasets.conventions import Problem


def numbering_problem(
    numbers: Sequence[int], *, first: int, available: Sequence[int] | None = None, what: str = "frame numbers"
) -> Problem | None:
    """Tell frame numbers from positions in a list.

    Args:
        numbers: as read from the annotations of one video, in their order.
        first: the number the format gives the first frame.
        available: the frames that are there, where they are files with numbers of their own.
        what: what is numbered.

    Returns:
        A problem where numbers lie before the first, repeat or go back, or where they count lines: they run without
        a gap, and some name frames that are not there though there are enough frames for all. Frames that are simply
        missing are no problem of the numbers.
    """
    counted = list(range(first, first + len(numbers)))
    if numbers and min(numbers) < first:
        looks_like = f"positions in a list, counted from {min(numbers)}"
        return Problem(what, f"numbers from {first}", f"the number {min(numbers)}", looks_like)
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        return Problem(what, "numbers that grow", "one that repeats or goes back", "frames of several videos in one")
    if available is None or not numbers:
        return None
    missing = sorted(set(numbers) - set(available))
    if not missing:
        return None
    if list(numbers) != counted or len(available) < len(numbers):
        return None
    measured = f"{len(missing)} numbers without a frame, the first {missing[0]}"
    return Problem(what, "a frame for each number", measured, "line numbers: the frames have gaps, the numbers none")
