from typing import Any

import pytest

from hoiray.config.lint import lint_cluster
from hoiray.config.where import ClusterConfig, DecodePool, Node, Pool, Pools, PredictPool, WorkerGroup
from hoiray.engine.fit import cluster_here, fit_cluster
from hoiray.errors import ConfigError


def cluster(*, predictors: int = 8, num_cpus: float = 1.0, **changes: Any) -> ClusterConfig:
    small = Pool(num_cpus=0.25)
    pools = Pools(
        decode=DecodePool(where="predictor"),
        predict=PredictPool(min=1, max=predictors, initial=predictors, num_cpus=num_cpus),
        measure=small,
        judge=small,
    )
    return ClusterConfig(head=Node(num_cpus=16, memory_gib=64), pools=pools, **changes)


def test_a_cluster_that_fits_is_left_as_it_is() -> None:
    assert fit_cluster(cluster(), [Node(num_cpus=10, memory_gib=64)]) == (cluster(), [])


def test_pools_too_large_for_the_cluster_that_is_met_shrink_and_the_sum_is_shown() -> None:
    fitting, said = fit_cluster(cluster(), [Node(num_cpus=6, memory_gib=64)])
    assert (fitting.pools.predict.max, fitting.pools.predict.start) == (4, 4)
    assert said[0].startswith("predict 8 x 1 + measure 2 x 0.25 + judge 2 x 0.25 + task 1 = 10 CPUs > 6")
    assert said[1:] == [f"predict: max {count} -> {count - 1}" for count in (8, 7, 6, 5)]


def test_no_pool_shrinks_to_one_actor() -> None:
    with pytest.raises(ConfigError, match=r"predict 2 x 2 \+ .* = 6 CPUs > 4"):
        fit_cluster(cluster(num_cpus=2.0), [Node(num_cpus=4, memory_gib=64)])


def test_a_pool_that_is_known_to_hang_is_refused() -> None:
    fixed = cluster(predictors=1)
    with pytest.raises(ConfigError, match="fixed pool of one"):
        fit_cluster(fixed, [Node(num_cpus=64, memory_gib=64)])


def test_nodes_that_an_autoscaler_will_add_count_already() -> None:
    groups = {"cpu": WorkerGroup(num_cpus=8, memory_gib=64, min=0, max=2)}
    assert fit_cluster(cluster(workers=groups), [Node(num_cpus=16, memory_gib=64)])[1] == []


@pytest.mark.parametrize(("num_cpus", "num_gpus"), [(1, 0), (2, 0), (4, 0), (64, 0), (8, 1), (96, 8)])
def test_the_pools_of_an_undescribed_machine_have_nothing_against_them(num_cpus: int, num_gpus: int) -> None:
    found = cluster_here(num_cpus=num_cpus, num_gpus=num_gpus, memory_gib=256.0)
    errors = [it for it in lint_cluster(found) if it.level == "error" and it.field.startswith("pools")]
    assert errors == []
    assert found.pools.predict.max * found.pools.predict.num_gpus == num_gpus
