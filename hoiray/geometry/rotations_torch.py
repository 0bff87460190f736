"""The rotations training differentiates, in torch; conventions and names of :mod:`hoiray.geometry.rotations`.

Every function has finite gradients at the identity and at zero, where the NumPy forms have none, and keeps dtype and
device.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from hoiray.errors import ContractError, describe

SERIES_LIMIT = 1e-4
"""Squared angle below which the power series is used: three terms are then exact to 2e-16."""

MIN_LENGTH = 1e-8
"""Vectors shorter than this are divided by it instead of their length, so that a zero output is finite."""

MAX_GAIN = 5.0
"""Largest factor by which normalising a 6D column lengthens a gradient: that of a column 0.2 long, or of two columns
0.2 rad from parallel. The true factor, 1 / length, has no bound, and Adam's second moment forgets over 1000 steps: one
gradient of 1e8 halts its parameter for 30 000 steps, one of 1e24, whose square is infinite in float32, for ever."""


def sixd_to_matrix(sixd: Tensor) -> Tensor:
    """Orthonormalise two stacked columns (..., 6) into rotations (..., 3, 3) (Zhou et al. 2019, Eq. 14).

    Unlike the NumPy twin, zero or parallel columns give a finite matrix that is no rotation: one such output of a
    network must not turn a whole step into NaN. The value is exact wherever the twin has one; the gradient is exact for
    columns at least 0.2 long and 0.2 rad from parallel, and shortened below (:data:`MAX_GAIN`), so that an optimiser
    that starts at zero, or comes by, leaves again.
    """
    _require_trailing(sixd, (6,), "sixd")
    first, second = _unit_column(sixd[..., :3]), _unit_column(sixd[..., 3:])
    for _ in range(2):  # one pass leaves nearly parallel columns out of square, see the NumPy twin
        second = second - (first * second).sum(dim=-1, keepdim=True) * first
    second = _unit_column(second)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_6d(matrix: Tensor) -> Tensor:
    """Return the first two columns of (..., 3, 3), one after the other, as (..., 6)."""
    _require_trailing(matrix, (3, 3), "matrix")
    return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) of axis-angles (..., 3) in rad (Rodrigues), differentiable at zero too."""
    _require_trailing(axis_angle, (3,), "axis_angle")
    squared = (axis_angle * axis_angle).sum(dim=-1)
    is_small = squared < SERIES_LIMIT
    # both branches of a where are differentiated: the root must never see a zero
    angle = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    sine_ratio = torch.where(is_small, 1.0 - squared / 6.0 + squared * squared / 120.0, angle.sin() / angle)
    half = (0.5 * angle).sin() / angle
    cosine_ratio = torch.where(is_small, 0.5 - squared / 24.0 + squared * squared / 720.0, 2.0 * half * half)
    x, y, z = (axis_angle * sine_ratio[..., None]).unbind(dim=-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    cosine = 1.0 - cosine_ratio * squared
    return cosine[..., None, None] * identity + skew + cosine_ratio[..., None, None] * outer


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Return axis-angles (..., 3) in rad, length in [0, pi], of rotations (..., 3, 3).

    The gradient is finite everywhere, the identity included. At pi the map itself jumps from one sign of the axis to
    the other: train on matrices there, not on this.
    """
    _require_trailing(matrix, (3, 3), "matrix")
    quaternion = _matrix_to_quaternion(matrix)
    real, imaginary = quaternion[..., 0], quaternion[..., 1:]
    squared = (imaginary * imaginary).sum(dim=-1)
    is_small = squared < 0.25 * SERIES_LIMIT
    sine = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    # 2 arcsin(s) / s near 0; there the real part is at least 0.9999 and carries no more information
    series = 2.0 + squared / 3.0 + 3.0 * squared * squared / 20.0
    ratio = torch.where(is_small, series, 2.0 * torch.atan2(sine, real) / sine)
    return imaginary * ratio[..., None]


def _matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Return `(w, x, y, z)` with w >= 0, from the row of 4 q q^T with the largest square (Shepperd)."""
    (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = (row.unbind(dim=-1) for row in matrix.unbind(dim=-2))
    wx, wy, wz = r21 - r12, r02 - r20, r10 - r01
    xy, xz, yz = r10 + r01, r02 + r20, r21 + r12
    products = [
        *(1.0 + r00 + r11 + r22, wx, wy, wz),
        *(wx, 1.0 + r00 - r11 - r22, xy, xz),
        *(wy, xy, 1.0 - r00 + r11 - r22, yz),
        *(wz, xz, yz, 1.0 - r00 - r11 + r22),
    ]
    table = torch.stack(products, dim=-1).reshape(*r00.shape, 4, 4)
    largest = torch.diagonal(table, dim1=-2, dim2=-1).argmax(dim=-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    row = normalize(table.gather(-2, index).squeeze(-2), dim=-1, eps=MIN_LENGTH)
    return torch.where(row[..., :1] < 0.0, -row, row)


def _unit_column(vector: Tensor) -> Tensor:
    """Scale (..., 3) to length one, with a gradient no more than `MAX_GAIN` times the one that comes in."""
    floor = max(MIN_LENGTH, torch.finfo(vector.dtype).tiny)  # half floats round 1e-8 to 0
    length = torch.linalg.vector_norm(vector.detach(), dim=-1, keepdim=True).clamp_min(floor)
    unit = normalize(vector, dim=-1, eps=floor)
    # between two equal values: the value stays, and the weight reaches the gradient only
    return torch.lerp(unit.detach(), unit, (MAX_GAIN * length).clamp_max(1.0))


def _require_trailing(tensor: Tensor, trailing: tuple[int, ...], name: str) -> None:
    if tuple(tensor.shape[-len(trailing) :]) != trailing or not tensor.is_floating_point():
        raise ContractError(
            describe(
                what=name,
                expected=f"floating point of shape (..., {', '.join(map(str, trailing))})",
                found=f"{tensor.dtype} of shape {tuple(tensor.shape)}",
                fix="Put the batch axes first and the axes named here last.",
            )
        )
