"""Replay: a frame's labels made again from their video, and held against what is stored of them.

Everything that steered a prediction is in its row: box, side, upright square, object's box, intrinsics; views are drawn
by the hand's name. So the frame is decoded, its hands are predicted by the run's predictor with the run's ensemble,
measured, put in the place of the stored rows, and the whole video is judged. The frame before and that of each hand's
predecessor are replayed as well: motion is measured between the two.

A side that was guessed is replayed as it was decided, for that took the whole track; the set that shapes are compared
with is, but for the frames replayed, the stored one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import RunConfig
from hoiray.errors import ContractError, InputError, describe
from hoiray.filters.rules import Rules
from hoiray.io.store import Store, open_uri
from hoiray.predictors.protocol import Predictor
from hoiray.schema.columns import unpack_column
from hoiray.schema.label_columns import MEASUREMENT_NAMES, PREDICTION_COLUMNS
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.stages.decode import VideoDecoder
from hoiray.stages.frame_selection import FrameSelection
from hoiray.stages.ids import make_predict_id
from hoiray.stages.judge import judge
from hoiray.stages.measure import measure
from hoiray.stages.plan import Plan
from hoiray.stages.predict import HandBatches, Image
from hoiray.stages.report_origins import read_run
from hoiray.stages.run_layout import RUN_FILE
from hoiray.stages.teacher import open_teacher, run_digests
from hoiray.stages.wanted import WantedVideo

BATCH_SIZE: Final = 1
"""Hands of a batch: a hand's numbers do not depend on its company, beyond rounding."""

TOLERANCE: Final = 1e-3
"""What another device may differ by, relative to a number's size, or to what is usual where it is smaller: 1; the side
of the hand's box for pixels; :data:`USUAL_M` for metres."""

USUAL_M: Final = 0.1
"""About the size of a hand."""

COMPARED: Final = (
    "joints_3d", "joints_2d", "global_orient", "hand_pose", "betas", "transl", "spread_joints_2d_px",
    "spread_joints_3d_m", *MEASUREMENT_NAMES, "confidence",
)  # fmt: skip
"""Columns that are held against each other."""

_DECIDED: Final = ("shard_id", "side_source", "side_lead")
"""Columns of a prediction that another stage than the predictor's decides."""


@dataclass(frozen=True)
class Comparison:
    """A column of a label, replayed and stored.

    Attributes:
        name: of the column.
        unit: of its numbers, and of the difference.
        num_values: numbers that are known in both.
        difference: the largest, absolute; 0 where nothing is known in either.
        is_same: every bit is the same.
        is_close: within :data:`TOLERANCE`, and known in both or in neither.
    """

    name: str
    unit: str
    num_values: int
    difference: float
    is_same: bool
    is_close: bool


@dataclass(frozen=True, eq=False)
class Replayed:
    """A replayed label.

    Attributes:
        hand_index: which hand of the frame.
        comparisons: of :data:`COMPARED`.
        is_same_verdict: accepted or refused for the same reasons.
        row: the label as it came out now.
    """

    hand_index: int
    comparisons: tuple[Comparison, ...]
    is_same_verdict: bool
    row: Mapping[str, Any]

    @property
    def is_same(self) -> bool:
        """Every number has the same bits, and the verdict is the same."""
        return self.is_same_verdict and all(one.is_same for one in self.comparisons)

    @property
    def is_close(self) -> bool:
        """Every number is the same within rounding, and the verdict is the same."""
        return self.is_same_verdict and all(one.is_close for one in self.comparisons)


@dataclass(frozen=True)
class Source:
    """Where a run's labels come from, as far as a replay needs it.

    Attributes:
        run: the run's configuration, whose weights are those that made the labels.
        uri: of the video.
        etag: its version when it was planned.
        sample_rate_hz: at which its frames are numbered.
    """

    run: RunConfig
    uri: str
    etag: str | None
    sample_rate_hz: float | None


