"""Folders in HO-3D v2's layout, which its readers open: right hands with their place in space.

A meta is written by the very functions that :mod:`hoiray.datasets.ho3d` reads it with: OpenGL axes, metres, MANO order,
absolute poses. What labels lack is said as the format says it, by None: where a label has no object pose, `objRot`,
`objTrans` and `objName` are None. There is no depth, no segmentation, and no evaluation split.

HO-3D has one size of images, and one hand in each. Frames of another size are scaled to fit, with black at the right or
below, and `camMat` is that of the scaled frame. A video is a sequence; a second right hand in a frame is a second
sequence, whose name ends in 1: in the format's own language another camera of the same recording, so that a split
never parts them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hoiray.datasets.formats import ho3d as facts
from hoiray.datasets.rest_wrist import of_side, rest_wrist
from hoiray.datasets.sample import FloatArray, ManoParameters
from hoiray.errors import ConfigError, InputError, describe
from hoiray.export.card import FormatCard
from hoiray.export.job import ExportJob
from hoiray.export.names import letters_of
from hoiray.export.pictures import Image, labelled_frames, letterbox, letterbox_affine
from hoiray.export.rows import Row
from hoiray.filters.perspective import wrist_from_camera
from hoiray.hand.load import HandArrays
from hoiray.io.encode import encode_json, encode_pickle, encode_png

VERSION: Final = "ho3d_v2"
MAX_HANDS: Final = 10
"""Right hands in a frame: the last sign of a sequence's name is one digit."""

SEQUENCES_KEY: Final = "sequences.jsonl"

CARD: Final = FormatCard(
    title="folders in HO-3D v2's layout",
    holds=(
        "`train.txt`, `train/SEQUENCE/rgb/0000.png` (640 x 480, scaled to fit, black at the right or below) and"
        " `train/SEQUENCE/meta/0000.pkl`, with the keys, axes (OpenGL), units (m) and joint order (MANO's) of HO-3D",
        "of every meta also `hoiray`: video, frame, verdict, reasons, confidence, and whether the camera was assumed",
        "`sequences.jsonl`: which video a sequence is",
    ),
    lacks=(
        "HO-3D itself: this is another set in its layout; do not report numbers on it as numbers on HO-3D",
        "left hands, hands without parameters, and hands whose camera is not known (unless one is assumed): see the"
        " counts",
        "objects: where a label has no object pose, `objName`, `objRot` and `objTrans` are None",
        "depth, segmentation, object corners, contact, an evaluation split",
    ),
    loading="""
from hoiray.datasets.open import open_dataset

dataset = open_dataset("FOLDER", "ho3d", "train")
for index in range(len(dataset)):
    sample = dataset.sample(index)
    joints = sample.hands[0].joints_3d  # 21 x 3, metres, camera axes of OpenCV
    image = dataset.image(sample)
""",
    metadata={"task_categories": ["keypoint-detection"]},
)


@dataclass(frozen=True, eq=False)
class PlacedHand:
    """A hand as HO-3D tells it.

    Attributes:
        row: its label.
        K: (3, 3) of the frame, px.
        joints_3d: (21, 3) metres, OpenCV camera axes.
        mano: its parameters, OpenCV camera axes.
        rest_root: (3,) wrist of the unposed hand.
        is_assumed: the camera is not known and was assumed.
    """

    row: Row
    K: FloatArray
    joints_3d: FloatArray
    mano: ManoParameters
    rest_root: FloatArray
    is_assumed: bool


def write_ho3d(job: ExportJob) -> None:
    """Write the folders of a run's labels.

    Raises:
        ConfigError: the finger tips of the labels are not HO-3D's.
    """
    _require_tips(job)
    hand = of_side(job.hand, is_right=True)
    lines: list[str] = []
    sequences: list[bytes] = []
    for video, rows in job.videos():
        placed = {id(one.row): one for one in _placeable(job, rows, hand)}
        num_before = len(lines)
        kept = [row for row in rows if id(row) in placed]
        num_done = 0
        try:
            for number, image, group in labelled_frames(video, kept, job.run.sample_rate_hz):
                lines += _write_frame(job, video.video_id, number, image, [placed[id(row)] for row in group])
                num_done += len(group)
        except InputError as error:
            job.tally.unreadable(error, len(kept) - num_done)
        names = sorted({line.partition("/")[0] for line in lines[num_before:]})
        sequences += [encode_json({"sequence": name, "video_id": video.video_id}) for name in names]
    if lines:
        job.out.write(SEQUENCES_KEY, b"".join(sequences))
        job.out.write(facts.list_key("train"), "".join(f"{line}\n" for line in lines).encode())


