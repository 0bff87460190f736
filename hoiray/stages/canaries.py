"""Canaries of a run: clips of its own predictions made wrong, judged by its own rules, counted, and kept apart.

Nothing of it is a label: what is planted lives in memory only, what is counted in `canaries/` of the run's folder
(:mod:`hoiray.stages.canary_file`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import nan
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.errors import InputError, describe
from hoiray.filters.spatial import mesh_extent
from hoiray.hand.model import HandModel
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.label_columns import PREDICTION_COLUMNS
from hoiray.schema.tables import LABELS
from hoiray.stages.canary_file import Canaries, KindCount
from hoiray.stages.ids import make_judge_id
from hoiray.stages.judge import judge
from hoiray.stages.label_job import LabelJob
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.measure import FUSED, measure
from hoiray.stages.rejudge import Judgement, Part, parts_of, rejudge
from hoiray.stages.view import hand_of
from hoiray.trust.canaries import KINDS, Clip, Fault, is_wrong, mirrored, miss_rate
from hoiray.trust.features import features_of

MIN_ACCEPTED: Final = 2
"""Accepted labels of a track that is made a canary."""

MAX_ROWS: Final = 200_000
"""Labels of a labelling among which clips are drawn: a sample of a hundred clips needs no more."""

_KEY: Final = ("video_id", "frame_index", "hand_index")
_POSE: Final = ("joints_3d", "joints_2d", "global_orient", "hand_pose", "is_right")
"""Columns that a fault changes."""


def plant_canaries(
    parts: Sequence[Part], judgement: Judgement, hand: HandModel | None, *, num_clips: int, seed: int
) -> Canaries:
    """Make clips wrong in every way, and count what the rules accept of them.

    Args:
        parts: stored predictions of one predictor.
        judgement: the rules.
        hand: the model their parameters are of, absolute poses; None where there are joints only.
        num_clips: videos to draw by lot among those with :data:`MIN_ACCEPTED` accepted labels in one track.
        seed: of the lot.

    Raises:
        InputError: no label is accepted, so there is nothing to plant on.
    """
    names, mistaken = _scanned(parts, judgement)
    if not names:
        expected, fix = f"tracks with {MIN_ACCEPTED} accepted labels", "Loosen the limits, or label more videos."
        raise InputError(describe(what="predictions", expected=expected, found="none", fix=fix))
    order = np.random.default_rng(seed).permutation(len(names))[:num_clips]
    drawn = sorted(names[index] for index in order.tolist())
    leads = np.random.default_rng((seed, 1)).choice(mistaken, len(drawn)) if mistaken.size else [nan] * len(drawn)
    wrong = {kind: np.zeros(len(drawn), dtype=np.int64) for kind in KINDS}
    missed = {kind: np.zeros(len(drawn), dtype=np.int64) for kind in KINDS}
    predict_id = ""
    for video in _videos(parts, judgement, set(drawn)):
        predict_id = video["predict_id"][0].as_py()
        place = drawn.index(video["video_id"][0].as_py())
        for kind, faults in KINDS.items():
            for fault in faults:
                table, is_bad = planted_video(video, fault, hand, mistaken_lead=float(leads[place]))
                num_wrong, num_missed = _counted(video, table, is_bad, judgement)
                wrong[kind][place] += num_wrong
                missed[kind][place] += num_missed
    judge_id = make_judge_id(predict_id, judgement.limits, limits_sha256=judgement.limits_sha256)
    kinds = tuple(KindCount(kind, miss_rate(wrong[kind], missed[kind])) for kind in KINDS)
    return Canaries(judge_id, predict_id, seed, num_clips, len(drawn), kinds)


def plant_in_labelling(job: LabelJob, *, num_clips: int, seed: int = 0, max_rows: int = MAX_ROWS) -> Canaries:
    """Plant canaries in what a labelling has committed, judged by its own limits.

    Args:
        job: the labelling.
        num_clips: as in :func:`plant_canaries`.
        seed: of every lot.
        max_rows: labels that are read, of shards drawn by lot.

    Raises:
        InputError: no label is accepted.
        ContractError: something in the run is damaged.
    """
    parts = parts_of(job.store, _drawn_keys(job, seed, max_rows))
    return plant_canaries(parts, Judgement.by(job.run.limits), hand_of(job.store), num_clips=num_clips, seed=seed)


def planted_video(
    labels: pa.Table, fault: Fault, hand: HandModel | None, *, mistaken_lead: float = nan
) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Make the track of a video with most accepted labels wrong.

    A hand that is taken for one of the other side takes the hand beside it along, where sides were guessed: two hands
    of a frame are of two sides, and a mistake that left them alike would give itself away as real ones do not.

    Args:
        labels: schema ``labels``, all rows of one video, sorted by key.
        fault: one of those of :data:`hoiray.trust.canaries.KINDS`.
        hand: as in :func:`plant_canaries`.
        mistaken_lead: of a mirrored hand whose side was guessed, see :func:`mistaken_leads`.

    Returns:
        Schema ``predictions``, in the same order, spatial measurements taken anew of what was changed; and (N,) rows
        that are wrong now.
    """
    rows = _track_with_most_accepted(labels)
    is_changed, is_bad = (np.zeros(labels.num_rows, dtype=np.bool_) for _ in range(2))
    table = labels.select([column.name for column in PREDICTION_COLUMNS]).replace_schema_metadata(None)
    planted = []
    for place, hand_rows in enumerate([rows, *(_hands_beside(labels, rows) if fault is mirrored else [])]):
        track = labels.take(pa.array(hand_rows))
        clip = replace(_clip_of(track), mistaken_lead=mistaken_lead)
        changed = _posed_anew(fault(clip), track, hand)
        again = _measured(track, changed, hand).select(table.column_names).cast(table.schema)
        planted.append(again.filter(pa.array(changed.is_planted)))
        is_changed[hand_rows[changed.is_planted]] = True
        if place == 0:
            is_bad[hand_rows] = is_wrong(clip, changed)
    both = pa.concat_tables([table.filter(pa.array(~is_changed)), *planted])
    return both.sort_by([(name, "ascending") for name in _KEY]), is_bad


