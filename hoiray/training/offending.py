"""The batch that made the loss or the gradient no number: kept, so that it can be looked at and tried again."""

import io
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, cast

import torch

from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets

_PARTS: Final = {"inputs": NetworkInput, "hand": HandTargets, "obj": ObjectTargets}


def batch_bytes(batch: Batch) -> bytes:
    """Write a batch as a file that `torch.load(weights_only=True)` reads: tensors by dotted name, and the ids."""
    saved: dict[str, Any] = {
        f"{part}.{field.name}": getattr(getattr(batch, part), field.name).detach().cpu()
        for part, kind in _PARTS.items()
        for field in fields(kind)
    }
    saved |= {"weights": batch.weights.detach().cpu(), "sample_ids": list(batch.sample_ids)}
    stream = io.BytesIO()
    torch.save(saved, stream)
    return stream.getvalue()


def read_batch(path: Path) -> Batch:
    """Read a batch that was kept."""
    saved = torch.load(path, weights_only=True)
    parts = {
        part: kind(**{field.name: saved[f"{part}.{field.name}"] for field in fields(kind)})
        for part, kind in _PARTS.items()
    }
    return Batch(
        inputs=cast("NetworkInput", parts["inputs"]),
        hand=cast("HandTargets", parts["hand"]),
        obj=cast("ObjectTargets", parts["obj"]),
        weights=saved["weights"],
        sample_ids=tuple(saved["sample_ids"]),
    )
