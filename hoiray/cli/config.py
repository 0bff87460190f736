"""`hoiray config`: check and show run files and cluster files without starting anything."""

from collections.abc import Sequence
from pathlib import Path

import typer

from hoiray.config.fingerprint import fingerprint
from hoiray.config.halves import override_origin, route_overrides, split_override
from hoiray.config.lint import lint_cluster
from hoiray.config.load import dump, load_cluster, load_either, load_what
from hoiray.config.what import RunConfig, TrainRun
from hoiray.config.where import ClusterConfig
from hoiray.errors import ConfigError


def check(run_path: Path, cluster_path: Path | None, overrides: Sequence[str]) -> int:
    """Validate both halves, report all their problems together, and print the fingerprint of the *what* half.

    Args:
        run_path: the run file.
        cluster_path: the cluster file, if any.
        overrides: of either half; each goes to the one whose top-level key it names.

    Returns:
        The exit status: 2 when the cluster file would hang or starve a run, else 0.

    Raises:
        ConfigError: a file cannot be read as configuration, or an override names a key that neither half has; the
            message lists every problem of both files.
    """
    run, cluster = _load_both(run_path, cluster_path, overrides)
    typer.echo(f"ok       {run_path}: fingerprint {fingerprint(run)}")
    if cluster is None:
        return 0
    findings = lint_cluster(cluster)
    for finding in findings:
        colour = typer.colors.RED if finding.level == "error" else typer.colors.YELLOW
        level = typer.style(f"{finding.level:8}", fg=colour)
        typer.echo(f"{level} {cluster_path}: {finding.field}: {finding.message}")
    if any(finding.level == "error" for finding in findings):
        return 2
    typer.echo(f"ok       {cluster_path}: nothing here is known to hang or starve a run")
    return 0


def show(path: Path, overrides: Sequence[str]) -> None:
    """Print a resolved run or cluster configuration, every default filled in, with each field's meaning.

    Args:
        path: a file of either half; its keys tell which, and the first line of the output says so.
        overrides: of that half.

    Raises:
        ConfigError: the file cannot be read as configuration.
    """
    config = load_either(path, overrides)
    halves = {RunConfig: "Run configuration", TrainRun: "Training configuration"}
    half = halves.get(type(config), "Cluster configuration")
    typer.echo(f"# {half} of {str(path)!r}, with every default.")
    typer.echo(dump(config), nl=False)


def _load_both(
    run_path: Path, cluster_path: Path | None, overrides: Sequence[str]
) -> tuple[RunConfig | TrainRun, ClusterConfig | None]:
    routed = route_overrides(overrides)
    problems = list(routed.problems)
    run, cluster = None, None
    try:
        run = load_what(run_path, routed.run)
    except ConfigError as error:
        problems.append(str(error))
    if cluster_path is None:
        problems += map(_without_a_cluster_file, routed.cluster)
    else:
        try:
            cluster = load_cluster(cluster_path, routed.cluster)
        except ConfigError as error:
            problems.append(str(error))
    if problems or run is None:
        raise ConfigError("\n".join(problems))
    return run, cluster


def _without_a_cluster_file(override: str) -> str:
    keys, _ = split_override(override) or ((override,), "")
    return f"{override_origin(override)}: {keys[0]!r} is a key of the cluster file; name that file with --cluster"
