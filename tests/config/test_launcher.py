import json
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import Draft7Validator

from hoiray.config.deployment import Deployment, to_yaml
from hoiray.config.launcher import Amazon, launcher_cluster
from hoiray.config.load import load_cluster
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]
DEPLOYMENT = Deployment("hoi", "reg.example.com/hoiray:1", "2.60.0", environment={"A": "it's"})
AMAZON = Amazon("eu-central-1", "hoiray-s3")
GIB = 1 << 30


def manifest_of(name: str, *overrides: str, deployment: Deployment = DEPLOYMENT, amazon: Amazon = AMAZON) -> Any:
    (manifest,) = launcher_cluster(load_cluster(ROOT / f"cluster/{name}.yaml", overrides), deployment, amazon)
    return manifest


def errors_of(manifest: Any) -> list[str]:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    return [error.message for error in Draft7Validator(schema).iter_errors(manifest)]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "cluster").glob("*.yaml")))
def test_every_cluster_file_makes_a_file_that_ray_up_takes(name: str) -> None:
    manifest = manifest_of(name, "head.machine=m7i.xlarge")
    read_back = yaml.safe_load(to_yaml([manifest], ["of a test"]))
    assert read_back == manifest
    assert errors_of(read_back) == []


def test_rays_own_check_takes_the_file_with_its_defaults_filled_in() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(manifest_of("gpu-spot"))
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert types[prepared["head_node_type"]]["max_workers"] == 0
    assert (types["gpu"]["min_workers"], types["gpu"]["max_workers"], prepared["max_workers"]) == (2, 8, 12)


def test_the_check_against_the_schema_finds_a_slip() -> None:
    manifest = manifest_of("gpu-spot")
    manifest["available_node_types"]["gpu"]["min_worker"] = 1
    assert errors_of(manifest) != []


def test_spot_groups_are_spot_and_the_head_is_not() -> None:
    types = manifest_of("gpu-spot")["available_node_types"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["ray.head"]["node_config"]
    kept = manifest_of("gpu-spot", "workers.gpu.spot=false")["available_node_types"]["gpu"]
    assert "InstanceMarketOptions" not in kept["node_config"]


def test_ray_is_told_of_what_the_object_store_leaves() -> None:
    manifest = manifest_of("gpu-spot", "workers.gpu.object_store_gib=16")
    gpu = manifest["available_node_types"]["gpu"]
    assert gpu["resources"] == {"CPU": 8, "GPU": 1, "memory": 40 * GIB, "object_store_memory": 16 * GIB}
    assert gpu["docker"] == {"worker_run_options": ["--shm-size=16640m"]}


def test_every_machine_has_the_role_that_reaches_s3() -> None:
    types = manifest_of("gpu-spot")["available_node_types"].values()
    assert {node["node_config"]["IamInstanceProfile"]["Name"] for node in types} == {"hoiray-s3"}
    bare = manifest_of("gpu-spot", amazon=Amazon("eu-central-1"))["available_node_types"]["gpu"]
    assert "IamInstanceProfile" not in bare["node_config"]


def test_nodes_know_whether_a_token_is_asked_for() -> None:
    manifest = manifest_of("gpu-spot")
    assert "--env=RAY_AUTH_MODE=token" in manifest["docker"]["run_options"]
    assert manifest["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    off = manifest_of("gpu-spot", deployment=Deployment("hoi", "i", "2.60.0", auth="disabled"))
    assert "--env=RAY_AUTH_MODE=disabled" in off["docker"]["run_options"]
    assert "file_mounts" not in off


def test_variables_survive_the_shell() -> None:
    import shlex

    (option,) = [it for it in manifest_of("gpu-spot")["docker"]["run_options"] if "A=" in it]
    assert shlex.split(option) == ["--env=A=it's"]


def test_machines_without_a_type_are_named_with_what_they_need() -> None:
    with pytest.raises(ConfigError, match=r"found none for head: 4 CPUs, 0 GPUs, 16 GiB\. Add `machine: TYPE`"):
        manifest_of("laptop")
