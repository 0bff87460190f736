"""Reading a hand model's file: hoiray's open hand, or a user's MANO.

Both have MANO's layout (Romero et al., "Embodied Hands", SIGGRAPH Asia 2017): 778 vertices, 1538 faces, 16 joints,
10 shape directions, 135 pose correctives, a 45-D pose mean and basis. ``.npz`` files are read by
:mod:`hoiray.hand.npz`, ``.pkl`` files by :mod:`hoiray.hand.unpickle`, which both evaluate and execute nothing. Every
array is checked (:mod:`hoiray.hand.plausible`), because a wrong one gives plausible hands.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError
from hoiray.hand.files import file_error, read_file
from hoiray.hand.joints import MANO_PARENTS
from hoiray.hand.npz import read_npz
from hoiray.hand.plausible import check_hand
from hoiray.hand.sides import MIRRORED_POINT_SIGNS, mirror_axis_angle, mirror_faces, mirror_points
from hoiray.hand.unpickle import MAX_BYTES, Sparse, parse_pickle

FloatArray: TypeAlias = npt.NDArray[np.float64]
IndexArray: TypeAlias = npt.NDArray[np.int64]
LeftShapeFix: TypeAlias = Literal["auto", "apply", "keep"]

NUM_VERTICES: Final = 778
NUM_FACES: Final = 1538
NUM_BETAS: Final = 10

_FLOAT_SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_BETAS),
    "posedirs": (NUM_VERTICES, 3, 135),
    "weights": (NUM_VERTICES, 16),
    "J_regressor": (16, NUM_VERTICES),
    "hands_mean": (45,),
    "hands_components": (45, 45),
}
_INDEX_SHAPES: Final[Mapping[str, tuple[int, ...]]] = {"kintree_table": (2, 16), "f": (NUM_FACES, 3)}
_AXES_KEYS: Final = ("flexion_axes", "abduction_axes", "twist_axes")

_UNIT_TOLERANCE: Final = 1e-3
"""Stored axes have length one up to the rounding of float32 and of published files (1e-6)."""


@dataclass(frozen=True)
class Licence:
    """What may be done with a hand model.

    Attributes:
        name: as its owner calls it.
        allows_commercial_use: whether labels made with it may be used commercially.
        url: the text.
        note: one sentence for a report.
    """

    name: str
    allows_commercial_use: bool
    url: str
    note: str


OPEN_HAND_LICENCE: Final = Licence(
    name="CC0-1.0",
    allows_commercial_use=True,
    url="https://creativecommons.org/publicdomain/zero/1.0/",
    note="hoiray's open hand, made from MakeHuman's CC0 data",
)
MANO_LICENCE: Final = Licence(
    name="MANO licence (Max-Planck-Gesellschaft)",
    allows_commercial_use=False,
    url="https://mano.is.tue.mpg.de/license.html",
    note="a file of the user in MANO's layout: taken to be MANO, which is for non-commercial research only",
)


@dataclass(frozen=True, eq=False)
class HandArrays:
    """A checked hand model; read-only arrays, float64 and int64, metres, the model's own rest frame.

    Attributes:
        v_template: (778, 3) vertices of the mean hand at rest.
        shapedirs: (778, 3, 10) vertex displacement per unit of beta.
        posedirs: (778, 3, 135) vertex displacement per entry of the 15 rotation matrices minus identity.
        weights: (778, 16) skinning weights, MANO joint order.
        J_regressor: (16, 778) joints from shaped vertices.
        parents: (16,) MANO joint order, -1 for the wrist.
        faces: (1538, 3).
        hands_mean: (45,) mean pose, axis-angle in rad.
        hands_components: (45, 45) principal components of the pose, one a row.
        flexion_axes: (16, 3) unit axis whose positive rotation bends the joint towards the palm; row 0 unused. None
            where the file has none (a user's MANO): see :mod:`hoiray.hand.anatomy`.
        abduction_axes: (16, 3) likewise; positive towards the thumb.
        twist_axes: (16, 3) likewise; along the bone, towards the tip on a right hand.
        is_right: side, read from the geometry: in MANO's layout a right hand's fingers point to -x.
        source: the file.
        licence: see :func:`licence_of`.
        notes: what was changed while reading, for the log and the report.
    """

    v_template: FloatArray
    shapedirs: FloatArray
    posedirs: FloatArray
    weights: FloatArray
    J_regressor: FloatArray
    parents: IndexArray
    faces: IndexArray
    hands_mean: FloatArray
    hands_components: FloatArray
    flexion_axes: FloatArray | None
    abduction_axes: FloatArray | None
    twist_axes: FloatArray | None
    is_right: bool
    source: str
    licence: Licence
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, np.ndarray):
                owned = value.copy()
                owned.setflags(write=False)
                object.__setattr__(self, spec.name, owned)

    @property
    def rest_joints(self) -> FloatArray:
        """(16, 3) joints of the mean hand at rest, MANO order, metres."""
        joints: FloatArray = self.J_regressor @ self.v_template
        return joints


def packaged_hand_path() -> Path:
    """Return the path of hoiray's open right hand (CC0)."""
    return Path(__file__).parent / "assets" / "openhand_right.npz"


def licence_of(path: str | Path) -> Licence:
    """Tell the licence of a hand file.

    Only the packaged file, recognised by its bytes, is known to be free. Anything else is taken to be MANO: a wrong
    guess in this direction restricts too much, in the other it would break a licence.

    Raises:
        ContractError: the file does not exist or cannot be read.
    """
    return _licence_of_content(_read(Path(path)))


def _licence_of_content(content: bytes) -> Licence:
    return OPEN_HAND_LICENCE if content == packaged_hand_path().read_bytes() else MANO_LICENCE


def load_hand_arrays(path: str | Path | None = None, *, left_shape_fix: LeftShapeFix = "auto") -> HandArrays:
    """Read and check a hand model.

    Args:
        path: ``.npz`` or ``.pkl`` in MANO's layout; None for the packaged open hand.
        left_shape_fix: what to do about the known error of MANO_LEFT.pkl v1.2, whose shape directions have the sign of
            x of a *right* hand (smplx issue 48): ``apply`` negates it, ``keep`` does not, ``auto`` negates it where
            the file is of a left hand and its strongest direction widens the hand in x while it shrinks it in z.
            Ignored for right hands. The outcome is in ``notes``.

    Raises:
        ContractError: the file is missing, damaged or of another kind, or a key is missing, has a wrong shape or
            holds values no hand has. The message names file, key, expected and found.
    """
    path = packaged_hand_path() if path is None else Path(path)
    content = _read(path)
    raw = _mapping_of(path, content)
    arrays = {key: _float_array(path, raw, key, shape) for key, shape in _FLOAT_SHAPES.items()}
    parents = _checked_parents(path, _index_array(path, raw, "kintree_table"))
    faces = _index_array(path, raw, "f")
    check_hand(path, arrays, faces)
    rest_joints = arrays["J_regressor"] @ arrays["v_template"]
    is_right = bool(rest_joints[4, 0] < rest_joints[0, 0])
    notes: tuple[str, ...] = ()
    if not is_right:
        arrays["shapedirs"], notes = _fix_left_shapedirs(arrays["v_template"], arrays["shapedirs"], left_shape_fix)
    axes = _axes(path, raw)
    return HandArrays(
        **arrays,
        flexion_axes=axes["flexion_axes"],
        abduction_axes=axes["abduction_axes"],
        twist_axes=axes["twist_axes"],
        parents=parents,
        faces=faces,
        is_right=is_right,
        source=str(path),
        licence=_licence_of_content(content),
        notes=notes,
    )


def mirror_hand_arrays(arrays: HandArrays) -> HandArrays:
    """Turn a left hand's model into a right hand's, and back.

    The mirrored model with mirrored pose (see :mod:`hoiray.hand.sides`) gives the mirrored vertices.
    """
    # A pose feature is an entry of R - 1; mirrored it is M (R - 1) M, which flips the entries of one x and one non-x.
    feature_signs = np.tile(np.outer(MIRRORED_POINT_SIGNS, MIRRORED_POINT_SIGNS).ravel(), 15)
    point_signs = np.array(MIRRORED_POINT_SIGNS)[None, :, None]
    # Anatomical axes are axes of rotations, so they are mirrored like rotations: the same movement keeps its sign. The
    # mirrored twist axis therefore points to the base of its bone.
    flexion, abduction, twist = (
        None if axes is None else mirror_axis_angle(axes)
        for axes in (arrays.flexion_axes, arrays.abduction_axes, arrays.twist_axes)
    )
    return dataclasses.replace(
        arrays,
        v_template=mirror_points(arrays.v_template),
        shapedirs=arrays.shapedirs * point_signs,
        posedirs=arrays.posedirs * point_signs * feature_signs,
        faces=mirror_faces(arrays.faces),
        hands_mean=mirror_axis_angle(arrays.hands_mean),
        hands_components=mirror_axis_angle(arrays.hands_components),
        flexion_axes=flexion,
        abduction_axes=abduction,
        twist_axes=twist,
        is_right=not arrays.is_right,
        notes=(*arrays.notes, "mirrored"),
    )


# --- reading ---------------------------------------------------------------------------------------------------------

_FIX_PATH: Final = "Check the path, or leave it out to use the packaged open hand."
_FIX_LAYOUT: Final = "Use an unchanged MANO_RIGHT.pkl, or the packaged open hand."

_MAX_LISTED: Final = 300
"""A refusal lists the keys of a file, which may be a million."""


def _bad(path: Path, key: str | None, expected: str, found: str) -> ContractError:
    return file_error(path, key, expected=expected, found=found, fix=_FIX_LAYOUT)


def _read(path: Path) -> bytes:
    return read_file(path, kind="a hand model", max_bytes=MAX_BYTES, fix=_FIX_PATH)


def _mapping_of(path: Path, content: bytes) -> Mapping[str, object]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        keys = (*_FLOAT_SHAPES, *_INDEX_SHAPES, *_AXES_KEYS)
        return read_npz(content, keys, path=path, max_bytes=MAX_BYTES)
    if suffix == ".pkl":
        loaded = parse_pickle(content, name=str(path))
        if not isinstance(loaded, dict):
            raise _bad(path, None, "a dictionary of arrays", f"a {type(loaded).__name__}")
        return loaded
    raise _bad(path, None, "a .npz or .pkl file", f"the suffix {path.suffix!r}")


def _dense(path: Path, raw: Mapping[str, object], key: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if key not in raw:
        present = ", ".join(sorted(map(str, raw)))[:_MAX_LISTED] or "no known key"
        raise _bad(path, key, "to be present", f"only {present}")
    value = raw[key]
    # A sparse matrix of another shape stays sparse: made dense, it could take a thousand times the file's memory.
    if isinstance(value, Sparse) and value.shape == shape:
        value = value.toarray()
    if isinstance(value, Sparse):
        raise _bad(path, key, f"shape {shape}", f"a sparse matrix of shape {value.shape}")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        kind = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
        raise _bad(path, key, "an array of real numbers", f"a {kind}")
    return value


def _float_array(path: Path, raw: Mapping[str, object], key: str, shape: tuple[int, ...]) -> FloatArray:
    value = _dense(path, raw, key, shape)
    if value.shape != shape:
        raise _bad(path, key, f"shape {shape}", f"shape {value.shape}")
    broken = int(np.count_nonzero(~np.isfinite(value)))
    if broken:
        raise _bad(path, key, "finite numbers", f"{broken} that are NaN or infinite")
    return value.astype(np.float64)


def _index_array(path: Path, raw: Mapping[str, object], key: str) -> IndexArray:
    shape = _INDEX_SHAPES[key]
    value = _dense(path, raw, key, shape)
    if value.dtype.kind not in "iu" or value.shape != shape:
        raise _bad(path, key, f"integers of shape {shape}", f"{value.dtype} of shape {value.shape}")
    indices: IndexArray = value.astype(np.int64)
    return indices


def _axes(path: Path, raw: Mapping[str, object]) -> dict[str, FloatArray | None]:
    present = [key for key in _AXES_KEYS if key in raw]
    if not present:
        return dict.fromkeys(_AXES_KEYS)
    axes: dict[str, FloatArray | None] = {}
    for key in _AXES_KEYS:
        value = _float_array(path, raw, key, (16, 3))
        lengths = np.linalg.norm(value[1:], axis=1)
        if np.any(np.abs(lengths - 1) > _UNIT_TOLERANCE):
            found = f"lengths from {lengths.min():.4f} to {lengths.max():.4f}"
            raise _bad(path, key, "15 unit axes after the wrist's row", found)
        axes[key] = value
    return axes


def _checked_parents(path: Path, kintree_table: IndexArray) -> IndexArray:
    parents: IndexArray = kintree_table[0].copy()
    parents[0] = -1  # files write 4294967295, an unsigned -1
    if tuple(parents.tolist()) != MANO_PARENTS:
        found = f"parents {parents.tolist()}"
        raise _bad(path, "kintree_table", f"MANO's tree {list(MANO_PARENTS)}", found)
    return parents


def _fix_left_shapedirs(
    v_template: FloatArray, shapedirs: FloatArray, fix: LeftShapeFix
) -> tuple[FloatArray, tuple[str, ...]]:
    """Undo the sign error of MANO_LEFT.pkl; see :func:`load_hand_arrays`."""
    if fix == "keep" or (fix == "auto" and not _x_of_shapedirs_is_negated(v_template, shapedirs)):
        return shapedirs, ()
    fixed = shapedirs.copy()
    fixed[:, 0] *= -1
    return fixed, (f"left hand: x of shapedirs negated (left_shape_fix={fix!r}, smplx issue 48)",)


def _x_of_shapedirs_is_negated(v_template: FloatArray, shapedirs: FloatArray) -> bool:
    """Tell whether the strongest shape direction, which is hand size, shrinks length (x) while it widens (z)."""
    strongest = int(np.argmax(np.linalg.norm(shapedirs, axis=(0, 1))))
    centred = v_template - v_template.mean(axis=0)
    growth = np.einsum("vd,vd->d", centred, shapedirs[:, :, strongest] - shapedirs[:, :, strongest].mean(axis=0))
    return bool(growth[0] * growth[2] < 0)
