"""The 21 points of an object's bounding box that stand for its pose in an image."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.geometry.arrays import FloatArray, as_floats

NUM_CONTROL_POINTS: Final = 21


def control_points(points_m: npt.ArrayLike) -> FloatArray:
    """Return the 21 control points of a model in the published order.

    Corners of the bounding box, middles of its edges, its centre, as the object branch of Semi-Hand-Object
    (Liu et al., CVPR 2021) names them: blb, brb, blf, brf, tlb, trb, tlf, trf, ble, bre, bfe, bbe, tle, tre, tfe, tbe,
    lfe, lbe, rfe, rbe, centre. b/t first is z at its smallest/largest; l/r is x; b/f is y; e is an edge's middle.

    Args:
        points_m: (P, 3) evaluation points, object axes.

    Returns:
        (21, 3) in the same axes.

    Raises:
        ContractError: not (P, 3).
    """
    points = as_floats(points_m, (None, 3), "points_m")
    low, high = points.min(axis=0), points.max(axis=0)
    corners = [(x, y, z) for z in (0.0, 1.0) for y in (0.0, 1.0) for x in (0.0, 1.0)]
    # Round the bottom, then the top: left, right, front (largest y), back.
    around = ((0.0, 0.5), (1.0, 0.5), (0.5, 1.0), (0.5, 0.0))
    edges = [(x, y, z) for z in (0.0, 1.0) for x, y in around]
    uprights = [(0.0, 1.0, 0.5), (0.0, 0.0, 0.5), (1.0, 1.0, 0.5), (1.0, 0.0, 0.5)]
    fractions = np.array([*corners, *edges, *uprights, (0.5, 0.5, 0.5)])
    return np.asarray(low + fractions * (high - low))
