"""Which answers predictors of hoiray give, where no file of theirs says so: code that changed them is a new version."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

ANSWER_VERSIONS: Final[Mapping[str, int]] = MappingProxyType({"landmarks": 3})
"""By the name of the predictor; part of the id of predictions, so that a run never mixes answers of two versions."""
