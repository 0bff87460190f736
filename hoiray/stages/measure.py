"""Measure: fused predictions in, predictions with their spatial measurements out.

Not measured here but before, where the pixels and the ensemble's members still are, and handed over as columns: the
spread of the members (``spread_*``), the change of the crop (``crop_change``), and the extent of the mesh.
"""

from typing import Final

import numpy as np
import pyarrow as pa

from hoiray.filters.spatial import MEASURED_HERE, Hands, Spatial, measure_spatial
from hoiray.filters.unmeasured import NO_PIXELS, NOT_ATTEMPTED, TOO_FEW_MEMBERS, CodeArray, rounded
from hoiray.schema.columns import Column, TableSchema, pack_column, unpack_column
from hoiray.schema.conform import conform
from hoiray.schema.label_columns import PREDICTION_COLUMNS, SPATIAL_NAMES
from hoiray.schema.tables import PREDICTIONS
from hoiray.stages.unmeasured_column import pack_unmeasured

MESH_EXTENT: Final = Column(
    "mesh_extent_m",
    "float32",
    "Smallest x and y, largest x and y of the mesh's vertices; NaN where the predictor has no mesh.",
    "m",
    (4,),
    frame="wrist, camera axes",
    is_measurement=True,
)
_CAMERA: Final = ("camera_scale_px_per_m", "camera_shift_px")
_ADDED: Final = {*MEASURED_HERE, *_CAMERA, "unmeasured"}

FUSED: Final = TableSchema(
    "fused",
    1,
    "Fused predictions before they are measured: never written, only handed from stage to stage.",
    PREDICTIONS.key,
    (*(column for column in PREDICTION_COLUMNS if column.name not in _ADDED), MESH_EXTENT),
)
"""What :func:`measure` takes: a prediction's columns without those it adds, and the extent of the mesh."""


def measure(fused: pa.Table) -> pa.Table:
    """Solve the weak-perspective camera of every hand and measure what one frame tells.

    Args:
        fused: schema :data:`FUSED`. NaN in ``spread_rotation_rad``, ``crop_change`` and ``mesh_extent_m`` means that
            there is no such number.

    Returns:
        Schema ``predictions``, rows in the order given; every NaN has its reason in ``unmeasured``.

    Raises:
        ContractError: the table does not fit its schema.
    """
    table = conform(fused, FUSED)
    spatial = measure_spatial(_hands_of(table))
    values, codes = rounded(spatial.values, spatial.reasons)
    columns = {name: table[name] for name in table.column_names if name != MESH_EXTENT.name}
    for index, name in enumerate(MEASURED_HERE):
        columns[name] = pack_column(PREDICTIONS[name], np.ascontiguousarray(values[:, index]))
    columns |= _camera_columns(spatial)
    all_codes = np.zeros((table.num_rows, len(SPATIAL_NAMES)), dtype=np.uint8)
    for index, name in enumerate(MEASURED_HERE):
        all_codes[:, SPATIAL_NAMES.index(name)] = codes[:, index]
    _explain_handed_over(table, all_codes)
    columns["unmeasured"] = pack_unmeasured(all_codes, SPATIAL_NAMES)
    return conform(pa.table({column.name: columns[column.name] for column in PREDICTIONS.columns}), PREDICTIONS)


def _hands_of(table: pa.Table) -> Hands:
    arrays = {column.name: unpack_column(table, column) for column in FUSED.columns if column.name in _NUMBERS}
    return Hands(
        joints_3d_m=arrays["joints_3d"],
        joints_2d_px=arrays["joints_2d"],
        mesh_extent_m=arrays["mesh_extent_m"],
        bbox_xyxy=arrays["bbox_xyxy"],
        image_size_wh_px=np.stack([arrays["image_width_px"], arrays["image_height_px"]], axis=-1),
        spread_joints_2d_px=arrays["spread_joints_2d_px"],
        spread_joints_3d_m=arrays["spread_joints_3d_m"],
    )


_NUMBERS: Final = (
    "joints_3d",
    "joints_2d",
    "mesh_extent_m",
    "bbox_xyxy",
    "image_width_px",
    "image_height_px",
    "spread_joints_2d_px",
    "spread_joints_3d_m",
)


def _camera_columns(spatial: Spatial) -> dict[str, pa.Array]:
    with np.errstate(over="ignore"):
        camera = spatial.camera.astype(np.float32)
    is_unsolved = np.asarray(~np.isfinite(camera).all(axis=1))
    scale, shift = np.ascontiguousarray(camera[:, 0]), np.ascontiguousarray(camera[:, 1:])
    return {
        _CAMERA[0]: pack_column(PREDICTIONS[_CAMERA[0]], scale, is_unsolved),
        _CAMERA[1]: pack_column(PREDICTIONS[_CAMERA[1]], shift, is_unsolved),
    }


def _explain_handed_over(table: pa.Table, codes: CodeArray) -> None:
    """Give the measurements that were handed over as NaN their reasons."""
    is_alone = unpack_column(table, PREDICTIONS["num_members"]) < 2
    missing_spread = np.where(is_alone, np.uint8(TOO_FEW_MEMBERS), np.uint8(NOT_ATTEMPTED))
    for name, code in (("spread_rotation_rad", missing_spread), ("crop_change", np.uint8(NO_PIXELS))):
        is_missing = np.isnan(unpack_column(table, PREDICTIONS[name]))
        codes[:, SPATIAL_NAMES.index(name)] = np.where(is_missing, code, np.uint8(0))
