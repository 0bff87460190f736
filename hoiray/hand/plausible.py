"""Telling a hand from numbers that merely have a hand's shapes.

A file whose arrays have the right names, shapes and types may still be no hand: its vertices on a line, its joints
outside its fingers, its numbers beyond float32. Posed, such a file gives NaN, or worse, a picture that looks like a
hand. The limits are far from any hand, so that they refuse damage and never a person.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError
from hoiray.hand.files import file_error
from hoiray.hand.joints import MANO_PARENTS, MANO_ROTATION_NAMES

FloatArray: TypeAlias = npt.NDArray[np.float64]
IndexArray: TypeAlias = npt.NDArray[np.int64]

_SUM_TOLERANCE: Final = 1e-3
"""Skinning weights and regressor rows sum to one up to the rounding of float32 and of published files (1e-6)."""

_MAX_HAND_M: Final = 0.5
_MIN_HAND_M: Final = 0.05
"""A hand with its wrist is about 0.2 m; millimetres or centimetres would land far outside."""

_MIN_WIDTH: Final = 0.15
_MIN_THICKNESS: Final = 0.05
"""Extents of the rest hand across its longest direction, over its length; the open hand's are 0.67 and 0.29."""

_LARGEST: Final[Mapping[str, float]] = {
    "v_template": 10.0,  # m from the origin; the open hand's vertices are within 0.12
    "shapedirs": 1.0,  # m per beta; 0.013
    "posedirs": 1.0,  # m per entry of a rotation matrix minus identity; 0.011
    "J_regressor": 10.0,  # 0.54
    "hands_mean": 2 * np.pi,  # rad; 0.67
    "hands_components": 100.0,  # rad per coefficient; 1.0, since the components are orthonormal
}
"""Largest magnitudes, and beside them those of the open hand."""

_MAX_SEAM_OFFSET: Final = 0.15
"""From a joint to the middle of the skin it shares with its parent, over the hand's length; the open hand's largest is
0.042. A regressor that picks unrelated vertices is off by 0.5."""

_SMALLEST_COMPONENT: Final = 1e-6
"""Singular value of the pose basis, relative to the largest, below which a direction of pose space is missing."""

_FIX: Final = "Use an unchanged MANO_RIGHT.pkl, or the packaged open hand."


def check_hand(path: Path, arrays: Mapping[str, FloatArray], faces: IndexArray) -> None:
    """Check the content of a hand model whose shapes are right.

    Args:
        path: what messages call the file.
        arrays: v_template (778, 3), shapedirs (778, 3, 10), posedirs (778, 3, 135), weights (778, 16), J_regressor
            (16, 778), hands_mean (45,), hands_components (45, 45): finite, metres and rad, MANO joint order.
        faces: (1538, 3).

    Raises:
        ContractError: something no hand has; the message names file and key.
    """
    _check_faces(path, faces, num_vertices=len(arrays["v_template"]))
    _check_sums(path, arrays)
    _check_size(path, arrays["v_template"])
    _check_magnitudes(path, arrays)
    _check_joints(path, arrays)
    _check_basis(path, arrays["hands_components"])


def _bad(path: Path, key: str, expected: str, found: str) -> ContractError:
    return file_error(path, key, expected=expected, found=found, fix=_FIX)


def _check_faces(path: Path, faces: IndexArray, *, num_vertices: int) -> None:
    if faces.min() < 0 or faces.max() >= num_vertices:
        found = f"indices from {faces.min()} to {faces.max()}"
        raise _bad(path, "f", f"vertex indices from 0 to {num_vertices - 1}", found)
    collapsed = int(np.count_nonzero((faces == np.roll(faces, 1, axis=1)).any(axis=1)))
    if collapsed:
        raise _bad(path, "f", "three different corners in every face", f"{collapsed} faces with one corner twice")
    num_used = len(np.unique(faces))
    if num_used < num_vertices:
        raise _bad(path, "f", "faces that use every vertex", f"{num_vertices - num_used} vertices in no face")


def _check_sums(path: Path, arrays: Mapping[str, FloatArray]) -> None:
    for key in ("weights", "J_regressor"):
        sums = arrays[key].sum(axis=1)
        if np.any(np.abs(sums - 1) > _SUM_TOLERANCE):
            found = f"sums from {sums.min():.4f} to {sums.max():.4f}"
            raise _bad(path, key, "rows that sum to 1", found)
    if arrays["weights"].min() < -_SUM_TOLERANCE:
        found = f"a weight of {arrays['weights'].min():.4f}"
        raise _bad(path, "weights", "no negative skinning weight", found)


def _check_size(path: Path, v_template: FloatArray) -> None:
    extent = _length_m(v_template)
    if not _MIN_HAND_M < extent < _MAX_HAND_M:
        expected = f"a hand between {_MIN_HAND_M} and {_MAX_HAND_M} m long"
        fix = "The layout is in metres: divide millimetres by 1000."
        raise file_error(path, "v_template", expected=expected, found=f"{extent:.4g} m", fix=fix)
    centred = v_template - v_template.mean(axis=0)
    across = np.ptp(centred @ np.linalg.svd(centred, full_matrices=False)[2].T, axis=0)[1:] / extent
    if across[0] < _MIN_WIDTH or across[1] < _MIN_THICKNESS:
        expected = f"a hand at least {_MIN_WIDTH} of its length wide and {_MIN_THICKNESS} thick"
        raise _bad(path, "v_template", expected, f"{across[0]:.3g} and {across[1]:.3g}")


def _length_m(v_template: FloatArray) -> float:
    return float(np.ptp(v_template, axis=0).max())


def _check_magnitudes(path: Path, arrays: Mapping[str, FloatArray]) -> None:
    for key, limit in _LARGEST.items():
        largest = float(np.abs(arrays[key]).max())
        if largest > limit:
            raise _bad(path, key, f"numbers up to {limit:.4g}", f"one of {largest:.4g}")


def _check_joints(path: Path, arrays: Mapping[str, FloatArray]) -> None:
    """Refuse joints that are not where the skin bends."""
    vertices, weights = arrays["v_template"], arrays["weights"]
    joints = arrays["J_regressor"] @ vertices
    outside = np.flatnonzero(((joints < vertices.min(axis=0)) | (joints > vertices.max(axis=0))).any(axis=1))
    if outside.size:
        names = ", ".join(MANO_ROTATION_NAMES[joint] for joint in outside)
        raise _bad(path, "J_regressor", "joints inside the rest hand", f"outside it: {names}")
    for joint, parent in enumerate(MANO_PARENTS[1:], start=1):
        name, shared = MANO_ROTATION_NAMES[joint], weights[:, joint] * weights[:, parent]
        if not shared.sum() > 0:
            expected = "skin shared by every joint and its parent"
            raise _bad(path, "weights", expected, f"no vertex that follows both {name} and its parent")
        seam = shared @ vertices / shared.sum()
        offset = float(np.linalg.norm(joints[joint] - seam)) / _length_m(vertices)
        if offset > _MAX_SEAM_OFFSET:
            expected = f"joints within {_MAX_SEAM_OFFSET} of the hand's length of where their skin bends"
            raise _bad(path, "J_regressor", expected, f"{offset:.2f} at {name}")


def _check_basis(path: Path, components: FloatArray) -> None:
    sizes = np.linalg.svd(components, compute_uv=False)
    rank = int(np.count_nonzero(sizes > _SMALLEST_COMPONENT * sizes[0]))
    if rank < len(components):
        expected = f"{len(components)} independent components"
        raise _bad(path, "hands_components", expected, f"{rank} independent ones")
