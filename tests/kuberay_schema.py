"""KubeRay's published schemas, as strict as an operator could wish, and its rules that no schema says."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

FOLDER = Path(__file__).parents[2] / "shared" / "kuberay"


def kuberay_validator(kind: str) -> Draft7Validator:
    """Load the schema of a kind and close it against unknown fields; skip where the schemas are not there."""
    path = FOLDER / f"{kind}.v1.schema.json"
    if not path.is_file():
        pytest.skip(f"KubeRay's schemas are not beside the repository: no {path.name} in ../shared/kuberay")
    return Draft7Validator(_closed(json.loads(path.read_text())))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(child) for child in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(child) for key, child in node.items()}
    if closed.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if isinstance(closed.get("properties"), dict) and not closed.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def errors_of(validator: Draft7Validator, manifest: Mapping[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def broken_rules(manifest: Mapping[str, Any]) -> list[str]:
    """What KubeRay's operator refuses though the schema allows it (its validation of clusters and jobs)."""
    is_job = manifest["kind"] == "RayJob"
    spec = manifest["spec"]["rayClusterSpec"] if is_job else manifest["spec"]
    groups = spec.get("workerGroupSpecs", [])
    pods = [spec["headGroupSpec"], *groups]
    name = manifest["metadata"]["name"]
    containers = [pod["template"]["spec"]["containers"][0] for pod in pods]
    rules = {
        "a DNS-1035 name": re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) is not None,
        "a short name": len(name) <= (47 if is_job else 53),
        "minReplicas <= replicas <= maxReplicas": all(
            group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in groups
        ),
        "groups have names of their own": len({group["groupName"] for group in groups}) == len(groups),
        "resources in one place": not any(pod.get("resources") for pod in pods),
        "autoscaler v2 restarts no pod": not spec.get("enableInTreeAutoscaling")
        or all(pod["template"]["spec"].get("restartPolicy", "Never") == "Never" for pod in pods),
        "the autoscaler's version in one place": not any(
            variable["name"] == "RAY_enable_autoscaler_v2" for it in containers for variable in it["env"]
        ),
        "a token needs Ray 2.52": spec["authOptions"]["mode"] != "token"
        or tuple(map(int, spec["rayVersion"].split("."))) >= (2, 52, 0),
        "requests equal limits": all(it["resources"]["requests"] == it["resources"]["limits"] for it in containers),
        "one of cluster and selector": not is_job or "clusterSelector" not in manifest["spec"],
    }
    return [rule for rule, holds in rules.items() if not holds]
