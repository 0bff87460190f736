"""The columns of a prediction and of a label, in groups: who, image, hand, object, spread, measurements, verdict."""

from typing import Final

from hoiray.schema.columns import Column
from hoiray.schema.vocabularies import REJECT_REASONS

VIDEO_ID: Final = Column("video_id", "string", "Name of the video, unique in the plan.")
FRAME_INDEX: Final = Column(
    "frame_index",
    "int32",
    "Number of the frame at the sampled rate, from 0. Consecutive numbers are consecutive frames; a number that is"
    " missing is a hole, never closed up.",
)
_IDENTITY: Final = (
    VIDEO_ID,
    FRAME_INDEX,
    Column("hand_index", "int16", "Number of the hand in the frame, from 0; says nothing across frames."),
    Column("shard_id", "string", "The shard that made the row."),
    Column("predict_id", "string", "Digest of plan, weights, ensemble and schema that made the numbers."),
)
_IMAGE: Final = (
    Column("time_s", "float64", "Presentation time of the frame in the video.", "s"),
    Column("image_width_px", "int32", "Width of the full image.", "px"),
    Column("image_height_px", "int32", "Height of the full image.", "px"),
    Column("K", "float32", "Intrinsics; null where unknown.", "px", (3, 3), nullable=True, frame="image"),
)
_HAND: Final = (
    Column("is_right", "bool", "Side of the hand. A left hand's numbers are those of a left-hand model, unmirrored."),
    Column(
        "side_source",
        "string",
        "Who says so: the box, the run's configuration for all hands, or the better of both hypotheses.",
        vocabulary=("given", "configured", "guessed"),
    ),
    Column(
        "side_lead",
        "float32",
        "By how much the frames of the track tell for this side rather than for the other, in the mean: 0 says nothing,"
        " 0.1 is the most that counts; negative where the hand beside it overruled them. Null where the side was not"
        " guessed.",
        "1",
        nullable=True,
    ),
    Column(
        "bbox_xyxy",
        "float32",
        "Hand box that steered the prediction.",
        "px",
        (4,),
        frame="image",
    ),
    Column(
        "box_source",
        "string",
        "Who gave the hand box. One that is detected or tracked was found by the predictor or a detector, and made the"
        " crop: there box_iou is circular.",
        vocabulary=("given", "detected", "tracked"),
    ),
    Column(
        "upright_px",
        "float32",
        "Of the square that shows the hand upright, as the tracker that found the hand said: its centre, and the middle"
        " of its upper edge. A predictor of upright hands looks there. Null where nobody said.",
        "px",
        (2, 2),
        nullable=True,
        frame="image",
    ),
    Column(
        "failure",
        "string",
        "Why the predictor gave no answer: then the prediction is null. Null where it answered.",
        nullable=True,
    ),
    Column("betas", "float32", "MANO shape; null without answer, or with joints only.", "1", (10,), nullable=True),
    Column(
        "global_orient",
        "float32",
        "Orientation of the wrist, axis-angle; null as betas.",
        "rad",
        (3,),
        nullable=True,
        frame="camera",
    ),
    Column(
        "hand_pose",
        "float32",
        "Pose of 15 joints in MANO's order, axis-angle; zero is the flat hand, no mean is to be added. Null as betas.",
        "rad",
        (45,),
        nullable=True,
    ),
    Column(
        "transl",
        "float32",
        "MANO translation: the wrist is transl + J0(betas). Null where the absolute place is unknown.",
        "m",
        (3,),
        nullable=True,
        frame="camera",
    ),
    Column(
        "joints_3d",
        "float32",
        "Joints of the posed hand model, relative to the wrist; null without answer.",
        "m",
        (21, 3),
        nullable=True,
        frame="wrist, camera axes",
    ),
    Column(
        "joints_2d",
        "float32",
        "Joints as the predictor sees them in the image; null without answer.",
        "px",
        (21, 2),
        nullable=True,
        frame="image",
    ),
    Column(
        "joint_confidence",
        "float32",
        "The predictor's own confidence in each 2D joint, 0 to 1; null where it tells none.",
        "1",
        (21,),
        nullable=True,
    ),
    Column(
        "camera_scale_px_per_m",
        "float32",
        "Scale of the weak-perspective camera: joints_2d ~ scale * joints_3d[:, :2] + shift. Null where unsolved.",
        "px/m",
        nullable=True,
    ),
    Column(
        "camera_shift_px",
        "float32",
        "Shift of the weak-perspective camera; null where unsolved.",
        "px",
        (2,),
        nullable=True,
        frame="image",
    ),
)
_OBJECT: Final = (
    Column("object_id", "string", "Name of the object's mesh; null without object.", nullable=True),
    Column(
        "object_bbox_xyxy", "float32", "Box of the object; null without one.", "px", (4,), nullable=True, frame="image"
    ),
    Column(
        "T_cam_obj",
        "float32",
        "Pose of the object: T_cam_obj @ p_obj is in camera coordinates. Null where unsolved.",
        "1, m",
        (4, 4),
        nullable=True,
        frame="camera from object",
    ),
    Column("object_confidence", "float32", "The predictor's confidence, 0 to 1; null if none.", "1", nullable=True),
)
_SPREAD: Final = (
    Column("num_members", "int16", "Members of the ensemble that gave a prediction."),
    Column(
        "spread_joints_2d_px",
        "float32",
        "Per joint: root mean square distance of the members to their mean; null with fewer than two members.",
        "px",
        (21,),
        nullable=True,
        frame="image",
    ),
    Column(
        "spread_joints_3d_m",
        "float32",
        "Per joint: root mean square distance of the members to their mean, about the wrist; null with fewer than two.",
        "m",
        (21,),
        nullable=True,
        frame="wrist, camera axes",
    ),
    Column(
        "rotation_consensus",
        "float32",
        "Agreement of the members' rotations, 0 to 1: least over the joints. Null with fewer than two members.",
        "1",
        nullable=True,
    ),
)


