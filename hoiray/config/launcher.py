"""Ray's own cluster launcher (`ray up`) from a cluster file, on machines of Amazon's."""

import shlex
from dataclasses import dataclass
from typing import Final

from hoiray.config.deployment import Deployment, Manifest, actors_bytes, check_deployment, mib, store_bytes, whole
from hoiray.config.pods import SHM_SLACK_GIB
from hoiray.config.where import ClusterConfig, Node, WorkerGroup
from hoiray.errors import ConfigError, describe

HEAD_TYPE: Final = "ray.head"
"""No group can have this name: theirs hold no dots."""

IDLE_TIMEOUT_MINUTES: Final = 5
"""A machine without work is given back after so long; one that is started anew pulls the image for minutes."""

GCS_PORT: Final = 6379
CONTAINER: Final = "hoiray"
TOKEN_FILE: Final = "~/.ray/auth_token"  # noqa: S105 - the place of the token, made by `ray get-auth-token --generate`


@dataclass(frozen=True)
class Amazon:
    """What Amazon wants to know.

    Attributes:
        region: where to start the machines.
        instance_profile: role of all machines, by name; with none only the head can reach S3.
        ssh_user: of the machine image.
    """

    region: str
    instance_profile: str | None = None
    ssh_user: str = "ubuntu"


def launcher_cluster(cluster: ClusterConfig, deployment: Deployment, amazon: Amazon) -> list[Manifest]:
    """Return the document that `ray up` takes.

    Raises:
        ConfigError: a machine type is missing, or a number is none that Ray takes.
    """
    check_deployment(deployment)
    _check_machines(cluster)
    manifest: Manifest = {
        "cluster_name": deployment.name,
        "max_workers": sum(group.max for group in cluster.workers.values()),
        "idle_timeout_minutes": IDLE_TIMEOUT_MINUTES,
        "provider": {"type": "aws", "region": amazon.region},
        "auth": {"ssh_user": amazon.ssh_user},
        "docker": _docker(cluster, deployment),
        "available_node_types": {
            HEAD_TYPE: _node_type(cluster.head, "head", amazon),
            **{name: _group_type(name, group, amazon) for name, group in cluster.workers.items()},
        },
        "head_node_type": HEAD_TYPE,
    }
    if deployment.auth == "token":
        manifest["file_mounts"] = {TOKEN_FILE: TOKEN_FILE}
    # the launcher tells each node its resources (RAY_OVERRIDE_RESOURCES), so the commands are the same for all
    head = f"ray start --head --port={GCS_PORT} --autoscaling-config=~/ray_bootstrap_config.yaml"
    worker = f"ray start --address=$RAY_HEAD_IP:{GCS_PORT}"
    # a container of its own per machine: there is no other Ray in it that `ray stop` could take along
    manifest["head_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; {head} --dashboard-host=127.0.0.1"]
    manifest["worker_start_ray_commands"] = ["ray stop", f"ulimit -n 65536; {worker}"]
    return [manifest]


def _check_machines(cluster: ClusterConfig) -> None:
    nodes: dict[str, Node] = {"head": cluster.head, **{f"workers.{name}": it for name, it in cluster.workers.items()}}
    missing = [field for field, node in nodes.items() if node.machine is None]
    if not missing:
        return
    wants = "; ".join(
        f"{field}: {nodes[field].num_cpus:g} CPUs, {nodes[field].num_gpus:g} GPUs, {nodes[field].memory_gib:g} GiB"
        for field in missing
    )
    fix = f"Add `machine: TYPE` to the file, or e.g. --set {missing[0]}.machine=TYPE, with at least that."
    raise ConfigError(describe(what="the launcher", expected="machine types", found=f"none for {wants}", fix=fix))


def _docker(cluster: ClusterConfig, deployment: Deployment) -> Manifest:
    environment = {"RAY_AUTH_MODE": deployment.auth, **deployment.environment}
    options = [f"--env={name}={value}" for name, value in sorted(environment.items())]
    return {
        "image": deployment.image,
        "container_name": CONTAINER,
        "pull_before_run": True,
        "run_options": ["--ulimit=nofile=65536:65536", *map(shlex.quote, options)],
        "head_run_options": [_shm_option(cluster.head)],
    }


def _shm_option(node: Node) -> str:
    return f"--shm-size={mib(min(node.store_gib + SHM_SLACK_GIB, node.memory_gib))}m"


def _node_type(node: Node, field: str, amazon: Amazon) -> Manifest:
    resources: Manifest = {
        "CPU": whole(node.num_cpus, f"{field}.num_cpus"),
        "memory": actors_bytes(node),
        "object_store_memory": store_bytes(node),
    }
    if node.num_gpus:
        resources["GPU"] = whole(node.num_gpus, f"{field}.num_gpus")
    config: Manifest = {"InstanceType": node.machine}
    if amazon.instance_profile is not None:
        config["IamInstanceProfile"] = {"Name": amazon.instance_profile}
    return {"resources": resources, "node_config": config}


def _group_type(name: str, group: WorkerGroup, amazon: Amazon) -> Manifest:
    node_type = _node_type(group, f"workers.{name}", amazon)
    if group.spot:
        config = node_type["node_config"]
        assert isinstance(config, dict)
        config["InstanceMarketOptions"] = {"MarketType": "spot"}
    counts: Manifest = {"min_workers": group.min, "max_workers": group.max}
    return {**counts, **node_type, "docker": {"worker_run_options": [_shm_option(group)]}}
