"""`hoiray dead`: the videos a run gave up."""

import json

import typer

from hoiray.cli.runnable import runnable


def list_dead_videos(run: str, plan: str | None, predict_id: str | None, *, as_json: bool) -> int:
    """Print every video that was given up, one a line; return the exit status."""
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.dead import list_dead

    folder = open_run(run, plan)
    has_predictions = any(True for _ in folder.store.list_folders("predictions"))
    name = folder.predict_id(predict_id) if has_predictions else "none"
    count = 0
    for dead in list_dead(folder.store, name, folder.plan):
        count += 1
        letter = dead.letter
        if as_json:
            typer.echo(json.dumps(letter.model_dump() | {"shard_id": dead.shard_id}, sort_keys=True))
        else:
            frame = "" if letter.frame_index is None else f", frame {letter.frame_index}"
            typer.echo(f"{letter.video_id} ({letter.stage}{frame}): {letter.error_class}: {letter.message}")
    if not as_json:
        typer.echo(f"{count} dead")
    return 0


def retry_dead_videos(run: str, plan: str | None, predict_id: str | None, video: str | None) -> int:
    """Take back the shards of dead videos, so that the next run does them again; return the exit status."""
    from hoiray.cli.run_folder import open_run
    from hoiray.stages.dead import retry_dead

    folder = open_run(run, plan)
    shards = retry_dead(folder.store.probed(), folder.predict_id(predict_id), folder.plan, video_id=video)
    for shard in shards:
        typer.echo(shard)
    typer.echo(f"{len(shards)} shards are pending again. Run the job once more; see {runnable('status', run)}")
    return 0
