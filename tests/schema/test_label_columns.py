from collections.abc import Iterable

import numpy as np

from hoiray.config.what import PaperLimits
from hoiray.schema.columns import Column
from hoiray.schema.label_columns import LABEL_COLUMNS, MEASUREMENT_NAMES, PREDICTION_COLUMNS, SPATIAL_NAMES


def names_of(columns: Iterable[Column]) -> list[str]:
    return [column.name for column in columns]


def test_every_limit_has_its_stored_measurement() -> None:
    by_limit = {
        "min_box_iou": ["box_iou"],
        "max_reprojection_box_sides": [f"reprojection_{r}_box_sides" for r in ("frobenius", "mean", "max")],
        "min_bone_length_ratio": ["min_bone_length_ratio"],
        "max_joint_angle_deg": ["max_joint_angle_rad"],
        "max_motion_2d_box_sides": [f"motion_2d_{r}_box_sides" for r in ("frobenius", "mean", "max")],
        "max_motion_pose": [
            f"motion_pose_{reading}" for reading in PaperLimits.model_fields["motion_pose_reading"].annotation.__args__
        ],
        "max_shape_deviation_sigma": ["shape_deviation_sigma"],
        "max_spread_2d_box_sides": ["spread_2d_box_sides"],
        "max_spread_3d_m": ["spread_3d_m"],
        "max_spread_rotation_deg": ["spread_rotation_rad"],
        "max_held_sample_score": ["held_sample_score"],
    }
    limits = {name for name, value in PaperLimits.model_fields.items() if name.startswith(("min_", "max_"))}
    assert limits - {"max_predecessor_gap_frames"} == set(by_limit)
    measurements = [name for names in by_limit.values() for name in names]
    assert set(measurements) | {"shape_sigma", "crop_change"} == set(MEASUREMENT_NAMES)
    assert "predecessor_gap_frames" in names_of(LABEL_COLUMNS)


def test_a_prediction_is_a_label_without_track_and_verdict() -> None:
    later = [column for column in LABEL_COLUMNS if column not in PREDICTION_COLUMNS]
    assert set(PREDICTION_COLUMNS) < set(LABEL_COLUMNS)
    assert names_of(later)[:1] == ["track_index"]
    assert names_of(later)[-4:] == ["accepted", "reasons", "confidence", "confidence_by_joint"]


def test_a_prediction_holds_the_measurements_of_one_frame_only() -> None:
    assert [column.name for column in PREDICTION_COLUMNS if column.is_measurement] == list(SPATIAL_NAMES)
    assert [column.name for column in LABEL_COLUMNS if column.is_measurement] == list(MEASUREMENT_NAMES)
    assert not [name for name in SPATIAL_NAMES if name.startswith(("motion", "shape", "held"))]


def test_a_label_takes_about_a_kilobyte() -> None:
    bytes_per_row = sum(
        column.length * np.dtype(column.dtype).itemsize for column in LABEL_COLUMNS if column.dtype != "string"
    )
    assert 900 < bytes_per_row < 1400