def find_source(store: Store, plan: Plan, video_id: str, predict_id: str) -> Source:
    """Look up what a replay of a video needs, and check that it is what made the labels.

    Args:
        store: the run's folder.
        plan: of the run.
        video_id: of the video.
        predict_id: of the labels.

    Raises:
        InputError: the run file, the weights or the video's place are not there.
        ContractError: weights, ensemble or schema are not those of the labels.
    """
    run = read_run(store)
    if run is None:
        fix = "Name the folder that hoiray label wrote."
        raise InputError(describe(what=store.url(RUN_FILE), expected="the run's configuration", found="none", fix=fix))
    found = make_predict_id(run, **run_digests(run))
    if found != predict_id:
        what = f"predictor of {store.uri} ({run.teacher.checkpoint_uri or run.teacher.predictor})"
        fix = "Put back the weights, hand model and version of hoiray that labelled: any other gives other numbers."
        raise ContractError(describe(what=what, expected=f"predict_id {predict_id}", found=found, fix=fix))
    for part in plan.head.parts:
        table = plan.part_table(part.name, "videos")
        rows = table.filter(pc.equal(table["video_id"], video_id)).to_pylist()
        if rows:
            return Source(run, rows[0]["uri"], rows[0]["etag"], plan.head.sample_rate_hz)
    fix = "Name the plan that the labels are of: --plan."
    raise InputError(describe(what=plan.store.uri, expected=f"the video {video_id}", found="none", fix=fix))


def replay_frame(
    source: Source, stored: pa.Table, rules: Rules, frame_index: int, *, device: str = "cpu"
) -> list[Replayed]:
    """Make the labels of a frame again.

    Args:
        source: of the labels.
        stored: schema ``predictions`` or ``labels``: all stored rows of the video.
        rules: the limits.
        frame_index: which frame; there must be rows of it.
        device: where the predictor computes.

    Raises:
        InputError: the video or the predictor's files cannot be read.
        ContractError: the video is another than the one that was planned.
    """
    before = judge(stored, rules, "-")
    predictor = open_teacher(source.run, device=device, batch_size=BATCH_SIZE)
    frames = _frames_to_replay(before, frame_index)
    is_replayed = pc.is_in(before["frame_index"], value_set=pa.array(frames, pa.int32()))
    kept = before.select([column.name for column in PREDICTION_COLUMNS])
    again = _predicted(source, predictor, kept.filter(is_replayed))
    others = kept.filter(pc.invert(is_replayed)).replace_schema_metadata(None)
    table = pa.concat_tables([others, again.select(others.column_names).cast(others.schema)])
    after = judge(table.combine_chunks(), rules, "-")
    pairs = zip(*(_rows_of(labels, frame_index) for labels in (before, after)), strict=True)
    return [_compared(first, second) for first, second in pairs]


def _frames_to_replay(labels: pa.Table, frame_index: int) -> list[int]:
    """Return the frame and those of its hands' predecessors."""
    rows = labels.filter(pc.equal(labels["frame_index"], frame_index))
    gaps = [gap for gap in rows["predecessor_gap_frames"].to_pylist() if gap is not None]
    return sorted({frame_index, *(frame_index - gap for gap in gaps)})


def _predicted(source: Source, predictor: Predictor, rows: pa.Table) -> pa.Table:
    """Predict and measure stored rows again; schema ``predictions``, sorted by key."""
    rows = rows.sort_by([(name, "ascending") for name in PREDICTIONS.key])
    wanted = _wanted(source, rows)
    # a crop's change was measured against the frame before, where that was at hand
    has_before = np.isfinite(unpack_column(rows, PREDICTIONS["crop_change"]))
    preceding = {int(frame) - 1 for frame in wanted.frame_index[has_before]}
    images, times = _decoded(source, wanted, sorted({*wanted.frame_index.tolist(), *preceding}))
    batches = HandBatches(
        predictor, source.run.ensemble, batch_size=BATCH_SIZE, shard_id="-",
        predict_id=rows["predict_id"][0].as_py(), is_one_person=source.run.videos.persons == "one",
    )  # fmt: skip
    for frame in np.unique(wanted.frame_index).tolist():
        image_before = images[frame - 1] if frame - 1 in preceding else None
        batches.add(wanted, frame, times[frame], images[frame], image_before)
    batches.flush()
    table = measure(batches.table())
    for name in _DECIDED:
        table = table.set_column(table.column_names.index(name), table.schema.field(name), rows[name])
    return table


