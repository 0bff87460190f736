"""The limits file that ``hoiray calibrate`` writes: a model of confidence, a limit on it, and guards, as plain numbers.

Nothing in it is code: trees are tables of numbers, so a file from anywhere can be read without running anything.
"""

import json
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hoiray.errors import ContractError, describe

CALIBRATION_VERSION: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TreeTable(_Part):
    """One tree: its nodes as columns. Node 0 is the root; a leaf has no children."""

    feature: tuple[int, ...] = Field(description="Index of the feature that is asked for; -1 in a leaf.")
    threshold: tuple[float, ...] = Field(description="At most this goes to the left child.")
    nan_goes_left: tuple[bool, ...] = Field(description="Where a missing value goes.")
    left: tuple[int, ...] = Field(description="Node number of the left child; larger than the node's own.")
    right: tuple[int, ...] = Field(description="Of the right one.")
    value: tuple[float, ...] = Field(description="What a leaf adds to the log odds.")

    @model_validator(mode="after")
    def _nodes_form_a_tree(self) -> Self:
        size = len(self.feature)
        if not size or any(len(getattr(self, name)) != size for name in type(self).model_fields):
            raise ValueError("columns of a tree must be of one length, and not empty")
        for node, (feature, left, right) in enumerate(zip(self.feature, self.left, self.right, strict=True)):
            # children come after their node, so that every path ends
            if feature >= 0 and not (node < left < size and node < right < size):
                raise ValueError(f"node {node} has children {left} and {right}, expected nodes after it")
        return self


class ConfidenceModel(_Part):
    """Probability that a label is good: logistic(slope * (base + sum of trees) + intercept)."""

    features: tuple[str, ...] = Field(description="Names of the features, in the order of their indices.")
    base: float = Field(description="Log odds before any tree.")
    trees: tuple[TreeTable, ...] = Field(description="Added up.")
    slope: float = Field(ge=0.0, description="Of the calibration on units the trees had not seen.")
    intercept: float = Field(description="Of the same.")

    @model_validator(mode="after")
    def _trees_ask_for_features(self) -> Self:
        if any(index >= len(self.features) or index < -1 for tree in self.trees for index in tree.feature):
            raise ValueError("a tree asks for a feature that is not listed")
        return self


class JointConfidence(_Part):
    """Probability that a joint of a label is near the truth."""

    max_error_mm: float = Field(gt=0.0, description="Near: so far away at most, after the hand's alignment, mm.")
    model: ConfidenceModel = Field(description="Of all joints; asked once for each.")


class FeatureRange(_Part):
    """How a feature was spread in the calibration set."""

    name: str = Field(description="Of the feature.")
    missing_share: float = Field(ge=0.0, le=1.0, description="Share of rows in which it is not known.")
    quantiles: tuple[float, ...] = Field(description="At evenly spaced levels from 0 to 1; empty if never known.")
    usual_distance: float = Field(
        ge=0.0,
        description="Kolmogorov-Smirnov distance that random halves of the calibration units exceed in 1 of 20 draws.",
    )


class CalibrationPromise(_Part):
    """What is promised of accepted labels."""

    metric: str = Field(description="The error that is limited.")
    max_error: float = Field(gt=0.0, description="A label is good up to this error, in the metric's unit.")
    max_bad_fraction: float = Field(gt=0.0, lt=1.0, description="Of the accepted labels, at most this share is bad.")
    failure_probability: float = Field(gt=0.0, lt=1.0, description="But for this probability.")
    unit: Literal["video", "subject"] = Field(description="What was drawn independently.")
    rows_cap: float = Field(gt=0.0, description="A unit with more accepted labels counts as so many.")


class CalibrationData(_Part):
    """What the calibration was made of."""

    labels: tuple[str, ...] = Field(description="Places of the labels.")
    truth: tuple[str, ...] = Field(description="Places of their truth.")
    predict_id: str = Field(description="Who predicted them, with which weights and ensemble.")
    data_sha256: str = Field(description="Digest of rows, features and errors.")
    num_rows: int = Field(ge=0, description="Labels.")
    num_good: int = Field(ge=0, description="Good ones.")
    fitting_units: tuple[str, ...] = Field(description="Units that confidence was fitted on.")
    proving_units: tuple[str, ...] = Field(description="Units that proved the limit.")


class GuardLimit(_Part):
    """A limit on one stored measurement of a label."""

    measurement: str = Field(description="Name of its column.")
    bound: Literal["min", "max", "below"] = Field(description="Which side passes: at the limit or beyond, or below it.")
    limit: float = Field(description="In the unit of the column; compared in float32.")


class CalibrationGuards(_Part):
    """Hard limits that a label has to meet besides the one on confidence; what was not measured meets them."""

    chosen: Literal["loose", "paper", "file"] = Field(
        description="loose: set on the fitting units, by what right labels measure there; paper: the paper's numbers;"
        " file: given."
    )
    kept_share: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Of the right labels of the fitting units, those meant to pass."
    )
    limits: tuple[GuardLimit, ...] = Field(
        min_length=1, description="At most one a measurement, or one on either side of it."
    )


class CalibrationProof(_Part):
    """What was seen on the proving units, at the limit that was taken."""

    log_e_value: float = Field(description="Evidence against a broken promise, in nats.")
    coverage: float = Field(ge=0.0, le=1.0, description="Accepted share of all labels.")
    bad_fraction: float = Field(ge=0.0, le=1.0, description="Bad share of the accepted.")
    num_accepted: int = Field(ge=0, description="Accepted labels.")


class Calibration(_Part):
    """A limits file."""

    calibration_version: Literal[1] = Field(default=1, description="Version of this format.")
    hoiray_version: str = Field(description="Version of the writer.")
    promise: CalibrationPromise
    min_confidence: float = Field(ge=0.0, le=1.0, description="Labels below it are refused.")
    proof: CalibrationProof
    data: CalibrationData
    confidence: ConfidenceModel
    ranges: tuple[FeatureRange, ...]
    joints: JointConfidence | None = Field(default=None, description="Of single joints; null: none was calibrated.")
    guards: CalibrationGuards | None = Field(
        default=None, description="Limits beside confidence; null: labels are accepted by confidence alone."
    )

    def to_json(self) -> str:
        """Return the file's content: the same calibration gives the same text."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) + "\n"


def parse_calibration(text: str | bytes, source: str) -> Calibration:
    """Read a limits file.

    Args:
        text: its content.
        source: its place, for the message.

    Raises:
        ContractError: no limits file, a broken one, or one of another version.
    """
    try:
        return Calibration.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "content"
        fix = "Was it written by another version of hoiray? Calibrate anew: hoiray calibrate."
        what = f"limits file {source}, {name}"
        raise ContractError(
            describe(what=what, expected="schemas/calibration.json", found=first["msg"], fix=fix)
        ) from error
