"""The tables on the data's way: every column with its type, shape, unit and meaning, in this module and nowhere else.

::

    videos ─► boxes, shards (the plan) ─► predictions ─► labels ─► training        dead_letters: what was given up
                                           └ one commit marker a shard ┘           limits: what calibration found

Vectors are Arrow fixed-size lists, flattened row by row (``joints_3d``, shape (21, 3), is a list of 63), never tensor
extension types: Ray hands the latter to a group-by as an array of arrays. Absence is a null. A *measurement* that
could not be taken is NaN, and then ``unmeasured`` holds ``<column>:<why>``; ``conform`` checks that one never comes
without the other.

Coordinates: OpenCV camera axes (x right, y down, z forward), metres; pixels of the full image with the centre of the
first pixel at (0, 0). Joints are in the simple order (wrist, then thumb to pinky, each from base to tip), MANO's pose
in MANO's own order. A zero ``hand_pose`` is the flat hand: whoever writes the column converts from the predictor's
convention, whoever reads it adds no mean.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Self, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hoiray.errors import ContractError, describe

Dtype: TypeAlias = Literal["string", "bool", "int8", "int16", "int32", "int64", "float32", "float64"]

_METADATA_PREFIX: Final = "hoiray."
"""Keys of the Parquet metadata that this module owns."""

_ARROW_TYPES: Final[dict[Dtype, pa.DataType]] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}

UNMEASURED_REASONS: Final[dict[str, str]] = {
    "no_box": "no hand box was given for the frame",
    "camera_degenerate": "the joints coincide: no weak-perspective camera exists",
    "camera_mirrored": "the best weak-perspective camera has a scale of zero or less",
    "non_finite": "the prediction holds NaN or infinity",
    "too_few_members": "fewer than two members of the ensemble gave a prediction",
    "first_of_track": "the track begins here, so there is no predecessor",
    "gap": "the predecessor is further away than the limit on gaps",
    "no_pixels": "the image of the frame or of its predecessor was not at hand",
    "not_attempted": "this measurement does not apply to the row, or the run that made the row did not know it",
}
"""Why a measurement is NaN."""

REJECT_REASONS: Final[dict[str, str]] = {
    "box_iou": "box_iou is below its limit",
    "reprojection": "the reprojection is above its limit",
    "bone_length": "min_bone_length_ratio is below its limit",
    "joint_angle": "max_joint_angle_rad is at its limit or above",
    "spread_2d": "spread_2d_box_sides is above its limit",
    "spread_3d": "spread_3d_m is above its limit",
    "spread_rotation": "spread_rotation_rad is above its limit",
    "motion_2d": "the 2D motion is above its limit",
    "motion_pose": "the motion of the pose is above its limit",
    "no_predecessor": "no consecutive frame of the track to compare with",
    "predecessor_refused": "the frame to compare with fails a spatial limit",
    "held_sample": "held_sample_score is above its limit",
    "shape_deviation": "shape_deviation_sigma is above its limit",
    "confidence": "confidence is below its limit",
    "not_measured": "a limit applies to a measurement that could not be taken; unmeasured says which and why",
}
"""Why a row is not accepted, in the order in which ``reasons`` lists them."""

Stage: TypeAlias = Literal["index", "decode", "predict", "fuse", "measure", "track", "judge", "commit"]
"""Where a video can be given up."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: of the column; carries unit and frame where it has them.
        dtype: of one number or text.
        doc: what it holds, and when it is null.
        unit: ``1`` for pure numbers; empty for text, flags and counts.
        shape: of the fixed-size value of one row, empty for a scalar; stored flattened row by row.
        is_list: a row holds any number of texts.
        nullable: null is allowed and means absence.
        is_measurement: NaN is allowed and is explained in ``unmeasured``.
        frame: the coordinate frame, where there is one.
        vocabulary: the only texts allowed; empty for free text.
    """

    name: str
    dtype: Dtype
    doc: str
    unit: str = ""
    shape: tuple[int, ...] = ()
    is_list: bool = False
    nullable: bool = False
    is_measurement: bool = False
    frame: str = ""
    vocabulary: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Numbers in one row: the product of the shape."""
        return math.prod(self.shape)

    @property
    def arrow_type(self) -> pa.DataType:
        """The column's Arrow type.

        Elements stay nullable in the type, as Arrow refuses to cast a null row into a list of non-nullable elements;
        ``conform`` checks that none is null.
        """
        value = _ARROW_TYPES[self.dtype]
        if self.is_list:
            return pa.list_(value)
        return pa.list_(value, self.length) if self.shape else value

    def to_arrow(self) -> pa.Field:
        """Return the Arrow field, with shape, unit, frame and meaning as metadata."""
        metadata = {
            "shape": ",".join(map(str, self.shape)),
            "unit": self.unit,
            "frame": self.frame,
            "doc": self.doc,
            "vocabulary": ",".join(self.vocabulary),
        }
        kept = {f"{_METADATA_PREFIX}{key}": value for key, value in metadata.items() if value}
        return pa.field(self.name, self.arrow_type, nullable=self.nullable, metadata=kept)

    def to_json(self) -> dict[str, object]:
        """Return the column as it is published in ``schemas/``."""
        kind = f"list<{self.dtype}>" if self.is_list else self.dtype
        required: dict[str, object] = {"name": self.name, "type": kind, "nullable": self.nullable, "doc": self.doc}
        optional: dict[str, object] = {
            "shape": list(self.shape),
            "unit": self.unit,
            "frame": self.frame,
            "measurement": self.is_measurement,
            "vocabulary": list(self.vocabulary),
        }
        return required | {key: value for key, value in optional.items() if value}


