"""Selection metrics against their definitions, written as loops."""

from itertools import permutations

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.metrics.selection import Ranking, augrc, aurc, oracle_score, random_score

LOSS = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
SCORE = np.array([0.9, 0.2, 0.7, 0.4, 0.8, 0.6, 0.1])


def slow_aurc(order: list[int], loss: np.ndarray) -> float:
    risks = [np.mean([loss[row] for row in order[: count + 1]]) for count in range(len(order))]
    return float(np.mean(risks))


def slow_augrc(order: list[int], loss: np.ndarray) -> float:
    """Trapezoids from the point (0, 0)."""
    count, area, before = len(order), 0.0, 0.0
    for place in range(count):
        now = sum(loss[row] for row in order[: place + 1]) / count
        area += (before + now) / 2.0 / count
        before = now
    return area


def test_the_areas_are_those_of_their_definitions() -> None:
    order = np.argsort(-SCORE).tolist()
    assert aurc(SCORE, LOSS) == pytest.approx(slow_aurc(order, LOSS), abs=1e-12)
    assert augrc(SCORE, LOSS) == pytest.approx(slow_augrc(order, LOSS), abs=1e-12)


def test_equal_scores_give_the_mean_over_their_orders() -> None:
    score = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1])
    loss = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    orders = [[0, *middle, *last] for middle in permutations((1, 2, 3)) for last in permutations((4, 5))]
    assert aurc(score, loss) == pytest.approx(np.mean([slow_aurc(order, loss) for order in orders]), abs=1e-12)
    assert augrc(score, loss) == pytest.approx(np.mean([slow_augrc(order, loss) for order in orders]), abs=1e-12)


def test_augrc_is_the_published_function_of_auroc_and_accuracy() -> None:
    rng = np.random.default_rng(0)
    loss = (rng.random(300) < 0.3).astype(float)
    score = np.round(rng.random(300) - 0.3 * loss, 1)
    right, wrong = score[loss == 0], score[loss == 1]
    auroc = np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong))
    accuracy = 1.0 - loss.mean()
    wanted = (1.0 - auroc) * accuracy * (1.0 - accuracy) + (1.0 - accuracy) ** 2 / 2.0
    assert augrc(score, loss) == pytest.approx(wanted, abs=1e-12)


def test_no_score_beats_the_oracle_and_a_score_that_tells_nothing_has_the_base_risk() -> None:
    base = LOSS.mean()
    assert aurc(random_score(LOSS), LOSS) == pytest.approx(base)
    assert augrc(random_score(LOSS), LOSS) == pytest.approx(base / 2.0)
    for area in (aurc, augrc):
        assert area(oracle_score(LOSS), LOSS) < area(SCORE, LOSS) < area(random_score(LOSS), LOSS)
        assert area(-oracle_score(LOSS), LOSS) > area(random_score(LOSS), LOSS)


def test_a_row_without_score_is_accepted_last() -> None:
    score = np.array([0.5, np.nan, 0.1])
    assert aurc(score, np.array([0.0, 1.0, 0.0])) == pytest.approx(1.0 / 9.0)


def test_weights_count_a_row_so_many_times() -> None:
    weights = np.array([2, 0, 1, 3, 1, 2, 1])
    repeated = np.repeat(np.arange(7), weights)
    ranking = Ranking.of(SCORE, LOSS)
    # rows of one score are in random order, so repeating them changes nothing else
    assert ranking.augrc(weights) == pytest.approx(augrc(SCORE[repeated], LOSS[repeated]), abs=1e-12)
    assert ranking.aurc(weights) == pytest.approx(aurc(SCORE[repeated], LOSS[repeated]), abs=0.05)
    assert np.isnan(ranking.augrc(np.zeros(7)))
    assert np.isnan(ranking.aurc(np.zeros(7)))


def test_the_curve_ends_at_all_rows_and_their_risk() -> None:
    curve = Ranking.of(SCORE, LOSS).curve()
    assert curve.coverage[-1] == 1.0
    assert curve.selective_risk[-1] == curve.generalised_risk[-1] == pytest.approx(LOSS.mean())
    assert np.allclose(curve.generalised_risk, curve.selective_risk * curve.coverage)
    assert curve.score[0] == 0.9


def test_the_risk_at_a_coverage_is_the_share_of_wrong_rows_among_the_accepted() -> None:
    ranking = Ranking.of(SCORE, LOSS)
    assert ranking.risk_at(2 / 7) == pytest.approx(0.5)
    assert ranking.risk_at(1.0) == pytest.approx(LOSS.mean())
    assert np.isnan(ranking.risk_at(0.0))


def test_what_cannot_be_ranked_is_refused() -> None:
    for score, loss in ((np.ones(3), np.ones(2)), (np.ones(0), np.ones(0)), (np.ones(2), np.array([0.0, 2.0]))):
        with pytest.raises(ContractError, match="scores and losses"):
            Ranking.of(score, loss)
