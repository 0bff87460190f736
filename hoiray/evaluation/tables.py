"""From per-hand values to the tables of an evaluation: every number with its interval, beside the constant hand's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.evaluation.difficulty import SIZE_EDGES_PX, VISIBLE_EDGES, bin_names, viewpoint_names
from hoiray.evaluation.hand_metrics import HAND_METRICS, counted, filled_by
from hoiray.evaluation.object_metrics import ObjectResult, ScoredObjects
from hoiray.evaluation.truth import Truths
from hoiray.metrics.object_scores import AUC_LIMIT_M
from hoiray.metrics.summary import MM_PER_M

Floats = npt.NDArray[np.float64]
Values = Mapping[str, Floats]

MAX_RESAMPLED_COUNTS: Final = 1 << 22
"""Resamples times groups: 32 MB. A set of 3960 photographs, each a group, is resampled 1059 times."""

MIN_RESAMPLES: Final = 1_000
MAX_RESAMPLES: Final = 10_000

BREAKDOWN_METRICS: Final = ("mpjpe_mm", "pa_mpjpe_mm", "pa_f_at_15mm", "joints_2d_box")
"""Shown for every part of the set; the whole list for every part would be read by nobody."""

UNKNOWN_PART: Final = "unknown"
MEAN_OVER_OBJECTS: Final = "mean over objects"

MAX_PARTS: Final = 200
"""A set of thousands of recordings, such as FreiHAND's photographs, gets no row for each."""

Cell = Interval | float | int | str
"""A statistic with its interval, a plain number, or words."""


@dataclass(frozen=True)
class Column:
    """How a column is shown: title, unit, decimals."""

    title: str
    unit: str = ""
    decimals: int = 2


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        key: in the JSON.
        title: above it.
        note: what must be known to read it.
        columns: key to how it is shown, in order.
        rows: label to cells by column; a cell that is not there is empty.
    """

    key: str
    title: str
    note: str
    columns: Mapping[str, Column]
    rows: Mapping[str, Mapping[str, Cell]]


@dataclass(frozen=True)
class Scored:
    """A model's values: of hands, by metric; of objects where it has any."""

    name: str
    hands: Values
    objects: ScoredObjects | None


def make_bootstrap(groups: Sequence[str], seed: int) -> GroupBootstrap:
    """Make a bootstrap of as many resamples as memory allows for this number of groups."""
    number = MAX_RESAMPLED_COUNTS // max(1, len(set(groups)))
    return GroupBootstrap(tuple(groups), seed, max(MIN_RESAMPLES, min(MAX_RESAMPLES, number)))


def hand_table(model: Scored, constant: Values, against: Scored | None, bootstrap: GroupBootstrap) -> Table:
    """Put each metric of the model beside the constant hand's and, where there is one, another model's.

    The gain over the constant is paired: on the same hands, from the same resamples. For distances it is the share by
    which the model's mean is smaller; for rates it is the difference. Missing predictions take the constant's error in
    it, so that leaving out hard hands gains nothing.
    """
    columns = {"model": Column(model.name), "constant": Column("constant hand"), "gain": Column("gain over constant")}
    if against is not None:
        columns |= {"against": Column(against.name), "difference": Column(f"{model.name} minus {against.name}")}
    filled = filled_by(model.hands, constant)
    rows: dict[str, dict[str, Cell]] = {}
    for name, values in model.hands.items():
        cells: dict[str, Cell] = {"model": bootstrap.mean(counted(name, values))}
        if name in constant:
            cells["constant"] = bootstrap.mean(counted(name, constant[name]))
            cells["gain"] = _gain(name, filled[name], constant[name], bootstrap)
        if against is not None and name in against.hands:
            other = counted(name, against.hands[name])
            cells["against"] = bootstrap.mean(other)
            cells["difference"] = bootstrap.paired_difference(counted(name, values), other)
        rows[name] = cells
    return Table("hands", "Hands", _hand_note(model, constant, against), columns, rows)


def _gain(name: str, values: Floats, constant: Floats, bootstrap: GroupBootstrap) -> Interval:
    if HAND_METRICS[name].is_rate:
        return bootstrap.paired_difference(counted(name, values), counted(name, constant))
    return bootstrap.relative_difference(values, constant)


def _hand_note(model: Scored, constant: Values, against: Scored | None) -> str:
    num_missing = int(np.isnan(model.hands["mpjpe_mm"]).sum())
    notes = [
        "Distances are means over the hands that have a prediction; in AUC and F a missing prediction counts 0.",
        f"Missing predictions of {model.name}: {num_missing} of {len(model.hands['mpjpe_mm'])}.",
    ]
    if against is not None:
        notes.append(f"Of {against.name}: {int(np.isnan(against.hands['mpjpe_mm']).sum())}.")
    if constant:
        notes.append(
            "Gain: 1 - model / constant of distances (25 % means a quarter less), difference of rates; missing"
            " predictions take the constant's values in it."
        )
    return " ".join(notes)


