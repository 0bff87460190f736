import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.trust.guarantee import (
    Promise,
    UnitCounts,
    count_units,
    limits_to_try,
    log_evidence,
    plan_tests,
    prove,
    units_at_pace,
    units_needed,
)

PROMISE = Promise(max_bad_fraction=0.1, failure_probability=0.05)


def equal_units(num_units: int, num_wrong: int = 0, size: int = 20) -> UnitCounts:
    """Units of one size, the first of which are wrong throughout, at two limits that accept all and half of it."""
    sizes = np.full(num_units, size)
    accepted = np.stack([sizes, sizes // 2], axis=1)
    wrong = np.where(np.arange(num_units) < num_wrong, 1, 0)[:, None] * accepted
    return UnitCounts(sizes, accepted, wrong)


def test_counts_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    unit, score, is_wrong = rng.integers(0, 5, 60), rng.random(60).round(1), rng.random(60) < 0.4
    score[::9] = np.nan
    limits = np.array([0.2, 0.5, 0.9])
    counts = count_units(unit, score, is_wrong, limits)
    for number in range(5):
        mine = unit == number
        assert counts.sizes[number] == mine.sum()
        for place, limit in enumerate(limits):
            accepted = mine & (score >= limit)
            assert counts.accepted[number, place] == accepted.sum()
            assert counts.wrong[number, place] == (accepted & is_wrong).sum()


def test_an_e_value_is_at_most_one_on_average_where_the_promise_is_just_broken() -> None:
    """The average over all outcomes, written out: each of 3 units is wrong throughout with probability alpha."""
    plan = plan_tests(equal_units(20), np.array([0.2, 0.5]), PROMISE)
    mean = 0.0
    for num_wrong, chance in ((0, 0.9**3), (1, 3 * 0.9**2 * 0.1), (2, 3 * 0.9 * 0.1**2), (3, 0.1**3)):
        gains = equal_units(3, num_wrong).gains(PROMISE, plan.caps)
        mean += chance * np.exp(log_evidence(gains, plan))
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_faultless_labels_prove_the_promise_with_few_more_units_than_it_takes_at_least() -> None:
    assert PROMISE.least_units == 29
    plan = plan_tests(equal_units(20), np.array([0.2, 0.5]), PROMISE)
    found = [prove(equal_units(count), plan).limit_index for count in (28, 29 + 7)]
    assert found == [None, 0]


def test_units_that_are_wrong_throughout_cost_the_proof_though_their_share_is_small() -> None:
    plan = plan_tests(equal_units(40, 2), np.array([0.2, 0.5]), PROMISE)
    assert prove(equal_units(60, 4), plan).limit_index is None
    assert prove(equal_units(600, 20), plan).limit_index == 0


def test_the_laxest_limit_of_an_unbroken_row_of_proofs_is_taken() -> None:
    """Three limits; the laxest lets wrong labels in. Behind a limit that is not proved none is tried."""
    sizes = np.full(80, 20)
    accepted = np.stack([sizes, sizes * 3 // 4, sizes // 2], axis=1)
    wrong = np.zeros_like(accepted)
    wrong[:40, 0] = 10
    limits = np.array([0.1, 0.5, 0.9])
    plan = plan_tests(UnitCounts(sizes, accepted, wrong), limits, PROMISE)
    assert plan.sequence[-1] == 0
    assert prove(UnitCounts(sizes, accepted, wrong), plan).limit_index == 1
    wrong[:, 1], wrong[:, 0] = 10, 0
    assert prove(UnitCounts(sizes, accepted, wrong), plan).limit_index != 0


def test_one_endless_unit_counts_as_a_usual_one() -> None:
    counts = equal_units(40)
    plan = plan_tests(counts, np.array([0.2, 0.5]), PROMISE)
    longer = UnitCounts(counts.sizes.copy(), counts.accepted.copy(), counts.wrong.copy())
    longer.accepted[0], longer.wrong[0] = 10_000, 10_000
    same = equal_units(40, 1)
    assert np.allclose(prove(longer, plan).log_e, prove(same, plan).log_e)


def test_how_many_units_are_needed_is_told_and_where_none_will_do() -> None:
    needed = units_needed(equal_units(40, 1), PROMISE, np.array([20.0, 10.0]))
    assert needed is not None
    assert 60 < needed < 200
    plan = plan_tests(equal_units(40, 1), np.array([0.2, 0.5]), PROMISE)
    assert prove(equal_units(2 * needed, needed // 20), plan).limit_index is not None
    assert units_needed(equal_units(40, 8), PROMISE, np.array([20.0, 10.0])) is None


def test_a_proof_just_missed_names_a_few_more_units_than_there_were() -> None:
    plan = plan_tests(equal_units(20), np.array([0.2, 0.5]), PROMISE)
    few = prove(equal_units(28), plan)
    assert few.limit_index is None
    needed = units_at_pace(few, plan, 28)
    assert 28 < needed < 40
    assert prove(equal_units(needed + 3), plan).limit_index == 0
    assert units_at_pace(prove(equal_units(28, 28), plan), plan, 28) == 0


def test_limits_are_scores_of_labels_and_begin_with_the_least() -> None:
    score = np.random.default_rng(0).random(500)
    limits = limits_to_try(np.append(score, np.nan))
    assert limits[0] == score.min()
    assert np.isin(limits, score).all()
    assert (np.diff(limits) > 0).all()
    assert limits_to_try(np.array([np.nan])).size == 0


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(ContractError, match="max_bad_fraction"):
        Promise(0.0, 0.05)
    with pytest.raises(ContractError, match="failure_probability"):
        Promise(0.1, 1.0)
