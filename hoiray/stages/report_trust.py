"""What a report says of how far labels can be trusted: the promise, canaries and, where there is truth, reliability."""

import math
from typing import Final

import numpy as np
import pyarrow as pa

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import HoirayError
from hoiray.evaluation.bootstrap import Interval as Resampled
from hoiray.evaluation.label_truth import compare_labels, labels_of_known_videos, limit_in_words, read_true_hands
from hoiray.evaluation.tables import Table as EvaluatedTable
from hoiray.evaluation.tables import make_bootstrap
from hoiray.report import graphics
from hoiray.report.graphics import Measured
from hoiray.report.label_rows import LabelRows
from hoiray.report.sections import Block, Column, Figure, Interval, Prose, Section, Table
from hoiray.schema.calibration import Calibration
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.canary_file import Canaries
from hoiray.stages.limits import CALIBRATION_SUFFIX, read_calibration
from hoiray.stages.report_tables import report_table
from hoiray.trust.outcome import JOINTS_WORD, guard_in_words, promise_in_words, reliability_table

METRIC: Final = "pa_mpjpe_mm"
MAX_ERROR_MM: Final = 10.0
"""What is good, where the calibration cannot be read."""


def calibration_of(limits: PaperLimits | CalibratedLimits) -> Calibration | None:
    """Read the calibration that labels were judged by; None where there is none, or it cannot be read from here."""
    if isinstance(limits, PaperLimits) or not limits.uri.endswith(CALIBRATION_SUFFIX):
        return None
    try:
        return read_calibration(limits.uri)
    except HoirayError:
        return None


def promise_section(calibration: Calibration, rows: LabelRows) -> Section:
    """Say what the limits promise, and what confidence expects of the accepted labels of this run."""
    blocks: list[Block] = [Prose(promise_in_words(calibration))]
    if calibration.guards is not None:
        guards = "; ".join(guard_in_words(limit) for limit in calibration.guards.limits)
        blocks.append(Prose(f"Whatever its confidence, an accepted label also lies within these guards: {guards}."))
    has_one = np.isfinite(rows.confidence)
    known = rows.confidence[rows.is_accepted]
    if known.size and np.isfinite(known).all():
        of_accepted, of_all = (100.0 * float(part.mean()) for part in (known, rows.confidence[has_one]))
        text = (
            f"Here, confidence expects {of_accepted:.1f} % of the accepted labels to be within the limit"
            f" ({of_all:.1f} % of all that have one). That is an expectation, not the promise: the promise holds for"
            " data like those of the calibration."
        )
        blocks.append(Prose(text))
    if calibration.joints is not None:
        text = (
            f"Each joint has a probability of its own to be within {calibration.joints.max_error_mm:g} mm of the truth,"
            " in the column confidence_by_joint."
        )
        blocks.append(Prose(text))
    return Section("What is promised", blocks)


def canary_section(canaries: Canaries) -> Section:
    """Show how many labels that were made wrong on purpose the judge accepts, kind by kind."""
    text = (
        f"{canaries.num_clips} clips of this run's own predictions, drawn by lot (seed {canaries.seed}), were made"
        " wrong in five ways and judged by this run's limits; none of them is among the labels. Missed: the share of"
        " labels that were accepted, were made wrong, and are accepted still. What was changed are stored predictions:"
        " views were not predicted anew, so faults on which views would disagree are missed here more often than they"
        " are in fact. 95 % intervals after Clopper and Pearson, at the number of labels that are independent."
    )
    drawn, lines = [], []
    for one in canaries.kinds:
        miss = one.miss
        share = Interval(100.0 * miss.rate, 100.0 * miss.low, 100.0 * miss.high) if miss.num_labels else None
        lines.append((one.kind, (share, miss.num_missed, miss.num_labels, miss.num_clips)))
        if share is not None:
            drawn.append(Measured(one.kind, ((share, "bad", "missed"),)))
    columns = (Column("missed", "%", 1), Column("accepted still"), Column("wrong labels"), Column("clips"))
    table = Table("Canaries: labels made wrong on purpose, and what the judge made of them.", columns, lines, "kind")
    words = "Lower is better: the share of planted faults that go unnoticed."
    figure = Figure(words, graphics.intervals(drawn, unit="%"))
    return Section("Planted faults", [Prose(text), figure, table])


def reliability_section(labels: pa.Table, truth_uri: str, calibration: Calibration | None, *, seed: int) -> Section:
    """Hold the confidence of labels against the truth.

    Args:
        labels: schema ``labels``, with confidence.
        truth_uri: root of the set with their truth.
        calibration: what confidence was calibrated for.
        seed: of the resamples.

    Raises:
        InputError, ContractError: the truth is missing, or of other videos.
    """
    truth = read_true_hands(truth_uri)
    labels = labels_of_known_videos(labels, truth)
    compared = compare_labels(labels, truth)
    promise = None if calibration is None else calibration.promise
    metric, limit = (METRIC, MAX_ERROR_MM) if promise is None else (promise.metric, promise.max_error)
    confidence = unpack_column(labels, LABELS["confidence"]).astype(np.float64)
    has_one = np.isfinite(confidence)
    is_good = compared.is_good(limit, metric)
    accepted = labels["accepted"].to_numpy()
    bootstrap = make_bootstrap(compared.videos, seed)
    bad = bootstrap.mean(np.where(accepted, ~is_good, np.nan)).scaled(100.0)
    groups = make_bootstrap([compared.videos[row] for row in np.flatnonzero(has_one)], seed)
    table = reliability_table(confidence[has_one], is_good[has_one], groups)
    words = (
        f"With the truth of these videos: {bad.value:.1f} % [{bad.low:.1f}, {bad.high:.1f}] of the accepted labels are"
        f" beyond {limit_in_words(limit, metric)}. A confidence means what it says where claimed and observed shares"
        " agree."
    )
    blocks: list[Block] = [Prose(words), _reliability_figure(table), report_table(table)]
    by_joint = unpack_column(labels, LABELS["confidence_by_joint"]).astype(np.float64)
    if calibration is not None and calibration.joints is not None and np.isfinite(by_joint).any():
        rows = np.isfinite(by_joint).all(axis=1)
        near = np.nan_to_num(compared.joint_errors_mm[rows], nan=np.inf) <= calibration.joints.max_error_mm
        names = np.repeat([compared.videos[row] for row in np.flatnonzero(rows)], near.shape[1]).tolist()
        joints = reliability_table(by_joint[rows].ravel(), near.ravel(), make_bootstrap(names, seed), of=JOINTS_WORD)
        blocks += [_reliability_figure(joints), report_table(joints)]
    return Section("Does confidence mean what it says?", blocks)


def _reliability_figure(table: EvaluatedTable) -> Figure:
    """Draw claimed beside observed, bin by bin."""
    drawn = []
    for name, cells in table.rows.items():
        claimed, observed = cells["claimed"], cells["observed"]
        assert isinstance(claimed, float)
        assert isinstance(observed, Resampled)
        of = Interval(claimed, math.nan, math.nan)
        drawn.append(Measured(name, ((of, "mute", "claimed"), (observed, "accent", "observed"))))
    return Figure("", graphics.intervals(drawn, unit="%"), table.title)
