"""One video of a run with its labels drawn over it, as a video, and as a recording to look into."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import HoirayError, InputError, describe
from hoiray.filters.rules import Rules
from hoiray.hand.model import HandModel
from hoiray.io.encode import VIDEO_CODECS, VideoEncoder
from hoiray.io.secrets import redacted
from hoiray.io.store import Store, open_uri
from hoiray.render.overlay import Image
from hoiray.report.label_frame import draw_label_frame
from hoiray.stages.decode import VideoDecoder
from hoiray.stages.frame_selection import FrameSelection
from hoiray.stages.label_report import video_uris
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.plan import Plan
from hoiray.stages.report_origins import limits_of_labels, read_run
from hoiray.stages.report_rows import find_judge_id, read_tables
from hoiray.stages.run_layout import labels_area
from hoiray.stages.teacher import hand_file

if TYPE_CHECKING:
    from hoiray.report.recording import LabelRecording

NAMED_VIDEOS: Final = 3
"""Of those with labels, where the one that was asked for has none."""

UNKNOWN_RATE_HZ: Final = 25.0
"""Of the drawn video where neither the plan nor the file tells one."""

OnFrame = Callable[[int], None]


@dataclass(frozen=True)
class Overlay:
    """A drawn video.

    Attributes:
        data: the file, MP4.
        num_frames: it holds.
        num_labels, num_accepted: that were drawn.
    """

    data: bytes
    num_frames: int
    num_labels: int
    num_accepted: int


def draw_overlay(
    store: Store,
    plan: Plan,
    video: str,
    *,
    judge_id: str | None = None,
    recording: Path | None = None,
    on_frame: OnFrame = lambda _count: None,
) -> Overlay:
    """Draw the labels of a video over all its frames.

    Args:
        store: the run's folder.
        plan: of the run.
        video: its name in the plan, or the end of it.
        judge_id: which labels; None for the only ones.
        recording: where to write the same as a Rerun recording (.rrd), which needs rerun-sdk; None: nowhere.
        on_frame: told after every frame how many are drawn.

    Raises:
        ConfigError: there are labels of several judge_ids, and none is named.
        InputError: there are no labels of such a video, or it cannot be read.
    """
    rows = _rows_of(store, plan, video, find_judge_id(store, judge_id))
    name = rows[0]["video_id"]
    by_frame: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_frame[row["frame_index"]].append(row)
    model = hand_of(store)
    encoder, num_frames = None, 0
    with _recorder(recording, store, rows, model) as recorder:
        for frame in _frames(plan, name):
            labels = by_frame.get(frame.index, [])
            if encoder is None:
                encoder = VideoEncoder(VIDEO_CODECS["mp4"], fps=frame.shown_hz, size_wh=_even_size(frame.image))
            encoder.add(_cut_to(draw_label_frame(frame.image, labels, model), _even_size(frame.image)))
            if recorder is not None:
                recorder.add(frame.index, frame.time_s, frame.image, labels)
            num_frames += 1
            on_frame(num_frames)
    if encoder is None:
        fix = "Check that the video is still what it was."
        raise InputError(describe(what=name, expected="frames", found="none", fix=fix))
    return Overlay(encoder.finish(), num_frames, len(rows), sum(row["accepted"] for row in rows))


def _even_size(image: Image) -> tuple[int, int]:
    """Return width and height without an odd pixel: players know H.264 of colour at half resolution only."""
    return image.shape[1] // 2 * 2, image.shape[0] // 2 * 2


def _cut_to(image: Image, size_wh: tuple[int, int]) -> Image:
    return image[: size_wh[1], : size_wh[0]]


@contextmanager
def _recorder(
    path: Path | None, store: Store, rows: list[dict[str, Any]], model: HandModel | None
) -> "Iterator[LabelRecording | None]":
    """Give what records a video; None where nobody asked for it."""
    if path is None:
        yield None
        return
    from hoiray.report.recording import LabelRecording

    first = rows[0]
    recorder = LabelRecording(
        path,
        name=first["video_id"],
        about=_about(store, rows),
        model=model,
        rules=rules_of_labels(store, first["predict_id"], first["judge_id"]),
    )
    try:
        yield recorder
    finally:
        recorder.close()


def _about(store: Store, rows: list[dict[str, Any]]) -> str:
    """Say in Markdown whose labels a recording shows, and how they are shown."""
    first, num_accepted = rows[0], sum(row["accepted"] for row in rows)
    return (
        f"# {first['video_id']}\n\n"
        f"{len(rows)} labels, {num_accepted} accepted (green) and {len(rows) - num_accepted} refused (orange), of"
        f" {redacted(store.uri)}.\n\n"
        "Where a hand is not drawn, there is no label: nothing is held from frame to frame, nothing is filled in."
        " Meshes and 3D joints are in metres about each hand's own wrist, in camera axes; how far away it is, a label"
        " does not say.\n\n"
        f"predict_id `{first['predict_id']}`, judge_id `{first['judge_id']}`\n"
    )


def rules_of_labels(store: Store, predict_id: str, judge_id: str) -> Rules | None:
    """Return the limits that labels were judged by; None where the run's configuration does not hold them any more."""
    run = read_run(store)
    return None if run is None else limits_of_labels(run, predict_id, judge_id)[0]