def object_tables(model: Scored, against: Scored | None, bootstrap: GroupBootstrap) -> list[Table]:
    """Make one table a protocol: accuracy and error of each object, and their unweighted mean."""
    if model.objects is None:
        return []
    other = None if against is None or against.objects is None else against.objects
    return [
        _object_table(model, result, None if other is None else other.results[place], against, bootstrap)
        for place, result in enumerate(model.objects.results)
    ]


def _object_table(
    model: Scored, result: ObjectResult, other: ObjectResult | None, against: Scored | None, bootstrap: GroupBootstrap
) -> Table:
    assert model.objects is not None
    names = np.array(model.objects.names)
    auc = f"AUC, 0 to {AUC_LIMIT_M * MM_PER_M:.0f} mm"
    columns = {
        "accuracy": Column(f"{model.name}, correct", "%", 1),
        "auc": Column(f"{model.name}, {auc}", "%", 1),
        "error_mm": Column("median error", "mm", 1),
        "num_frames": Column("frames"),
        "num_failed": Column("no estimate"),
        "limit_mm": Column("limit", "mm", 1),
        "box_diagonal_mm": Column("box diagonal", "mm", 1),
        "diameter_mm": Column("true diameter", "mm", 1),
    }
    if other is not None and against is not None:
        columns |= {
            "against": Column(f"{against.name}, correct", "%", 1),
            "difference": Column(f"{model.name} minus {against.name}", "%", 1),
            "auc_against": Column(f"{against.name}, {auc}", "%", 1),
            "auc_difference": Column(f"{model.name} minus {against.name}, AUC", "%", 1),
        }
    rows: dict[str, dict[str, Cell]] = {}
    for name, score in result.per_object.items():
        diagonal_m, diameter_m = model.objects.diameters_m[name]
        cells: dict[str, Cell] = {
            **_share_cells(result, other, names == name, bootstrap.mean),
            "error_mm": _median(score.error_m) * MM_PER_M,
            "num_frames": int(score.error_m.size),
            "num_failed": int(np.isnan(score.error_m).sum()),
            "limit_mm": score.limit_m * MM_PER_M,
            "box_diagonal_mm": diagonal_m * MM_PER_M,
            "diameter_mm": diameter_m * MM_PER_M,
        }
        title = name if name in result.averaged_objects else f"{name} (not averaged)"
        rows[title] = cells
    rows[MEAN_OVER_OBJECTS] = _mean_over_objects(result, other, names, bootstrap)
    limit = f"{result.protocol.diameter_fraction:g} x {result.protocol.diameter.replace('_', ' ')}"
    note = (
        f"Correct: {_error_words(result)} at most {limit}. AUC: area under the share of poses within a threshold, as"
        f" that goes from 0 to {AUC_LIMIT_M * MM_PER_M:.0f} mm (PoseCNN). A pose that could not be estimated is wrong."
    )
    if result.protocol.source:
        note += f" Source: {result.protocol.source}."
    return Table(f"objects {result.protocol.name}", f"Objects, {result.protocol.name}", note, columns, rows)


def _share_cells(
    result: ObjectResult,
    other: ObjectResult | None,
    is_row: npt.NDArray[np.bool_],
    mean: Callable[[Floats], Interval],
) -> dict[str, Cell]:
    """Return accuracy and AUC of some hands in per cent, and where there is another model, its own and the difference.

    Args:
        result: of the model.
        other: of the other one.
        is_row: (N,) the hands.
        mean: of (N,) values, NaN where a hand is left out.
    """
    cells: dict[str, Cell] = {}
    for share, prefix, values_of in (
        ("accuracy", "", attrgetter("is_correct")),
        ("auc", "auc_", attrgetter("auc")),
    ):
        own = np.where(is_row, values_of(result), np.nan)
        cells[share] = mean(own).scaled(100.0)
        if other is not None:
            theirs = np.where(is_row, values_of(other), np.nan)
            cells[f"{prefix}against"] = mean(theirs).scaled(100.0)
            cells[f"{prefix}difference"] = mean(own - theirs).scaled(100.0)
    return cells


def _median(values: Floats) -> float:
    """Return the median of what was measured: one estimate gone wild, kilometres away, would own a mean."""
    measured = values[~np.isnan(values)]
    return float(np.median(measured)) if measured.size else float("nan")


