import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kuberay_schema import broken_rules, errors_of, kuberay_validator

from hoiray.config.deployment import Deployment, Manifest, to_yaml
from hoiray.config.kuberay import MAX_CONFIG_MAP_BYTES, RayJobRequest, ray_cluster, ray_job
from hoiray.config.load import load_cluster, load_run, load_training, parse_cluster, parse_run
from hoiray.config.where import ClusterConfig
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]
CLUSTERS = sorted(path.stem for path in (ROOT / "cluster").glob("*.yaml"))
DEPLOYMENT = Deployment("hoi", "reg.example.com/hoiray:1", "2.60.0", environment={"A": "1"}, secrets=("s3",))
LABEL = RayJobRequest("label", load_run(ROOT / "jobs/label.yaml"))


def cluster_of(name: str) -> ClusterConfig:
    return load_cluster(ROOT / f"cluster/{name}.yaml")


def job_of(cluster: ClusterConfig, request: RayJobRequest = LABEL) -> Any:
    config_map, job = ray_job(cluster, DEPLOYMENT, request)
    assert config_map["kind"] == "ConfigMap"
    return job


def manifest_of(cluster: ClusterConfig, deployment: Deployment = DEPLOYMENT) -> Any:
    (manifest,) = ray_cluster(cluster, deployment)
    return manifest


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_cluster_file_makes_manifests_that_kuberay_takes(name: str) -> None:
    cluster = cluster_of(name)
    for manifest in (manifest_of(cluster), job_of(cluster)):
        read_back = yaml.safe_load(to_yaml([manifest], ["of a test"]))
        assert read_back == manifest
        assert errors_of(kuberay_validator(manifest["kind"]), read_back) == []
        assert broken_rules(read_back) == []


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), "shutDownAfterJobFinishes", True),
        (("rayClusterSpec", "workerGroupSpecs", 0), "minReplica", 1),
        (("rayClusterSpec", "autoscalerOptions"), "version", "v3"),
        (("rayClusterSpec", "headGroupSpec", "rayStartParams"), "num-cpus", 4),
        (("rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0), "volumeMount", []),
    ],
)
def test_the_check_against_the_schema_finds_a_slip(path: tuple[str | int, ...], key: str, value: object) -> None:
    manifest = copy.deepcopy(job_of(cluster_of("gpu-spot")))
    node: Any = manifest["spec"]
    for step in path:
        node = node[step]
    node[key] = value
    assert errors_of(kuberay_validator("RayJob"), manifest) != []


def test_the_check_against_the_rules_finds_a_slip() -> None:
    manifest = copy.deepcopy(job_of(cluster_of("gpu-spot")))
    manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["restartPolicy"] = "Always"
    manifest["metadata"]["name"] = "Hoi"
    assert broken_rules(manifest) == ["a DNS-1035 name", "autoscaler v2 restarts no pod"]


def test_the_same_cluster_makes_the_same_text() -> None:
    texts = {to_yaml(ray_job(cluster_of("million"), DEPLOYMENT, LABEL), ["x"]) for _ in range(2)}
    assert len(texts) == 1


def test_groups_of_machines_are_those_of_the_file() -> None:
    cluster = cluster_of("gpu-spot")
    groups = manifest_of(cluster)["spec"]["workerGroupSpecs"]
    assert [group["groupName"] for group in groups] == list(cluster.workers)
    for group, wanted in zip(groups, cluster.workers.values(), strict=True):
        assert (group["minReplicas"], group["maxReplicas"]) == (wanted.min, wanted.max)
        assert group["rayStartParams"]["num-cpus"] == f"{wanted.num_cpus:g}"
        assert group["rayStartParams"]["num-gpus"] == f"{wanted.num_gpus:g}"


