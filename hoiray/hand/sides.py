"""Left and right: the one place that says how hoiray mirrors a hand.

The models are of right hands. A left hand is handled as the mirror image of a right one, and a mirrored left hand *is*
a right hand: mirroring is its own inverse. With ``M = diag(-1, 1, 1)``:

==================  =====================================  =====================================================
thing               mirrored                               why
==================  =====================================  =====================================================
point, translation  ``M p``: ``(-x, y, z)``                the definition
rotation matrix     ``M R M``                              what ``R`` does, seen in the mirror (geometry.rotations)
axis-angle          ``(x, -y, -z)``                        an axis is a pseudovector: it maps by ``det(M) M``
shape ``betas``     unchanged                              a mirrored hand is as long and as thick
faces               two corners swapped                    otherwise the normals would point inwards
pixel ``x``         ``W - 1 - x``                          pixel *centres* are the integers (OpenCV), so the first
                                                           column's centre 0 goes to the last one's, W - 1
``K``               ``cx' = W - 1 - cx``, skew negated     so that mirrored points project to mirrored pixels
==================  =====================================  =====================================================

``x' = W - x`` would be right only where pixel centres are at halves; using it here would shift every label by a pixel.
Numbers stay as they are where they say nothing about x, so mirroring twice returns every bit.
"""

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry import rotations

Real = TypeVar("Real", np.float32, np.float64)
Integer = TypeVar("Integer", bound=np.integer)
Scalar = TypeVar("Scalar", bound=np.generic)

MIRRORED_AXIS_ANGLE_SIGNS: Final[tuple[float, ...]] = tuple(rotations.mirror_axis_angle(np.ones(3)).tolist())
"""(1, -1, -1), the diagonal of ``det(M) M``; only :mod:`hoiray.geometry.rotations` says which axis is mirrored."""

MIRRORED_POINT_SIGNS: Final[tuple[float, ...]] = tuple(-sign for sign in MIRRORED_AXIS_ANGLE_SIGNS)
"""(-1, 1, 1), the diagonal of ``M``, since ``det(M)`` is -1."""


def _expect_last_axis(name: str, array: npt.NDArray[np.generic], size: str, *, holds: bool) -> None:
    if not holds:
        fix = "Pass the unflattened array."
        expected, found = f"a last axis of {size}", f"shape {array.shape}"
        raise ContractError(describe(what=name, expected=expected, found=found, fix=fix))


def mirror_points(points_m: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Mirror vertices, joints or translations.

    Args:
        points_m: (..., 3) in the frame whose x axis is mirrored; any unit.

    Raises:
        ContractError: the last axis has not 3 entries.
    """
    _expect_last_axis("points", points_m, "3", holds=points_m.ndim > 0 and points_m.shape[-1] == 3)
    return points_m * np.array(MIRRORED_POINT_SIGNS, dtype=points_m.dtype)


def mirror_axis_angle(pose: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Mirror rotations given as axis-angle.

    Args:
        pose: (..., 3) or flattened (..., 3 n), for instance MANO's (..., 45) hand pose; rad.

    Raises:
        ContractError: the last axis is no multiple of 3.
    """
    _expect_last_axis("axis-angle", pose, "3 n", holds=pose.ndim > 0 and pose.shape[-1] % 3 == 0)
    mirrored = rotations.mirror_axis_angle(pose.reshape(*pose.shape[:-1], pose.shape[-1] // 3, 3))
    return mirrored.reshape(pose.shape).astype(pose.dtype, copy=False)


def mirror_faces(faces: npt.NDArray[Integer]) -> npt.NDArray[Integer]:
    """Swap two corners of every (F, 3) triangle so that normals of the mirrored mesh still point outwards."""
    _expect_last_axis("faces", faces, "3", holds=faces.ndim > 0 and faces.shape[-1] == 3)
    return faces[..., [0, 2, 1]]


def mirror_image(image: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Mirror an image or mask.

    Args:
        image: (H, W) or (H, W, C).

    Returns:
        A contiguous copy whose column ``W - 1 - x`` is column ``x`` of ``image``.
    """
    if image.ndim not in {2, 3}:
        found, fix = f"shape {image.shape}", "Mirror one image at a time."
        raise ContractError(describe(what="image", expected="(H, W) or (H, W, C)", found=found, fix=fix))
    return np.ascontiguousarray(image[:, ::-1])


def mirror_points_2d(points_px: npt.NDArray[Real], image_width_px: int) -> npt.NDArray[Real]:
    """Mirror (..., 2) pixel positions of an image ``image_width_px`` wide; NaN stays NaN."""
    _expect_last_axis("pixel positions", points_px, "2", holds=points_px.ndim > 0 and points_px.shape[-1] == 2)
    mirrored = points_px.copy()
    mirrored[..., 0] = (image_width_px - 1) - points_px[..., 0]
    return mirrored


def mirror_boxes_xyxy(boxes_px: npt.NDArray[Real], image_width_px: int) -> npt.NDArray[Real]:
    """Mirror (..., 4) boxes; left and right edge change places, so a valid box stays valid."""
    _expect_last_axis("boxes", boxes_px, "4 (x0, y0, x1, y1)", holds=boxes_px.ndim > 0 and boxes_px.shape[-1] == 4)
    mirrored = boxes_px.copy()
    mirrored[..., 0] = (image_width_px - 1) - boxes_px[..., 2]
    mirrored[..., 2] = (image_width_px - 1) - boxes_px[..., 0]
    return mirrored


def mirror_intrinsics(K: npt.NDArray[Real], image_width_px: int) -> npt.NDArray[Real]:
    """Mirror (..., 3, 3) intrinsics, so that ``project(M p, K')`` is the mirrored ``project(p, K)``."""
    if K.shape[-2:] != (3, 3):
        found = f"shape {K.shape}"
        raise ContractError(describe(what="K", expected="(..., 3, 3)", found=found, fix="Pass the full matrix."))
    mirrored = K.copy()
    mirrored[..., 0, 1] = -K[..., 0, 1]
    mirrored[..., 0, 2] = (image_width_px - 1) - K[..., 0, 2]
    return mirrored
