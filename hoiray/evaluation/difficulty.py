"""How hard a hand is to see: how much of it is visible, how large it is, from where it is looked at."""

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray
from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.hand.joints import FINGER_JOINTS, WRIST
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.sides import mirror_faces
from hoiray.render.raster import rasterise

MAX_CANVAS_PX: Final = 128
"""Silhouettes are measured at most this large: a pixel of the outline in 128 is 1 % of the visible fraction."""

MIN_DEPTH_M: Final = 0.01
"""What lies closer has no image."""

VISIBLE_EDGES: Final = (0.5, 0.75, 0.9)
SIZE_EDGES_PX: Final = (64.0, 128.0, 192.0)
VIEWPOINT_EDGES_DEG: Final = (60.0, 120.0)

VIEWPOINT_NAMES: Final[Mapping[int, str]] = MappingProxyType({0: "palm", 1: "edge", 2: "back"})


def visible_fraction(hand_mask: npt.NDArray[np.bool_], vertices: FloatArray, K: FloatArray, *, is_right: bool) -> float:
    """Measure the share of a hand's silhouette, as it would be without borders and occluders, that the mask shows.

    Args:
        hand_mask: (H, W) visible pixels of hands; those outside this hand's silhouette (an arm, another hand) do not
            count.
        vertices: (778, 3) metres, camera axes.
        K: (3, 3).
        is_right: side of the mesh.

    Returns:
        A value of [0, 1]; NaN where the hand reaches behind the camera or covers no pixel.
    """
    if vertices[:, 2].min() <= MIN_DEPTH_M:
        return float("nan")
    box = from_points(project_points(vertices, K))
    sides = np.maximum(box[2:] - box[:2], 1.0)
    scale = min(1.0, MAX_CANVAS_PX / float(sides.max()))
    canvas_from_image = np.array([[scale, 0.0, -scale * box[0]], [0.0, scale, -scale * box[1]], [0.0, 0.0, 1.0]])
    width, height = (int(side) for side in np.ceil(scale * sides) + 2)
    silhouette = rasterise(vertices, _faces(is_right=is_right), canvas_from_image @ K, (height, width)).covered
    rows, columns = np.nonzero(silhouette)
    if not rows.size:
        return float("nan")
    x, y = (np.rint(places / scale + corner).astype(int) for places, corner in ((columns, box[0]), (rows, box[1])))
    is_inside = (x >= 0) & (x < hand_mask.shape[1]) & (y >= 0) & (y < hand_mask.shape[0])
    return float(hand_mask[y[is_inside], x[is_inside]].sum() / rows.size)


@cache
def _faces(*, is_right: bool) -> npt.NDArray[np.intp]:
    """The faces of every hand in MANO's layout; read once, a file takes ten times as long as a silhouette."""
    faces = load_hand_arrays().faces
    return faces if is_right else mirror_faces(faces)


def viewpoint_deg(joints_3d: FloatArray, *, is_right: bool) -> float:
    """Measure from which side a hand is seen: the angle between the palm's direction and the direction to the camera.

    The palm looks along the normal of wrist, index knuckle and little knuckle (of a left hand, against it).

    Args:
        joints_3d: (21, 3) metres, camera axes, simple order.
        is_right: side.

    Returns:
        0 where the camera looks into the palm, 180 where it looks at the back; NaN where the knuckles are in a line.
    """
    wrist, index, little = (joints_3d[joint] for joint in (WRIST, FINGER_JOINTS["index"][0], FINGER_JOINTS["pinky"][0]))
    normal = np.cross(index - wrist, little - wrist) * (1.0 if is_right else -1.0)
    towards_camera = -(wrist + index + little) / 3.0
    lengths = float(np.linalg.norm(normal) * np.linalg.norm(towards_camera))
    if lengths == 0.0:
        return float("nan")
    return float(np.degrees(np.arccos(np.clip(normal @ towards_camera / lengths, -1.0, 1.0))))


def bin_names(values: npt.NDArray[np.floating], edges: tuple[float, ...], unit: str, factor: float = 1.0) -> list[str]:
    """Name each value's bin, lower edges included: `below 64 px`, `64 to 128 px`, `from 192 px`; NaN is `unknown`."""
    shown = [f"{edge * factor:g}" for edge in edges]
    names = [f"below {shown[0]} {unit}"]
    names += [f"{low} to {high} {unit}" for low, high in pairwise(shown)]
    names += [f"from {shown[-1]} {unit}"]
    bins = np.digitize(values, edges)
    return ["unknown" if np.isnan(value) else names[place] for value, place in zip(values, bins, strict=True)]


def viewpoint_names(values: npt.NDArray[np.floating]) -> list[str]:
    """Name the side that is seen: palm (below 60 degrees), edge, back (from 120); `unknown` for NaN."""
    bins = np.digitize(values, VIEWPOINT_EDGES_DEG)
    return [
        "unknown" if np.isnan(value) else VIEWPOINT_NAMES[int(place)] for value, place in zip(values, bins, strict=True)
    ]
