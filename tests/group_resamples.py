"""Groups of rows of unequal sizes, and their resamples as a slow oracle makes them: whole groups copied."""

import numpy as np

SIZES = (3, 11, 1, 7, 5, 9)
GROUPS = [f"rec-{group}" for group, size in enumerate(SIZES) for _ in range(size)]
N = len(GROUPS)


def slow_resamples(seed: int, count: int) -> list[list[int]]:
    """The rows of each resample, copied group by group, from the draws of the bootstrap."""
    names = sorted(set(GROUPS))
    drawn = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=count)
    rows_of = {name: [row for row in range(N) if GROUPS[row] == name] for name in names}
    return [
        [row for name, times in zip(names, counts, strict=True) for _ in range(times) for row in rows_of[name]]
        for counts in drawn
    ]
