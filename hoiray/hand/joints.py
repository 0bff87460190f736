"""The joints of a hand: names, orders, bones, fingers, and the vertices that stand for finger tips.

A hand has 21 joints: the wrist, three joints a finger that carry a rotation, and five finger tips. Inside hoiray they
are always in the ``simple`` order: the wrist, then thumb, index, middle, ring and pinky, each from its base to its tip.
Files and models use other orders, and the one of MANO has a trap: the **pinky comes before the ring finger**.
Every permutation here is derived from names, so there is no table of numbers to get wrong.

======== ============================================================== ===========================================
order    layout                                                         used by
======== ============================================================== ===========================================
simple   wrist; thumb, index, middle, ring, pinky, each base to tip     hoiray, FreiHAND, DexYCB, OpenPose, manopth
mano     wrist; index, middle, pinky, ring, thumb without tips (16);    MANO, HO-3D (labels and submissions)
         then the tips of thumb, index, middle, ring, pinky
fpha     wrist; the five bases, thumb to pinky; then the other three    FPHA (First-Person Hand Action)
         joints of each finger, base to tip
======== ============================================================== ===========================================

A tip is no joint of MANO but a vertex of its mesh, and public code names six different sets of vertices
(:data:`TIP_SETS`). The sets differ by up to 1 to 2 cm, an error Procrustes alignment hides, so a set is always named.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from hoiray.errors import ConfigError, ContractError, describe

JointOrder: TypeAlias = Literal["simple", "mano", "fpha"]
Finger: TypeAlias = Literal["thumb", "index", "middle", "ring", "pinky"]
Scalar = TypeVar("Scalar", bound=np.generic)

NUM_JOINTS: Final = 21
NUM_MANO_JOINTS: Final = 16
"""The joints of MANO that carry a rotation: the wrist and three a finger."""

FINGERS: Final[tuple[Finger, ...]] = get_args(Finger)
"""Fingers in the ``simple`` order, which is also the order of every tuple of tips."""

_MANO_FINGERS: Final[tuple[Finger, ...]] = ("index", "middle", "pinky", "ring", "thumb")


def _segments(finger: Finger) -> tuple[str, str, str, str]:
    """Name the four joints of a finger from base to tip, as anatomy does."""
    levels = ("cmc", "mcp", "ip", "tip") if finger == "thumb" else ("mcp", "pip", "dip", "tip")
    base, middle, distal, tip = (f"{finger}_{level}" for level in levels)
    return base, middle, distal, tip


SIMPLE_NAMES: Final[tuple[str, ...]] = ("wrist", *(name for finger in FINGERS for name in _segments(finger)))
MANO_NAMES: Final[tuple[str, ...]] = (
    "wrist",
    *(name for finger in _MANO_FINGERS for name in _segments(finger)[:3]),
    *(_segments(finger)[3] for finger in FINGERS),
)
FPHA_NAMES: Final[tuple[str, ...]] = (
    "wrist",
    *(_segments(finger)[0] for finger in FINGERS),
    *(name for finger in FINGERS for name in _segments(finger)[1:]),
)
JOINT_NAMES: Final[Mapping[JointOrder, tuple[str, ...]]] = MappingProxyType(
    {"simple": SIMPLE_NAMES, "mano": MANO_NAMES, "fpha": FPHA_NAMES}
)
MANO_ROTATION_NAMES: Final = MANO_NAMES[:NUM_MANO_JOINTS]

PARENTS: Final[tuple[int, ...]] = tuple(
    -1 if joint == 0 else 0 if joint % 4 == 1 else joint - 1 for joint in range(NUM_JOINTS)
)
"""The parent of each joint, simple order: ``-1, 0, 1, 2, 3, 0, 5, ...``. The root has none."""

MANO_PARENTS: Final[tuple[int, ...]] = tuple(
    -1 if joint == 0 else 0 if joint % 3 == 1 else joint - 1 for joint in range(NUM_MANO_JOINTS)
)
"""The parent of each of the 16 rotating joints, MANO order: ``-1, 0, 1, 2, 0, 4, 5, ...``."""

BONES: Final[tuple[tuple[int, int], ...]] = tuple((PARENTS[child], child) for child in range(1, NUM_JOINTS))
"""The 20 bones as (parent, child), simple order; bone ``i`` ends at joint ``i + 1``."""

BONE_NAMES: Final[tuple[str, ...]] = tuple(f"{SIMPLE_NAMES[parent]}-{SIMPLE_NAMES[child]}" for parent, child in BONES)

FINGER_JOINTS: Final[Mapping[Finger, tuple[int, int, int, int]]] = MappingProxyType(
    {finger: (4 * i + 1, 4 * i + 2, 4 * i + 3, 4 * i + 4) for i, finger in enumerate(FINGERS)}
)
"""The joints of each finger from base to tip, simple order."""

TIP_JOINTS: Final[tuple[int, ...]] = tuple(FINGER_JOINTS[finger][3] for finger in FINGERS)
WRIST: Final = 0
MIDDLE_MCP: Final = SIMPLE_NAMES.index("middle_mcp")
"""Simple order. Its distance to the wrist is the reference length of HO-3D's scale alignment."""


