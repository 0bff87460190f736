"""An audit is read from what `hoiray evaluate --against` wrote, and says only what its intervals say."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.selftrain.audit import read_audit


def cell(value: float, half: float | None = 0.5) -> dict[str, float | None]:
    return {
        "value": value,
        "low": None if half is None else value - half,
        "high": None if half is None else value + half,
    }


def write_evaluation(store: Store, difference: dict[str, Any] | None, *, hands: int = 3) -> None:
    row = {"model": cell(8.0), "constant": cell(9.0)}
    row |= {} if difference is None else {"against": cell(9.5), "difference": difference}
    objects = {"mean over objects": {"accuracy": cell(12.0), "against": cell(10.0), "difference": cell(2.0)}}
    tables = {"hands": {"rows": {"pa_mpjpe_mm": row, "f_at_5mm": row}}, "objects ho3d-add-aabb": {"rows": objects}}
    store.write("evaluation.json", json.dumps({"tables": tables}).encode())
    table = pa.table({"sample_id": [f"s{n}" for n in range(hands)], "hand_index": [0] * hands})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    store.write("per_hand.parquet", sink.getvalue())


@pytest.mark.parametrize(
    ("difference", "finding"),
    [
        (cell(-1.5), "better"),
        (cell(1.5), "worse"),
        (cell(-0.4), "no difference shown"),
        (cell(-1.5, None), "no difference shown"),
        ({"value": -1.0, "low": -2.0, "high": 0.0}, "no difference shown"),
    ],
)
def test_only_an_interval_that_excludes_zero_says_anything(
    tmp_path: Path, difference: dict[str, Any], finding: str
) -> None:
    write_evaluation(Store.open(tmp_path), difference)
    audit = read_audit(Store.open(tmp_path))
    assert audit.metrics["pa_mpjpe_mm"].finding == finding
    assert (audit.metrics["pa_mpjpe_mm"].teacher.value, audit.num_hands) == (9.5, 3)
    assert audit.objects["ho3d-add-aabb"].student.value == 12.0


def test_the_audited_hands_have_a_digest(tmp_path: Path) -> None:
    digests = set()
    for name, hands in (("a", 3), ("b", 3), ("c", 4)):
        write_evaluation(Store.open(tmp_path / name), cell(0.0), hands=hands)
        digests.add(read_audit(Store.open(tmp_path / name)).hands_sha256)
    assert len(digests) == 2


def test_an_evaluation_of_one_network_is_no_audit(tmp_path: Path) -> None:
    write_evaluation(Store.open(tmp_path), None)
    with pytest.raises(ContractError, match="expected an evaluation of two networks, found one of a single network"):
        read_audit(Store.open(tmp_path))


def test_a_missing_or_damaged_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation\.json"):
        read_audit(Store.open(tmp_path))
    Store.open(tmp_path).write("evaluation.json", b'{"tables": []}')
    with pytest.raises(ContractError, match=r"evaluation\.json: expected an evaluation of two networks"):
        read_audit(Store.open(tmp_path))
