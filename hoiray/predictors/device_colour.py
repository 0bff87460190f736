"""The colours and blur of :mod:`hoiray.datasets.colour`, for a batch of crops on an accelerator.

The same definitions and the same order of operations, in float between roundings to whole levels; the hue, which
OpenCV turns in steps of two degrees, is turned exactly.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from hoiray.datasets.augment import COLOUR_OPERATIONS, Views

if TYPE_CHECKING:
    from torch import Tensor

_LUMA: Final = (0.299, 0.587, 0.114)


def change_crops(crops: "Tensor", views: Views) -> "Tensor":
    """Blur crops, then change their colours in the order of each row.

    Args:
        crops: (B, S, S, 3) float32 in [0, 255].
        views: B rows.

    Returns:
        (B, S, S, 3) whole levels.
    """
    changed = _levels(_blurred(crops, views))
    for step in range(len(COLOUR_OPERATIONS)):
        operations = views.colour_order[:, step]
        for number, name in enumerate(COLOUR_OPERATIONS):
            amounts = views.hue_turns if name == "hue" else views.colour_factors[:, number]
            rows = np.flatnonzero((operations == number) & (amounts != (0.0 if name == "hue" else 1.0)))
            if rows.size:
                changed[rows] = _levels(_OPERATIONS[name](changed[rows], _column(amounts[rows], crops)))
    return changed


def _column(values: "np.ndarray[tuple[int], np.dtype[np.floating]]", like: "Tensor") -> "Tensor":
    import torch

    return torch.as_tensor(np.array(values), dtype=torch.float32, device=like.device)[:, None, None, None]


def _levels(pixels: "Tensor") -> "Tensor":
    return pixels.round().clamp(0.0, 255.0)


def _grey(pixels: "Tensor") -> "Tensor":
    grey: Tensor = (pixels * pixels.new_tensor(_LUMA)).sum(dim=-1, keepdim=True)
    return grey


def _brighter(pixels: "Tensor", factor: "Tensor") -> "Tensor":
    return pixels * factor


def _contrasted(pixels: "Tensor", factor: "Tensor") -> "Tensor":
    mean = (_levels(_grey(pixels)).mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor()
    return mean + factor * (pixels - mean)


def _saturated(pixels: "Tensor", factor: "Tensor") -> "Tensor":
    return factor * pixels + (1.0 - factor) * _grey(pixels)


def _hue_turned(pixels: "Tensor", turns: "Tensor") -> "Tensor":
    """Turn the hue in HSV: each channel is a trapezoid of hue, between the value and the value less the chroma."""
    import torch

    red, green, blue = pixels.unbind(-1)
    value, least = pixels.amax(dim=-1), pixels.amin(dim=-1)
    chroma = value - least
    safe = chroma.clamp(min=1e-6)
    hue = torch.where(
        value == red,
        ((green - blue) / safe) % 6.0,
        torch.where(value == green, (blue - red) / safe + 2.0, (red - green) / safe + 4.0),
    )
    hue = hue + 6.0 * turns[..., 0]
    shares = [((hue + offset) % 6.0) for offset in (5.0, 3.0, 1.0)]
    channels = [value - chroma * torch.minimum(part, 4.0 - part).clamp(0.0, 1.0) for part in shares]
    return torch.stack(channels, dim=-1)


def _blurred(crops: "Tensor", views: Views) -> "Tensor":
    """Blur the rows that have a blur, each by its own Gaussian, mirrored at the edges as OpenCV does."""
    import torch

    rows = np.flatnonzero(views.blur_px > 0.0)
    if not rows.size:
        return crops.clone()
    sigma = torch.as_tensor(views.blur_px[rows], dtype=torch.float32, device=crops.device)
    reach = torch.ceil(3.0 * sigma)
    radius = int(reach.max())
    steps = torch.arange(-radius, radius + 1, device=crops.device)
    weights = torch.exp(-(steps**2) / (2.0 * sigma[:, None] ** 2)) * (steps.abs() <= reach[:, None])
    weights = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    planes = crops[rows].permute(0, 3, 1, 2).flatten(0, 1)[None]
    planes = torch.nn.functional.pad(planes, (radius, radius, radius, radius), mode="reflect")
    planes = torch.nn.functional.conv2d(planes, weights[:, None, None, :], groups=len(weights))
    planes = torch.nn.functional.conv2d(planes, weights[:, None, :, None], groups=len(weights))
    blurred = crops.clone()
    blurred[rows] = planes[0].reshape(len(rows), 3, *planes.shape[2:]).permute(0, 2, 3, 1)
    return blurred


_OPERATIONS: Final = {
    "brightness": _brighter,
    "contrast": _contrasted,
    "saturation": _saturated,
    "hue": _hue_turned,
}
