"""Tar shards that `webdataset` reads: a picture and a JSON of the same name are one sample.

Names hold no dot but the one before the suffix, as a key ends at its first dot. Shards are bounded in size, and the
same labels and videos give the same bytes: no times, owners or paths are in them.
"""

import io
import tarfile
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from hoiray.errors import InputError
from hoiray.export.card import FormatCard
from hoiray.export.job import ExportJob
from hoiray.export.names import safe_name
from hoiray.export.pictures import Image, labelled_frames, warp
from hoiray.export.rows import Row, VideoLabels, plain_row
from hoiray.geometry.arrays import FloatArray
from hoiray.geometry.boxes import is_valid
from hoiray.geometry.crops import apply_affine, crop_affine, crop_intrinsics
from hoiray.io.encode import encode_jpeg, encode_json

MAX_SHARD_BYTES: Final = 128 << 20
"""A shard is closed before a sample would make it larger; it is in memory while it is written."""

CROP_PX: Final = 256
CROP_MARGIN: Final = 1.5
"""Side of a crop over the longer side of the hand's box."""

CARD: Final = FormatCard(
    title="WebDataset shards",
    holds=(
        "`shards/hands-*.tar`: samples `KEY.jpg` and `KEY.json`",
        "whole frames (one sample a frame, `hands` lists its labels) or crops (one sample a hand; `A` takes pixels of"
        " the frame to those of the crop, `joints_2d_crop` are the joints in the crop)",
        "of every label all columns of hoiray's table `labels`: 21 joints in 3D (metres about the wrist, camera axes of"
        " OpenCV) and 2D (pixels of the frame, the centre of the first one at 0), parameters, measurements, verdict,"
        " reasons, confidence; absent values are null",
    ),
    lacks=(
        "frames without a label of the chosen kind",
        "an order: shards hold videos as the run was cut, so shuffle them",
    ),
    loading="""
import glob, json
import webdataset as wds

shards = sorted(glob.glob("shards/hands-*.tar"))
for sample in wds.WebDataset(shards, shardshuffle=False).decode("rgb8"):
    image, hands = sample["jpg"], sample["json"]["hands"]
""",
    metadata={"task_categories": ["keypoint-detection"]},
)


def write_webdataset(job: ExportJob) -> None:
    """Write the shards of a run's labels."""
    shards = _Shards(job)
    for video, rows in job.videos():
        num_done = 0
        try:
            for number, image, group in labelled_frames(video, rows, job.run.sample_rate_hz):
                for name, picture, content, own in _samples(job, video, number, image, group):
                    shards.add(name, {"jpg": encode_jpeg(picture), "json": encode_json(content)})
                    for row in own:
                        job.tally.wrote(row)
                num_done += len(group)
        except InputError as error:
            job.tally.unreadable(error, len(rows) - num_done)
    shards.flush()


def _samples(
    job: ExportJob, video: VideoLabels, number: int, image: Image, rows: list[Row]
) -> Iterator[tuple[str, Image, dict[str, Any], list[Row]]]:
    key = f"{safe_name(video.video_id)}-{number:06d}"
    about = {"video_id": video.video_id, "frame_index": number, "time_s": rows[0]["time_s"]}
    if job.options.pixels == "frame":
        yield key, image, {**about, "hands": [plain_row(row) for row in rows]}, rows
        return
    for row in rows:
        box = np.array(row["bbox_xyxy"], dtype=np.float64)
        if not is_valid(box):
            job.tally.leave_out("no_box")
            continue
        A = _crop_of(box)
        content = {**about, "A": A.tolist(), "hands": [_cropped(row, A)]}
        yield f"{key}-{row['hand_index']}", warp(image, A, (CROP_PX, CROP_PX)), content, [row]


def _crop_of(box_xyxy: FloatArray) -> FloatArray:
    """Return the affine (3, 3) from pixels of the frame to those of the square around a box."""
    side = CROP_MARGIN * float(np.max(box_xyxy[2:] - box_xyxy[:2]))
    return crop_affine(0.5 * (box_xyxy[:2] + box_xyxy[2:]), side, 0.0, out_size_px=CROP_PX)


def _cropped(row: Row, A: FloatArray) -> dict[str, Any]:
    """Return a label with its joints, and its camera where it is known, in the crop too."""
    joints, K = row["joints_2d"], row["K"]
    plain = plain_row(row)
    plain["joints_2d_crop"] = None if joints is None else apply_affine(A, np.reshape(joints, (21, 2))).tolist()
    plain["K_crop"] = None if K is None else crop_intrinsics(np.reshape(K, (3, 3)), A, 0.0).tolist()
    return plain


class _Shards:
    """Tar files, one after another."""

    def __init__(self, job: ExportJob) -> None:
        self._job, self._num_files = job, 0
        self._begin()

    def _begin(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.USTAR_FORMAT)
        self._num_samples = 0

    def add(self, key: str, files: dict[str, bytes]) -> None:
        """Append a sample."""
        size = sum(len(data) + 1024 for data in files.values())
        if self._num_samples and self._buffer.tell() + size > MAX_SHARD_BYTES:
            self.flush()
        for suffix, data in files.items():
            entry = tarfile.TarInfo(f"{key}.{suffix}")
            entry.size = len(data)
            entry.mode = 0o644
            self._tar.addfile(entry, io.BytesIO(data))
        self._num_samples += 1

    def flush(self) -> None:
        """Write the shard that is open, if it holds anything."""
        if not self._num_samples:
            return
        self._tar.close()
        self._job.out.write(f"shards/hands-{self._num_files:06d}.tar", self._buffer.getvalue())
        self._num_files += 1
        self._begin()
