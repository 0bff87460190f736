"""Is the student better than its teacher? Asked of a set that neither has seen and that stays the same in every round.

The audit is `hoiray evaluate --against`: both networks on the same hands, the difference with a paired bootstrap
interval over people or recordings. Only a difference whose interval excludes zero counts.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import pyarrow.parquet as pq

from hoiray.errors import ContractError, describe
from hoiray.evaluation.bootstrap import Interval
from hoiray.io.store import Store

Finding = Literal["better", "worse", "no difference shown"]

SHOWN: Final[Mapping[str, str]] = {
    "pa_mpjpe_mm": "PA-MPJPE, mm",
    "mpjpe_mm": "MPJPE about the wrist, mm",
    "joints_2d_box": "2D joints, box sides",
}
"""Metrics of hands that every audit keeps, lower is better; those of an evaluation's table."""


@dataclass(frozen=True)
class Compared:
    """One metric of both networks.

    Attributes:
        student, teacher: means with intervals.
        difference: student minus teacher, paired on the same hands.
        constant: the constant hand's, where it has one.
    """

    student: Interval
    teacher: Interval
    difference: Interval
    constant: Interval | None = None

    @property
    def finding(self) -> Finding:
        """What the interval of the difference says, for a metric of which less is better."""
        if self.difference.high < 0.0:
            return "better"
        return "worse" if self.difference.low > 0.0 else "no difference shown"


@dataclass(frozen=True)
class Audit:
    """An audit.

    Attributes:
        hands_sha256: digest of the audited hands' names; the same in every round.
        num_hands: audited.
        metrics: by name, as in :data:`SHOWN`.
        objects: share of right object poses in percent, by protocol; those both networks have.
    """

    hands_sha256: str
    num_hands: int
    metrics: Mapping[str, Compared]
    objects: Mapping[str, Compared]

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def read_audit(store: Store) -> Audit:
    """Read what `hoiray evaluate --against` wrote.

    Raises:
        InputError: there is none.
        ContractError: it is damaged, or compares nothing.
    """
    try:
        document = json.loads(store.read("evaluation.json"))
        rows = document["tables"]["hands"]["rows"]
        metrics = {name: _compared(rows[name]) for name in SHOWN if "difference" in rows.get(name, {})}
        objects = {
            key.removeprefix("objects "): _compared(table["rows"]["mean over objects"], "accuracy")
            for key, table in document["tables"].items()
            if key.startswith("objects ") and "difference" in table["rows"].get("mean over objects", {})
        }
    except (ValueError, KeyError, TypeError) as error:
        _refuse(store, repr(error))
    if not metrics:
        _refuse(store, "one of a single network")
    names = pq.read_table(io.BytesIO(store.read("per_hand.parquet")), columns=["sample_id", "hand_index"])
    digest = hashlib.sha256(json.dumps([names[name].to_pylist() for name in names.column_names]).encode())
    return Audit(digest.hexdigest(), names.num_rows, metrics, objects)


def _compared(row: Mapping[str, Any], of_model: str = "model") -> Compared:
    constant = _interval(row["constant"]) if "constant" in row else None
    return Compared(_interval(row[of_model]), _interval(row["against"]), _interval(row["difference"]), constant)


def _interval(cell: Any) -> Interval:  # noqa: ANN401 - JSON
    low, value, high = (float("nan") if cell[name] is None else float(cell[name]) for name in ("low", "value", "high"))
    return Interval(value, low, high)


def _refuse(store: Store, found: str) -> None:
    fix = "Audit again: hoiray evaluate --model STUDENT --against TEACHER."
    what = store.url("evaluation.json")
    raise ContractError(describe(what=what, expected="an evaluation of two networks", found=found, fix=fix))
