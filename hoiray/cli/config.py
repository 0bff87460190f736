"""`hoiray config`: check and show run files and cluster files without starting anything."""

from collections.abc import Sequence
from pathlib import Path

import typer

from hoiray.config.fingerprint import fingerprint
from hoiray.config.lint import lint_cluster
from hoiray.config.load import dump, load_cluster, load_run
from hoiray.errors import ConfigError


def check(run_path: Path, cluster_path: Path | None, overrides: Sequence[str]) -> int:
    """Validate both halves, report all their problems together, and print the fingerprint of the *what* half.

    Returns:
        The exit status: 2 when the cluster file would hang or starve a run, else 0.

    Raises:
        ConfigError: a file cannot be read as configuration; the message lists every problem of both files.
    """
    problems: list[str] = []
    run, cluster = None, None
    try:
        run = load_run(run_path, overrides)
    except ConfigError as error:
        problems.append(str(error))
    if cluster_path is not None:
        try:
            cluster = load_cluster(cluster_path)
        except ConfigError as error:
            problems.append(str(error))
    if problems or run is None:
        raise ConfigError("\n".join(problems))
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


def show(run_path: Path, overrides: Sequence[str]) -> None:
    """Print the resolved run configuration, every default filled in, with each field's meaning.

    Raises:
        ConfigError: the file cannot be read as configuration.
    """
    typer.echo(dump(load_run(run_path, overrides)), nl=False)
