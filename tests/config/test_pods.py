from typing import Any

import pytest

from hoiray.config.deployment import Deployment
from hoiray.config.pods import SPOT_TAINTS, head_pod, start_parameters, worker_pod
from hoiray.config.where import Node, WorkerGroup
from hoiray.errors import ConfigError

GIB = 1 << 30
DEPLOYMENT = Deployment("hoi", "image:1", "2.60.0", environment={"B": "2", "A": "1"}, secrets=("s3", "more"))


def worker(**values: Any) -> Any:
    group = WorkerGroup(**{"num_cpus": 8, "memory_gib": 40, "object_store_gib": 10, **values})
    return worker_pod(group, DEPLOYMENT, never_restarts=True)


def head(**values: Any) -> Any:
    return head_pod(
        Node(**{"num_cpus": 4, "memory_gib": 16, **values}), DEPLOYMENT, config_map=None, never_restarts=False
    )


def test_ray_is_told_of_what_the_object_store_leaves() -> None:
    parameters = start_parameters(Node(num_cpus=8, num_gpus=2, memory_gib=40, object_store_gib=10), "workers.gpu")
    assert parameters == {
        "num-cpus": "8",
        "num-gpus": "2",
        "memory": str(30 * GIB),
        "object-store-memory": str(10 * GIB),
    }
    assert start_parameters(Node(num_cpus=0, memory_gib=10), "head")["object-store-memory"] == str(3 * GIB)


def test_the_object_store_fits_shared_memory_and_that_the_pod() -> None:
    (volume,) = worker()["spec"]["volumes"]
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "10496Mi"}
    (mount,) = worker()["spec"]["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/dev/shm")
    (volume,) = worker(object_store_gib=39.9)["spec"]["volumes"]
    assert volume["emptyDir"]["sizeLimit"] == "40960Mi"


def test_a_pod_asks_for_what_it_may_take() -> None:
    resources = worker(num_gpus=2)["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"] == {"cpu": "8", "memory": "40960Mi", "nvidia.com/gpu": "2"}
    assert "nvidia.com/gpu" not in worker()["spec"]["containers"][0]["resources"]["limits"]


def test_a_head_without_actors_still_has_cpus_to_run_on() -> None:
    assert head(num_cpus=0)["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "2"
    assert start_parameters(Node(num_cpus=0, memory_gib=16), "head")["num-cpus"] == "0"


def test_spot_and_gpu_machines_take_their_pods_and_only_theirs() -> None:
    keys = [it["key"] for it in worker(spot=True, num_gpus=1)["spec"]["tolerations"]]
    assert keys == [*SPOT_TAINTS, "nvidia.com/gpu"]
    assert "tolerations" not in worker()["spec"]
    assert worker(spot=True)["spec"]["terminationGracePeriodSeconds"] == 25
    assert worker()["spec"]["terminationGracePeriodSeconds"] == 60
    assert worker(node_selector={"a.b/c": "d"})["spec"]["nodeSelector"] == {"a.b/c": "d"}


def test_secrets_are_named_and_variables_are_in_order() -> None:
    container = worker()["spec"]["containers"][0]
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert container["envFrom"] == [{"secretRef": {"name": "s3"}}, {"secretRef": {"name": "more"}}]


def test_pods_that_the_autoscaler_owns_are_never_restarted() -> None:
    assert worker()["spec"]["restartPolicy"] == "Never"
    assert "restartPolicy" not in head()["spec"]


@pytest.mark.parametrize("field", ["num_cpus", "num_gpus"])
def test_a_part_of_a_cpu_makes_no_node(field: str) -> None:
    node = Node(**{"num_cpus": 1, "memory_gib": 1, field: 1.5})
    with pytest.raises(ConfigError, match=f"workers.cpu.{field}: expected a whole number, found 1.5"):
        start_parameters(node, "workers.cpu")