def _require_tips(job: ExportJob) -> None:
    tips = job.run.hand.tip_set
    if tips != facts.TIP_SET:
        fix = "Label with hand.tip_set=ho3d, or choose a format that names its tips: coco, huggingface, webdataset."
        what = f"finger tips of {job.run.uri}"
        raise ConfigError(describe(what=what, expected=facts.TIP_SET, found=tips, fix=fix))


def _placeable(job: ExportJob, rows: list[Row], hand: HandArrays) -> Iterator[PlacedHand]:
    """Yield what the format can tell; the rest is counted by what it lacks."""
    for row in rows:
        lack = _lack_of(row, job.options.assumed_focal_px)
        if lack is not None:
            job.tally.leave_out(lack)
            continue
        placed = _place(row, hand, job.options.assumed_focal_px)
        if np.isfinite(placed.joints_3d).all():
            yield placed
        else:
            job.tally.leave_out("no_camera")


def _lack_of(row: Row, assumed_focal_px: float | None) -> str | None:
    if not row["is_right"]:
        return "left_hand"
    if row["joints_3d"] is None or row["joints_2d"] is None:
        return "no_answer"
    if any(row[name] is None for name in ("global_orient", "hand_pose", "betas")):
        return "no_parameters"
    is_placed = row["transl"] is not None and row["K"] is not None
    return None if is_placed or (row["K"] is None and assumed_focal_px is not None) else "no_camera"


def _place(row: Row, hand: HandArrays, assumed_focal_px: float | None) -> PlacedHand:
    """Put a hand into its camera: where the teacher put it, or, with an assumed camera, where its 2D joints say."""
    values = {name: np.array(row[name], dtype=np.float64) for name in ("global_orient", "hand_pose", "betas")}
    relative = np.reshape(np.array(row["joints_3d"], dtype=np.float64), (21, 3))
    rest_root = rest_wrist(hand, values["betas"])
    if row["K"] is not None:
        K = np.reshape(np.array(row["K"], dtype=np.float64), (3, 3))
        wrist = np.array(row["transl"], dtype=np.float64) + rest_root
    else:
        assert assumed_focal_px is not None
        centre = 0.5 * (np.array([row["image_width_px"], row["image_height_px"]]) - 1.0)
        K = np.array([[assumed_focal_px, 0.0, centre[0]], [0.0, assumed_focal_px, centre[1]], [0.0, 0.0, 1.0]])
        pixels = np.reshape(np.array(row["joints_2d"], dtype=np.float64), (21, 2))
        wrist = wrist_from_camera(relative[None], pixels[None], K[None])[0]
    mano = ManoParameters(transl=wrist - rest_root, **values)
    return PlacedHand(row, K, relative + wrist, mano, rest_root, row["K"] is None)


def _write_frame(job: ExportJob, video_id: str, number: int, image: Image, hands: list[PlacedHand]) -> list[str]:
    """Write the sequences' files of a frame; return their lines of the list."""
    job.tally.leave_out("too_many_hands", max(0, len(hands) - MAX_HANDS))
    picture = encode_png(letterbox(image, facts.IMAGE_SIZE_WH))
    A = letterbox_affine((image.shape[1], image.shape[0]), facts.IMAGE_SIZE_WH)
    lines = []
    ordered = sorted(hands, key=lambda one: (one.row["track_index"], one.row["hand_index"]))[:MAX_HANDS]
    for place, hand in enumerate(ordered):
        sequence, frame = f"{letters_of(video_id)}{place}", f"{number:04d}"
        job.out.write(facts.image_key(VERSION, "train", sequence, frame), picture)
        job.out.write(facts.meta_key("train", sequence, frame), encode_pickle(meta_of(hand, A)))
        lines.append(facts.sample_line(sequence, number))
        job.tally.wrote(hand.row)
    return lines


def meta_of(hand: PlacedHand, A: FloatArray) -> dict[str, Any]:
    """Return a meta in the file's axes and order.

    Args:
        hand: in OpenCV axes.
        A: (3, 3) from pixels of the frame to those of the picture.
    """
    row = hand.row
    pose = row["T_cam_obj"]
    target: dict[str, Any] = {"objRot": None, "objTrans": None, "objName": None}
    if pose is not None:
        place = facts.object_pose_to_file(np.reshape(np.array(pose, dtype=np.float64), (4, 4)))
        target = {**place, "objName": row["object_id"] or "object"}
    told = ("video_id", "frame_index", "hand_index", "track_index", "accepted", "reasons", "confidence")
    return {
        "camMat": A @ hand.K,
        "handJoints3D": facts.joints_to_file(hand.joints_3d),
        **facts.mano_to_file(hand.mano, hand.rest_root),
        **target,
        "hoiray": {**{name: row[name] for name in told}, "is_camera_assumed": hand.is_assumed},
    }