@dataclass(frozen=True)
class TableSchema:
    """One table: its columns in order, and what makes a row unique.

    ``version`` grows whenever a column is added, removed or changes its meaning.
    """

    name: str
    version: int
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rules: tuple[Callable[[pa.Table], str], ...] = field(default=(), compare=False)
    """Rules between columns: each returns what is wrong, or the empty text."""

    def __getitem__(self, name: str) -> Column:
        return {column.name: column for column in self.columns}[name]

    @property
    def names(self) -> list[str]:
        """Names of the columns in order."""
        return [column.name for column in self.columns]

    @property
    def measurements(self) -> list[str]:
        """Names of the columns that may be NaN with a reason."""
        return [column.name for column in self.columns if column.is_measurement]

    def to_arrow(self) -> pa.Schema:
        """Return the Arrow schema, with the table's name and version as metadata."""
        metadata = {f"{_METADATA_PREFIX}schema": self.name, f"{_METADATA_PREFIX}schema_version": str(self.version)}
        return pa.schema([column.to_arrow() for column in self.columns], metadata=metadata)

    def to_json(self) -> str:
        """Return the table as it is published: readable, and the same bytes every time."""
        content = {
            "name": self.name,
            "version": self.version,
            "doc": self.doc,
            "key": list(self.key),
            "columns": [column.to_json() for column in self.columns],
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


# ----------------------------------------------------------------------------------------------------------------------
# Rules between columns


def _nan_has_a_reason(table: pa.Table, measurements: Sequence[str]) -> str:
    entries = table["unmeasured"].combine_chunks()
    words = pc.list_flatten(entries).dictionary_encode()
    row_of_word = np.asarray(pc.list_parent_indices(entries), dtype=np.int64)
    index_of_word = words.indices.to_numpy()
    # a table holds thousands of entries, but only a few different ones
    known = {f"{name}:{why}": name for name in measurements for why in UNMEASURED_REASONS}
    distinct = words.dictionary.to_pylist()
    for word in distinct:
        if word not in known:
            return f"unmeasured holds {word!r}, expected <measurement>:<{' | '.join(UNMEASURED_REASONS)}>"
    for name in measurements:
        is_nan = np.isnan(table[name].to_numpy())
        is_listed = np.zeros(table.num_rows, dtype=bool)
        is_listed[
            row_of_word[np.isin(index_of_word, [i for i, word in enumerate(distinct) if known[word] == name])]
        ] = True
        wrong = np.flatnonzero(is_nan != is_listed)
        if wrong.size:
            what = "NaN without an entry in unmeasured" if is_nan[wrong[0]] else "measured, yet listed in unmeasured"
            return f"{name} is {what} in {wrong.size} row(s), first in row {wrong[0]}"
    return ""


def _accepted_has_no_reason(table: pa.Table) -> str:
    num_reasons = pc.list_value_length(table["reasons"]).to_numpy()
    wrong = np.flatnonzero(table["accepted"].to_numpy() != (num_reasons == 0))
    if wrong.size:
        return f"accepted and reasons contradict each other in {wrong.size} row(s), first in row {wrong[0]}"
    return ""


# ----------------------------------------------------------------------------------------------------------------------
# Columns

_VIDEO_ID: Final = Column("video_id", "string", "Name of the video, unique in the plan.")
_FRAME_INDEX: Final = Column(
    "frame_index",
    "int32",
    "Number of the frame at the sampled rate, from 0. Consecutive numbers are consecutive frames; a number that is"
    " missing is a hole, never closed up.",
)
_IDENTITY: Final = (
    _VIDEO_ID,
    _FRAME_INDEX,
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
        "bbox_xyxy",
        "float32",
        "Hand box that steered the prediction.",
        "px",
        (4,),
        frame="image",
    ),
    Column("box_source", "string", "Who gave the hand box.", vocabulary=("given", "detected", "tracked")),
    Column("betas", "float32", "MANO shape.", "1", (10,)),
    Column("global_orient", "float32", "Orientation of the wrist, axis-angle.", "rad", (3,), frame="camera"),
    Column(
        "hand_pose",
        "float32",
        "Pose of 15 joints in MANO's order, axis-angle; zero is the flat hand, no mean is to be added.",
        "rad",
        (45,),
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
        "Joints of the posed hand model, relative to the wrist.",
        "m",
        (21, 3),
        frame="wrist, camera axes",
    ),
    Column("joints_2d", "float32", "Joints as the predictor sees them in the image.", "px", (21, 2), frame="image"),
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
)

