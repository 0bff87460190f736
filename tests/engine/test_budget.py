import pytest

from hoiray.config.load import parse_cluster
from hoiray.engine.budget import Budget, Held, Meter, parse_budget
from hoiray.engine.label import Tick
from hoiray.errors import ConfigError
from hoiray.stages.label_shard import ShardResult


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def done(shard_s: float) -> ShardResult:
    return ShardResult("a", 10, 1, 0, 10, 10, {"input_wait": 0.25 * shard_s, "predict": 0.75 * shard_s})


@pytest.mark.parametrize(
    ("text", "amount_s", "unit"),
    [("2h", 7200.0, "time"), ("1.5min", 90.0, "time"), ("90 s", 90.0, "time"), ("10gpu-h", 36000.0, "gpu"),
     ("0.5cpu-h", 1800.0, "cpu")],
)  # fmt: skip
def test_a_budget_is_a_time_or_hours_of_what_is_held(text: str, amount_s: float, unit: str) -> None:
    assert parse_budget(text) == Budget(text, amount_s, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0h", "2 days", "10gpu", "nan h"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError, match="2h, 30min, 90s"):
        parse_budget(text)


def test_a_shard_is_begun_only_if_it_will_probably_end_within_the_budget() -> None:
    clock = Clock()
    meter = Meter(parse_budget("100s"), clock)
    assert meter.may_begin()
    meter.count(done(30.0))
    meter.count(done(10.0))
    meter.count(Tick(5))
    clock.now_s += 79.0
    assert meter.may_begin()
    clock.now_s += 1.0
    assert not meter.may_begin()


def test_a_used_budget_stays_used() -> None:
    clock = Clock()
    meter = Meter(parse_budget("10s"), clock)
    clock.now_s += 10.0
    assert not meter.may_begin()
    clock.now_s -= 10.0
    assert not meter.may_begin()
    assert meter.is_used


def test_hours_of_gpus_pass_as_many_times_as_fast_as_there_are_gpus() -> None:
    clock = Clock()
    meter = Meter(parse_budget("1gpu-h"), clock)
    meter.holds(Held(num_gpus=4.0, num_cpus=16.0))
    clock.now_s += 899.0
    assert meter.may_begin()
    clock.now_s += 1.0
    assert not meter.may_begin()
    assert meter.spent_s == 3600.0


def test_a_budget_of_gpus_where_there_are_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="holds GPUs, found one that holds none"):
        Meter(parse_budget("1gpu-h")).holds(Held(num_gpus=0.0, num_cpus=2.0))


def test_pools_hold_what_they_reserve_at_most() -> None:
    text = """
head: {num_cpus: 64, num_gpus: 8, memory_gib: 64}
pools:
  decode: {where: pool, max: 10, num_cpus: 1}
  predict: {max: 8, num_cpus: 2, num_gpus: 0.5}
  measure: {max: 2, num_cpus: 0.5}
  judge: {max: 4, num_cpus: 0.5}
"""
    assert Held.by(parse_cluster(text, []).pools) == Held(num_gpus=4.0, num_cpus=29.0)
    here = Held.by(parse_cluster(text, ["pools.decode.where=predictor"]).pools)
    assert here == Held(num_gpus=4.0, num_cpus=19.0)
