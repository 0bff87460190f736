"""Cutting many crops out of few frames in one batched warp, on whatever device the frames are.

Pixel centres are at integers (:mod:`hoiray.geometry.crops`): the crop's pixel (i, j) shows what lies at A^-1 (i, j, 1)
in the frame. Each output pixel gathers its four neighbours straight from the uint8 frames, so no frame is copied once
per crop, as `grid_sample` would have it: 64 crops of a 1920 x 1080 frame would take 1.6 GB that way.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def cut_crops(frames: "Tensor", frame_index: "Tensor", A: "Tensor", out_size_px: int) -> "Tensor":
    """Warp frames by affines, bilinear, black outside.

    Args:
        frames: (F, H, W, 3) uint8.
        frame_index: (B,) int64, the frame of each crop.
        A: (B, 3, 3) frame pixels to crop pixels; any affine with an inverse, mirroring included.
        out_size_px: side of the crops.

    Returns:
        (B, S, S, 3) float32 in [0, 255], on the device of the frames.
    """
    import torch

    _, height, width, _ = frames.shape
    source = _source_positions(A, out_size_px)
    x, y = source[..., 0], source[..., 1]
    left, top = torch.floor(x), torch.floor(y)
    share_x, share_y = (x - left)[..., None].float(), (y - top)[..., None].float()
    flat = frames.reshape(-1, 3)
    base = (frame_index * (height * width))[:, None, None]
    crops = torch.zeros((*x.shape, 3), dtype=torch.float32, device=frames.device)
    for step_y in (0, 1):
        for step_x in (0, 1):
            column, row = left.long() + step_x, top.long() + step_y
            is_inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = base + row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            weight = (share_x if step_x else 1.0 - share_x) * (share_y if step_y else 1.0 - share_y)
            crops.addcmul_(flat[place].float(), weight * is_inside[..., None])
    return crops


def _source_positions(A: "Tensor", out_size_px: int) -> "Tensor":
    """Return where each crop pixel lies in the frame, (B, S, S, 2) float64 px."""
    import torch

    back = torch.linalg.inv(A.double())
    axis = torch.arange(out_size_px, dtype=torch.float64, device=A.device)
    # x of column j and y of row i are sums of a column's and a row's share: no (B, S, S, 3) product is needed
    across = back[:, None, None, :2, 0] * axis[None, None, :, None]
    down = back[:, None, None, :2, 1] * axis[None, :, None, None]
    # far outside (a hand box beyond the picture) stays an integer a long can hold
    source: Tensor = across + down + back[:, None, None, :2, 2]
    return source.clamp(-1e6, 1e6)