def _wanted(source: Source, rows: pa.Table) -> WantedVideo:
    """Ask for hands as the rows say they were asked for."""
    numbers = {
        name: unpack_column(rows, PREDICTIONS[name])
        for name in ("frame_index", "hand_index", "bbox_xyxy", "upright_px", "object_bbox_xyxy", "is_right", "K")
    }
    return WantedVideo(
        video_id=rows["video_id"][0].as_py(),
        uri=source.uri,
        etag=source.etag,
        first_frame_index=int(numbers["frame_index"].min()),
        frame_index=numbers["frame_index"],
        hand_index=numbers["hand_index"],
        bbox_xyxy=numbers["bbox_xyxy"],
        object_bbox_xyxy=numbers["object_bbox_xyxy"],
        is_right=numbers["is_right"],
        side_source=("given",) * rows.num_rows,
        K=numbers["K"][0],
        box_sources=tuple(rows["box_source"].to_pylist()),
        upright_px=numbers["upright_px"],
    )


def _decoded(source: Source, wanted: WantedVideo, frames: Sequence[int]) -> tuple[dict[int, Image], dict[int, float]]:
    """Decode frames as a labelling does: their pictures and times by number."""
    store, key = open_uri(source.uri)
    selection = FrameSelection(source.sample_rate_hz, tuple(frames))
    images: dict[int, Image] = {}
    times: dict[int, float] = {}
    with (
        VideoDecoder() as decoder,
        decoder.open(store, key, video_id=wanted.video_id, etag=source.etag, selection=selection) as opened,
    ):
        for batch in opened:
            for index, moment, image in zip(
                batch.frame_index.tolist(), batch.time_s.tolist(), batch.frames, strict=True
            ):
                images[index], times[index] = image, moment
    missing = [frame for frame in frames if frame not in images]
    if missing:
        fix = "Is it the video that was labelled? Copy it again from its source."
        what, found = f"video {source.uri}", f"no frame {missing[0]}"
        raise InputError(describe(what=what, expected=f"frames {frames[0]} to {frames[-1]}", found=found, fix=fix))
    return images, times


def _rows_of(labels: pa.Table, frame_index: int) -> list[pa.Table]:
    rows = labels.filter(pc.equal(labels["frame_index"], frame_index))
    return [rows.slice(number, 1) for number in range(rows.num_rows)]


def _compared(stored: pa.Table, replayed: pa.Table) -> Replayed:
    box = unpack_column(stored, LABELS["bbox_xyxy"])[0]
    side_px = max(float((box[2:] - box[:2]).max()), 1.0)
    comparisons = tuple(
        compare_column(name, *(unpack_column(one, LABELS[name]) for one in (stored, replayed)), side_px=side_px)
        for name in COMPARED
    )
    first, second = stored.to_pylist()[0], replayed.to_pylist()[0]
    is_same = all(first[name] == second[name] for name in ("accepted", "reasons", "failure", "num_members"))
    return Replayed(first["hand_index"], comparisons, is_same, second)


def compare_column(
    name: str, stored: npt.NDArray[np.floating], replayed: npt.NDArray[np.floating], *, side_px: float = 1.0
) -> Comparison:
    """Hold two arrays of one shape against each other; NaN is not known.

    Args:
        name: of their column.
        stored: one of them.
        replayed: the other.
        side_px: of the hand's box, in which pixels are compared.
    """
    unit = LABELS[name].unit
    known = np.isfinite(stored) & np.isfinite(replayed)
    first, second = (np.where(known, values, 0.0).astype(np.float64) for values in (stored, replayed))
    difference = np.abs(first - second)
    usual = {"px": side_px, "m": USUAL_M}.get(unit, 1.0)
    allowed = TOLERANCE * np.maximum(usual, np.abs(first))
    is_alike = bool((np.isfinite(stored) == np.isfinite(replayed)).all())
    return Comparison(
        name=name,
        unit=unit,
        num_values=int(known.sum()),
        difference=float(difference.max(initial=0.0)),
        is_same=is_alike and not difference.any(),
        is_close=is_alike and bool((difference <= allowed).all()),
    )
