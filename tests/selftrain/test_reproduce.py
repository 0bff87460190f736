"""Experiments: what they run, how scores become differences, and what is said of them."""

import json
import math
from pathlib import Path

import pytest

from hoiray.io.store import Store
from hoiray.selftrain.arms import AMOUNTS, Bench, label_phase, train_phase
from hoiray.selftrain.paper_tables import TABLES, Claim, Measure
from hoiray.selftrain.reproduce import Plan, Results, collect, document, finding_of, key_of, read_run, t_interval
from hoiray.selftrain.reproduce_report import markdown

JOINT = TABLES["table4"].measures[0]


def write_scores(store: Store, arm: str, seed: int, pa_mm: float, add: float) -> None:
    row = {"model": {"value": pa_mm, "low": None, "high": None}}
    cell = {"value": add, "low": None, "high": None}
    objects = {"accuracy": cell, "auc": cell | {"value": add / 2}}
    names = {measure.row for measure in TABLES["table2"].measures if measure.table != "hands"}
    tables = {
        "hands": {
            "rows": dict.fromkeys(("pa_mpjpe_mm", "pa_mpvpe_mm", "pa_f_at_5mm", "pa_f_at_15mm", "mpjpe_mm"), row)
        },
        **{f"objects {name}": {"rows": dict.fromkeys(names, objects)} for name in ("ho3d-add-aabb", "add-s-aabb")},
    }
    store.write(f"seed-{seed}/{arm}/lab/evaluation.json", json.dumps({"tables": tables}).encode())


def bench_of(folder: Path) -> Bench:
    return Bench(Store.open(folder), AMOUNTS["tiny"])


def test_a_change_is_of_every_arm_and_part_of_what_was_done(tmp_path: Path) -> None:
    changed = Bench(Store.open(tmp_path), AMOUNTS["tiny"], ("training.optimiser.learning_rate=5e-4",))
    usual, other = read_run(bench_of(tmp_path)).training, read_run(changed).training
    assert usual is not None
    assert other is not None
    assert other.optimiser == usual.optimiser.model_copy(update={"learning_rate": 5e-4})
    for phase in (train_phase, label_phase):
        assert phase(changed, "run", 0, "sup_object").identity["changes"] == list(changed.changes)
        assert "changes" not in phase(bench_of(tmp_path), "run", 0, "sup_object").identity


def test_intervals_are_those_of_student() -> None:
    interval = t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    # t(0.975, 4) = 2.776, standard error sqrt(2.5 / 5)
    assert interval.value == 3.0
    assert interval.high - interval.value == pytest.approx(2.7764 * math.sqrt(0.5), rel=1e-4)
    assert math.isnan(t_interval([1.0]).low)
    assert math.isnan(t_interval([]).value)


def test_a_seed_counts_once_every_arm_is_scored() -> None:
    plan = Plan(("table2",), (0, 1, 2))
    values = {arm: {0: {"x": 1.0}, 1: {"x": 1.0}} for arm in plan.arms}
    assert Results(values, {}).num_seeds(plan) == 2
    assert Results(values | {plan.arms[0]: {1: {"x": 1.0}}}, {}).num_seeds(plan) == 1
    assert Results({}, {}).num_seeds(plan) == 0


def test_differences_are_paired_by_seed() -> None:
    """Seeds differ a lot, the arms of each by little: only a paired difference shows it."""
    key = key_of(JOINT)
    values = {"semi_object": {0: {key: 9.0}, 1: {key: 7.0}, 2: {key: 11.0}, 3: {key: 5.0}},
              "no_spatial": {0: {key: 9.2}, 1: {key: 7.3}, 2: {key: 11.1}}}  # fmt: skip
    claim = Claim("", "semi_object", "no_spatial", JOINT)
    difference, num_seeds = Results(values, {}).difference(claim)
    assert num_seeds == 3
    assert difference.value == pytest.approx(-0.2)
    assert finding_of(claim, t_interval([-0.2, -0.21, -0.19])) == "holds"


@pytest.mark.parametrize(
    ("is_error", "values", "finding"),
    [
        (True, [-1.0, -1.1, -0.9], "holds"),
        (True, [1.0, 1.1, 0.9], "the opposite"),
        (False, [1.0, 1.1, 0.9], "holds"),
        (False, [-1.0, -1.1, -0.9], "the opposite"),
        (False, [-1.0, 1.1], "no difference shown"),
        (False, [1.0], "one seed only"),
        (False, [], "not run"),
    ],
)
def test_a_claim_is_found_only_where_its_interval_says_so(is_error: bool, values: list[float], finding: str) -> None:
    claim = Claim("", "a", "b", Measure("", "lab", "hands", "x", is_error=is_error))
    assert finding_of(claim, t_interval(values)) == finding


def test_scores_become_tables_with_the_papers_numbers_beside_them(tmp_path: Path) -> None:
    bench, plan = bench_of(tmp_path), Plan(("table2", "figure9"), (0, 1, 2))
    for seed in plan.seeds:
        for number, arm in enumerate(TABLES["table2"].arms):
            write_scores(bench.store, arm, seed, 9.0 + number + 0.1 * seed, 10.0 * number + seed)
    results = collect(bench, plan)
    text = markdown(results, plan, {"machine": "this"})
    assert "| supervised, without CR | 3 | 9.10 ± 0.10 (10.2) |" in text
    assert (
        "| contextual reasoning of the object helps the object | ADD-0.1D ave | +30.0 [+30.0, +30.0] | +5.5 |" in text
    )
    assert "| the same, by ADD-S over all objects | ADD-S, all nine | +30.0 [+30.0, +30.0] | - |" in text
    assert "| the same, by the area under ADD-S's curve | ADD-S AUC, all nine | +15.0 [+15.0, +15.0] | - |" in text
    assert "| 20 % of the labels | 0 | - |" in text
    assert len(TABLES["table2"].claims) + len(TABLES["figure9"].claims) == 10
    assert "in any of the 10, some 0.2 of them would hold by chance" in text
    found = {claim["claim"]: claim["finding"] for claim in document(results, plan, {})["claims"]}
    assert found["contextual reasoning of the object helps the object"] == "holds"
    assert found["and the hand"] == "the opposite"
    assert found["a fifth is better than none"] == "not run"
    json.dumps(document(results, plan, {}), allow_nan=False)


def test_scores_of_before_a_column_are_left_out_of_it_and_said(tmp_path: Path) -> None:
    bench, plan = bench_of(tmp_path), Plan(("table2",), (0, 1, 2))
    for seed in plan.seeds:
        for arm in TABLES["table2"].arms:
            write_scores(bench.store, arm, seed, 9.0, 10.0)
    key = "seed-1/sup_none/lab/evaluation.json"
    before = json.loads(bench.store.read(key))
    for row in before["tables"]["objects add-s-aabb"]["rows"].values():
        del row["auc"]
    bench.store.write(key, json.dumps(before).encode())
    text = markdown(collect(bench, plan), plan, {})
    (line,) = (line for line in text.splitlines() if line.startswith("| supervised, without CR"))
    assert "| 10.0 \u00b1 0.0 | 5.0 \u00b1 0.0, 2 seeds | 9.0 \u00b1 0.0 |" in line
    claims = {claim["claim"]: claim["num_seeds"] for claim in document(collect(bench, plan), plan, {})["claims"]}
    assert claims["the same, by the area under ADD-S's curve"] == 2
