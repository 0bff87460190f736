"""Cutting many crops out of few frames in one batched warp, on whatever device the frames are.

The same pixels as :func:`hoiray.datasets.crop_pixels.cut_crop` gives a training step, to the rounding of 8 bits: pixel
centres at integers, bilinear, black outside, and averaged first where a crop shows the frame smaller.

Each output pixel gathers its neighbours straight from the uint8 frames, so no frame is copied once per crop, as
`grid_sample` would have it: 64 crops of a 1920 x 1080 frame would take 1.6 GB that way. On a CPU one OpenCV warp a crop
is faster: :func:`cut_crops_with_opencv`.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.crop_pixels import Interpolation, cut_crop
from hoiray.hand.sides import mirror_image

if TYPE_CHECKING:
    from torch import Tensor

MIN_SHRINKING: Final = 1.25
"""As `cut_crop`: below this a linear warp alone aliases too little to be seen."""

_SMOOTHING_RADIUS: Final = 2
"""Of the Gaussian `cut_crop` smooths with: 5 x 5 pixels."""


def cut_crops_with_opencv(
    frames: npt.NDArray[np.uint8],
    frame_index: npt.NDArray[np.integer],
    A: npt.NDArray[np.floating],
    size_px: int,
    *,
    is_mirrored: npt.NDArray[np.bool_],
    interpolation: Interpolation = "linear",
) -> npt.NDArray[np.uint8]:
    """Cut crops one by one, bit for bit those of training; arguments as :func:`cut_crops`.

    Returns:
        (B, S, S, 3) uint8.
    """
    crops = np.empty((len(A), size_px, size_px, 3), dtype=np.uint8)
    mirrored: dict[int, npt.NDArray[np.uint8]] = {}
    for row, frame in enumerate(frame_index.tolist()):
        if is_mirrored[row] and frame not in mirrored:
            mirrored[frame] = mirror_image(frames[frame])
        seen = mirrored[frame] if is_mirrored[row] else frames[frame]
        crops[row] = cut_crop(seen, A[row], size_px, interpolation)
    return crops


def cut_crops(
    frames: "Tensor",
    frame_index: "Tensor",
    A: "Tensor",
    size_px: int,
    *,
    is_mirrored: "Tensor | None" = None,
    interpolation: Interpolation = "linear",
) -> "Tensor":
    """Warp frames by affines.

    Args:
        frames: (F, H, W, 3) uint8.
        frame_index: (B,) int64, the frame of each crop.
        A: (B, 3, 3) frame pixels, of the mirrored frame where mirrored, to crop pixels; any with an inverse.
        size_px: side S of the crops.
        is_mirrored: (B,) bool, rows that see their frame mirrored; None: none.
        interpolation: nearest takes single pixels, without averaging.

    Returns:
        (B, S, S, 3) float32 in [0, 255], on the device of the frames.
    """
    import torch

    crops = torch.zeros((len(A), size_px, size_px, 3), dtype=torch.float32, device=frames.device)
    affines = A.double()
    mirrored = torch.zeros(len(A), dtype=torch.bool, device=A.device) if is_mirrored is None else is_mirrored
    blocks, rest = _shrinking(affines, interpolation)
    smooths = rest >= MIN_SHRINKING
    kinds = torch.stack([blocks, mirrored.long(), smooths.long()], dim=1)
    # blocks are counted from the first column that is seen, so mirrored frames are averaged for themselves
    for block, mirrors, is_smoothed in torch.unique(kinds, dim=0).tolist():
        wanted = torch.tensor([block, mirrors, is_smoothed], device=kinds.device)
        rows = torch.nonzero((kinds == wanted).all(dim=1))[:, 0]
        used, index = torch.unique(frame_index[rows], return_inverse=True)
        seen = frames[used].flip(2) if mirrors else frames[used]
        shrunk, A_shrunk = _averaged(seen, affines[rows], int(block))
        if interpolation == "nearest":
            crops[rows] = _nearest(shrunk, index, A_shrunk, size_px)
        else:
            kernels = _kernels(rest[rows], smooths=bool(is_smoothed))
            crops[rows] = _smoothed(shrunk, index, A_shrunk, size_px, kernels)
    return crops


def _shrinking(A: "Tensor", interpolation: Interpolation) -> "tuple[Tensor, Tensor]":
    """Return the side of the blocks (B,) int64 to average, and the factor (B,) that is left to shrink by."""
    import torch

    determinant = (A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0]).abs()
    shrinking = determinant.rsqrt() if interpolation == "linear" else torch.ones_like(determinant)
    blocks = torch.where(shrinking < MIN_SHRINKING, torch.ones_like(shrinking), shrinking).long().clamp(min=1)
    return blocks, shrinking / blocks


def _averaged(frames: "Tensor", A: "Tensor", block: int) -> "tuple[Tensor, Tensor]":
    """Average blocks of pixels; return the smaller frames, and the affines (B, 3, 3) from their pixels."""
    import torch

    if block == 1:
        return frames, A
    height, width = frames.shape[1:3]
    planes = frames.permute(0, 3, 1, 2).float()
    planes = torch.nn.functional.pad(planes, (0, -width % block, 0, -height % block))
    small = torch.nn.functional.avg_pool2d(planes, block).permute(0, 2, 3, 1)
    middle = (block - 1) / 2
    from_small = torch.tensor([[block, 0.0, middle], [0.0, block, middle], [0.0, 0.0, 1.0]], dtype=A.dtype)
    return small.contiguous(), A @ from_small.to(A.device)


def _kernels(rest: "Tensor", *, smooths: bool) -> "Tensor":
    """Return each row's smoothing kernel, (B, 1) ones or (B, 5) Gaussians of the variance shrinking by `rest` lacks."""
    import torch

    if not smooths:
        return torch.ones((len(rest), 1), dtype=torch.float32, device=rest.device)
    steps = torch.arange(-_SMOOTHING_RADIUS, _SMOOTHING_RADIUS + 1, device=rest.device)
    weights = torch.exp(-(steps**2) / (2.0 * ((rest**2 - 1.0) / 12.0)[:, None]))
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def _smoothed(frames: "Tensor", frame_index: "Tensor", A: "Tensor", size_px: int, kernels: "Tensor") -> "Tensor":
    """Sample frames (F, h, w, 3), smoothed by each row's kernel, bilinearly at every pixel of the crops.

    Smoothing and sampling are both separable: together they are one weighted sum over K + 1 columns and rows. Beyond
    the edge, smoothing repeats the last pixel while sampling sees black.
    """
    import torch

    height, width = frames.shape[1:3]
    flat, base = frames.reshape(-1, 3), (frame_index * (height * width))[:, None, None]
    source = _source_positions(A, size_px)
    corner = torch.floor(source)
    share, first = (source - corner).float(), corner.long()
    across = _weights(share[..., 0], first[..., 0], width, kernels)
    down = _weights(share[..., 1], first[..., 1], height, kernels)
    radius = kernels.shape[1] // 2
    crops = torch.zeros((*first.shape[:-1], 3), dtype=torch.float32, device=frames.device)
    for step_y in range(kernels.shape[1] + 1):
        row = (first[..., 1] + step_y - radius).clamp(0, height - 1)
        for step_x in range(kernels.shape[1] + 1):
            column = (first[..., 0] + step_x - radius).clamp(0, width - 1)
            colour = flat[base + row * width + column].float()
            crops.addcmul_(colour, (across[..., step_x] * down[..., step_y])[..., None])
    return crops


