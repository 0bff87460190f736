"""Parquet that Hugging Face's `datasets` reads, with a dataset card: every column of a label, no pixels.

Accepted labels are the split `train`. Refused ones, where they are asked for, are the split `refused`: whoever loads
the training split never meets them. Matrices are lists of rows, so that 21 joints come back as 21 triples.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.export.card import FormatCard
from hoiray.export.job import ExportJob
from hoiray.export.rows import VideoLabels, read_video_labels
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.tables import LABELS

MAX_ROWS: Final = 20_000
"""Of a file: some 20 MB."""

GROUP_ROWS: Final = 1000
"""Of a row group: what a streaming reader has in memory."""

SPLITS: Final = ("train", "refused")

CARD: Final = FormatCard(
    title="Parquet for Hugging Face datasets",
    holds=(
        "`data/train-*.parquet`: one row a label, every column of hoiray's table `labels`: identity, image size,"
        " camera, side, box, hand-model parameters, 21 joints in 3D (metres about the wrist, camera axes of OpenCV) and"
        " 2D (pixels), spread of the ensemble, every measurement, verdict, reasons, confidence",
        "joint order: wrist; thumb, index, middle, ring, pinky, each from base to tip",
        "absent values are null; a measurement that was not taken is NaN, and `unmeasured` says why",
        "`refused`: a split of its own, where refused labels were asked for",
    ),
    lacks=(
        "pixels: `video_id` and `frame_index` (at the rate of the run) name the frame",
        "frames without a label of the chosen kind",
    ),
    loading="""
from datasets import load_dataset

labels = load_dataset("PATH_OR_REPOSITORY", split="train")
label = labels[0]
joints = label["joints_3d"]  # 21 x 3, metres about the wrist; None without
""",
    metadata={"task_categories": ["keypoint-detection"]},
)


def card_of(job: ExportJob) -> FormatCard:
    """Return the card with the header by which `datasets` finds the files of each split."""
    keys = list(job.out.list("data"))
    present = [split for split in SPLITS if any(key.startswith(f"data/{split}-") for key in keys)]
    data_files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in present]
    configs = [{"config_name": "default", "data_files": data_files}]
    return replace(CARD, metadata={**CARD.metadata, "configs": configs})


def write_huggingface(job: ExportJob) -> None:
    """Write the files of a run's labels."""
    writers = {split: _Split(job, split) for split in SPLITS}
    for video in _videos(job):
        is_accepted = video.table["accepted"]
        writers["train"].add(video.table.filter(is_accepted))
        if job.options.with_refused:
            writers["refused"].add(video.table.filter(pc.invert(is_accepted)))
    for writer in writers.values():
        writer.flush()


def _videos(job: ExportJob) -> Iterator[VideoLabels]:
    for video in read_video_labels(job.run, job.tally):
        yield video
        job.on_video(job.tally.num_videos)


class _Split:
    """The files of one split; rows are kept until a file is full."""

    def __init__(self, job: ExportJob, name: str) -> None:
        self._job, self._name = job, name
        self._parts: list[pa.Table] = []
        self._num_rows = self._num_files = 0

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        if not table.num_rows:
            return
        self._parts.append(table)
        self._num_rows += table.num_rows
        if self._num_rows >= MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is kept."""
        if not self._parts:
            return
        table = nested(pa.concat_tables(self._parts).combine_chunks())
        groups = [min(GROUP_ROWS, table.num_rows - first) for first in range(0, table.num_rows, GROUP_ROWS)]
        key = f"data/{self._name}-{self._num_files:05d}.parquet"
        self._job.out.write(key, parquet_bytes(table, groups=groups))
        tally = self._job.tally
        tally.num_written += table.num_rows
        tally.num_written_accepted += pc.sum(table["accepted"]).as_py()
        self._parts, self._num_rows, self._num_files = [], 0, self._num_files + 1


def nested(table: pa.Table) -> pa.Table:
    """Turn flat columns of matrices into lists of rows, (63,) into 21 lists of 3; null stays null."""
    for column in LABELS.columns:
        if len(column.shape) != 2:
            continue
        values = table[column.name].combine_chunks()
        is_null = values.is_null()
        inner = pa.list_(column.value_type, column.shape[1])
        num_values = len(values) * column.length
        flat = values.values.slice(values.offset * column.length, num_values)
        rows = pa.FixedSizeListArray.from_arrays(flat, type=inner)
        whole = pa.FixedSizeListArray.from_arrays(rows, type=pa.list_(inner, column.shape[0]), mask=is_null)
        index = table.column_names.index(column.name)
        table = table.set_column(index, pa.field(column.name, whole.type, column.nullable), whole)
    return table.replace_schema_metadata(None)
