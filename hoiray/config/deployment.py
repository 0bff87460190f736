"""How a cluster file is put on machines: what a manifest needs beside the cluster file itself."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import yaml
from pydantic import JsonValue

from hoiray.config.where import Node
from hoiray.errors import ConfigError, describe

Manifest = dict[str, JsonValue]
AuthMode = Literal["token", "disabled"]

MIB_PER_GIB: Final = 1024
BYTES_PER_GIB: Final = 1 << 30

MAX_CLUSTER_NAME: Final = 53
"""KubeRay refuses longer names of a RayCluster: its services append up to 10 characters to them."""
MAX_JOB_NAME: Final = 47
"""KubeRay names the cluster of a RayJob after it and appends 6 characters."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_SECRET_WORDS: Final = ("SECRET", "PASSWORD", "TOKEN", "CREDENTIAL", "ACCESS_KEY", "PRIVATE_KEY", "API_KEY")


@dataclass(frozen=True)
class Deployment:
    """What the manifests of one cluster have in common.

    Attributes:
        name: of the cluster, or of the job.
        image: a container image with hoiray in it, and the same Ray as here.
        ray_version: Ray's version, as all its parties must have it.
        auth: token: whoever talks to the cluster shows a token that only its owner has; disabled: for closed networks.
        environment: variables of every node; they end up in the manifest, so no secrets.
        secrets: names of Kubernetes secrets whose keys become variables of every node.
    """

    name: str
    image: str
    ray_version: str
    auth: AuthMode = "token"
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()


def check_deployment(deployment: Deployment, *, max_name: int = MAX_CLUSTER_NAME) -> None:
    """Refuse what the cluster would refuse, and secrets in plain text.

    Raises:
        ConfigError: a name is none, or a variable looks like a secret.
    """
    name = deployment.name
    if not _NAME.fullmatch(name) or len(name) > max_name:
        expected = f"lower-case letters, digits and '-', beginning with a letter, at most {max_name} characters"
        raise ConfigError(describe(what="--name", expected=expected, found=repr(name), fix="Choose another name."))
    if not deployment.image.strip() or any(char.isspace() for char in deployment.image):
        fix = "Name the image you built, e.g. --image registry.example.com/hoiray:1.0."
        raise ConfigError(describe(what="--image", expected="a container image", found=repr(deployment.image), fix=fix))
    for secret in deployment.secrets:
        if not _SECRET_NAME.fullmatch(secret):
            fix = "Make it with `kubectl create secret generic NAME --from-env-file=FILE` and give its name."
            expected = "the name of a Kubernetes secret"
            raise ConfigError(describe(what="--secret", expected=expected, found=repr(secret), fix=fix))
    for variable in deployment.environment:
        _check_variable(variable)


def _check_variable(variable: str) -> None:
    if not _VARIABLE.fullmatch(variable):
        expected = "the name of an environment variable before the '='"
        raise ConfigError(describe(what="--env", expected=expected, found=repr(variable), fix="Correct it."))
    if any(word in variable.upper() for word in _SECRET_WORDS):
        fix = "Put it into a Kubernetes secret (KubeRay: --secret NAME) or use the machines' own role."
        expected = "no secret: a manifest is text that many people read"
        raise ConfigError(describe(what=f"--env {variable}", expected=expected, found="one, by its name", fix=fix))


def whole(amount: float, what: str) -> int:
    """Return a whole number of CPUs or GPUs of a node, as `ray start` takes them.

    Raises:
        ConfigError: it is none.
    """
    if amount != int(amount):
        fix = "Ray starts nodes with whole CPUs and GPUs; only actors may take parts of them."
        raise ConfigError(describe(what=what, expected="a whole number", found=f"{amount:g}", fix=fix))
    return int(amount)


def store_bytes(node: Node) -> int:
    """Return the object store of a node in bytes."""
    return int(node.store_gib * BYTES_PER_GIB)


def actors_bytes(node: Node) -> int:
    """Return the memory in bytes that actors may reserve: Ray would count the object store in as well."""
    return int(node.actors_gib * BYTES_PER_GIB)


def mib(gib: float) -> int:
    """Return MiB, rounded up."""
    return math.ceil(gib * MIB_PER_GIB - 1e-9)


class _Dumper(yaml.SafeDumper):
    """Writes several lines as a block, and repeats what occurs twice instead of referring to it."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(documents: Sequence[Manifest], heading: Sequence[str]) -> str:
    """Write manifests as YAML: the same manifests, the same text.

    Args:
        documents: one or several.
        heading: lines of the comment at the top.
    """
    comment = "".join(f"# {line}".rstrip() + "\n" for line in heading)
    texts = [
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"))
        for document in documents
    ]
    return comment + "---\n".join(texts)
