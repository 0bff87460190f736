"""What a format is given to write: labels, a folder, and what is to be said of both."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from hoiray.datasets.label_run import LabelRun
from hoiray.export.lineage import Lineage
from hoiray.export.rows import Row, Tally, VideoLabels, read_video_labels
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

Pixels: TypeAlias = Literal["frame", "crop", "none"]
"""Whole frames, squares around the hands, or labels alone."""


@dataclass(frozen=True)
class Options:
    """What the files of an export depend on, besides the labels.

    Attributes:
        with_refused: refused labels are exported too, marked.
        pixels: what is shown.
        licence: of the labels, as their owner states it; empty: nobody said.
        assumed_focal_px: of videos whose camera is not known; None: their labels have no place in space.
    """

    with_refused: bool = False
    pixels: Pixels = "frame"
    licence: str = ""
    assumed_focal_px: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "include": "refused" if self.with_refused else "accepted",
            "pixels": self.pixels,
            "licence": self.licence,
            "assumed_focal_px": self.assumed_focal_px,
        }


@dataclass(frozen=True, eq=False)
class ExportJob:
    """One export.

    Attributes:
        run: whose labels.
        out: the folder, taken for this export.
        options: what is asked for.
        lineage: where the labels come from, in words.
        hand: the hand model of the run.
        tally: counts while the labels are read.
        on_video: told after every video how many are done.
    """

    run: LabelRun
    out: Store
    options: Options
    lineage: Lineage
    hand: HandArrays
    tally: Tally = field(default_factory=Tally)
    on_video: Callable[[int], None] = lambda _count: None

    def videos(self) -> Iterator[tuple[VideoLabels, list[Row]]]:
        """Walk the videos that have something to export, with the rows that are."""
        for video in read_video_labels(self.run, self.tally):
            rows = video.rows(with_refused=self.options.with_refused)
            if rows:
                yield video, rows
            self.on_video(self.tally.num_videos)

    def identity(self, format_name: str) -> Mapping[str, Any]:
        """Return what the files follow from."""
        return {
            "format": format_name,
            "snapshot_id": self.run.snapshot_id,
            "judge_id": self.run.judge_id,
            "hoiray": self.lineage.hoiray_version,
            **self.options.to_json(),
        }
