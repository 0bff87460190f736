"""The pods of a cluster: how many CPUs, GPUs and GiB each asks Kubernetes for, and what Ray is told of them.

* Requests equal limits: a pod that may take more than it asked for is the first to be killed when memory is short.
* The object store lives in /dev/shm, a memory volume that counts against the pod's limit. Kubernetes' default for it is
  64 MiB; with less than the object store asks for, Ray silently falls back to the disk.
* Ray is told of the memory that the object store leaves, else actors could reserve what the store takes.
"""

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import JsonValue

from hoiray.config.deployment import Deployment, Manifest, actors_bytes, mib, store_bytes, whole
from hoiray.config.where import Node, WorkerGroup

MIN_POD_CPUS: Final = {"head": 2, "worker": 1}
"""CPUs of a pod whose node gives Ray none (num_cpus: 0); the services on it need them all the same."""

SHM_SLACK_GIB: Final = 0.25
"""Room in /dev/shm beside the object store; Ray compares the size of the volume with what it wants."""

GRACE_S: Final = 60
"""Time a pod has to end. Ray hands its node over first, which takes up to 30 s."""

SPOT_GRACE_S: Final = 25
"""Spot machines give 25 s (Google) to 120 s of notice. What is committed is safe; only shards in flight are redone."""

SPOT_TAINTS: Final = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""Taints that providers put on spot machines by themselves (Google, Azure; Amazon puts none)."""

GPU: Final = "nvidia.com/gpu"

HEAD_PORTS: Final = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080}

FILES_FOLDER: Final = "/etc/hoiray"
"""Where the head finds the files of its run."""

_SHM: Final = "shared-memory"
_FILES: Final = "run-files"

_KEPT: Final[Manifest] = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""Keeps the autoscaler of machines from moving pods: Ray removes idle nodes itself."""


def start_parameters(node: Node, field: str) -> dict[str, str]:
    """Return what `ray start` is told of a node; KubeRay wants text.

    Raises:
        ConfigError: CPUs or GPUs are no whole number.
    """
    parameters = {
        "num-cpus": str(whole(node.num_cpus, f"{field}.num_cpus")),
        "num-gpus": str(whole(node.num_gpus, f"{field}.num_gpus")),
        "memory": str(actors_bytes(node)),
        "object-store-memory": str(store_bytes(node)),
    }
    if field == "head":
        parameters["dashboard-host"] = "0.0.0.0"  # noqa: S104 - inside a pod, behind its service
    return parameters


def head_pod(node: Node, deployment: Deployment, *, config_map: str | None, never_restarts: bool) -> Manifest:
    """Return the template of the head's pod.

    Args:
        node: the head.
        deployment: image, environment, secrets.
        config_map: ConfigMap with the run's files, mounted at :data:`FILES_FOLDER`; None for none.
        never_restarts: as the autoscaler (v2) wants it.
    """
    container = _container(node, deployment, "head")
    container["ports"] = [{"containerPort": port, "name": name} for name, port in HEAD_PORTS.items()]
    volumes = [_shared_memory(node)]
    if config_map is not None:
        _mount(container, _FILES, FILES_FOLDER)
        volumes.append({"name": _FILES, "configMap": {"name": config_map}})
    return _pod(node, container, volumes, never_restarts=never_restarts, spot=False)


def worker_pod(group: WorkerGroup, deployment: Deployment, *, never_restarts: bool) -> Manifest:
    """Return the template of a worker's pod."""
    container = _container(group, deployment, "worker")
    return _pod(group, container, [_shared_memory(group)], never_restarts=never_restarts, spot=group.spot)


def _container(node: Node, deployment: Deployment, role: Literal["head", "worker"]) -> Manifest:
    amounts: dict[str, JsonValue] = {
        "cpu": str(max(int(node.num_cpus), MIN_POD_CPUS[role])),
        "memory": f"{mib(node.memory_gib)}Mi",
    }
    if node.num_gpus:
        amounts[GPU] = str(int(node.num_gpus))
    environment = dict(deployment.environment)
    if deployment.auth == "disabled":  # a token and its mode are KubeRay's own business
        environment["RAY_AUTH_MODE"] = "disabled"
    container: Manifest = {
        "name": f"ray-{role}",
        "image": deployment.image,
        "resources": {"requests": dict(amounts), "limits": dict(amounts)},
        "env": [{"name": name, "value": value} for name, value in sorted(environment.items())],
    }
    if deployment.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in deployment.secrets]
    _mount(container, _SHM, "/dev/shm")  # noqa: S108 - the mount itself
    return container


def _mount(container: Manifest, volume: str, path: str) -> None:
    mounts = container.setdefault("volumeMounts", [])
    assert isinstance(mounts, list)
    mounts.append({"name": volume, "mountPath": path})


def _shared_memory(node: Node) -> JsonValue:
    size_gib = min(node.store_gib + SHM_SLACK_GIB, node.memory_gib)
    return {"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": f"{mib(size_gib)}Mi"}}


def _pod(
    node: Node, container: Manifest, volumes: Sequence[JsonValue], *, never_restarts: bool, spot: bool
) -> Manifest:
    spec: Manifest = {
        "containers": [container],
        "volumes": list(volumes),
        "terminationGracePeriodSeconds": SPOT_GRACE_S if spot else GRACE_S,
    }
    if never_restarts:
        spec["restartPolicy"] = "Never"
    if node.node_selector:
        spec["nodeSelector"] = dict(node.node_selector)
    taints = [*(SPOT_TAINTS if spot else ()), *([GPU] if node.num_gpus else [])]
    if taints:
        spec["tolerations"] = [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in taints]
    return {"metadata": {"annotations": dict(_KEPT)}, "spec": spec}