def _measurement(name: str, unit: str, doc: str) -> Column:
    return Column(name, "float32", doc, unit, is_measurement=True)


_READINGS: Final = {
    "frobenius": "root of the sum of squares over the 21 joints",
    "mean": "mean over the 21 joints",
    "max": "largest of the 21 joints",
}
_SPATIAL: Final = (
    _measurement("box_iou", "1", "IoU of the projected mesh's box, clipped to the image, with the hand box."),
    *(
        _measurement(f"reprojection_{reading}_box_sides", "box sides", f"Projected 3D to 2D joints: {doc}.")
        for reading, doc in _READINGS.items()
    ),
    _measurement("min_bone_length_ratio", "1", "Shortest of the 20 bones over wrist - middle knuckle."),
    _measurement("max_joint_angle_rad", "rad", "Largest bend of 15 joints: angle of parent and child bone, unsigned."),
    _measurement("spread_2d_box_sides", "box sides", "Root mean square of spread_joints_2d_px over the joints."),
    _measurement("spread_3d_m", "m", "Root mean square of spread_joints_3d_m over the joints."),
    _measurement("spread_rotation_rad", "rad", "Root mean square angle of the members' 16 rotations to their mean."),
    _measurement(
        "crop_change", "1", "Mean absolute change of the hand crop's pixels since the frame before, 0 to 1; 0: a copy."
    ),
)
_TEMPORAL: Final = (
    *(
        _measurement(f"motion_2d_{reading}_box_sides", "box sides", f"2D joints since the predecessor: {doc}.")
        for reading, doc in _READINGS.items()
    ),
    _measurement(
        "motion_pose_geodesic_mean_square",
        "rad^2",
        "Mean square of the 16 angles between its rotations and the predecessor's, / 3.",
    ),
    _measurement("motion_pose_matrix_mean_square", "1", "Mean squared change of the 144 matrix entries."),
    _measurement(
        "motion_pose_axis_angle_mean_square", "rad^2", "Mean squared change of the 48 axis-angle numbers; wraps at pi."
    ),
    _measurement(
        "motion_pose_axis_angle_l2", "rad", "L2 norm of the change of the 48 axis-angle numbers; wraps at pi."
    ),
    _measurement(
        "held_sample_score", "1", "Evidence, 0 to 1, that the pose was repeated while the image changed; 1: repeated."
    ),
)
_SHAPE: Final = (
    _measurement(
        "shape_deviation_sigma",
        "1",
        "Distance of betas to their mean over the set, in shape_sigma. The set is what passes all earlier limits in the"
        " track, so other limits take it anew, from the stored betas.",
    ),
    _measurement("shape_sigma", "1", "Root mean square distance of betas to their mean over the set."),
)
_TRACK: Final = (
    Column("track_index", "int32", "Number of the hand's track in its video, from 0."),
    Column(
        "predecessor_gap_frames",
        "int32",
        "Difference of frame_index to the track's frame before; null for the first frame.",
        nullable=True,
    ),
    Column("shape_set_size", "int32", "Frames of the track that the shape statistics were taken over."),
)
_UNMEASURED: Final = Column(
    "unmeasured",
    "string",
    "For every measurement that is NaN: <column>:<why>. Empty when all were taken.",
    is_list=True,
)
_VERDICT: Final = (
    Column("label_kind", "string", "Where the label comes from.", vocabulary=("pseudo", "annotated")),
    Column("judge_id", "string", "Digest of predict_id and limits that made the verdict."),
    Column("accepted", "bool", "Did the row pass every limit? True exactly where reasons is empty."),
    Column("reasons", "string", "Every limit that the row fails.", is_list=True, vocabulary=tuple(REJECT_REASONS)),
    Column(
        "confidence",
        "float32",
        "Calibrated probability that the label is good; null where nothing was calibrated.",
        "1",
        nullable=True,
    ),
    Column(
        "confidence_by_joint",
        "float32",
        "Calibrated probability, for each joint, that it is no further from the truth than the limits file says, after"
        " the hand's alignment to it; null where none was calibrated. Of the predictor's own: joint_confidence.",
        "1",
        (21,),
        nullable=True,
    ),
)

PREDICTION_COLUMNS: Final = (*_IDENTITY, *_IMAGE, *_HAND, *_OBJECT, *_SPREAD, *_SPATIAL, _UNMEASURED)
"""Columns of a prediction."""

LABEL_COLUMNS: Final = (*PREDICTION_COLUMNS[:-1], *_TRACK, *_TEMPORAL, *_SHAPE, _UNMEASURED, *_VERDICT)
"""Columns of a label: those of a prediction, with track, later measurements and verdict."""

SPATIAL_NAMES: Final = tuple(column.name for column in _SPATIAL)
"""Measurements that need one frame only."""

MEASUREMENT_NAMES: Final = tuple(column.name for column in (*_SPATIAL, *_TEMPORAL, *_SHAPE))
"""Every measurement."""
