import heapq
import math

import numpy as np
import numpy.typing as npt
import pytest

from hoiray.stages.estimate import MIN_PILOT_SHARDS, PilotShard, estimate_total, forecast, pilot_of, unseen_share

FloatArray = npt.NDArray[np.float64]


def world(seed: int, num_shards: int, spread: float, rare: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Shards of videos with Pareto lengths (index 1.3: no variance), packed by a planner that guesses their lengths.

    Args:
        seed: of all of it.
        num_shards: of the world.
        spread: of guesses and of costs a frame, natural logarithm.
        rare: share of videos that cost 10 to 100 times as much a frame as the others.

    Returns:
        (N,) planned frames, and (N,) seconds; both guess and cost of a frame are off by a log-normal factor.
    """
    rng = np.random.default_rng(seed)
    frames = np.minimum(rng.pareto(1.3, 20 * num_shards) * 30.0 + 10.0, 16384.0)
    guessed, seconds = (frames * np.exp(rng.normal(0.0, spread, len(frames))) for _ in range(2))
    seconds *= np.where(rng.random(len(frames)) < rare, 10.0 ** rng.uniform(1.0, 2.0, len(frames)), 1.0)
    loads = [(0.0, index) for index in range(num_shards)]
    planned, cost = np.zeros(num_shards), np.zeros(num_shards)
    for video in np.argsort(-guessed):
        load, index = heapq.heappop(loads)
        planned[index] += guessed[video]
        cost[index] += seconds[video]
        heapq.heappush(loads, (load + guessed[video], index))
    return planned, cost


@pytest.mark.parametrize(("spread", "rare"), [(0.3, 0.0), (0.8, 0.0), (0.5, 0.02)])
@pytest.mark.parametrize("num_shards", [100, 1000])
def test_the_interval_covers_the_true_cost_in_nine_of_ten_worlds_with_long_tails(
    num_shards: int, spread: float, rare: float
) -> None:
    hits = []
    for number in range(8):
        planned, cost = world(number, num_shards, spread, rare)
        costs = {f"{index:05d}": round(1000 * it) for index, it in enumerate(planned)}
        for seed in range(15):
            drawn = [int(name) for name in pilot_of(costs, 0.01, plan_id=f"{number}", seed=seed)]
            found = estimate_total(
                planned[drawn], cost[drawn], total_planned=planned.sum(), num_shards=num_shards, seed=seed
            )
            hits.append(found.low <= cost.sum() <= found.high)
    assert np.mean(hits) >= 0.9


def test_a_pilot_takes_cheap_and_expensive_shards_alike() -> None:
    costs = {f"{index:04d}": index + 1 for index in range(2000)}
    drawn = [costs[name] for name in pilot_of(costs, 0.01, plan_id="a", seed=0)]
    assert len(drawn) == MIN_PILOT_SHARDS == 20
    assert [(it - 1) // 100 for it in drawn] == list(range(20))


def test_a_pilot_is_the_same_again_and_another_with_another_seed() -> None:
    costs = {f"{index:04d}": 10 for index in range(500)}
    first = pilot_of(costs, 0.01, plan_id="a", seed=0)
    assert first == pilot_of(dict(reversed(costs.items())), 0.01, plan_id="a", seed=0)
    assert first != pilot_of(costs, 0.01, plan_id="a", seed=1)
    assert first != pilot_of(costs, 0.01, plan_id="b", seed=0)


def test_every_shard_is_drawn_equally_often() -> None:
    costs = {f"{index:02d}": index + 1 for index in range(25)}
    drawn = [name for seed in range(2000) for name in pilot_of(costs, 0.01, plan_id="a", seed=seed)]
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 25
    assert np.abs(counts / 2000 - MIN_PILOT_SHARDS / 25).max() < 0.05


def test_a_pilot_has_a_least_number_of_shards_or_takes_all() -> None:
    for count, expected in ((4, 4), (50, MIN_PILOT_SHARDS), (100_000, 1000)):
        drawn = pilot_of({f"{index:06d}": 1 for index in range(count)}, 0.01, plan_id="a", seed=0)
        assert len(set(drawn)) == expected


def test_a_pilot_of_everything_is_no_estimate() -> None:
    found = estimate_total([1.0, 2.0], [3.0, 5.0], total_planned=3.0, num_shards=2)
    assert (found.total, found.low, found.high) == (8.0, 8.0, 8.0)


def test_of_cost_in_proportion_to_the_plan_only_what_was_not_met_is_unknown() -> None:
    planned = np.arange(1.0, 11.0)
    found = estimate_total(planned, 0.5 * planned, total_planned=1000.0, num_shards=100)
    share = unseen_share(10, 100)
    assert share == pytest.approx(0.9 * (1.0 - 0.05**0.1))
    assert (found.total, found.low) == pytest.approx((500.0, 500.0))
    assert found.high == pytest.approx(500.0 * (1.0 - share) + share * 1000.0)


def test_what_may_not_have_been_met_shrinks_as_the_pilot_grows() -> None:
    shares = [unseen_share(count, 1000) for count in (1, 10, 100, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(0.95, abs=0.001)
    assert shares[-1] == 0.0


def test_what_was_never_measured_may_be_anything() -> None:
    for measured in ([0.0, 0.0], [5.0]):
        found = estimate_total([1.0] * len(measured), measured, total_planned=10.0, num_shards=10)
        assert (found.low, found.high) == (0.0, math.inf)


def test_an_expensive_shard_widens_the_interval_upwards_more_than_downwards() -> None:
    measured = [1.0] * 9 + [10.0]
    found = estimate_total([1.0] * 10, measured, total_planned=1000.0, num_shards=1000)
    assert found.high - found.total > 2.0 * (found.total - found.low) > 0.0


def shard(planned: float, *, predict_s: float, judge_s: float, accepted: int | None) -> PilotShard:
    costs = {"decode": {"cpu": 9.0}, "predict": {"model_cpu": predict_s, "wait": 1.0}, "measure": {"filter": 0.5}}
    return PilotShard(planned, costs if accepted is None else costs | {"judge": {"filter": judge_s}}, 10, accepted)


def test_a_forecast_waits_for_the_slowest_stage_with_the_workers_it_has() -> None:
    pilot = [shard(100.0, predict_s=3.0, judge_s=1.0, accepted=5)] * 2
    found = forecast(pilot, total_planned=1000.0, num_shards=10)
    assert found.costs_s["predict"]["model_cpu"].total == pytest.approx(30.0)
    assert {name: it.total for name, it in found.stage_s.items()} == pytest.approx(
        {"predict": 40.0, "measure": 5.0, "judge": 10.0}
    )
    time_s, slowest = found.time_s({"predict": 8, "measure": 1, "judge": 1})
    assert (time_s.total, slowest) == (pytest.approx(10.0), "judge")
    # no more workers are of use than there are shards
    assert found.time_s({"predict": 99, "measure": 9, "judge": 99})[0].total == pytest.approx(4.0)
    assert found.time_s(None)[0].total == pytest.approx(55.0)
    assert found.num_accepted.total == pytest.approx(50.0)


def test_parts_of_long_videos_tell_of_predicting_and_not_of_labels() -> None:
    part = shard(300.0, predict_s=9.0, judge_s=0.0, accepted=None)
    found = forecast(
        [part, *[shard(100.0, predict_s=3.0, judge_s=1.0, accepted=5)] * 2], total_planned=1000.0, num_shards=10
    )
    assert found.num_accepted.total == pytest.approx(50.0)
    assert found.stage_s["judge"].total == pytest.approx(10.0)
    assert found.costs_s["predict"]["model_cpu"].total == pytest.approx(30.0)
    nothing = forecast([part], total_planned=1000.0, num_shards=10)
    assert nothing.num_accepted.high == math.inf
