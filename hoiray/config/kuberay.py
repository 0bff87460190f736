"""KubeRay's RayCluster and RayJob from a cluster file: the pools of a run and the machines under it cannot disagree."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import yaml

from hoiray.config.deployment import MAX_JOB_NAME, Deployment, Manifest, check_deployment
from hoiray.config.dump import dump
from hoiray.config.pods import FILES_FOLDER, head_pod, start_parameters, worker_pod
from hoiray.config.what import RunConfig, TrainRun
from hoiray.config.where import ClusterConfig, WorkerGroup
from hoiray.errors import ConfigError, describe

API_VERSION: Final = "ray.io/v1"

IDLE_TIMEOUT_S: Final = 120
"""A node without work is given back after so long; Ray's own 60 s throw spot nodes away between two shards."""

KEPT_AFTER_S: Final = 300
"""The pods of an ended job stay so long, to be looked at; idle workers are gone before."""

NUM_RETRIES: Final = 3
"""Each starts a whole new cluster. The run goes on from its commit markers, so a retry costs the shards in flight."""

MAX_CONFIG_MAP_BYTES: Final = 1 << 20
"""Kubernetes stores no larger ConfigMap."""

_AUTOSCALER: Final[Mapping[str, str]] = {"cpu": "500m", "memory": "1Gi"}
"""Of the autoscaler's container in the head's pod, on top of the head itself."""

JobName = Literal["label", "train"]


@dataclass(frozen=True)
class RayJobRequest:
    """What a RayJob runs.

    Attributes:
        job: `jobs.label` or `jobs.train`.
        run: what to do; it travels in a ConfigMap.
        working_dir: URI of a zip that the job runs in; None: the image's own working directory has `jobs/`.
        num_retries: how often a failed job is started anew, on a cluster of its own.
        arguments: more arguments of the job.
    """

    job: JobName
    run: RunConfig | TrainRun
    working_dir: str | None = None
    num_retries: int = NUM_RETRIES
    arguments: Sequence[str] = ()


def ray_cluster(cluster: ClusterConfig, deployment: Deployment) -> list[Manifest]:
    """Return the documents of a RayCluster, for jobs that are submitted one by one.

    Raises:
        ConfigError: a name or number is none that KubeRay takes.
    """
    check_deployment(deployment)
    spec = _cluster_spec(cluster, deployment, config_map=None)
    return [{"apiVersion": API_VERSION, "kind": "RayCluster", "metadata": _metadata(deployment.name), "spec": spec}]


def ray_job(cluster: ClusterConfig, deployment: Deployment, request: RayJobRequest) -> list[Manifest]:
    """Return the documents of a RayJob, which brings its own cluster and takes it down: files of the run, and the job.

    Raises:
        ConfigError: a name or number is none that KubeRay takes, or the run's files are too large.
    """
    check_deployment(deployment, max_name=MAX_JOB_NAME)
    config_map = f"{deployment.name}-run"
    files = {"cluster.yaml": dump(cluster), "run.yaml": dump(request.run)}
    size = sum(len(text.encode()) for text in files.values())
    if size > MAX_CONFIG_MAP_BYTES:
        fix = "Put the files into the image, render a raycluster, and submit the job to it."
        expected = f"at most {MAX_CONFIG_MAP_BYTES} bytes, which a ConfigMap holds"
        raise ConfigError(describe(what="run and cluster file", expected=expected, found=f"{size} bytes", fix=fix))
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(config_map), "data": dict(files)},
        {
            "apiVersion": API_VERSION,
            "kind": "RayJob",
            "metadata": _metadata(deployment.name),
            "spec": _job_spec(cluster, deployment, request, config_map),
        },
    ]


def _job_spec(cluster: ClusterConfig, deployment: Deployment, request: RayJobRequest, config_map: str) -> Manifest:
    files = [f"{FILES_FOLDER}/run.yaml", "--cluster", f"{FILES_FOLDER}/cluster.yaml"]
    spec: Manifest = {
        "entrypoint": shlex.join(["python", "-m", f"jobs.{request.job}", *files, *request.arguments]),
        # a pod of its own submits the job, follows its log (`kubectl logs job/NAME`), and ends as the job ends
        "submissionMode": "K8sJobMode",
        "backoffLimit": request.num_retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_AFTER_S,
    }
    if request.working_dir is not None:
        spec["runtimeEnvYAML"] = yaml.safe_dump({"working_dir": request.working_dir})
    spec["rayClusterSpec"] = _cluster_spec(cluster, deployment, config_map=config_map)
    return spec


def _metadata(name: str) -> Manifest:
    return {"name": name, "labels": {"app.kubernetes.io/name": "hoiray"}}


def _cluster_spec(cluster: ClusterConfig, deployment: Deployment, *, config_map: str | None) -> Manifest:
    grows = any(group.min < group.max for group in cluster.workers.values())
    spec: Manifest = {"rayVersion": deployment.ray_version, "authOptions": {"mode": deployment.auth}}
    if grows:
        spec["enableInTreeAutoscaling"] = True
        spec["autoscalerOptions"] = {
            "version": "v2",
            "upscalingMode": "Default",
            "idleTimeoutSeconds": IDLE_TIMEOUT_S,
            "resources": {"requests": dict(_AUTOSCALER), "limits": dict(_AUTOSCALER)},
        }
    spec["headGroupSpec"] = {
        "rayStartParams": dict(start_parameters(cluster.head, "head")),
        "template": head_pod(cluster.head, deployment, config_map=config_map, never_restarts=grows),
    }
    if cluster.workers:
        spec["workerGroupSpecs"] = [
            _group(name, group, deployment, grows=grows) for name, group in cluster.workers.items()
        ]
    return spec


def _group(name: str, group: WorkerGroup, deployment: Deployment, *, grows: bool) -> Manifest:
    return {
        "groupName": name,
        "replicas": group.min,
        "minReplicas": group.min,
        "maxReplicas": group.max,
        "rayStartParams": dict(start_parameters(group, f"workers.{name}")),
        "template": worker_pod(group, deployment, never_restarts=grows),
    }
