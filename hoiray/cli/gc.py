"""`hoiray gc`: what a run's folder holds that nothing needs."""

import time

import typer


def collect_garbage(run: str, *, delete: bool, min_age_h: float) -> int:
    """Print what nothing needs, and delete it where asked to; return the exit status."""
    from hoiray.io.store import Store
    from hoiray.stages.gc import delete_garbage, find_garbage

    store = Store.open(run)
    num_objects, num_bytes = 0, 0
    # a list: deleting while listing would skip what moves up
    for garbage in list(find_garbage(store, now_s=time.time(), min_age_s=min_age_h * 3600.0)):
        typer.echo(f"{'deleted' if delete else 'garbage'}: {garbage.key} ({garbage.reason})")
        if delete:
            delete_garbage(store, garbage)
        num_objects, num_bytes = num_objects + 1, num_bytes + garbage.size_bytes
    done = "deleted" if delete else "could be deleted (add --delete)"
    typer.echo(f"{num_objects} objects, {num_bytes / 1e6:.3g} MB {done}")
    return 0
