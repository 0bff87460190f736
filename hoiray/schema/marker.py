"""The commit marker: the small object that makes a shard's data count."""

import json
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hoiray.errors import ContractError, describe
from hoiray.schema.vocabularies import REJECT_REASONS, Stage

MARKER_DIGEST_DIGITS: Final = 16
"""Digits of the data object's digest that its name carries: 64 bit, no collision among 1e6 shards (p = 3e-8)."""


class _Marked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DeadLetter(_Marked):
    """A video that a shard gave up; the fields are those of the table ``dead_letters``."""

    video_id: str
    uri: str
    stage: Stage
    error_class: str
    message: str
    attempts: int = Field(ge=1)
    frame_index: int | None = Field(default=None, ge=0)


class CommitMarker(_Marked):
    """What makes a shard's data object count. Created with put-if-absent; readers follow markers only."""

    marker_version: Literal[1] = Field(default=1, description="Version of this format.")
    hoiray_version: str = Field(description="Version of the writer.")
    table: Literal["predictions", "labels"] = Field(description="Schema of the data object.")
    schema_version: int = Field(ge=1, description="Version of that schema.")
    plan_id: str = Field(description="The plan the shard belongs to.")
    predict_id: str = Field(description="Digest of plan, weights, ensemble and schema.")
    judge_id: str | None = Field(description="Digest of predict_id and limits; null for predictions.")
    shard_id: str = Field(description="The shard.")
    data_key: str = Field(description="Key of the data object below the output; its name carries its digest.")
    data_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of the data object's bytes.")
    data_bytes: int = Field(ge=0, description="Size of the data object in bytes.")
    num_videos: int = Field(ge=0, description="Videos of the shard, dead ones included.")
    num_rows: int = Field(ge=0, description="Rows of the data object.")
    num_accepted: int | None = Field(ge=0, description="Accepted rows; null for predictions.")
    reasons: dict[str, int] = Field(description="Rows by reason of refusal; a row counts once for each of its reasons.")
    dead_letters: list[DeadLetter] = Field(description="Videos that were given up.")
    attempt: int = Field(ge=1, description="Which attempt at the shard succeeded.")
    timings_s: dict[str, float] = Field(description="Wall-clock time by stage, in seconds. The only clock there is.")
    costs_s: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="Seconds of each resource by stage: cpu (decode: of its processes), model_cpu or model_gpu, wait"
        " (the model, for frames), filter (measure and judge), store (reading and writing the run's folder). Empty in"
        " markers of older versions.",
    )

    @model_validator(mode="after")
    def _counts_and_names_agree(self) -> Self:
        is_judged = self.table == "labels"
        if (self.judge_id is not None) != is_judged or (self.num_accepted is not None) != is_judged:
            raise ValueError("judge_id and num_accepted belong to labels, and to labels only")
        if self.data_sha256[:MARKER_DIGEST_DIGITS] not in self.data_key:
            raise ValueError(f"data_key must carry the first {MARKER_DIGEST_DIGITS} digits of data_sha256")
        if self.num_accepted is not None and self.num_accepted > self.num_rows:
            raise ValueError(f"num_accepted = {self.num_accepted} is more than num_rows = {self.num_rows}")
        if len(self.dead_letters) > self.num_videos:
            raise ValueError(f"{len(self.dead_letters)} dead letters are more than num_videos = {self.num_videos}")
        if not set(self.reasons) <= set(REJECT_REASONS):
            raise ValueError(f"unknown reasons {sorted(set(self.reasons) - set(REJECT_REASONS))}")
        return self

    def to_json(self) -> str:
        """Return the marker's content: sorted keys, one line."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False)


def parse_marker(text: str | bytes, source: str) -> CommitMarker:
    """Read a commit marker.

    Args:
        text: its content.
        source: its key, for the message.

    Raises:
        ContractError: no marker, a broken one, or one of another version.
    """
    try:
        return CommitMarker.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "content"
        fix = "Was it written by another version of hoiray? Delete it to redo the shard."
        what = f"commit marker {source}, {name}"
        raise ContractError(
            describe(what=what, expected="schemas/commit_marker.json", found=first["msg"], fix=fix)
        ) from error
