import pytest

from hoiray.config.where import Node
from hoiray.engine.session import GIB, _node_of, ray_session
from hoiray.errors import ConfigError


def test_a_node_of_ray_is_a_node_of_a_cluster_file() -> None:
    resources = {"CPU": 8.0, "GPU": 1.0, "memory": 20.0 * GIB, "object_store_memory": 10.0 * GIB}
    assert _node_of(resources) == Node(num_cpus=8, num_gpus=1, memory_gib=30, object_store_gib=10)
    assert _node_of({}).num_cpus == 0


def test_a_cluster_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(ConfigError, match="the Ray cluster at head:6379: expected an answer, found nobody answers"),
        ray_session("head:6379", Node(num_cpus=1, memory_gib=1)),
    ):
        pass