# ----------------------------------------------------------------------------------------------------------------------
# Tables

VIDEOS: Final = TableSchema(
    "videos",
    1,
    "Every video of a run, as found when the run was planned.",
    ("video_id",),
    (
        _VIDEO_ID,
        Column("dataset", "string", "Data set the video belongs to; null for a plain folder.", nullable=True),
        Column("uri", "string", "Where the video is."),
        Column("size_bytes", "int64", "Size of the file; enters the plan's id.", "byte"),
        Column("etag", "string", "The store's digest; enters the plan's id. Null if it has none.", nullable=True),
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
        _VIDEO_ID,
        _FRAME_INDEX,
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
    1,
    "The plan: which frames of which videos belong to which shard. Never changed once written.",
    ("shard_id", "video_id", "first_frame_index"),
    (
        Column("plan_id", "string", "Digest of the videos and the sharding."),
        Column("shard_id", "string", "Digest of plan_id and the rows of the shard."),
        Column("bucket_id", "string", "Shards that are judged together: one shard, or all segments of a long video."),
        _VIDEO_ID,
        Column("segment_index", "int32", "Number of the segment in its video, from 0."),
        Column("first_frame_index", "int32", "First frame of the segment."),
        Column("num_frames", "int32", "Frames of the segment; null up to the video's unknown end.", nullable=True),
        Column("cost_frames", "int64", "Frames the planner reckons with; an estimate where num_frames is unknown."),
    ),
)
_PREDICTION_COLUMNS: Final = (*_IDENTITY, *_IMAGE, *_HAND, *_OBJECT, *_SPREAD, *_SPATIAL, _UNMEASURED)
_LABEL_COLUMNS: Final = (*_PREDICTION_COLUMNS[:-1], *_TRACK, *_TEMPORAL, *_SHAPE, _UNMEASURED, *_VERDICT)
_SPATIAL_NAMES: Final = tuple(column.name for column in _SPATIAL)
_MEASUREMENT_NAMES: Final = tuple(column.name for column in (*_SPATIAL, *_TEMPORAL, *_SHAPE))

PREDICTIONS: Final = TableSchema(
    "predictions",
    1,
    "Every hand in every frame: the fused prediction and its spatial measurements, before any judgement.",
    ("video_id", "frame_index", "hand_index"),
    _PREDICTION_COLUMNS,
    (lambda table: _nan_has_a_reason(table, _SPATIAL_NAMES),),
)
LABELS: Final = TableSchema(
    "labels",
    1,
    "Every hand in every frame, accepted or refused, with all that is needed to judge it again, audit it or train.",
    ("video_id", "frame_index", "hand_index"),
    _LABEL_COLUMNS,
    (lambda table: _nan_has_a_reason(table, _MEASUREMENT_NAMES), _accepted_has_no_reason),
)
DEAD_LETTERS: Final = TableSchema(
    "dead_letters",
    1,
    "Every video, or segment of one, that was given up.",
    ("video_id", "shard_id"),
    (
        _VIDEO_ID,
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
        Column("measurement", "string", "The column of labels that is limited.", vocabulary=_MEASUREMENT_NAMES),
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

TABLES: Final[dict[str, TableSchema]] = {
    schema.name: schema for schema in (VIDEOS, BOXES, SHARDS, PREDICTIONS, LABELS, DEAD_LETTERS, LIMITS)
}
"""Every table by name."""


def empty_table(schema: TableSchema) -> pa.Table:
    """Return a table of the schema without rows."""
    return schema.to_arrow().empty_table()


def conform(table: pa.Table, schema: TableSchema) -> pa.Table:
    """Check a table against its schema, exactly, and put its columns in order.

    Checked are: names, types, lengths of vectors, nulls, NaN and infinity (allowed in measurements with a reason),
    vocabularies, unique keys, and the schema's rules between columns. Nothing is converted.

    Returns:
        The table with the schema's column order, nullability and metadata; other metadata of the table is kept.

    Raises:
        ContractError: names the table, the column, what was expected and what was found.
    """
    _check_names(table, schema)
    for column in schema.columns:
        _check_column(table[column.name], column, schema)
    arrow = schema.to_arrow()
    metadata = {**(table.schema.metadata or {}), **(arrow.metadata or {})}
    ordered = table.select(schema.names).cast(arrow.with_metadata(metadata))
    _check_key(ordered, schema)
    for rule in schema.rules:
        wrong = rule(ordered) if ordered.num_rows else ""
        if wrong:
            raise ContractError(f"table {schema.name}: {wrong}. Correct the stage that wrote the row.")
    return ordered


def _violation(schema: TableSchema, column: str, expected: str, found: str, fix: str) -> ContractError:
    what = f"table {schema.name} (version {schema.version}), column {column!r}"
    return ContractError(describe(what=what, expected=expected, found=found, fix=fix))


def _check_names(table: pa.Table, schema: TableSchema) -> None:
    found = table.column_names
    for name in found:
        if found.count(name) > 1:
            raise _violation(schema, name, "one column of this name", str(found.count(name)), "Drop the others.")
        if name not in schema.names:
            fix = "Drop it, or add it to hoiray/schema.py with a new version."
            raise _violation(schema, name, "no such column", "one", fix)
    for name in schema.names:
        if name not in found:
            raise _violation(schema, name, str(schema[name].arrow_type), "no such column", "Write it; null is a value.")


def _check_column(values: pa.ChunkedArray, column: Column, schema: TableSchema) -> None:
    if not _is_same_type(values.type, column):
        fix = "Cast where the column is made; nothing is converted here."
        raise _violation(schema, column.name, _type_text(column), str(values.type), fix)
    if values.null_count and not column.nullable:
        found = f"{values.null_count} null(s) in {len(values)} rows"
        raise _violation(schema, column.name, "no null", found, "Leave the row out, or write what is missing.")
    # list_flatten skips the rows that are null, so what is left must be whole
    flat = pc.list_flatten(values) if column.shape or column.is_list else pc.drop_null(values)
    if flat.null_count:
        fix = "Make the whole row null, where the column allows it."
        raise _violation(schema, column.name, "no null inside a row", f"{flat.null_count}", fix)
    if column.dtype in ("float32", "float64"):
        _check_finite(flat, column, schema)
    if column.vocabulary:
        unknown = sorted(set(pc.unique(flat).to_pylist()) - set(column.vocabulary))
        if unknown:
            expected = f"only {', '.join(column.vocabulary)}"
            raise _violation(schema, column.name, expected, ", ".join(map(repr, unknown)), "Use a word of the list.")


def _check_finite(flat: pa.ChunkedArray, column: Column, schema: TableSchema) -> None:
    numbers = flat.to_numpy()
    num_bad = int(np.isinf(numbers).sum()) if column.is_measurement else int((~np.isfinite(numbers)).sum())
    if num_bad:
        expected = "finite numbers or NaN with a reason" if column.is_measurement else "finite numbers"
        fix = "Absence is a null or a missing row, never a number."
        raise _violation(schema, column.name, expected, f"{num_bad} other(s)", fix)


def _is_same_type(found: pa.DataType, column: Column) -> bool:
    """Compare types; names and nullability of a list's inner field differ by writer and mean nothing."""
    value = _ARROW_TYPES[column.dtype]
    if column.is_list:
        return bool(pa.types.is_list(found) and found.value_type == value)
    if column.shape:
        is_vector = pa.types.is_fixed_size_list(found)
        return bool(is_vector and found.value_type == value and found.list_size == column.length)
    return bool(found == value)


def _type_text(column: Column) -> str:
    if column.is_list:
        return f"list<{column.dtype}>"
    return f"fixed_size_list<{column.dtype}>[{column.length}]" if column.shape else column.dtype


def _check_key(table: pa.Table, schema: TableSchema) -> None:
    counts = table.select(schema.key).group_by(list(schema.key)).aggregate([([], "count_all")])
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    if repeated.num_rows:
        row = repeated.slice(0, 1).to_pylist()[0]
        found = f"{row.pop('count_all')} rows with {row}"
        raise _violation(schema, " + ".join(schema.key), "a unique key", found, "Write every row once.")


def pack_column(column: Column, values: np.ndarray, is_null: np.ndarray | None = None) -> pa.Array:
    """Turn an array into a column.

    Args:
        column: the column to make; its dtype must be that of ``values``: nothing is converted.
        values: (N, *shape).
        is_null: (N,) rows that hold nothing; their values are not stored.

    Raises:
        ContractError: wrong shape or dtype, or nulls where none are allowed.
    """
    expected = (len(values), *column.shape)
    if values.shape != expected or values.dtype != np.dtype(column.dtype):
        found = f"{values.dtype} {values.shape}"
        text = f"{column.dtype} {expected}"
        raise ContractError(
            describe(what=f"column {column.name!r}", expected=text, found=found, fix="Convert it first.")
        )
    if is_null is not None and is_null.any() and not column.nullable:
        found = f"{int(is_null.sum())}"
        raise ContractError(describe(what=f"column {column.name!r}", expected="no null", found=found, fix="Drop rows."))
    if not column.shape:
        return pa.array(values, _ARROW_TYPES[column.dtype], mask=is_null)
    mask = None if is_null is None else pa.array(is_null)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), _ARROW_TYPES[column.dtype])
    return pa.FixedSizeListArray.from_arrays(flat, type=column.arrow_type, mask=mask)


def unpack_column(table: pa.Table, column: Column) -> np.ndarray:
    """Turn a column of numbers into an array.

    Returns:
        (N, *shape) of the column's dtype; rows that are null are NaN.

    Raises:
        ContractError: there are nulls, and the dtype has no NaN.
    """
    values = table[column.name].combine_chunks()
    present = values.is_valid().to_numpy(zero_copy_only=False)
    dtype = np.dtype(column.dtype)
    if not present.all() and dtype.kind != "f":
        fix = "Filter the nulls first."
        raise ContractError(describe(what=f"column {column.name!r}", expected="no null", found="some", fix=fix))
    out = np.full((len(values), *column.shape), np.nan if dtype.kind == "f" else 0, dtype=dtype)
    flat = values.flatten() if column.shape else values.drop_null()
    out[present] = flat.to_numpy(zero_copy_only=False).reshape(-1, *column.shape)
    return out


# ----------------------------------------------------------------------------------------------------------------------
# The commit marker

MARKER_DIGEST_DIGITS: Final = 16
"""Digits of the data object's digest that its name carries: 64 bit, no collision among 1e6 shards (p = 3e-8)."""


class _Marked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DeadLetter(_Marked):
    """A video that a shard gave up; the fields are those of the table ``dead_letters``."""

    video_id: str
    uri: str
    stage: Stage
    error_class: str
    message: str
    attempts: int = Field(ge=1)
    frame_index: int | None = Field(default=None, ge=0)


class CommitMarker(_Marked):
    """What makes a shard's data object count. Created with put-if-absent; readers follow markers only."""

    marker_version: Literal[1] = Field(default=1, description="Version of this format.")
    hoiray_version: str = Field(description="Version of the writer.")
    table: Literal["predictions", "labels"] = Field(description="Schema of the data object.")
    schema_version: int = Field(ge=1, description="Version of that schema.")
    plan_id: str = Field(description="The plan the shard belongs to.")
    predict_id: str = Field(description="Digest of plan, weights, ensemble and schema.")
    judge_id: str | None = Field(description="Digest of predict_id and limits; null for predictions.")
    shard_id: str = Field(description="The shard.")
    data_key: str = Field(description="Key of the data object below the output; its name carries its digest.")
    data_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Digest of the data object's bytes.")
    data_bytes: int = Field(ge=0, description="Size of the data object in bytes.")
    num_videos: int = Field(ge=0, description="Videos of the shard, dead ones included.")
    num_rows: int = Field(ge=0, description="Rows of the data object.")
    num_accepted: int | None = Field(ge=0, description="Accepted rows; null for predictions.")
    reasons: dict[str, int] = Field(description="Rows by reason of refusal; a row counts once for each of its reasons.")
    dead_letters: list[DeadLetter] = Field(description="Videos that were given up.")
    attempt: int = Field(ge=1, description="Which attempt at the shard succeeded.")
    timings_s: dict[str, float] = Field(description="Wall-clock time by stage, in seconds. The only clock there is.")

    @model_validator(mode="after")
    def _counts_and_names_agree(self) -> Self:
        is_judged = self.table == "labels"
        if (self.judge_id is not None) != is_judged or (self.num_accepted is not None) != is_judged:
            raise ValueError("judge_id and num_accepted belong to labels, and to labels only")
        if self.data_sha256[:MARKER_DIGEST_DIGITS] not in self.data_key:
            raise ValueError(f"data_key must carry the first {MARKER_DIGEST_DIGITS} digits of data_sha256")
        if self.num_accepted is not None and self.num_accepted > self.num_rows:
            raise ValueError(f"num_accepted = {self.num_accepted} is more than num_rows = {self.num_rows}")
        if len(self.dead_letters) > self.num_videos:
            raise ValueError(f"{len(self.dead_letters)} dead letters are more than num_videos = {self.num_videos}")
        if not set(self.reasons) <= set(REJECT_REASONS):
            raise ValueError(f"unknown reasons {sorted(set(self.reasons) - set(REJECT_REASONS))}")
        return self

    def to_json(self) -> str:
        """Return the marker's content: sorted keys, one line."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, allow_nan=False)


def parse_marker(text: str | bytes, source: str) -> CommitMarker:
    """Read a commit marker.

    Args:
        text: its content.
        source: its key, for the message.

    Raises:
        ContractError: no marker, a broken one, or one of another version.
    """
    try:
        return CommitMarker.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "content"
        fix = "Was it written by another version of hoiray? Delete it to redo the shard."
        what = f"commit marker {source}, {name}"
        raise ContractError(
            describe(what=what, expected="schemas/commit_marker.json", found=first["msg"], fix=fix)
        ) from error


def published_schemas() -> Mapping[str, str]:
    """Return the content of every file in ``schemas/``, by file name."""
    marker = json.dumps(CommitMarker.model_json_schema(), indent=2, ensure_ascii=False) + "\n"
    return {f"{name}.json": schema.to_json() for name, schema in TABLES.items()} | {"commit_marker.json": marker}
