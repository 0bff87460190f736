"""The array layout of a MANO hand: its counts, and which ids its finger tips must get.

The layout is a public convention (Romero et al., "Embodied Hands", SIGGRAPH Asia 2017; read by the `smplx` package);
no array of MANO itself is used or contained here. Joint order and tip ids come from `hoiray.hand.joints`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hoiray.hand.joints import FINGERS as SIMPLE_FINGERS
from hoiray.hand.joints import MANO_PARENTS, MANO_ROTATION_NAMES, TIP_SETS, Finger

NUM_JOINTS = len(MANO_ROTATION_NAMES)
NUM_VERTICES = 778
NUM_FACES = 1538
# A disc-like mesh (one boundary loop, Euler characteristic 1) has F = 2 V - B - 2 faces: 2 * 778 - 16 - 2 = 1538.
NUM_BOUNDARY_EDGES = 16
NUM_BETAS = 10
PARENTS = MANO_PARENTS

# MANO's order of the fingers: pinky before ring, thumb last.
FINGERS: tuple[Finger, ...] = tuple(
    sorted(
        SIMPLE_FINGERS, key=lambda finger: next(i for i, n in enumerate(MANO_ROTATION_NAMES) if n.startswith(finger))
    )
)
# The joints of each finger, base to tip.
FINGER_JOINTS: Mapping[Finger, tuple[int, int, int]] = MappingProxyType(
    {finger: (3 * k + 1, 3 * k + 2, 3 * k + 3) for k, finger in enumerate(FINGERS)}
)


def _tip_ids(finger: Finger) -> tuple[int, ...]:
    place = SIMPLE_FINGERS.index(finger)
    centre, pad = (TIP_SETS[name].right[place] for name in ("smplx", "ho3d"))
    named = {ids[place] for tips in TIP_SETS.values() for ids in (tips.right, tips.left)}
    return (centre, *sorted(named - {centre, pad}), pad)


# Every vertex id that public code reads as the tip of a finger. The first is the very tip (smplx's id), the last the
# one of HO-3D's labels, which on MANO lies a few millimetres lower on the pad.
TIP_IDS: Mapping[Finger, tuple[int, ...]] = MappingProxyType({finger: _tip_ids(finger) for finger in FINGERS})


def subtree(joint: int) -> tuple[int, ...]:
    """Return a joint and everything that moves with it, in ascending order.

    A joint's parent always has a smaller number, so one pass suffices.
    """
    members = [joint]
    for child in range(joint + 1, NUM_JOINTS):
        if PARENTS[child] in members:
            members.append(child)
    return tuple(members)


def tip_id(finger: Finger) -> int:
    """Return the vertex at the very tip of a finger (the id smplx uses)."""
    return TIP_IDS[finger][0]
