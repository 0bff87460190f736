"""The tables: what a row of each is, and what makes it unique."""

from typing import Final, get_args

from hoiray.schema.columns import Column, TableSchema
from hoiray.schema.label_columns import (
    FRAME_INDEX,
    LABEL_COLUMNS,
    MEASUREMENT_NAMES,
    PREDICTION_COLUMNS,
    SPATIAL_NAMES,
    VIDEO_ID,
)
from hoiray.schema.rules import accepted_has_no_reason, nan_has_a_reason
from hoiray.schema.vocabularies import REFUSAL_REASONS, Stage

VIDEOS: Final = TableSchema(
    "videos",
    2,
    "Every video of a run, as found when the run was planned.",
    ("video_id",),
    (
        VIDEO_ID,
        Column("dataset", "string", "Data set the video belongs to; null for a plain folder.", nullable=True),
        Column("uri", "string", "Where the video is."),
        Column("size_bytes", "int64", "Size of the file; enters the plan's id.", "byte"),
        Column("etag", "string", "The store's digest; enters the plan's id. Null if it has none.", nullable=True),
        Column("boxes_sha256", "string", "Digest of its boxes; enters the plan's id. Null without any.", nullable=True),
        Column("num_frames", "int32", "Frames at the sampled rate, as the container says; null if not.", nullable=True),
        Column("frame_rate_hz", "float64", "Frame rate as the container says; null if not.", "Hz", nullable=True),
        Column("width_px", "int32", "Width as the container says; null if not.", "px", nullable=True),
        Column("height_px", "int32", "Height as the container says; null if not.", "px", nullable=True),
        Column("K", "float32", "Intrinsics; null where unknown.", "px", (3, 3), nullable=True, frame="image"),
    ),
)
BOXES: Final = TableSchema(
    "boxes",
    1,
    "Boxes of hands and objects, given with the videos or detected.",
    ("video_id", "frame_index", "kind", "box_index"),
    (
        VIDEO_ID,
        FRAME_INDEX,
        Column("kind", "string", "What is in the box.", vocabulary=("hand", "object")),
        Column("box_index", "int16", "Number of the box among those of its kind in the frame, from 0."),
        Column("bbox_xyxy", "float32", "The box, absolute; x0 < x1 and y0 < y1.", "px", (4,), frame="image"),
        Column("is_right", "bool", "Side of the hand; null where unknown, and for objects.", nullable=True),
        Column("category", "string", "Class of the object as its source names it; null if none.", nullable=True),
        Column("track_id", "string", "The source's own track of the box; null if none.", nullable=True),
        Column("score", "float32", "The detector's score, 0 to 1; null for boxes drawn by people.", "1", nullable=True),
    ),
)
SHARDS: Final = TableSchema(
    "shards",
    2,
    "The plan: which frames of which videos belong to which shard. Never changed once written.",
    ("shard_id", "video_id", "first_frame_index"),
    (
        Column("shard_id", "string", "Digest of its rows and their videos' versions and boxes; of no other shard."),
        Column("bucket_id", "string", "Shards that are judged together: one shard, or all segments of a long video."),
        VIDEO_ID,
        Column("segment_index", "int32", "Number of the segment in its video, from 0."),
        Column("first_frame_index", "int32", "First frame of the segment."),
        Column("num_frames", "int32", "Frames of the segment; null up to the video's unknown end.", nullable=True),
        Column("cost_frames", "int64", "Frames the planner reckons with; an estimate where num_frames is unknown."),
    ),
)
SHARD_INDEX: Final = TableSchema(
    "shard_index",
    1,
    "The plan in short: one row a shard, and where its rows lie in the plan's parts.",
    ("shard_id",),
    (
        Column("shard_id", "string", "The shard."),
        Column("bucket_id", "string", "Shards that are judged together."),
        Column("part", "string", "Name of the part that holds its rows."),
        Column("row_group_index", "int32", "Row group of its rows in the part's shards and boxes."),
        Column("video_row_group_index", "int32", "Row group of its videos: that of a long video's first segment."),
        Column("num_videos", "int32", "Videos of the shard."),
        Column("cost_frames", "int64", "Frames the planner reckons with."),
    ),
)
REFUSALS: Final = TableSchema(
    "refusals",
    1,
    "What was found when a run was planned and could not be used.",
    ("refusal_index",),
    (
        Column("refusal_index", "int64", "Number of the refusal, from 0."),
        Column(
            "kind",
            "string",
            "video: one that will not be labelled; file: no video; box: one that is not used.",
            vocabulary=("video", "file", "box"),
        ),
        Column("name", "string", "Its key or URI; of a box, its video and frame."),
        Column("reason", "string", "Why.", vocabulary=tuple(REFUSAL_REASONS)),
        Column("message", "string", "What was found."),
    ),
)
PREDICTIONS: Final = TableSchema(
    "predictions",
    4,
    "Every hand in every frame: the fused prediction and its spatial measurements, before any judgement.",
    ("video_id", "frame_index", "hand_index"),
    PREDICTION_COLUMNS,
    (lambda table: nan_has_a_reason(table, SPATIAL_NAMES),),
    # 2 had no side_lead, 3 no upright_px
    reads=(2, 3),
)
LABELS: Final = TableSchema(
    "labels",
    5,
    "Every hand in every frame, accepted or refused, with all that is needed to judge it again, audit it or train.",
    ("video_id", "frame_index", "hand_index"),
    LABEL_COLUMNS,
    (lambda table: nan_has_a_reason(table, MEASUREMENT_NAMES), accepted_has_no_reason),
    # 2 had no confidence_by_joint, 3 no side_lead, 4 no upright_px
    reads=(2, 3, 4),
)
DEAD_LETTERS: Final = TableSchema(
    "dead_letters",
    1,
    "Every video, or segment of one, that was given up.",
    ("video_id", "shard_id"),
    (
        VIDEO_ID,
        Column("uri", "string", "Where the video is."),
        Column("shard_id", "string", "The shard it belongs to."),
        Column("stage", "string", "Where it was given up.", vocabulary=get_args(Stage)),
        Column(
            "error_class", "string", "Class of the error, such as InputError, or the signal that ended the process."
        ),
        Column("message", "string", "What was expected, what was found, what to do."),
        Column("attempts", "int16", "Attempts that were made."),
        Column("frame_index", "int32", "Frame at which it failed; null if not at one.", nullable=True),
    ),
)
LIMITS: Final = TableSchema(
    "limits",
    1,
    "What a calibration found: one limit a measurement, with what it costs and what it buys.",
    ("measurement",),
    (
        Column("measurement", "string", "The column of labels that is limited.", vocabulary=MEASUREMENT_NAMES),
        Column("bound", "string", "min: accepted at the limit or above; max: or below.", vocabulary=("min", "max")),
        Column("limit", "float64", "The limit; null: not judged.", "that of column unit", nullable=True),
        Column("unit", "string", "Unit of the limit."),
        Column("num_frames", "int64", "Frames of the calibration set."),
        Column("num_units", "int64", "Independent samples (videos or subjects) of the calibration set."),
        Column("coverage", "float64", "Fraction of the frames that pass this limit.", "1"),
        Column(
            "bad_fraction", "float64", "Fraction of the passing frames that are bad; null if none.", "1", nullable=True
        ),
        Column(
            "bad_fraction_bound",
            "float64",
            "Upper bound of it at the confidence asked for; null if none.",
            "1",
            nullable=True,
        ),
    ),
)
_TRUTH_PLACE: Final = (
    Column("recording_id", "string", "What was recorded at once."),
    Column("camera_id", "string", "Camera within the recording."),
    Column("frame_index", "int32", "Instant within the recording, from 0."),
    Column("time_s", "float64", "Time of the instant.", "s"),
    Column("sample_id", "string", "Name of the frame in the format; null where it is no sample.", nullable=True),
    Column("video_id", "string", "Name of the video; null in formats of images.", nullable=True),
    Column("split", "string", "Split of the recording.", vocabulary=("train", "validation", "test")),
    Column("image_width_px", "int32", "Width of the image.", "px"),
    Column("image_height_px", "int32", "Height of the image.", "px"),
    Column("K", "float64", "Intrinsics, also where the format hides them.", "px", (3, 3), frame="image"),
)
_TRUTH_SEEN: Final = (
    Column("is_target", "bool", "False for a distractor."),
    Column("bbox_xyxy", "float32", "Box of the visible pixels; null without any.", "px", (4,), nullable=True),
    Column("visible_px", "int64", "Pixels of the image that show it.", "px"),
    Column(
        "visible_fraction",
        "float32",
        "Visible pixels over those it would cover without occluders and image borders; null where it reaches behind"
        " the camera.",
        "1",
        nullable=True,
    ),
    Column("mask_rle", "int32", "Visible pixels, run lengths by columns, first run False.", "px", is_list=True),
)
TRUTH_HANDS: Final = TableSchema(
    "truth_hands",
    1,
    "What is true of every hand a camera of the synthetic world could see.",
    ("recording_id", "camera_id", "frame_index", "hand_index"),
    (
        *_TRUTH_PLACE,
        Column("hand_index", "int16", "Number of the hand in the recording, from 0; the same hand in every frame."),
        Column("subject_id", "string", "Whose hand."),
        Column("is_right", "bool", "Side; the parameters are those of a model of this side."),
        Column("holds_object", "bool", "The hand holds the target object."),
        Column("betas", "float64", "MANO shape.", "1", (10,)),
        Column("global_orient", "float64", "Axis-angle.", "rad", (3,), frame="camera"),
        Column("hand_pose", "float64", "Axis-angle, MANO order, zero is the flat hand.", "rad", (45,)),
        Column("transl", "float64", "MANO translation: the wrist is transl + J0(betas).", "m", (3,), frame="camera"),
        Column("joints_3d", "float32", "Joints, simple order, tips as HO-3D has them.", "m", (21, 3), frame="camera"),
        Column(
            "joints_2d",
            "float32",
            "Their images, also outside the image; null where a joint is behind the camera.",
            "px",
            (21, 2),
            nullable=True,
            frame="image",
        ),
        Column(
            "mesh_bbox_xyxy",
            "float32",
            "Box of the whole mesh, not cut to the image; null where it reaches behind the camera.",
            "px",
            (4,),
            nullable=True,
            frame="image",
        ),
        *_TRUTH_SEEN,
    ),
)
TRUTH_OBJECTS: Final = TableSchema(
    "truth_objects",
    1,
    "What is true of every object a camera of the synthetic world could see.",
    ("recording_id", "camera_id", "frame_index", "object_index"),
    (
        *_TRUTH_PLACE,
        Column("object_index", "int16", "Number of the object in the recording, from 0."),
        Column("name", "string", "Name of the object's model."),
        Column("T_cam_obj", "float64", "Pose.", "1, m", (4, 4), frame="camera from object"),
        *_TRUTH_SEEN,
    ),
)

TABLES: Final[dict[str, TableSchema]] = {
    schema.name: schema
    for schema in (
        VIDEOS,
        BOXES,
        SHARDS,
        SHARD_INDEX,
        REFUSALS,
        PREDICTIONS,
        LABELS,
        DEAD_LETTERS,
        LIMITS,
        TRUTH_HANDS,
        TRUTH_OBJECTS,
    )
}
"""Every table by name."""
