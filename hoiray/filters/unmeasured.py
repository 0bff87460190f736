"""Why a measurement is NaN, as one small number per row and measurement.

A code of 0 means measured; code ``i`` is the ``i``-th word of
:data:`hoiray.schema.vocabularies.UNMEASURED_REASONS`, counted from 1.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.schema.vocabularies import UNMEASURED_REASONS

CodeArray = npt.NDArray[np.uint8]

WORDS: Final[tuple[str, ...]] = tuple(UNMEASURED_REASONS)
MEASURED: Final = 0


def code_of(word: str) -> int:
    """Return the code of a word of the vocabulary."""
    return WORDS.index(word) + 1


NO_BOX: Final = code_of("no_box")
CAMERA_DEGENERATE: Final = code_of("camera_degenerate")
CAMERA_MIRRORED: Final = code_of("camera_mirrored")
JOINTS_COINCIDE: Final = code_of("joints_coincide")
NON_FINITE: Final = code_of("non_finite")
TOO_FEW_MEMBERS: Final = code_of("too_few_members")
FIRST_OF_TRACK: Final = code_of("first_of_track")
GAP: Final = code_of("gap")
NO_PIXELS: Final = code_of("no_pixels")
NOT_ATTEMPTED: Final = code_of("not_attempted")


def rounded(values: npt.NDArray[np.float64], reasons: CodeArray) -> tuple[npt.NDArray[np.float32], CodeArray]:
    """Round measurements to the float32 they are stored in; a number too large for it is not measured.

    What is stored is also what is judged, so that the verdict can be repeated from the table, bit for bit.
    """
    with np.errstate(over="ignore"):
        stored = values.astype(np.float32)
    is_lost = np.isinf(stored)
    if not is_lost.any():
        return stored, reasons
    return np.where(is_lost, np.float32(np.nan), stored), np.where(is_lost, np.uint8(NON_FINITE), reasons)