@dataclass(frozen=True)
class TipSet:
    """Which mesh vertices stand for the finger tips.

    Attributes:
        name: what a configuration calls it.
        right: vertex of thumb, index, middle, ring and pinky on the right mesh.
        left: the same on the left mesh; equal to ``right`` unless the source says otherwise.
        source: where the numbers are published.
    """

    name: str
    right: tuple[int, int, int, int, int]
    left: tuple[int, int, int, int, int]
    source: str


def _tip_set(
    name: str,
    right: tuple[int, int, int, int, int],
    source: str,
    left: tuple[int, int, int, int, int] | None = None,
) -> TipSet:
    return TipSet(name, right, left or right, source)


TIP_SETS: Final[Mapping[str, TipSet]] = MappingProxyType(
    {
        tips.name: tips
        for tips in (
            _tip_set(
                "ho3d",
                (728, 353, 442, 576, 694),
                "HOnnotate batch_mano.py, the tool that made HO-3D's labels; also Semi-Hand-Object and HandOccNet",
            ),
            _tip_set(
                "ho3d_viewer",
                (744, 333, 444, 555, 672),
                "setup_mano.py of the ho3d viewer since March 2022; not what the labels hold",
            ),
            _tip_set(
                "manopth",
                (745, 317, 444, 556, 673),
                "manopth manolayer.py; also manotorch and DexYCB. Its left middle finger is 445",
                left=(745, 317, 445, 556, 673),
            ),
            _tip_set("freihand", (744, 320, 443, 555, 672), "the FreiHAND toolkit, utils/fh_utils.py"),
            _tip_set("kypt", (745, 320, 444, 555, 672), "Keypoint Transformer (Hampali et al., CVPR 2022), its code"),
            _tip_set("smplx", (744, 320, 443, 554, 671), "smplx vertex_ids.py, entry 'mano'"),
        )
    }
)
"""Every published set of tip vertices; order of each tuple: thumb, index, middle, ring, pinky."""


def tip_vertices(name: str, *, is_right: bool) -> tuple[int, int, int, int, int]:
    """Return the tip vertices of one named set.

    Args:
        name: a key of :data:`TIP_SETS`.
        is_right: side of the mesh.

    Returns:
        Vertex of thumb, index, middle, ring and pinky.

    Raises:
        ConfigError: the set is unknown; the message names the nearest one.
    """
    if name not in TIP_SETS:
        nearest = difflib.get_close_matches(name, TIP_SETS, n=1, cutoff=0.5)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else "Choose the set of the labels you compare with."
        expected = f"one of {', '.join(TIP_SETS)}"
        raise ConfigError(describe(what="finger-tip set", expected=expected, found=repr(name), fix=hint))
    tips = TIP_SETS[name]
    return tips.right if is_right else tips.left


def permutation(from_order: JointOrder, to_order: JointOrder) -> npt.NDArray[np.int64]:
    """Return the (21,) indices ``p`` for which ``in_to_order = in_from_order[p]``.

    Args:
        from_order: order of the array at hand.
        to_order: order that is wanted.

    Raises:
        ConfigError: an order is unknown.
    """
    for order in (from_order, to_order):
        if order not in JOINT_NAMES:
            nearest = difflib.get_close_matches(str(order), JOINT_NAMES, n=1)
            fix = f"Did you mean {nearest[0]!r}?" if nearest else "Name the order the file was written in."
            expected = f"one of {', '.join(JOINT_NAMES)}"
            raise ConfigError(describe(what="joint order", expected=expected, found=repr(order), fix=fix))
    position = {name: index for index, name in enumerate(JOINT_NAMES[from_order])}
    return np.array([position[name] for name in JOINT_NAMES[to_order]], dtype=np.int64)


def reorder(
    joints: npt.NDArray[Scalar], from_order: JointOrder, to_order: JointOrder, *, axis: int = -2
) -> npt.NDArray[Scalar]:
    """Return a copy of ``joints`` in another order.

    Args:
        joints: (..., 21, D) anything per joint: positions in metres, pixels.
        from_order: order ``joints`` is in.
        to_order: order that is wanted.
        axis: the axis of the joints; -1 for one number per joint.

    Raises:
        ContractError: that axis has not 21 entries.
        ConfigError: an order is unknown.
    """
    indices = permutation(from_order, to_order)
    if not -joints.ndim <= axis < joints.ndim or joints.shape[axis] != NUM_JOINTS:
        fix = "MANO's 16 joints have no tips: append the five tip vertices first."
        found = f"an array of shape {joints.shape}"
        raise ContractError(describe(what="joints", expected=f"{NUM_JOINTS} on axis {axis}", found=found, fix=fix))
    return np.take(joints, indices, axis=axis)


def palm_length(joints: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the distance (...) from wrist to middle knuckle, which no pose changes, in the unit of the joints.

    Args:
        joints: (..., 21, 3), simple order.
    """
    return np.asarray(np.linalg.norm(joints[..., MIDDLE_MCP, :] - joints[..., WRIST, :], axis=-1), dtype=np.float64)
