from typing import Any

import pytest

from hoiray.schema.marker import CommitMarker
from hoiray.stages.ledger import Spending, by_resource_s, ledger_lines, ledger_of, model_on


def test_seconds_add_up_by_stage_and_resource() -> None:
    spending = Spending({"predict": {"wait": 1.0}})
    spending.add("predict", "wait", 0.5)
    spending.add_all({"decode": {"cpu": 2.0}, "judge": {"filter": 0.25}})
    assert spending.costs_s() == {"decode": {"cpu": 2.0}, "predict": {"wait": 1.5}, "judge": {"filter": 0.25}}
    assert list(spending.costs_s()) == ["decode", "predict", "judge"]


def test_time_that_passes_is_spent_even_where_it_ends_badly() -> None:
    spending = Spending()
    with pytest.raises(KeyError), spending.timed("judge", "store"):
        raise KeyError
    assert spending.costs_s()["judge"]["store"] >= 0.0


def test_a_resource_is_summed_over_the_stages_and_decoders_have_their_own_name() -> None:
    costs = {"decode": {"cpu": 2.0}, "measure": {"filter": 1.0, "store": 3.0}, "judge": {"filter": 0.5}}
    assert by_resource_s(costs) == {"decode_cpu": 2.0, "filter": 1.5, "store": 3.0}


def test_the_models_time_is_that_of_its_device() -> None:
    assert [model_on(it) for it in ("cpu", "cuda", "cuda:1", "mps")] == ["model_cpu", *["model_gpu"] * 3]


def marker(table: str, **changes: Any) -> CommitMarker:
    values: dict[str, Any] = {
        "hoiray_version": "0", "table": table, "schema_version": 1, "plan_id": "p", "predict_id": "q",
        "judge_id": "j" if table == "labels" else None, "shard_id": "s", "data_key": f"s-{'0' * 16}.parquet",
        "data_sha256": "0" * 64, "data_bytes": 0, "num_videos": 1, "num_rows": 0, "num_accepted": None, "reasons": {},
        "dead_letters": [], "attempt": 1, "timings_s": {},
    }  # fmt: skip
    return CommitMarker(**values | changes)


def test_a_ledger_shares_all_seconds_among_videos_and_accepted_labels() -> None:
    predicted = [marker("predictions", num_rows=10, num_videos=2, costs_s={"predict": {"model_cpu": 3.0}})] * 2
    judged = [marker("labels", num_rows=10, num_accepted=4, costs_s={"judge": {"filter": 1.0}})] * 2
    ledger = ledger_of(predicted, judged)
    assert (ledger.num_shards, ledger.num_videos, ledger.num_hands, ledger.num_accepted) == (2, 4, 20, 8)
    assert ledger.total_s == 8.0
    lines = ledger_lines(ledger)
    assert lines[1].split() == ["predict", "model_cpu", "6.0", "75.0%", "1,500.00", "750.00"]
    assert lines[-1].split() == ["all", "8.0", "100.0%", "2,000.00", "1,000.00"]


def test_markers_that_do_not_say_what_they_cost_are_counted_apart() -> None:
    old = marker("predictions", num_rows=10, num_videos=2)
    ledger = ledger_of([old, marker("predictions", num_rows=1, num_videos=1, costs_s={"predict": {"wait": 1.0}})], [])
    assert (ledger.num_shards, ledger.num_videos, ledger.num_unknown) == (1, 1, 1)
    assert "1 markers of an older version" in ledger_lines(ledger)[-1]
    assert "nothing is known" in ledger_lines(ledger_of([old], []))[0]