def _weights(share: "Tensor", first: "Tensor", length: int, kernels: "Tensor") -> "Tensor":
    """Return the weight (B, S, S, K + 1) of each pixel along one axis."""
    import torch

    size = kernels.shape[1]
    weights = torch.zeros((*share.shape, size + 1), dtype=torch.float32, device=share.device)
    for step in (0, 1):
        is_inside = (first + step >= 0) & (first + step < length)
        sampled = (share if step else 1.0 - share) * is_inside
        weights[..., step : step + size] += sampled[..., None] * kernels[:, None, None, :]
    return weights


def _nearest(frames: "Tensor", frame_index: "Tensor", A: "Tensor", size_px: int) -> "Tensor":
    import torch

    height, width = frames.shape[1:3]
    column, row = torch.floor(_source_positions(A, size_px) + 0.5).long().unbind(-1)
    is_inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    picked = frames.reshape(-1, 3)[(frame_index * (height * width))[:, None, None] + place].float()
    return picked * is_inside[..., None]


def _source_positions(A: "Tensor", size_px: int) -> "Tensor":
    """Return where each crop pixel lies in the frame, (B, S, S, 2) float64 px."""
    import torch

    back = torch.linalg.inv(A)
    axis = torch.arange(size_px, dtype=torch.float64, device=A.device)
    across = back[:, None, None, :2, 0] * axis[None, None, :, None]
    down = back[:, None, None, :2, 1] * axis[None, :, None, None]
    source: Tensor = across + down + back[:, None, None, :2, 2]
    # far outside (a box beyond the picture) stays an integer a long can hold
    return source.clamp(-1e6, 1e6)
