"""Small batches and small networks for the tests of the models: random, and the same in every run."""

from functools import cache
from typing import Any

import torch

from hoiray.config.network import BackboneConfig, HandDecoderConfig, NetworkConfig, ObjectDecoderConfig, network_preset
from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.hand.model import HandModel
from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets
from hoiray.models.network import HandObjectNetwork


@cache
def open_hand() -> HandModel:
    """The packaged hand model; nobody changes it."""
    return HandModel.load(flat_hand_mean=True, tip_set="ho3d")


def tiny_config(**changes: Any) -> NetworkConfig:
    """Nano's parts at 32 px, a few channels wide: a step takes milliseconds."""
    parts: dict[str, Any] = {
        "input_px": 32,
        "backbone": BackboneConfig(kind="convnet", widths=(8, 8, 8, 8), pyramid_channels=8, pyramid_smoothing=False),
        "regions": network_preset("nano").regions.model_copy(update={"cells": 8}),
        "hand": HandDecoderConfig(
            hourglass_channels=8,
            hourglass_depth=2,
            temperature="learned",
            encoder_widths=(8, 8),
            hidden_widths=(16,),
            rotation="six_d",
            initial_pose="mean",
            joint_features=4,
            predicts_depth=True,
            palm_frame=True,
        ),
        "obj": ObjectDecoderConfig(head="single", channels=8, shared_convolutions=1),
    }
    return network_preset("nano", **(parts | changes))


def make_network(config: NetworkConfig | None = None, seed: int = 0) -> HandObjectNetwork:
    """A network of random weights."""
    torch.manual_seed(seed)
    return HandObjectNetwork(config or tiny_config(), open_hand())


def make_batch(config: NetworkConfig, size: int = 3, seed: int = 0) -> Batch:
    """Noise, boxes of hand and object that overlap, and labels a hand could have."""
    rng = torch.Generator().manual_seed(seed)
    side, cells = config.input_px, config.regions.cells
    images = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8, generator=rng)
    jitter = torch.rand(size, 4, generator=rng) * 0.05
    hand_boxes = (torch.tensor([0.15, 0.2, 0.7, 0.65]) + jitter) * side
    object_boxes = (torch.tensor([0.4, 0.35, 0.9, 0.8]) + jitter) * side
    rotations = axis_angle_to_matrix(torch.randn(size, 16, 3, generator=rng) * 0.4)
    betas = torch.randn(size, 10, generator=rng)
    joints = open_hand().joints_only_from_matrices(rotations[:, 0], rotations[:, 1:], betas)
    hand = HandTargets(
        rotations=rotations,
        betas=betas,
        joints_3d_m=joints - joints[:, :1],
        joints_2d_unit=torch.rand(size, 21, 2, generator=rng) * 0.8 + 0.1,
        has_mano=torch.ones(size, dtype=torch.bool),
    )
    obj = ObjectTargets(
        is_supervised=torch.ones(size, dtype=torch.bool),
        control_points_unit=torch.rand(size, 21, 2, generator=rng),
        masks=torch.rand(size, cells, cells, generator=rng) > 0.4,
    )
    ids = tuple(f"sample/{seed}/{index}" for index in range(size))
    return Batch(NetworkInput(images, hand_boxes, object_boxes), hand, obj, torch.ones(size), ids)


def rows_of(batch: Batch, rows: list[int]) -> Batch:
    """Some of the samples."""
    parts = {}
    for name in ("inputs", "hand", "obj"):
        part = getattr(batch, name)
        parts[name] = type(part)(**{key: value[rows] for key, value in vars(part).items()})
    ids = tuple(batch.sample_ids[row] for row in rows)
    return Batch(parts["inputs"], parts["hand"], parts["obj"], batch.weights[rows], ids)