def _drawn_keys(job: LabelJob, seed: int, max_rows: int) -> list[str]:
    """Draw judged buckets with accepted labels until they hold enough rows; return the keys of their predictions."""
    judged = [name for name, is_done in committed_units(job.plan, job.store, job.labels) if is_done]
    order = np.random.default_rng(seed).permutation(len(judged)).tolist()
    shards, num_rows = list[str](), 0
    for marker in read_markers(job.store, job.labels, (judged[index] for index in order)):
        if marker.num_accepted:
            shards += job.shards_of(marker.shard_id)
            num_rows += marker.num_rows
        if num_rows >= max_rows:
            break
    return [marker.data_key for marker in read_markers(job.store, job.predictions, sorted(shards))]


def mistaken_leads(labels: pa.Table) -> npt.NDArray[np.float64]:
    """(P,) how clearly tracks tell for a side that they have not, as far as it can be known without truth.

    Where two hands of a frame tell for one side, one of them is of the other, if they are of one person: taken for it
    is the one for which less tells, which is mostly the one that was overruled. Measured beside the truth of three
    synthetic wild sets, the medians of these leads were 0.0035, 0.0056 and 0.0029, those of all hands whose side was
    mistaken 0.0012, 0.0059 and 0.0022, and those of the others 0.0088, 0.0189 and 0.0112.

    Args:
        labels: schema ``labels``, whole videos.
    """
    is_alike, lead = features_of(labels, ("same_side_in_frame", "side_lead")).T
    said = labels.select(["video_id", "frame_index"])
    said = said.append_column("said_right", pa.array(unpack_column(labels, LABELS["is_right"]) ^ (lead < 0.0)))
    said = said.append_column("lead", pa.array(np.abs(lead))).filter(pa.array((is_alike == 1.0) & ~np.isnan(lead)))
    least = said.group_by(["video_id", "frame_index", "said_right"], use_threads=False).aggregate([("lead", "min")])
    return np.asarray(least["lead_min"].to_numpy(), dtype=np.float64)


def _counted(
    labels: pa.Table, planted: pa.Table, is_bad: npt.NDArray[np.bool_], judgement: Judgement
) -> tuple[int, int]:
    """Return how many accepted labels of a video were made wrong, and how many of those are accepted still."""
    judged = judge(planted, judgement.rules, "-")
    counts = is_bad & labels["accepted"].to_numpy()
    return int(counts.sum()), int((counts & judged["accepted"].to_numpy()).sum())


