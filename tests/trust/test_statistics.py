import numpy as np
import pytest

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.trust.statistics import REASONS, Sweep, Variant, Verdicts, finding_of, guard_finding, statistics_tables

NUM_ROWS = 3000
GROUPS = [f"video {row // 20}" for row in range(NUM_ROWS)]
USEFUL, USELESS, HARMFUL, IDLE = "box_iou", "bone_length", "joint_angle", "spread_3d"


def verdicts() -> Verdicts:
    """One filter refuses bad labels, one any, one good ones, and one what the first refuses already."""
    rng = np.random.default_rng(0)
    is_bad = rng.random(NUM_ROWS) < 0.3
    fails = {
        USEFUL: rng.random(NUM_ROWS) < np.where(is_bad, 0.7, 0.05),
        USELESS: rng.random(NUM_ROWS) < 0.1,
        HARMFUL: rng.random(NUM_ROWS) < np.where(is_bad, 0.0, 0.15),
    }
    fails[IDLE] = fails[USEFUL] & (rng.random(NUM_ROWS) < 0.5)
    reasons = np.zeros((NUM_ROWS, len(REASONS)), dtype=np.bool_)
    for name, failing in fails.items():
        reasons[:, REASONS.index(name)] = failing
    variants = []
    for name, failing in fails.items():
        others = reasons.copy()
        others[:, REASONS.index(name)] = False
        variants.append(Variant(name, ~others.any(axis=1), ~failing))
    sweep = Sweep("box_iou", "1", (0.1, 0.6), (np.ones(NUM_ROWS, np.bool_), ~fails[USEFUL]))
    return Verdicts(reasons, tuple(variants), (sweep,), is_bad, np.where(is_bad, 20.0, 5.0), 3750)


@pytest.fixture(scope="module")
def tables() -> dict[str, dict[str, dict[str, object]]]:
    made = statistics_tables(verdicts(), GroupBootstrap(GROUPS, 0, 500))
    return {table.key: {name: dict(row) for name, row in table.rows.items()} for table in made}


def test_the_useless_and_the_harmful_filter_are_named_as_such(tables: dict[str, dict[str, dict[str, object]]]) -> None:
    finding = {name: str(cells["finding"]) for name, cells in tables["filters"].items()}
    assert finding[USEFUL].endswith("keep it")
    assert "useless" in finding[USELESS]
    assert "consider switching off" in finding[USELESS]
    assert "harmful" in finding[HARMFUL]
    assert "changes nothing" in finding[IDLE]


def test_a_funnel_ends_at_what_is_accepted(tables: dict[str, dict[str, dict[str, object]]]) -> None:
    funnel = tables["funnel"]
    assert list(funnel["all"].values())[:2] == [0, NUM_ROWS]
    assert list(funnel.values())[-1]["left"] == verdicts().accepted.sum()
    assert sum(int(str(row["refused"])) for row in funnel.values()) == (~verdicts().accepted).sum()


def test_refusals_are_counted_alone_and_together(tables: dict[str, dict[str, dict[str, object]]]) -> None:
    row, reasons = tables["refusals"][USELESS], verdicts().reasons
    failing = reasons[:, REASONS.index(USELESS)]
    assert row["rows"] == failing.sum()
    assert row["alone"] == (failing & (reasons.sum(axis=1) == 1)).sum()
    # what refuses nothing but what another refuses has no row of its own
    assert tables["refusals"][IDLE]["alone"] == 0
    assert tables["overlap"][IDLE][USEFUL] == 100.0


def test_recall_and_coverage_count_hands_that_nobody_found(tables: dict[str, dict[str, dict[str, object]]]) -> None:
    accepted, is_bad = verdicts().accepted, verdicts().is_bad
    assert is_bad is not None
    row = tables["selection"]["accepted"]
    precision, recall = row["precision"], row["recall"]
    assert isinstance(precision, Interval)
    assert isinstance(recall, Interval)
    assert precision.value == pytest.approx(100.0 * (~is_bad)[accepted].mean())
    assert recall.value == pytest.approx(100.0 * accepted[~is_bad].mean())
    assert row["coverage_all"] == pytest.approx(100.0 * accepted.sum() / 3750)


def test_a_moved_limit_has_its_coverage_and_bad_share(tables: dict[str, dict[str, dict[str, object]]]) -> None:
    lax, strict = tables["sweep box_iou"].values()
    for name in ("coverage", "bad"):
        one, other = lax[name], strict[name]
        assert isinstance(one, Interval)
        assert isinstance(other, Interval)
        assert one.value > other.value


def test_without_truth_costs_are_told_and_nothing_is_said_of_worth() -> None:
    known = verdicts()
    blind = Verdicts(known.reasons, known.variants)
    tables = {table.key: table for table in statistics_tables(blind, GroupBootstrap(GROUPS, 0, 100))}
    assert "selection" not in tables
    assert str(tables["filters"].rows[HARMFUL]["finding"]).startswith("costs ")
    assert "bad" not in tables["filters"].columns


def test_a_filter_that_is_right_and_removes_next_to_nothing_is_asked_what_it_is_for() -> None:
    surely_worse = Interval(0.3, 0.1, 0.5)
    assert finding_of(0.08, 0.002, surely_worse, 9) == (
        "costs 8.0% coverage, removes 0.2% of the bad labels: right, and hardly of use: consider switching off"
    )
    assert "keep it" in finding_of(0.08, 0.2, surely_worse, 9)
    # of a guard ordinary labels cannot tell the worth
    assert guard_finding(0.009, 0.0).endswith("its worth is told by planted faults")


def test_a_filter_that_may_be_useless_or_not_is_called_neither() -> None:
    for unsure in (Interval(0.3, float("nan"), float("nan")), Interval(0.1, -0.1, 0.3)):
        assert "cannot tell" in finding_of(0.08, 0.2, unsure, 9)
    assert "useless" in finding_of(0.08, 0.2, Interval(0.02, -0.1, 0.1), 9)
