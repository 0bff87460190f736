"""Stored predictions judged in memory and laid beside the truth: what calibrations and statistics are made of."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, InputError, describe
from hoiray.evaluation.label_truth import Compared, compare_labels, labels_of_known_videos, read_true_hands
from hoiray.filters.rules import Rules
from hoiray.schema.label_columns import PREDICTION_COLUMNS
from hoiray.stages.judge import judge
from hoiray.stages.limits import WITHOUT_LIMITS
from hoiray.stages.rejudge import Judgement, list_parts, rejudge
from hoiray.trust.calibrate import CalibrationRows, Unit


@dataclass(frozen=True)
class TruthRequest:
    """Which labels, beside which truth.

    Attributes:
        labels: places of runs, folders or Parquet files of predictions or labels.
        truth: as many roots of sets with truth.
        metric: the error.
        unit: what counts as an independent sample.
        predict_id: which predictions of a run; None for the only ones.
    """

    labels: tuple[str, ...]
    truth: tuple[str, ...]
    metric: str
    unit: Unit
    predict_id: str | None = None


def judged(uri: str, rules: Rules, predict_id: str | None = None) -> pa.Table:
    """Judge everything stored in a place; the rows' `judge_id` means nothing.

    Args:
        uri: a run, a folder or a Parquet file of predictions or labels.
        rules: the limits.
        predict_id: which predictions of a run; None for the only ones.

    Raises:
        InputError: there are none.
        ConfigError: there are several, and none is chosen.
        ContractError: files of something else.
    """
    parts = list_parts(uri, predict_id)
    return pa.concat_tables([labels for _, labels in rejudge(parts, Judgement(PaperLimits(), rules, None))])


def judged_videos(uri: str, rules: Rules, video_id: str, predict_id: str | None = None) -> pa.Table:
    """Judge the stored rows of one video; the rows' `judge_id` means nothing.

    Args:
        uri: a run, a folder or a Parquet file of predictions or labels.
        rules: the limits.
        video_id: of the video, or its name without folder and suffix.
        predict_id: which predictions of a run; None for the only ones.

    Raises:
        InputError, ConfigError, ContractError: as in :func:`stored_video`.
    """
    return judge(stored_video(uri, video_id, predict_id), rules, "-")


def stored_video(uri: str, video_id: str, predict_id: str | None = None) -> pa.Table:
    """Read what is stored of one video's predictions.

    Raises:
        InputError: no such video, or several of that name.
        ConfigError, ContractError: as in :func:`judged`.
    """
    names, tables = set[str](), []
    for part in list_parts(uri, predict_id):
        stored = part.read(["video_id"])["video_id"].to_pylist()
        wanted = [name for name in stored if video_id in (name, PurePosixPath(name).stem)]
        if wanted:
            names |= set(wanted)
            rows = part.read([column.name for column in PREDICTION_COLUMNS])
            tables.append(rows.filter(pc.is_in(rows["video_id"], value_set=pa.array(sorted(set(wanted))))))
    if len(names) != 1:
        fix = "Name the video as the labels do, with folder and suffix."
        found = ", ".join(sorted(names)) or "none"
        raise InputError(describe(what=f"video {video_id} in {uri}", expected="one with labels", found=found, fix=fix))
    return pa.concat_tables(tables).combine_chunks()


def compare_stored(uri: str, truth_uri: str, predict_id: str | None = None) -> tuple[pa.Table, Compared]:
    """Judge everything stored in a place without limits, and lay what has truth beside it.

    Raises:
        InputError: labels or truth are missing.
        ConfigError, ContractError: as in :func:`judged` and :func:`hoiray.evaluation.label_truth.compare_labels`.
    """
    truth = read_true_hands(truth_uri)
    labels = labels_of_known_videos(judged(uri, WITHOUT_LIMITS, predict_id), truth)
    return labels, compare_labels(labels, truth)


def calibration_rows(request: TruthRequest) -> CalibrationRows:
    """Read labels and truth of one set or several.

    Raises:
        ConfigError: not one truth for every place of labels.
        InputError, ContractError: as in :func:`compare_stored`.
    """
    if len(request.labels) != len(request.truth):
        expected, found = f"{len(request.labels)}, one for each --labels, in their order", f"{len(request.truth)}"
        raise ConfigError(describe(what="--truth", expected=expected, found=found, fix="Name them in pairs."))
    parts = []
    for uri, truth_uri in zip(request.labels, request.truth, strict=True):
        labels, compared = compare_stored(uri, truth_uri, request.predict_id)
        parts.append(
            CalibrationRows.of(
                labels, compared, metric=request.metric, unit=request.unit, labels_uri=uri, truth_uri=truth_uri
            )
        )
    return CalibrationRows.joined(parts)
