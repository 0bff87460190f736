"""Choose finger tip vertices and give them the ids that public code expects."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hoiray.hand.joints import Finger
from hoiray.hand.openhand.layout import FINGER_JOINTS, FINGERS, NUM_VERTICES, TIP_IDS
from hoiray.hand.openhand.region import TIP_LANDMARK

MIN_DISTAL_WEIGHT = 0.9
# The vertex of HO-3D's labels lies lower on the pad than the tip: this far back along the bone, and this far down.
PAD_BACK_M = 0.004
PAD_DOWN_M = 0.003


def choose_tips(
    vertices: NDArray[np.float64],
    landmarks: NDArray[np.float64],
    weights: NDArray[np.float64],
    dorsal: Mapping[Finger, NDArray[np.float64]],
) -> dict[Finger, tuple[int, ...]]:
    """Choose one vertex per id of `TIP_IDS`, on the distal bone of its own finger.

    The first is the farthest along the bone, the last the closest to a point lower on the pad, and those between are
    the tip's nearest neighbours on the pad's side of the tip, so that different tip sets are millimetres apart.

    Args:
        vertices: (V, 3) rest pose, metres.
        landmarks: (21, 3).
        weights: (V, 16).
        dorsal: unit vector out of each finger's nail.

    Returns:
        Vertex ids by finger, in the order of `TIP_IDS`.
    """
    chosen: dict[Finger, tuple[int, ...]] = {}
    for finger in FINGERS:
        distal = FINGER_JOINTS[finger][2]
        axis = landmarks[TIP_LANDMARK[finger]] - landmarks[distal]
        axis = axis / np.linalg.norm(axis)
        own = np.flatnonzero(weights[:, distal] > MIN_DISTAL_WEIGHT)
        tip = own[np.argmax(vertices[own] @ axis)]
        pad_point = vertices[tip] - PAD_BACK_M * axis - PAD_DOWN_M * dorsal[finger]
        pad = _nearest(vertices, own[own != tip], pad_point)[0]
        side = own[(own != tip) & (own != pad) & ((vertices[own] - vertices[tip]) @ dorsal[finger] <= 0)]
        between = _nearest(vertices, side, vertices[tip])[: len(TIP_IDS[finger]) - 2]
        chosen[finger] = (int(tip), *(int(vertex) for vertex in between), int(pad))
    return chosen


def order_with_tips(kept: NDArray[np.int64], tips: Mapping[Finger, tuple[int, ...]]) -> NDArray[np.int64]:
    """Order the kept vertices so that every tip gets its public id; the others keep their order.

    Args:
        kept: (778,) ascending ids of the full mesh, containing all tips.
        tips: full-mesh ids by finger, in the order of `TIP_IDS`.

    Returns:
        (778,) full-mesh id of every vertex of the model.
    """
    order = np.full(NUM_VERTICES, -1, dtype=np.int64)
    for finger, ids in TIP_IDS.items():
        order[list(ids)] = tips[finger]
    order[order < 0] = np.setdiff1d(kept, order)
    return order


def _nearest(
    vertices: NDArray[np.float64], candidates: NDArray[np.int64], point: NDArray[np.float64]
) -> NDArray[np.int64]:
    distance = np.linalg.norm(vertices[candidates] - point, axis=1)
    return np.asarray(candidates[np.argsort(distance, kind="stable")], dtype=np.int64)
