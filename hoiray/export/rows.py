"""The labels of a run, one video after another: who is exported, and a count of everybody, also of who is not."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.datasets.label_rows import KEY, read_label_file, read_videos
from hoiray.datasets.label_run import LabelRun
from hoiray.datasets.video_frames import StoredVideo
from hoiray.errors import InputError, describe
from hoiray.schema.tables import LABELS

Row: TypeAlias = Mapping[str, Any]
"""A label as a dictionary, with the columns of the table `labels`."""

MAX_TOLD: Final = 5
"""Messages that are kept of videos that could not be read."""

_SHAPED: Final = {column.name: column.shape for column in LABELS.columns if len(column.shape) > 1}


@dataclass
class Tally:
    """What became of the rows.

    Attributes:
        num_videos: with labels.
        num_rows, num_accepted: read.
        reasons: rows by each reason that stands against them; a row may have several.
        num_written: labels in the export, however they are laid out.
        num_written_accepted: of these, accepted ones.
        left_out: labels that were to be exported and could not be, by what they lack.
        messages: of the first videos that are missing as a whole.
    """

    num_videos: int = 0
    num_rows: int = 0
    num_accepted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    num_written: int = 0
    num_written_accepted: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    def wrote(self, row: Row) -> None:
        """Count a label that is in the export."""
        self.num_written += 1
        self.num_written_accepted += int(row["accepted"])

    def leave_out(self, why: str, count: int = 1) -> None:
        """Count labels that cannot be told in the format."""
        if count:
            self.left_out[why] += count

    def unreadable(self, error: InputError, count: int, *, why: str = "video_unreadable") -> None:
        """Count the labels of a video whose frames cannot be had, or not as the format wants them."""
        self.leave_out(why, count)
        if len(self.messages) < MAX_TOLD:
            self.messages.append(str(error))

    def to_json(self) -> dict[str, Any]:
        """Return plain data, with names in order."""
        return {
            "num_videos": self.num_videos,
            "num_rows": self.num_rows,
            "num_accepted": self.num_accepted,
            "num_refused": self.num_rows - self.num_accepted,
            "reasons": dict(sorted(self.reasons.items())),
            "num_written": self.num_written,
            "num_written_accepted": self.num_written_accepted,
            "left_out": dict(sorted(self.left_out.items())),
        }


@dataclass(frozen=True, eq=False)
class VideoLabels:
    """The labels of one video.

    Attributes:
        video_id: its name.
        table: all its rows, accepted and refused, sorted by frame and hand.
        stored: where it lies; None where the plan does not know it.
    """

    video_id: str
    table: pa.Table
    stored: StoredVideo | None

    def rows(self, *, with_refused: bool) -> list[Row]:
        """Return the accepted rows, or all."""
        table = self.table if with_refused else self.table.filter(self.table["accepted"])
        rows: list[Row] = table.to_pylist()
        return rows

    def require_stored(self) -> StoredVideo:
        """Return where the video lies.

        Raises:
            InputError: the plan does not say.
        """
        if self.stored is None:
            fix = "Restore the plan that was labelled."
            raise InputError(describe(what=self.video_id, expected="a video in the plan", found="none", fix=fix))
        return self.stored


def read_video_labels(run: LabelRun, tally: Tally) -> Iterator[VideoLabels]:
    """Walk the labels of a run; one file of labels is in memory at a time.

    Args:
        run: whose.
        tally: told of every row.

    Raises:
        InputError: a file is missing.
        ContractError: a file is damaged, replaced, or of another version of the schema.
    """
    for file in run.files:
        table = read_label_file(run, file).sort_by([(name, "ascending") for name in KEY])
        if not table.num_rows:
            continue
        videos = read_videos(run, table["video_id"])
        runs = pc.run_end_encode(table["video_id"].combine_chunks())
        start = 0
        for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            labels = VideoLabels(name, table.slice(start, end - start), videos.get(name))
            start = end
            _count(labels, tally)
            yield labels


def _count(labels: VideoLabels, tally: Tally) -> None:
    tally.num_videos += 1
    tally.num_rows += labels.table.num_rows
    tally.num_accepted += pc.sum(labels.table["accepted"]).as_py()
    tally.reasons.update(pc.list_flatten(labels.table["reasons"]).to_pylist())


def plain_row(row: Row) -> dict[str, Any]:
    """Return a row as JSON can hold it: matrices as lists of rows, and null where a measurement was not taken."""
    return {name: _plain(value, _SHAPED.get(name)) for name, value in row.items()}


def _plain(value: Any, shape: tuple[int, ...] | None) -> Any:  # noqa: ANN401 - a cell of any column
    if shape is not None and value is not None:
        return np.reshape(value, shape).tolist()
    return None if isinstance(value, float) and not np.isfinite(value) else value