def _rows_of(store: Store, plan: Plan, video: str, judge_id: str) -> list[dict[str, Any]]:
    """Read the labels of a video: they lie in one unit, which is looked for."""
    area = labels_area(judge_id)
    done = (name for name, is_done in committed_units(plan, store, area) if is_done)
    names = set[str]()
    for table in read_tables(store, read_markers(store, area, done)):
        found = _of_video(table, video)
        if found.num_rows:
            rows: list[dict[str, Any]] = found.to_pylist()
            return rows
        if len(names) < NAMED_VIDEOS:
            names |= set(pc.unique(table["video_id"]).to_pylist())
    fix = "Name a video that has labels"
    fix += f", such as {', '.join(sorted(names)[:NAMED_VIDEOS])}." if names else "; this run has none."
    raise InputError(describe(what=store.uri, expected=f"labels of {video!r}", found="none", fix=fix))


def _of_video(table: pa.Table, video: str) -> pa.Table:
    """Return the rows of the video of this name, else of the first whose name ends so, else of that without suffix."""
    names = pc.unique(table["video_id"]).to_pylist()
    alike = (
        [name for name in names if name == video],
        [name for name in names if name.endswith(f"/{video}")],
        [name for name in names if PurePosixPath(name).stem == video],
    )
    found = next((one[0] for one in alike if one), video)
    return table.filter(pc.equal(table["video_id"], found))


def hand_of(store: Store) -> HandModel | None:
    """Load the hand the labels were made with; None where its file is not there: joints are drawn alone then."""
    run = read_run(store)
    if run is None:
        return None
    try:
        with hand_file(run.hand.model_uri) as path:
            return HandModel.load(path, flat_hand_mean=True, tip_set=run.hand.tip_set)
    except HoirayError:
        return None


@dataclass(frozen=True, eq=False)
class _Frame:
    """A frame, with its number and time at the rate at which the run numbered it, and the rate it is shown at."""

    index: int
    time_s: float
    image: Image
    shown_hz: float


def _frames(plan: Plan, name: str) -> Iterator[_Frame]:
    """Yield every frame of a video."""
    uri = video_uris(plan, {name}).get(name)
    if uri is None:
        fix = "Name the plan of the run: --plan."
        raise InputError(describe(what=plan.store.uri, expected=f"the video {name}", found="none", fix=fix))
    store, key = open_uri(uri)
    rate_hz = plan.head.sample_rate_hz
    with (
        VideoDecoder() as decoder,
        decoder.open(store, key, video_id=name, selection=FrameSelection(rate_hz)) as opened,
    ):
        own = opened.facts.frame_rate
        shown_hz = rate_hz or (float(own) if own else UNKNOWN_RATE_HZ)
        for batch in opened:
            for index, time_s, image in zip(
                batch.frame_index.tolist(), batch.time_s.tolist(), batch.frames, strict=True
            ):
                yield _Frame(index, time_s, image, shown_hz)
