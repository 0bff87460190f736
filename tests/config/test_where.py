from typing import Any

import pytest
from pydantic import ValidationError

from hoiray.config.where import ClusterConfig, DecodePool, Pool, PredictPool, WorkerGroup


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"min": 3, "max": 2}, "max"),
        ({"min": 2, "max": 4, "initial": 1}, "initial"),
        ({"min": 2, "max": 4, "initial": 5}, "initial"),
    ],
)
def test_a_pools_sizes_are_in_order(values: dict[str, int], field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Pool.model_validate(values)
    assert raised.value.errors()[0]["ctx"]["field"] == field


@pytest.mark.parametrize("initial", [2, 3, 4])
def test_a_pool_may_start_at_either_bound(initial: int) -> None:
    assert Pool(min=2, max=4, initial=initial).start == initial


def test_a_pool_starts_at_its_minimum_unless_told_otherwise() -> None:
    assert Pool(min=2, max=4).start == 2


def test_ray_has_no_pool_of_zero() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Pool(min=0)


def test_the_pools_differ_only_where_their_work_does() -> None:
    assert PredictPool().batch_size == 64
    assert DecodePool().where == "pool"
    assert Pool().batch_size == 1


def test_a_group_of_nodes_has_its_bounds_in_order() -> None:
    values: dict[str, Any] = {"num_cpus": 1, "memory_gib": 1}
    assert WorkerGroup(**values, min=2, max=2).min == 2
    with pytest.raises(ValidationError, match="at least min = 3"):
        WorkerGroup(**values, min=3, max=2)


@pytest.mark.parametrize("name", ["GPU", "gpu_1", "1gpu", "gpu-", "", "g" * 41])
def test_a_group_of_nodes_has_a_name_that_kubernetes_accepts(name: str) -> None:
    group = {"num_cpus": 1, "memory_gib": 1}
    with pytest.raises(ValidationError, match="pattern"):
        ClusterConfig.model_validate({"head": group, "workers": {name: group}})
    assert ClusterConfig.model_validate({"head": group, "workers": {"g" * 40: group}}).workers
