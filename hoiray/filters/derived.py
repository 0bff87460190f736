"""Measurements that are no columns of a label: a guard takes them from stored numbers when it judges.

A column would change the schema of every prediction; what follows from stored joints needs none.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.hand.joints import palm_length
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

Float32 = npt.NDArray[np.float32]


def palm_length_m(table: pa.Table) -> Float32:
    """(N,) metres from the wrist to the middle finger's knuckle, which no pose changes; NaN without prediction.

    Args:
        table: with the column ``joints_3d``.
    """
    joints_m = unpack_column(table, LABELS["joints_3d"]).astype(np.float64)
    return palm_length(joints_m).astype(np.float32)


DERIVED: Final[Mapping[str, Callable[[pa.Table], Float32]]] = MappingProxyType({"palm_length_m": palm_length_m})
"""How each is taken, by name."""

DERIVED_UNITS: Final[Mapping[str, str]] = MappingProxyType({"palm_length_m": "m"})


def measured(table: pa.Table, name: str) -> Float32:
    """(N,) a measurement, stored or derived."""
    if name in DERIVED:
        return DERIVED[name](table)
    values: Float32 = unpack_column(table, LABELS[name])
    return values


def unit_of(name: str) -> str:
    """Return the unit of a measurement, stored or derived."""
    return DERIVED_UNITS[name] if name in DERIVED else str(LABELS[name].unit)
