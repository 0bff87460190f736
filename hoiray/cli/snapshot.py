"""`hoiray snapshot`: fix what is committed now, for training to consume."""

import typer

from hoiray.errors import ConfigError, describe


def take_snapshot(run: str, plan: str | None, area: str | None, *, partial: bool) -> int:
    """Write a snapshot and print its id; return the exit status.

    Raises:
        ConfigError: several tables are there, and none is named.
    """
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.snapshot import make_snapshot

    folder = open_run(run, plan)
    areas = {it.prefix: it for it in folder.areas()}
    wanted = [area] if area is not None else [name for name in areas if name.startswith("labels/")] or list(areas)
    if len(wanted) != 1 or wanted[0] not in areas:
        expected, fix = f"one of {', '.join(areas) or 'none'}", "Say which: --table labels/ID."
        raise ConfigError(describe(what=f"--table for {run}", expected=expected, found=str(area), fix=fix))
    head = make_snapshot(folder.store.probed(), folder.plan, areas[wanted[0]], allow_partial=partial).head
    missing = f", {head.num_missing} shards missing" if head.num_missing else ""
    typer.echo(
        f"snapshot {head.snapshot_id}: {head.num_shards} shards, {head.num_rows} rows, {head.num_accepted} accepted,"
        f" {head.num_dead} dead{missing}"
    )
    return 0
