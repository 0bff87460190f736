"""Which labels a student is trained on, in an experiment: by the paper's rule, by parts of it, at random, by the truth.

Every selection is a list of rows of one label run, so that all students see the same frames, boxes and teacher, and
differ in the choice alone. Selections that are compared at equal count hold as many rows as the full rule accepts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hoiray.config.what import PaperLimits
from hoiray.errors import InputError, describe
from hoiray.evaluation.label_truth import compare_labels, read_true_hands
from hoiray.io.store import Store
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.selftrain.gauges import KEY
from hoiray.selftrain.round_labels import RoundLabels
from hoiray.stages.rejudge import Judgement, list_parts, rejudge

Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]

WITHOUT_SPATIAL: Final[Mapping[str, Any]] = {
    "min_box_iou": None,
    "max_reprojection_box_sides": None,
    "min_bone_length_ratio": None,
    "max_joint_angle_deg": None,
    "predecessor_must_pass_spatial": False,
}
WITHOUT_TEMPORAL: Final[Mapping[str, Any]] = {
    "max_motion_2d_box_sides": None,
    "max_motion_pose": None,
    "max_shape_deviation_sigma": None,
}
"""The paper (5.1.2) counts the shape among the temporal constraints."""

PARTS: Final = (20, 40, 60, 80)
"""Percent of the accepted labels, each a part of the next."""


ERRORS: Final = ("pa_mpjpe_mm", "mpjpe_mm")
"""Told of every choice."""

ORACLE_ERROR: Final = "mpjpe_mm"
"""About the wrist, orientation included, as students are trained. By PA-MPJPE, an oracle chose hands in the mean pose
whose orientation was further off than that of labels the filters accept."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen rows, and how good they are by the truth nobody who chose them knew (but the oracle).

    Attributes:
        keys: columns of :data:`hoiray.selftrain.gauges.KEY`.
        errors: mean errors, by :data:`ERRORS`, of the rows that have a true hand; NaN where none has.
        side_right: share of rows on the right side.
    """

    keys: pa.Table
    errors: Mapping[str, float]
    side_right: float

    def write(self, store: Store, key: str) -> None:
        """Write the list, for `training.pseudo_label_list_uri`."""
        sink = pa.BufferOutputStream()
        pq.write_table(self.keys, sink, compression="zstd")
        store.write(key, sink.getvalue().to_pybytes())


def choose(labels: RoundLabels, truth_uri: str, limits: PaperLimits, *, seed: int) -> dict[str, Selection]:
    """Choose rows of a finished label run in every way an experiment asks for.

    Args:
        labels: the run.
        truth_uri: of the synthetic set it labelled; for the oracle, and to say how good each choice is.
        limits: of the run.
        seed: of the lots.

    Returns:
        By name: `accepted`, `no_spatial`, `no_temporal`, `random`, `low_spread`, `oracle` (all of equal count),
        `part_20` to `part_80`, and `unfiltered`.

    Raises:
        InputError: nothing was accepted, so there is nothing to compare.
        ContractError: the truth is of another set.
    """
    tables = [table for unit in labels.units() if (table := labels.table(unit)) is not None]
    rows = pa.concat_tables(tables)
    compared = compare_labels(rows, read_true_hands(truth_uri))
    answered = np.flatnonzero(compared.is_answered)
    accepted = np.flatnonzero(rows["accepted"].to_numpy(zero_copy_only=False))
    if not len(accepted):
        fix = "Train the teacher longer, or loosen the limits."
        what = f"labels of {labels.store.uri}"
        raise InputError(describe(what=what, expected="accepted ones", found=f"none of {len(rows)}", fix=fix))
    places = {key: row for row, key in enumerate(_keys_of(rows))}
    lot = np.random.default_rng(seed)
    shuffled = lot.permutation(accepted)
    count = len(accepted)
    spread = unpack_column(rows, LABELS["spread_3d_m"]).astype(np.float64)
    chosen: dict[str, Rows] = {
        "accepted": accepted,
        "no_spatial": _drawn(_rejudged(labels, limits, WITHOUT_SPATIAL, places), count, lot),
        "no_temporal": _drawn(_rejudged(labels, limits, WITHOUT_TEMPORAL, places), count, lot),
        "random": _drawn(answered, count, lot),
        "low_spread": _lowest(spread, answered, count),
        "oracle": _lowest(compared.errors[ORACLE_ERROR], answered, count),
        "unfiltered": answered,
        **{f"part_{percent}": shuffled[: max(1, round(count * percent / 100))] for percent in PARTS},
    }
    keys = rows.select(list(KEY))
    return {
        name: Selection(
            keys.take(pa.array(np.sort(picked), pa.int64())),
            {error: _mean(compared.errors[error][picked]) for error in ERRORS},
            float(compared.is_side_right[picked].mean()),
        )
        for name, picked in chosen.items()
    }


def _keys_of(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in KEY), strict=True))


def _rejudged(
    labels: RoundLabels, limits: PaperLimits, changes: Mapping[str, Any], places: Mapping[tuple[Any, ...], int]
) -> Rows:
    """Return the rows that are accepted under changed limits."""
    judgement = Judgement.by(limits.model_copy(update=dict(changes)))
    found = [
        key
        for _, table in rejudge(list_parts(labels.store.uri), judgement)
        for key, is_accepted in zip(_keys_of(table), table["accepted"].to_pylist(), strict=True)
        if is_accepted
    ]
    return np.array(sorted(places[key] for key in found), dtype=np.intp)


def _drawn(rows: Rows, count: int, lot: np.random.Generator) -> Rows:
    """Draw so many rows at random; all where there are fewer."""
    return np.asarray(lot.permutation(rows)[:count])


def _mean(values: npt.NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _lowest(values: npt.NDArray[np.float64], rows: Rows, count: int) -> Rows:
    """Return the rows of the lowest values; NaN comes last."""
    return np.asarray(rows[np.argsort(values[rows], kind="stable")[:count]])
