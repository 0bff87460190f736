"""The promise of a calibration in simulated worlds; the full number of trials is `python jobs/benchmark.py trust`."""

import numpy as np
import pytest

from hoiray.benchmarks.trust import PROMISE, WORLDS, Drawn, Outcome, Population, World, outcome_table, try_world

NUM_TRIALS = 500
NUM_VIDEOS = 240
MOST_BROKEN = NUM_TRIALS * PROMISE.failure_probability + 2.0 * np.sqrt(NUM_TRIALS * PROMISE.failure_probability)
"""Two standard errors above the promise."""


@pytest.fixture(scope="module")
def clustered() -> Outcome:
    # short videos: what is proved depends on the number of videos, and time on the number of labels
    world = World(base=-3.6, mean_labels=8.0)
    return try_world(world, NUM_TRIALS, NUM_VIDEOS, population=4_000)


def test_the_promise_holds_in_five_hundred_worlds_and_is_not_empty(clustered: Outcome) -> None:
    assert clustered.broken <= MOST_BROKEN
    assert clustered.proved > NUM_TRIALS // 4
    assert clustered.coverage > 0.2


def test_taking_frames_for_independent_breaks_it(clustered: Outcome) -> None:
    assert clustered.broken_naively > 1.5 * MOST_BROKEN


def test_it_holds_where_a_video_is_wrong_throughout_or_not_at_all() -> None:
    """The law for which the bound is sharpest: one limit, every video of one label, a share just beyond the promise."""
    world = World(base=float(np.log(0.105 / 0.895)), video_spread=0.0, score_weight=0.0, mean_labels=0.001)
    outcome = try_world(world, NUM_TRIALS, NUM_VIDEOS, population=40_000)
    assert outcome.broken <= MOST_BROKEN


def test_it_holds_with_a_guard_that_refuses_right_labels_rather_than_wrong_ones() -> None:
    world = World(base=-3.9, mean_labels=8.0, guard_weight=-1.0, guard_keeps=0.5)
    outcome = try_world(world, 100, NUM_VIDEOS, population=4_000)
    assert outcome.broken <= 100 * PROMISE.failure_probability + 2.0 * np.sqrt(100 * PROMISE.failure_probability)
    assert outcome.proved > 10
    # to take a limit that was proved without the guard, and to add the guard afterwards, is no proof of anything
    drawn = world.draw(4_000, np.random.default_rng(0))
    assert drawn.guarded(drawn.guard(0.5)).wrong_share(0.0, np.inf) > 1.3 * drawn.wrong_share(0.0, np.inf)


def test_a_worlds_wrong_share_is_known_by_its_limit_and_cap() -> None:
    drawn = WORLDS["clustered"].draw(5_000, np.random.default_rng(0))
    population = Population.of(drawn)
    shares = [population.wrong_share(limit, np.inf) for limit in (-3.0, 0.0, 2.0)]
    assert shares == sorted(shares, reverse=True)
    assert population.wrong_share(0.0, np.inf) == pytest.approx(drawn.is_wrong[drawn.score >= 0.0].mean(), abs=0.002)
    by_video = [drawn.is_wrong[drawn.video == video].mean() for video in range(100)]
    first = Population.of(Drawn(*(part[drawn.video < 100] for part in (drawn.video, drawn.score, drawn.is_wrong))))
    assert first.wrong_share(-99.0, 1.0) == pytest.approx(np.mean(by_video))


def test_the_table_says_how_sure_its_shares_are() -> None:
    table = outcome_table({"a": Outcome(400, 4, 200, 300, 390, 0.5)}, 120)
    assert table.rows["a"]["broken"] == 1.0
    assert table.rows["a"]["naive"] == 50.0
    assert "1.1 %" in table.note
