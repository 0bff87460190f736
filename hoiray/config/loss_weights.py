"""Weights of the losses that paper and released code have; a module of its own, as networks and runs both name them."""

from pydantic import Field

from hoiray.config.base import NonNegative, WhatConfig


class LossWeights(WhatConfig):
    """Weights of the losses: means over all elements, lengths in metres (released code; the paper's / 1000)."""

    vertices: NonNegative = Field(
        default=1e4, description="Squared error of the 778 vertices about the wrist, per m^2."
    )
    joints_3d: NonNegative = Field(default=1e4, description="Squared error of the 21 joints about the wrist, per m^2.")
    pose: NonNegative = Field(default=10.0, description="Squared error of the entries of 16 rotation matrices.")
    shape: NonNegative = Field(default=0.1, description="Squared error of the 10 betas.")
    joints_2d: NonNegative = Field(
        default=100.0, description="Squared error of the 21 joints in the unit square of the box."
    )
    object_location: NonNegative = Field(
        default=500.0, description="Absolute error of the control points in the unit square."
    )
    object_confidence: NonNegative = Field(
        default=100.0, description="Absolute error of the control points' confidence."
    )
