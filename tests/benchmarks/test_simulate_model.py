from dataclasses import replace

import pytest

from hoiray.benchmarks.simulate_model import REQUESTS_A_SHARD, Constants, SimulatedCluster, simulate

CONSTANTS = Constants(
    start_s=10.0, shard_s=1.0, frame_s=0.01, decode_cpu_s=0.02, driver_s=0.0, finish_s=0.0, finish_frame_s=0.0
)
ONE = SimulatedCluster("one", 1, 1, 4.0, 1, 1e9)
FRAMES = [100.0] * 40


def test_one_predictor_takes_the_sum_of_all_shards() -> None:
    found = simulate(FRAMES, CONSTANTS, ONE)
    assert found.time_s == pytest.approx(10.0 + 40 * 2.0)
    assert found.busy_s == pytest.approx(80.0)
    assert found.idle_share == pytest.approx(10.0 / 90.0)
    assert (found.lost_s, found.num_losses, found.waits_for) == (0.0, 0, "model")


def test_four_predictors_take_a_quarter_of_it_after_their_start() -> None:
    found = simulate(FRAMES, CONSTANTS, replace(ONE, nodes=2, predictors_per_node=2))
    assert found.time_s == pytest.approx(10.0 + 20.0)


def test_too_few_decoding_cores_make_the_model_wait() -> None:
    found = simulate(FRAMES, CONSTANTS, replace(ONE, decode_cores_per_predictor=0.5))
    assert found.time_s == pytest.approx(10.0 + 40 * (1.0 + 100 * 0.04))
    assert found.waits_for == "decoders"


def test_a_driver_hands_out_one_shard_at_a_time() -> None:
    slow = replace(CONSTANTS, driver_s=1.0)
    found = simulate(FRAMES, slow, replace(ONE, nodes=40))
    assert found.time_s == pytest.approx(10.0 + 40.0 + 2.0)
    assert found.waits_for == "driver"


def test_a_store_takes_so_many_requests_a_second() -> None:
    found = simulate(FRAMES, CONSTANTS, replace(ONE, nodes=40, store_requests_per_s=float(REQUESTS_A_SHARD)))
    assert found.time_s == pytest.approx(10.0 + 2.0 + 40.0)
    assert found.waits_for == "store"


def test_finishing_waits_for_its_cores() -> None:
    slow = replace(CONSTANTS, finish_s=1.0, finish_frame_s=0.01)
    times = [simulate(FRAMES, slow, replace(ONE, nodes=40, finish_cores=cores)) for cores in (1, 4)]
    assert [it.time_s for it in times] == pytest.approx([10.0 + 2.0 + 80.0, 10.0 + 2.0 + 20.0])
    assert times[0].waits_for == "finishing"


def test_what_a_lost_node_was_at_is_done_again_and_nothing_is_left_out() -> None:
    calm = replace(ONE, nodes=8)
    shaken = replace(calm, losses_per_node_h=60.0, away_s=5.0)
    frames = [100.0] * 400
    before, after = simulate(frames, CONSTANTS, calm), simulate(frames, CONSTANTS, shaken, seed=1)
    assert after.busy_s == pytest.approx(before.busy_s) == pytest.approx(800.0)
    assert after.num_losses > 0
    assert 0.0 < after.lost_s <= 2.0 * after.num_losses
    assert after.time_s > before.time_s


def test_losses_come_as_often_as_they_are_said_to() -> None:
    cluster = replace(ONE, nodes=10, losses_per_node_h=1.0, away_s=0.0)
    found = simulate([100.0] * 20_000, CONSTANTS, cluster, seed=3)
    assert found.num_losses == pytest.approx(10 * found.time_s / 3600.0, rel=0.5)


def test_the_last_shard_is_finished_even_if_its_node_is_lost_and_all_others_are_idle() -> None:
    cluster = replace(ONE, nodes=2, losses_per_node_h=30.0, away_s=1.0)
    for seed in range(20):
        found = simulate([100.0, 20_000.0], CONSTANTS, cluster, seed=seed)
        assert found.busy_s == pytest.approx(2.0 + 201.0)


def test_the_same_seed_ends_the_same() -> None:
    cluster = replace(ONE, nodes=4, losses_per_node_h=20.0)
    first, again, other = (simulate(FRAMES * 10, CONSTANTS, cluster, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
