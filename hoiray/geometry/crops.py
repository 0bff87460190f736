"""Square crops of an image: the affine that makes them, its inverse, and what it does to points, boxes and cameras.

**Pixel centres lie at integer coordinates**, as in OpenCV: pixel (0, 0) is the unit square about the point (0, 0), and
an image of width W reaches from -0.5 to W - 0.5. The other convention in use (COCO's polygons, PIL's affine, RoIAlign)
puts the *corner* of the first pixel at 0, so that every coordinate is 0.5 larger; :func:`corner_to_center_convention`
and its inverse are the only place where the two meet. Confusing them costs half a pixel of the *source* image when a
crop is enlarged, and the resize formula is not `s x` but `s (x + 0.5) - 0.5`.

A crop affine `A` is (..., 3, 3) with last row (0, 0, 1) and takes image pixels to crop pixels; `A[:2]` is what
`cv2.warpAffine` wants (without WARP_INVERSE_MAP).
"""

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe
from hoiray.geometry import boxes
from hoiray.geometry.arrays import FloatArray, as_floats, require_broadcast, require_image_size
from hoiray.geometry.rotations import rotation_z


def crop_affine(
    center_px: npt.ArrayLike, side_px: npt.ArrayLike, rotation_rad: npt.ArrayLike, *, out_size_px: int
) -> FloatArray:
    """Return the affine A (..., 3, 3) that cuts a turned square out of the image and scales it to `out_size_px`.

    x_crop = (out / side) R(rotation) (x - center) + (out - 1) / 2. The picture content is turned by the same matrix
    :func:`rotation_z` that turns the 3D labels; positive is clockwise on the screen.

    Args:
        center_px: (..., 2) centre of the square in the image.
        side_px: (...,) its side.
        rotation_rad: (...,) turn of the content about that centre.
        out_size_px: side of the crop.

    Raises:
        ContractError: `out_size_px` or a side is not positive; a NaN side stays and gives a NaN affine.
    """
    center = as_floats(center_px, (2,), "center_px")
    side, angle = as_floats(side_px, (), "side_px"), as_floats(rotation_rad, (), "rotation_rad")
    if out_size_px <= 0 or np.any(side <= 0.0):
        raise ContractError(
            describe(
                what="crop",
                expected="sides above 0",
                found=f"side_px {side.tolist()}, out_size_px {out_size_px}",
                fix="Leave collapsed boxes out before cropping.",
            )
        )
    shape = require_broadcast("center_px, side_px and rotation_rad", center.shape[:-1], side.shape, angle.shape)
    linear = rotation_z(angle)[..., :2, :2] * (out_size_px / side)[..., None, None]
    shift = 0.5 * (out_size_px - 1) - (linear @ center[..., None])[..., 0]
    return _assemble(np.broadcast_to(linear, (*shape, 2, 2)), np.broadcast_to(shift, (*shape, 2)))


def resize_affine(from_size_wh: tuple[int, int], to_size_wh: tuple[int, int]) -> FloatArray:
    """Return the affine (3, 3) of `cv2.resize`: x' = s (x + 0.5) - 0.5 on each axis."""
    scale = np.array(require_image_size(to_size_wh)) / np.array(require_image_size(from_size_wh))
    return _assemble(np.diag(scale), 0.5 * scale - 0.5)


def invert_affine(A: npt.ArrayLike) -> FloatArray:
    """Return the affine (..., 3, 3) back from the crop to the image, in closed form.

    NaN where A is NaN.

    Raises:
        ContractError: an A maps the plane onto a line.
    """
    affine = as_floats(A, (3, 3), "A")
    a, b, c, d = affine[..., 0, 0], affine[..., 0, 1], affine[..., 1, 0], affine[..., 1, 1]
    determinant = a * d - b * c
    if np.any(determinant == 0.0):
        raise ContractError(
            describe(
                what="A", expected="an affine with an inverse", found=str(affine.tolist()), fix="Check the crop's side."
            )
        )
    adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    linear = adjugate / determinant[..., None, None]
    return _assemble(linear, -(linear @ affine[..., :2, 2, None])[..., 0])


def apply_affine(A: npt.ArrayLike, points_px: npt.ArrayLike) -> FloatArray:
    """Take points (..., N, 2) through affines (..., 3, 3); batch shapes broadcast."""
    affine, points = as_floats(A, (3, 3), "A"), as_floats(points_px, (None, 2), "points_px")
    require_broadcast("A and points_px", affine.shape[:-2], points.shape[:-2])
    return np.asarray(points @ np.swapaxes(affine[..., :2, :2], -1, -2) + affine[..., None, :2, 2])


