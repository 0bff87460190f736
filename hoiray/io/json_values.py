"""Values that JSON can hold: it has no NaN and no infinity."""

import math
from collections.abc import Mapping
from typing import Any


def nan_to_none(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Replace numbers that are not finite by None, at any depth.

    Args:
        value: a JSON value, or mappings and sequences of them; a copy is returned.

    Returns:
        The same with plain dictionaries and lists; NaN and infinities are None.
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: nan_to_none(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_none(child) for child in value]
    return value
