"""What every configuration model has in common: frozen, strict, and no key it does not know."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator
from pydantic_core import PydanticCustomError

from hoiray.config.frozen import frozen

NOT_HASHED: Final[dict[str, JsonValue]] = {"hashed": False}
"""Marks a field that labels or places a run without changing its results; fingerprints leave it out."""

HASHED_IF_SET: Final[dict[str, JsonValue]] = {"hashed": "if set"}
"""Marks a field that came later: null, it changes nothing, so that what was labelled before keeps its ids."""

CROSS_FIELD: Final = "cross_field"
"""Type of the errors that concern two fields; their context names the one that should change."""

MAX_COUNT: Final = 2**31 - 1
"""Frame indices are int32 in every table, and nothing here counts more things than there are frames."""

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Uri = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]
"""A local path or a URI; not empty, no line break, no blank at either end (they come from bad copying)."""


class Config(BaseModel):
    """A frozen part of a configuration; the mappings and lists in it are frozen too, at every depth.

    Strict: the text ``"8"`` is no number and 1 is no truth value; a whole number is accepted where a float is
    wanted. NaN and infinity are refused. Building one in Python raises pydantic's ``ValidationError``; reading one
    from a file raises ``ConfigError`` with file and line (``hoiray.config.load``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _nothing_below_can_change(cls, value: object) -> object:
        return frozen(value)


class WhatConfig(Config):
    """A part of the *what* half: it decides the results and is hashed."""


class WhereConfig(Config):
    """A part of the *where* half: it decides speed and cost, must not change results, and is never hashed."""


def cross_field_error(field: str, expected: str, found: str) -> PydanticCustomError:
    """Build the error of a rule between fields, attached to ``field``.

    Args:
        field: the field of the model that should change.
        expected: what would have been right.
        found: what was there instead.
    """
    context = {"field": field, "expected": expected, "found": found}
    return PydanticCustomError(CROSS_FIELD, "expected {expected}, found {found}", context)