def crop_intrinsics(K: npt.ArrayLike, A: npt.ArrayLike, rotation_rad: npt.ArrayLike) -> FloatArray:
    """Return K' = A K R_z(rotation)^T, the camera of a crop whose 3D labels were turned by R_z(rotation).

    For every point p in front of the camera, project(K', R_z p) = A project(K, p): turning the camera about its
    optical axis is undone exactly, wherever the crop's centre lies. (Turning the image about the crop's centre equals
    turning it about the principal point and shifting it, and A holds that shift.) Without rotation this is A K. With
    fx = fy and no skew K' is upper triangular; otherwise a turned, sheared pixel grid remains and K' has an entry
    below the diagonal, which :func:`cameras.project_points` and :func:`cameras.unproject_points` both serve.

    Args:
        K: (..., 3, 3) intrinsics of the full image.
        A: (..., 3, 3) from :func:`crop_affine` with the same rotation.
        rotation_rad: (...,) the rotation in A.
    """
    matrix, affine = as_floats(K, (3, 3), "K"), as_floats(A, (3, 3), "A")
    turn = rotation_z(rotation_rad)
    require_broadcast("K, A and rotation_rad", matrix.shape[:-2], affine.shape[:-2], turn.shape[:-2])
    return np.asarray(affine @ matrix @ np.swapaxes(turn, -1, -2))


def to_unit_box(points_px: npt.ArrayLike, box_xyxy: npt.ArrayLike, *, expand: float) -> FloatArray:
    """Express points in a hand box, expanded first: (0, 0) is its upper left, (1, 1) its lower right corner.

    The box need not be square, so x and y are divided by different lengths: distances and a weak-perspective scale mean
    nothing in these coordinates; go back to pixels for both.

    Args:
        points_px: (..., N, 2) pixels of the frame the box lives in.
        box_xyxy: (..., 4) tight box.
        expand: factor on the box about its centre before it becomes the unit; 1 for the box itself. Not defaulted:
            forgetting it shrinks a hand unnoticed.

    Returns:
        (..., N, 2), not clipped to [0, 1]; NaN where the box has no area.
    """
    points = as_floats(points_px, (None, 2), "points_px")
    corner, size = _unit_frame(box_xyxy, expand)
    require_broadcast("points_px and box_xyxy", points.shape[:-2], corner.shape[:-1])
    return np.asarray((points - corner[..., None, :]) / size[..., None, :])


def from_unit_box(points_unit: npt.ArrayLike, box_xyxy: npt.ArrayLike, *, expand: float) -> FloatArray:
    """Undo :func:`to_unit_box`: (..., N, 2) in units of the expanded box to pixels."""
    points = as_floats(points_unit, (None, 2), "points_unit")
    corner, size = _unit_frame(box_xyxy, expand)
    require_broadcast("points_unit and box_xyxy", points.shape[:-2], corner.shape[:-1])
    return np.asarray(points * size[..., None, :] + corner[..., None, :])


def corner_to_center_convention(coordinates_px: npt.ArrayLike) -> FloatArray:
    """Take coordinates of any shape whose origin is the first pixel's *corner* to ours (its centre): minus 0.5."""
    return np.asarray(as_floats(coordinates_px, (), "coordinates_px") - 0.5)


def center_to_corner_convention(coordinates_px: npt.ArrayLike) -> FloatArray:
    """Undo :func:`corner_to_center_convention`: plus 0.5."""
    return np.asarray(as_floats(coordinates_px, (), "coordinates_px") + 0.5)


def _unit_frame(box_xyxy: npt.ArrayLike, factor: float) -> tuple[FloatArray, FloatArray]:
    """Return the upper left corner (..., 2) and size (..., 2) of the expanded box; NaN where it has no area."""
    expanded = boxes.expand(box_xyxy, factor)
    usable = np.where(boxes.is_valid(expanded)[..., None], expanded, np.nan).astype(expanded.dtype)
    return np.asarray(usable[..., :2]), np.asarray(usable[..., 2:] - usable[..., :2])


def _assemble(linear: FloatArray, shift: FloatArray) -> FloatArray:
    """Put (..., 2, 2) and (..., 2) above the row (0, 0, 1)."""
    affine = np.zeros((*linear.shape[:-2], 3, 3), dtype=np.result_type(linear, shift))
    affine[..., :2, :2] = linear
    affine[..., :2, 2] = shift
    affine[..., 2, 2] = 1.0
    return affine