def _mean_over_objects(
    result: ObjectResult, other: ObjectResult | None, names: npt.NDArray[np.str_], bootstrap: GroupBootstrap
) -> dict[str, Cell]:
    is_averaged = np.isin(names, result.averaged_objects)
    parts = names.tolist()
    return {
        **_share_cells(result, other, is_averaged, lambda values: bootstrap.mean_of_means(values, parts)),
        "num_frames": int(is_averaged.sum()),
        "num_failed": int((is_averaged & np.isnan(result.error_mm)).sum()),
    }


def _error_words(result: ObjectResult) -> str:
    words = {"add": "ADD", "add_s": "ADD-S", "mssd": "MSSD"}[result.protocol.error]
    if result.protocol.add_s_objects:
        words += f" (ADD-S for {', '.join(sorted(result.protocol.add_s_objects))})"
    if result.protocol.error == "mssd":
        declared = [name for name in result.per_object if name in result.protocol.symmetries]
        words += f" with declared symmetries of {', '.join(declared) or 'no object'}"
    return words


def breakdown_tables(
    model: Scored, constant: Values, truths: Truths, unit_of_groups: str, bootstrap: GroupBootstrap
) -> list[Table]:
    """Make one table for each way to part the set: object, recording, subject, visible share, size, viewpoint."""
    parts = {
        "object": ("object the hand is with", [hand.object_name or "no object" for hand in truths.hands]),
        "recording": ("recording", [hand.recording_id for hand in truths.hands]),
        "subject": ("subject", [hand.subject_id or UNKNOWN_PART for hand in truths.hands]),
        "side": ("side of the hand", ["right" if hand.is_right else "left" for hand in truths.hands]),
        "visible": (
            "visible share of the hand's silhouette (masks of the data set)",
            bin_names(np.array([hand.visible_fraction for hand in truths.hands]), VISIBLE_EDGES, "%", 100.0),
        ),
        "size": ("longer side of the hand's box", bin_names(truths.box_sides_px(), SIZE_EDGES_PX, "px")),
        "viewpoint": (
            "what is seen of the hand (angle of the palm: palm below 60, back from 120 degrees)",
            viewpoint_names(np.array([hand.viewpoint_deg for hand in truths.hands])),
        ),
    }
    tables = []
    for key, (title, names) in parts.items():
        distinct = sorted(set(names), key=_natural)
        if distinct == [UNKNOWN_PART] or len(distinct) > MAX_PARTS:
            continue
        rows = {name: _part_cells(np.array(names) == name, model, constant, bootstrap) for name in distinct}
        note = f"Groups: {unit_of_groups}. No interval where a part has fewer than two of them."
        tables.append(Table(f"by {key}", f"By {title}", note, _part_columns(model, constant), rows))
    return tables


def _natural(name: str) -> tuple[bool, int, str]:
    """Order `below 64 px`, `64 to 128 px`, `from 128 px`, `unknown`, and everything else by name."""
    ranks = {"below": 0, "from": 2, "palm": 0, "edge": 1, "back": 2}
    first = name.split(" ", 1)[0]
    number = int(float(first)) if first.replace(".", "").isdigit() and " to " in name else 0
    return name == UNKNOWN_PART, ranks.get(first, 1) * 10_000 + number, name


def _part_columns(model: Scored, constant: Values) -> dict[str, Column]:
    columns = {"num_hands": Column("hands"), "num_groups": Column("groups"), "num_missing": Column("missing")}
    for name in BREAKDOWN_METRICS:
        if name in model.hands:
            metric = HAND_METRICS[name]
            columns[name] = Column(metric.title, metric.unit, metric.decimals)
            if name in constant and not metric.is_rate:
                columns[f"constant_{name}"] = Column(f"constant hand, {metric.title}", metric.unit, metric.decimals)
    if model.objects is not None:
        columns["accuracy"] = Column(f"objects correct ({model.objects.results[0].protocol.name})", "%", 1)
    return columns


def _part_cells(
    is_part: npt.NDArray[np.bool_], model: Scored, constant: Values, bootstrap: GroupBootstrap
) -> dict[str, Cell]:
    groups = {group for group, inside in zip(bootstrap.groups, is_part, strict=True) if inside}
    cells: dict[str, Cell] = {
        "num_hands": int(is_part.sum()),
        "num_groups": len(groups),
        "num_missing": int(np.isnan(model.hands["mpjpe_mm"][is_part]).sum()),
    }
    for name in BREAKDOWN_METRICS:
        if name in model.hands:
            cells[name] = bootstrap.mean(np.where(is_part, counted(name, model.hands[name]), np.nan))
            if name in constant and not HAND_METRICS[name].is_rate:
                cells[f"constant_{name}"] = bootstrap.mean(np.where(is_part, constant[name], np.nan))
    if model.objects is not None:
        is_correct = model.objects.results[0].is_correct
        cells["accuracy"] = bootstrap.mean(np.where(is_part, is_correct, np.nan)).scaled(100.0)
    return cells
