"""Are two lists that should have an entry for the same photographs in the same order?"""

from typing import Final

import numpy as np

from hoiray.datasets.sample import FloatArray

MAX_LIST_SHIFT: Final = 8
MIN_ENTRIES: Final = 4
MAX_ERROR_RATIO: Final = 0.2
"""A shift is told where it leaves less than this share of the median difference. Entries that belong together agree to
rounding or to a weak-perspective fit, those of other photographs by chance only."""


def list_shift(values: FloatArray, reference: FloatArray) -> int:
    """Return by how many entries a list moved against another.

    Args:
        values: (N, D).
        reference: (N, D) what the same entries of `values` should nearly be.

    Returns:
        The `n` up to :data:`MAX_LIST_SHIFT` for which entry `i + n` of `values` belongs to entry `i` of the reference,
        the lists taken as rings; 0 where the order is right, where no shift is clearly better, or where there are
        fewer than four entries.
    """
    if len(values) < MIN_ENTRIES:
        return 0
    largest = min(MAX_LIST_SHIFT, len(values) // 2)
    errors = {shift: _median_error(np.roll(values, -shift, axis=0), reference) for shift in _by_size(largest)}
    known = {shift: error for shift, error in errors.items() if np.isfinite(error)}
    best = min(known, key=known.__getitem__, default=0)
    return best if best != 0 and known[best] < MAX_ERROR_RATIO * errors[0] else 0


def _by_size(largest: int) -> list[int]:
    return sorted(range(-largest, largest + 1), key=abs)


def _median_error(values: FloatArray, reference: FloatArray) -> float:
    errors = np.linalg.norm(np.asarray(values, dtype=np.float64) - reference, axis=-1)
    finite = errors[np.isfinite(errors)]
    return float(np.median(finite)) if len(finite) else float("nan")