def _scanned(parts: Sequence[Part], judgement: Judgement) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the videos with enough accepted labels in one track, and the :func:`mistaken_leads` of all."""
    found, leads = list[str](), []
    for _, labels in rejudge(list(parts), judgement):
        accepted = (
            labels.filter(labels["accepted"]).group_by(["video_id", "track_index"]).aggregate([([], "count_all")])
        )
        enough = accepted.filter(pc.greater_equal(accepted["count_all"], MIN_ACCEPTED))
        found += pc.unique(enough["video_id"]).to_pylist()
        leads.append(mistaken_leads(labels))
    return sorted(found), np.concatenate([np.empty(0), *leads])


def _videos(parts: Sequence[Part], judgement: Judgement, names: set[str]) -> Iterator[pa.Table]:
    value_set = pa.array(sorted(names), pa.string())
    for _, labels in rejudge(list(parts), judgement):
        drawn = labels.filter(pc.is_in(labels["video_id"], value_set=value_set))
        for name in pc.unique(drawn["video_id"]).to_pylist():
            video = drawn.filter(pc.equal(drawn["video_id"], name))
            yield video.sort_by([(key, "ascending") for key in _KEY]).combine_chunks()


def _track_with_most_accepted(labels: pa.Table) -> npt.NDArray[np.intp]:
    """Return the rows with a prediction of that track, in the order of their frames."""
    track = unpack_column(labels, LABELS["track_index"])
    is_answered = np.asarray(pc.is_valid(labels["joints_2d"]).to_numpy(), dtype=np.bool_)
    accepted = np.bincount(track, weights=labels["accepted"].to_numpy())
    return np.asarray(np.flatnonzero((track == int(accepted.argmax())) & is_answered))


def _hands_beside(labels: pa.Table, rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    """Return the rows with a prediction of each track that is seen together with another, if its side was guessed."""
    track, frame = (unpack_column(labels, LABELS[name]) for name in ("track_index", "frame_index"))
    is_asked = np.asarray(pc.is_valid(labels["joints_2d"]).to_numpy(), dtype=np.bool_)
    is_asked &= ~np.isnan(unpack_column(labels, LABELS["side_lead"]))
    is_beside = is_asked & np.isin(frame, frame[rows]) & (track != track[rows[0]])
    return [np.flatnonzero(is_asked & (track == other)) for other in np.unique(track[is_beside]).tolist()]


def _clip_of(track: pa.Table) -> Clip:
    numbers = {
        name: unpack_column(track, LABELS[name]).astype(np.float64)
        for name in ("time_s", "bbox_xyxy", "side_lead", "joints_3d", "joints_2d", "global_orient", "hand_pose")
    }
    return Clip(
        time_s=numbers["time_s"],
        bbox_xyxy=numbers["bbox_xyxy"],
        is_right=unpack_column(track, LABELS["is_right"]).copy(),
        side_lead=numbers["side_lead"],
        joints_3d_m=numbers["joints_3d"],
        joints_2d_px=numbers["joints_2d"],
        global_orient=numbers["global_orient"],
        hand_pose=numbers["hand_pose"],
        mesh_scale=np.ones(track.num_rows),
        is_planted=np.zeros(track.num_rows, dtype=np.bool_),
    )


def _posed_anew(clip: Clip, track: pa.Table, hand: HandModel | None) -> Clip:
    """Take the 3D joints from the parameters, where those were changed and the joints follow from them."""
    if not clip.is_posed_anew or hand is None:
        return clip
    joints, _ = _posed(clip, track, hand)
    return replace(clip, joints_3d_m=np.where(np.isnan(joints), clip.joints_3d_m, joints))


def _posed(clip: Clip, track: pa.Table, hand: HandModel) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return joints (N, 21, 3) and vertices (N, 778, 3) of the parameters, about the wrist; NaN stays NaN."""
    import torch

    betas = unpack_column(track, LABELS["betas"]).astype(np.float64)
    with torch.inference_mode():
        numbers = [torch.from_numpy(values).to(hand.dtype) for values in (clip.global_orient, clip.hand_pose, betas)]
        posed = hand(*numbers, is_right=torch.from_numpy(clip.is_right))
        wrist = posed.joints[:, :1]
        return (posed.joints - wrist).double().numpy(), (posed.vertices - wrist).double().numpy()


def _measured(track: pa.Table, clip: Clip, hand: HandModel | None) -> pa.Table:
    """Measure a clip's frames anew; schema ``predictions``."""
    count = track.num_rows
    extent = np.full((count, 4), np.nan)
    if hand is not None:
        extent = mesh_extent(_posed(clip, track, hand)[1]) * clip.mesh_scale[:, None]
    new: dict[str, npt.NDArray[Any]] = {
        "joints_3d": clip.joints_3d_m,
        "joints_2d": clip.joints_2d_px,
        "global_orient": clip.global_orient,
        "hand_pose": clip.hand_pose,
        "is_right": clip.is_right,
        "side_lead": clip.side_lead,
        "mesh_extent_m": extent,
    }
    columns = {}
    for column in FUSED.columns:
        if column.name not in new:
            columns[column.name] = track[column.name]
            continue
        values = np.ascontiguousarray(new[column.name].astype(column.dtype))
        is_null = None
        if column.nullable:
            is_null = np.asarray(np.isnan(values.reshape(count, -1)).any(axis=1))
        columns[column.name] = pack_column(column, values, is_null)
    return measure(pa.table(columns))
