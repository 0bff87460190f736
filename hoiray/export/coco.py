"""COCO-WholeBody's key points of hands: JSON that `pycocotools` reads, and the frames they are of.

A file is an ordinary COCO file with the category `person`, whose 17 body points are all unlabelled (0, 0, 0). A hand is
one annotation with `lefthand_kpts` or `righthand_kpts`: 21 triples x, y, v in COCO-WholeBody's order, which is the
simple order (wrist; thumb, index, middle, ring, pinky from base to tip). v is 2 for a labelled point, 1 for one that
lies outside the image, 0 where there is none; labels do not tell what is occluded. `*_valid` is false for a refused
label, so that whoever knows nothing of verdicts trains on accepted ones only.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from hoiray.errors import InputError
from hoiray.export.card import FormatCard
from hoiray.export.job import ExportJob
from hoiray.export.names import safe_name
from hoiray.export.pictures import labelled_frames
from hoiray.export.rows import Row, VideoLabels, plain_row
from hoiray.hand.joints import NUM_JOINTS
from hoiray.io.encode import encode_jpeg, encode_json

MAX_ANNOTATIONS: Final = 50_000
"""Of a file; the next video begins another one. About 150 MB as JSON."""

BODY_NAMES: Final = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
BODY_SKELETON: Final = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""COCO's, counted from 1."""

CATEGORY: Final[dict[str, Any]] = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": list(BODY_NAMES),
    "skeleton": [list(bone) for bone in BODY_SKELETON],
}

_TOLD: Final = (
    "video_id", "frame_index", "hand_index", "track_index", "time_s", "accepted", "reasons", "confidence", "failure",
    "joint_confidence", "box_source", "side_source", "joints_3d", "K",
)  # fmt: skip
"""What an annotation repeats of its label, under `hoiray`."""

CARD: Final = FormatCard(
    title="COCO-WholeBody key points of hands",
    holds=(
        "`annotations/hands-*.json`: COCO files; a hand is one annotation of the category `person`",
        "`lefthand_kpts`, `righthand_kpts`: 21 triples x, y, v; wrist, then thumb, index, middle, ring, pinky from base"
        " to tip; pixels of the full image, the centre of the first one at 0",
        "v: 2 labelled, 1 labelled and outside the image, 0 not labelled",
        "`lefthand_box`, `righthand_box`, `bbox`: x, y, width, height of the box that steered the prediction",
        "`hoiray`: verdict, reasons, calibrated confidence, track, time, 3D joints in metres about the wrist (camera"
        " axes of OpenCV), camera where it is known",
        "`images/`: the frames that have a label, where pictures were asked for",
    ),
    lacks=(
        "bodies, faces and feet: their points are 0, 0, 0; a hand is not joined to a person",
        "what is occluded: v never says so",
        "frames without a label of the chosen kind",
    ),
    loading="""
from pycocotools.coco import COCO

coco = COCO("annotations/hands-00000.json")
for annotation in coco.loadAnns(coco.getAnnIds()):
    image = coco.loadImgs(annotation["image_id"])[0]["file_name"]
    side = "righthand" if annotation["hoiray"]["is_right"] else "lefthand"
    points = annotation[f"{side}_kpts"]  # 63 numbers: x, y, v
""",
    metadata={"task_categories": ["keypoint-detection"]},
)


def write_coco(job: ExportJob) -> None:
    """Write the files of a run's labels."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    num_images = num_annotations = num_files = 0
    for video, rows in job.videos():
        for number, group in _frames(job, video, rows):
            num_images += 1
            images.append(_image(video, number, group[0], num_images))
            for row in group:
                num_annotations += 1
                annotations.append(_annotation(row, num_annotations, num_images))
                job.tally.wrote(row)
        if len(annotations) >= MAX_ANNOTATIONS:
            _write_file(job, num_files, images, annotations)
            num_files, images, annotations = num_files + 1, [], []
    if annotations:
        _write_file(job, num_files, images, annotations)


def _frames(job: ExportJob, video: VideoLabels, rows: list[Row]) -> Iterator[tuple[int, list[Row]]]:
    """Yield the frames with their rows; their pictures are written first, where pictures are asked for."""
    if job.options.pixels == "none":
        by_frame: dict[int, list[Row]] = {}
        for row in rows:
            by_frame.setdefault(row["frame_index"], []).append(row)
        yield from by_frame.items()
        return
    num_done = 0
    try:
        for number, image, group in labelled_frames(video, rows, job.run.sample_rate_hz):
            job.out.write(_image_key(video.video_id, number), encode_jpeg(image))
            num_done += len(group)
            yield number, group
    except InputError as error:
        job.tally.unreadable(error, len(rows) - num_done)


def _image_key(video_id: str, number: int) -> str:
    return f"images/{safe_name(video_id)}/{number:06d}.jpg"


def _image(video: VideoLabels, number: int, row: Row, image_id: int) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": _image_key(video.video_id, number),
        "width": row["image_width_px"],
        "height": row["image_height_px"],
        "video_id": video.video_id,
        "frame_index": number,
    }


def _annotation(row: Row, annotation_id: int, image_id: int) -> dict[str, Any]:
    x0, y0, x1, y1 = row["bbox_xyxy"]
    box = [x0, y0, x1 - x0, y1 - y0]
    parts: dict[str, Any] = {}
    for name, num_points in (("face", 68), ("foot", 6), ("lefthand", NUM_JOINTS), ("righthand", NUM_JOINTS)):
        is_own = name == ("righthand" if row["is_right"] else "lefthand")
        parts[f"{name}_kpts"] = _triples(row) if is_own else [0.0] * (3 * num_points)
        parts[f"{name}_valid"] = is_own and row["accepted"] and row["joints_2d"] is not None
        if name != "foot":
            parts[f"{name}_box"] = box if is_own else [0.0] * 4
    plain = plain_row(row)
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": CATEGORY["id"],
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": 0,
        "keypoints": [0] * (3 * len(BODY_NAMES)),
        "num_keypoints": 0,
        **parts,
        "hoiray": {"is_right": row["is_right"], **{name: plain[name] for name in _TOLD}},
    }


def _triples(row: Row) -> list[float]:
    """Return 63 numbers x, y, v of a label; zeros where there is no answer."""
    if row["joints_2d"] is None:
        return [0.0] * (3 * NUM_JOINTS)
    points = np.array(row["joints_2d"], dtype=np.float64).reshape(NUM_JOINTS, 2)
    last = np.array([row["image_width_px"], row["image_height_px"]]) - 0.5
    is_inside = np.all((points >= -0.5) & (points < last), axis=1)
    triples: list[float] = np.column_stack([points, np.where(is_inside, 2, 1)]).ravel().tolist()
    return triples


def _write_file(job: ExportJob, number: int, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    lineage = job.lineage
    content = {
        "info": {
            "description": "Hand pseudo-labels by hoiray, in COCO-WholeBody's layout",
            "version": lineage.hoiray_version,
            "lineage": lineage.to_json(),
        },
        "licenses": [{"id": 1, "name": job.options.licence or "not stated; see README.md", "url": ""}],
        "images": [{**image, "license": 1} for image in images],
        "annotations": annotations,
        "categories": [CATEGORY],
    }
    job.out.write(f"annotations/hands-{number:05d}.json", encode_json(content))
