"""`hoiray cluster`: check a cluster file, and write from it what KubeRay or Ray's cluster launcher start."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, get_args

import typer

from hoiray import __version__
from hoiray.config.deployment import AuthMode, Deployment, Manifest, to_yaml
from hoiray.config.kuberay import JobName, RayJobRequest, ray_cluster, ray_job
from hoiray.config.launcher import Amazon, launcher_cluster
from hoiray.config.lint import Finding, active_pools, lint_cluster, planned_nodes
from hoiray.config.load import load_cluster, load_run, load_training
from hoiray.config.problems import did_you_mean
from hoiray.config.what import RunConfig, TrainRun
from hoiray.config.where import ClusterConfig, Node
from hoiray.errors import ConfigError, describe
from hoiray.io.secrets import redacted

EXIT_FINDINGS: Final = 1
"""Exit status when a cluster file would hang or starve a run."""

KINDS: Final = ("rayjob", "raycluster", "launcher")

_ON_LAPTOPS: Final = ("RAY_AUTH_MODE", "RAY_idle_worker_killing_time_threshold_ms")
"""Settings of a Ray started here that no cluster gets: it is not open to all, and gives the memory of workers back."""

_MIN_WIDTH: Final = 100
"""Of the tables where the output is no terminal, in characters."""


@dataclass(frozen=True)
class RenderRequest:
    """What was typed.

    Attributes:
        scaling: cluster file.
        kind: one of :data:`KINDS`.
        overrides: changes of single fields of the cluster file.
        image, name, auth, environment, secrets: see :class:`hoiray.config.deployment.Deployment`; no name: the file's.
        job, run, working_dir, num_retries: of a rayjob.
        region, instance_profile, ssh_user: of the launcher.
        out: file to write; None: standard output.
    """

    scaling: Path
    kind: str
    overrides: Sequence[str] = ()
    image: str | None = None
    name: str | None = None
    auth: str = "token"
    environment: Sequence[str] = ()
    secrets: Sequence[str] = ()
    job: str = "label"
    run: Path | None = None
    working_dir: str | None = None
    num_retries: int = 3
    region: str | None = None
    instance_profile: str | None = None
    ssh_user: str = "ubuntu"
    out: Path | None = None


def lint(scaling: Path, overrides: Sequence[str]) -> int:
    """Show what a cluster has, what is wanted of it, and what is known to hang or starve; return the exit status.

    Raises:
        ConfigError: the file cannot be read as a cluster file.
    """
    cluster = load_cluster(scaling, overrides)
    findings = lint_cluster(cluster)
    _show_amounts(cluster)
    if not findings:
        typer.echo(f"{scaling}: nothing found: nothing here is known to hang or starve a run")
        return 0
    _show_findings(findings)
    errors = sum(finding.level == "error" for finding in findings)
    typer.echo(f"{scaling}: {_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}")
    return EXIT_FINDINGS if errors else 0


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _show_amounts(cluster: ClusterConfig) -> None:
    """Show what there is beside what is wanted, each at its smallest and at its largest."""
    from rich.table import Table

    table = Table("", "cluster, smallest", "largest", "pools, smallest", "largest", "training")
    for column in table.columns[1:]:
        column.justify = "right"
    smallest, largest = (planned_nodes(cluster, at_most=at_most) for at_most in (False, True))
    table.add_row("nodes", str(len(smallest)), str(len(largest)), "", "", f"{cluster.train.num_workers} workers")
    for label, of_node, of_actor in (
        ("CPUs", "num_cpus", "num_cpus"),
        ("GPUs", "num_gpus", "num_gpus"),
        ("GiB for actors", "actors_gib", "memory_gib"),
    ):
        pools = active_pools(cluster).values()
        amounts = (
            _sum(smallest, of_node),
            _sum(largest, of_node),
            sum(pool.min * (getattr(pool, of_actor) or 0.0) for pool in pools),
            sum(pool.max * (getattr(pool, of_actor) or 0.0) for pool in pools),
            cluster.train.num_workers * (getattr(cluster.train, of_actor) or 0.0),
        )
        table.add_row(label, *(f"{amount:g}" for amount in amounts))
    _print(table)


def _sum(nodes: Sequence[Node], attribute: str) -> float:
    return float(sum(getattr(node, attribute) for node in nodes))


def _show_findings(findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("level", "field", "what is wrong", show_lines=True)
    for finding in findings:
        style = "red" if finding.level == "error" else "yellow"
        table.add_row(Text(finding.level, style=style), Text(finding.field), Text(finding.message))
    _print(table)


def _print(table: object) -> None:
    import sys

    from rich.console import Console

    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=max(_MIN_WIDTH, console.width))
    console.print(table)


def render(request: RenderRequest) -> int:
    """Write the manifests and say what to do with them; return the exit status.

    Raises:
        ConfigError: a file or option is wrong, or the cluster file would hang or starve a run.
    """
    _check_choice("--kind", request.kind, KINDS)
    _check_choice("--auth", request.auth, get_args(AuthMode))
    _check_choice("--job", request.job, get_args(JobName))
    cluster = load_cluster(request.scaling, request.overrides)
    _refuse_errors(cluster, request.scaling)
    documents = _documents(cluster, request)
    text = to_yaml(documents, _heading(request))
    if request.out is None:
        typer.echo(text, nl=False)
        return 0
    _write(request.out, text)
    typer.echo(f"wrote {request.out}. {_next_step(request)}", err=True)
    return 0


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value in choices:
        return
    near = did_you_mean(value, list(choices))
    fix = f"Did you mean {near!r}?" if near else "Choose one of them."
    raise ConfigError(describe(what=option, expected=f"one of {', '.join(choices)}", found=repr(value), fix=fix))


def _refuse_errors(cluster: ClusterConfig, path: Path) -> None:
    """Refuse what would hang; say the rest on standard error."""
    findings = lint_cluster(cluster)
    errors = [str(finding) for finding in findings if finding.level == "error"]
    if errors:
        raise ConfigError("\n  ".join([f"{path}: a run on this cluster would hang or starve:", *errors]))
    for finding in findings:
        typer.echo(f"{path}: {finding}", err=True)


def _documents(cluster: ClusterConfig, request: RenderRequest) -> list[Manifest]:
    deployment = _deployment(request)
    if request.kind == "rayjob":
        job = RayJobRequest(
            job="train" if request.job == "train" else "label",
            run=_run(request),
            working_dir=_remote_working_dir(request.working_dir),
            num_retries=request.num_retries,
        )
        return ray_job(cluster, deployment, job)
    for option, value in (("--run", request.run), ("--working-dir", request.working_dir)):
        if value is not None:
            fix = "Leave it out; jobs are then submitted with `hoiray submit`. Or render --kind rayjob."
            what = f"--kind {request.kind}"
            raise ConfigError(describe(what=what, expected=f"no {option}", found=str(value), fix=fix))
    if request.kind == "raycluster":
        return ray_cluster(cluster, deployment)
    return launcher_cluster(cluster, deployment, _amazon(request))


def _deployment(request: RenderRequest) -> Deployment:
    if request.image is None:
        ray = version("ray")
        expected = f"--image, a container image with hoiray and Ray {ray} in it"
        fix = "docs/clusters.md says how to build one."
        raise ConfigError(describe(what=f"--kind {request.kind}", expected=expected, found="none", fix=fix))
    from hoiray.engine.session import QUIET, WORKER_ENVIRONMENT

    ours = {name: value for name, value in {**QUIET, **WORKER_ENVIRONMENT}.items() if name not in _ON_LAPTOPS}
    return Deployment(
        name=request.name or f"hoiray-{request.scaling.stem.lower().replace('_', '-')}",
        image=request.image,
        ray_version=version("ray"),
        auth="disabled" if request.auth == "disabled" else "token",
        environment=ours | dict(map(_assignment, request.environment)),
        secrets=tuple(request.secrets),
    )


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        fix = "For secrets, name a Kubernetes secret with --secret."
        raise ConfigError(describe(what="--env", expected="NAME=VALUE", found=repr(name), fix=fix))
    return name, value


def _run(request: RenderRequest) -> RunConfig | TrainRun:
    """Read the run file, and refuse what must not travel or cannot be found from another machine."""
    if request.run is None:
        fix = "Name the run file with --run, e.g. --run jobs/label.yaml, or render --kind raycluster."
        raise ConfigError(describe(what="--kind rayjob", expected="--run", found="none", fix=fix))
    run = load_training(request.run) if request.job == "train" else load_run(request.run)
    text = run.model_dump_json()
    if redacted(text) != text:
        expected = "no credentials in it: they would stand in a ConfigMap"
        fix = "Take them out and put them into a Kubernetes secret (--secret NAME)."
        raise ConfigError(describe(what=str(request.run), expected=expected, found="some", fix=fix))
    if "://" not in run.output_uri:
        typer.echo(
            f"{request.run}: output_uri: warning: {run.output_uri!r} is a path of each pod, lost with it, unless a"
            " shared volume is mounted there; use s3://bucket/prefix",
            err=True,
        )
    return run


def _remote_working_dir(uri: str | None) -> str | None:
    if uri is None or ("://" in uri and uri.endswith(".zip")):
        return uri
    expected = "the URI of a zip that the pods can reach, such as s3://bucket/hoiray.zip"
    fix = "Upload one, or leave the option out and build an image whose working directory has jobs/."
    raise ConfigError(describe(what="--working-dir", expected=expected, found=repr(uri), fix=fix))


def _amazon(request: RenderRequest) -> Amazon:
    if request.secrets:
        fix = "Give the machines a role with --instance-profile NAME instead."
        expected = "no --secret: the launcher knows no Kubernetes secrets"
        found = ", ".join(request.secrets)
        raise ConfigError(describe(what="--kind launcher", expected=expected, found=found, fix=fix))
    if request.region is None:
        fix = "Name Amazon's region, e.g. --region eu-central-1."
        raise ConfigError(describe(what="--kind launcher", expected="--region", found="none", fix=fix))
    if request.instance_profile is None:
        typer.echo(
            "--instance-profile: warning: without a role the workers cannot reach S3; name one that may read the"
            " videos and write the labels",
            err=True,
        )
    return Amazon(request.region, request.instance_profile, request.ssh_user)


def _heading(request: RenderRequest) -> list[str]:
    changes = "".join(f" --set {override}" for override in request.overrides)
    return [f"Made by hoiray {__version__} from {request.scaling.name}{changes}. Change that file and render again."]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fix = "Name a file that can be written."
        found = error.strerror or type(error).__name__
        raise ConfigError(describe(what=f"--out {path}", expected="a file", found=found, fix=fix)) from error


def _next_step(request: RenderRequest) -> str:
    if request.kind == "launcher":
        token = "" if request.auth == "disabled" else "ray get-auth-token --generate; "
        return f"Next: {token}ray up {request.out}"
    return f"Next: kubectl apply -f {request.out}"
