"""Rounds of self-training: how many, and the audit that ends them."""

from typing import Literal

from pydantic import Field

from hoiray.config.base import Count, Uri, WhatConfig


class Audit(WhatConfig):
    """A labelled set that no round trains on, on which every student is compared with its teacher."""

    uri: Uri = Field(description="Root of the data set; local or s3://.")
    format: str | None = Field(
        default=None, min_length=1, description="As of hoiray evaluate --format; null: told by the files."
    )
    split: str | None = Field(default=None, min_length=1, description="Part of it; null: the format's held-out one.")
    groups: Literal["recordings", "subjects"] = Field(
        default="recordings", description="What intervals resample. Never frames: neighbours are near copies."
    )
    max_samples: Count | None = Field(default=None, description="Images at most, spread over the set; null: all.")
    metric: Literal["pa_mpjpe_mm", "mpjpe_mm", "joints_2d_box"] = Field(
        default="pa_mpjpe_mm",
        description="What decides: pose and shape (PA), pose with its orientation (MPJPE about the wrist), or the image"
        " (2D joints in box sides).",
    )


class SelfTraining(WhatConfig):
    """Teacher, labels, student; then the student is the teacher, until an audit shows no gain."""

    max_rounds: int = Field(default=3, ge=1, le=50, description="Students at most.")
    audit: Audit = Field(description="Where a student must be better than its teacher for a further round.")
    starts_from: Literal["scratch", "teacher"] = Field(
        default="scratch",
        description="Weights a student starts from: random ones (the paper trains anew), or its teacher's.",
    )
