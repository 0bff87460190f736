"""Runs to export: real videos with labels of every kind, written without a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import memory_dataset as memory
import numpy as np
import pyarrow as pa
from dataset_files import arrays
from label_runs import filmed, refused, true_rows, write_label_run
from valid_tables import replaced

from hoiray.datasets.label_run import LabelRun
from hoiray.export.job import ExportJob, Options
from hoiray.export.lineage import Lineage, lineage_of
from hoiray.hand.load import OPEN_HAND_LICENCE
from hoiray.io.store import Store
from hoiray.schema.tables import LABELS

HOSTILE = "../../etc/p'ass\"wd \u624b.v1.mp4"
REFUSED_ROWS = [1, 5]


@dataclass(frozen=True, eq=False)
class Scene:
    """A run, its rows in order, and the frames they are of."""

    run: LabelRun
    rows: pa.Table
    images: list[np.ndarray]

    def job(self, out: Path | str, **options: Any) -> ExportJob:
        return ExportJob(self.run, Store.open(out), Options(**options), lineage(self.run), arrays())


def lineage(run: LabelRun) -> Lineage:
    return lineage_of(
        run,
        OPEN_HAND_LICENCE,
        teacher="network, weights s3://KEY:SECRET@bucket/t.safetensors",
        num_views=8,
        limits={"box_iou": ">= 0.6"},
        videos="s3://bucket/videos",
        hoiray_version="1.2.3",
    )


def scene(
    folder: Path, *, count: int = 6, first_name: str | None = None, later_fps: float = 12, **dataset: Any
) -> Scene:
    """Two videos of three frames; the second frame of the first and the last of the second are refused."""
    made, videos = filmed(memory.make_dataset(count, **dataset), folder / "videos", later_fps=later_fps)
    rows = refused(true_rows(made, videos, object_boxes=False), [row for row in REFUSED_ROWS if row < count])
    if first_name is not None:
        names = [first_name if name == videos[0].video_id else name for name in rows["video_id"].to_pylist()]
        rows = replaced(rows, "video_id", pa.array(names))
        videos = [type(videos[0])(first_name, *list(vars(videos[0]).values())[1:]), *videos[1:]]
    rows = replaced(rows, "track_index", pa.array(np.zeros(count), pa.int32()))
    rows = replaced(rows, "failure", pa.nulls(count, pa.string()))
    rows = replaced(rows, "time_s", pa.array(np.arange(count) % 3 / 12.0))
    tables = [rows.slice(0, 3), rows.slice(3)] if count > 3 else [rows]
    return Scene(write_label_run(folder / "run", tables, videos), rows, made.images)


def without_answer(rows: pa.Table, row: int) -> pa.Table:
    """The same rows, of which one has no prediction."""
    for name in ("joints_3d", "joints_2d", "betas", "global_orient", "hand_pose", "transl"):
        values = rows[name].to_pylist()
        values[row] = None
        rows = replaced(rows, name, pa.array(values, LABELS[name].arrow_type))
    failures = rows["failure"].to_pylist()
    failures[row] = "no hand found"
    return replaced(rows, "failure", pa.array(failures, pa.string()))
