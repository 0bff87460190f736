"""`hoiray verify`: is everything that a run has committed still there, and as it was committed?"""

import typer

MAX_SHOWN = 50


def verify_run(run: str, plan: str | None) -> int:
    """Check every digest and every row; return the exit status (1 where something is damaged)."""
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.verify import Verification, verify_area

    folder = open_run(run, plan)
    num_damaged = 0
    areas = folder.areas()
    for area in areas:
        result, counts = Verification(), {"damaged": 0, "nondeterministic": 0, "foreign": 0}
        for finding in verify_area(folder.store, folder.plan, area, result):
            counts[finding.kind] += 1
            if counts[finding.kind] <= MAX_SHOWN:
                typer.echo(f"{finding.kind}: {finding.name}: {finding.message}")
        state = "DAMAGED" if counts["damaged"] else "ok"
        typer.echo(
            f"{state}: {area.prefix}: {result.num_committed} committed shards, {result.num_rows} rows,"
            f" {result.num_bytes / 1e9:.3g} GB verified; {result.num_pending} pending, {result.num_dead} dead,"
            f" {counts['damaged']} damaged, {counts['nondeterministic']} nondeterministic, {counts['foreign']} of other"
            " plans"
        )
        num_damaged += counts["damaged"]
    if not areas:
        typer.echo("nothing is committed yet")
    return 1 if num_damaged else 0