def test_only_clusters_that_may_grow_have_an_autoscaler() -> None:
    spec = manifest_of(cluster_of("gpu-spot"))["spec"]
    assert (spec["enableInTreeAutoscaling"], spec["autoscalerOptions"]["version"]) == (True, "v2")
    fixed = manifest_of(parse_cluster((ROOT / "cluster/gpu-spot.yaml").read_text(), FIXED))["spec"]
    assert "enableInTreeAutoscaling" not in fixed
    assert "autoscalerOptions" not in fixed
    assert "restartPolicy" not in fixed["headGroupSpec"]["template"]["spec"]
    assert "workerGroupSpecs" not in manifest_of(cluster_of("laptop"))["spec"]


FIXED = ["workers.gpu.min=8", "workers.cpu.min=4"]


def test_a_job_carries_the_files_that_it_reads() -> None:
    cluster = cluster_of("gpu-spot")
    config_map, job = (dict[str, Any](it) for it in ray_job(cluster, DEPLOYMENT, LABEL))
    assert parse_cluster(config_map["data"]["cluster.yaml"]) == cluster
    assert parse_run(config_map["data"]["run.yaml"]) == LABEL.run
    assert job["spec"]["entrypoint"] == ("python -m jobs.label /etc/hoiray/run.yaml --cluster /etc/hoiray/cluster.yaml")
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "run-files", "configMap": {"name": "hoi-run"}} in pod["volumes"]
    assert {"name": "run-files", "mountPath": "/etc/hoiray"} in pod["containers"][0]["volumeMounts"]


def test_a_job_takes_its_cluster_down_and_is_tried_again() -> None:
    request = RayJobRequest("label", LABEL.run, working_dir="s3://b/h.zip", num_retries=7, arguments=["--set", "a b=1"])
    spec = job_of(cluster_of("laptop"), request)["spec"]
    assert (spec["shutdownAfterJobFinishes"], spec["backoffLimit"], spec["submissionMode"]) == (True, 7, "K8sJobMode")
    assert yaml.safe_load(spec["runtimeEnvYAML"]) == {"working_dir": "s3://b/h.zip"}
    assert spec["entrypoint"].endswith(" --set 'a b=1'")


def test_a_training_is_a_job_too() -> None:
    request = RayJobRequest("train", load_training(ROOT / "jobs/train.yaml"))
    assert job_of(cluster_of("gpu-spot"), request)["spec"]["entrypoint"].startswith("python -m jobs.train ")


def test_files_too_large_for_a_config_map_are_refused() -> None:
    run = parse_run(
        "output_uri: o\nvideos: {uri: " + "v" * MAX_CONFIG_MAP_BYTES + "}\nhand: {flat_hand_mean: true}\n"
        "teacher: {predictor: network}\n"
    )
    with pytest.raises(ConfigError, match="expected at most 1048576 bytes, which a ConfigMap holds, found 10"):
        ray_job(cluster_of("laptop"), DEPLOYMENT, RayJobRequest("label", run))


def test_a_token_is_asked_for_unless_it_is_switched_off() -> None:
    assert manifest_of(cluster_of("laptop"))["spec"]["authOptions"] == {"mode": "token"}
    off = Deployment("hoi", "i", "2.60.0", auth="disabled")
    spec = manifest_of(cluster_of("laptop"), off)["spec"]
    assert spec["authOptions"] == {"mode": "disabled"}
    environment = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "RAY_AUTH_MODE", "value": "disabled"} in environment


@pytest.mark.parametrize(
    ("length", "fits_a_cluster", "fits_a_job"), [(47, True, True), (53, True, False), (54, False, False)]
)
def test_names_are_as_long_as_kubernetes_services_allow(length: int, fits_a_cluster: bool, fits_a_job: bool) -> None:
    deployment = Deployment("n" * length, "i", "2.60.0")

    def works(make: Any, *more: Any) -> bool:
        try:
            manifests: list[Manifest] = make(cluster_of("laptop"), deployment, *more)
        except ConfigError:
            return False
        return bool(manifests)

    assert (works(ray_cluster), works(ray_job, LABEL)) == (fits_a_cluster, fits_a_job)
