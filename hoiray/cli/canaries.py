"""`hoiray canaries`: labels made wrong on purpose, and how many of them a run's own judge accepts."""

import typer

from hoiray.cli.judge import read_limits
from hoiray.cli.statistics import own_limits


def plant(run: str, *, limits: str | None, predict_id: str | None, num_clips: int, seed: int) -> int:
    """Plant canaries in a run's stored predictions, print the miss rates and keep them beside the labels.

    Args:
        run: the run's folder.
        limits: as behind ``hoiray judge``; None: the run's own.
        predict_id: which predictions of the run; None for the only ones.
        num_clips: clips that are made wrong in every way.
        seed: of the lot.

    Raises:
        ConfigError: no limits, or not one prediction.
        InputError: nothing is predicted, or nothing accepted.
        ContractError: something in the run is damaged.
    """
    from hoiray.io.store import Store
    from hoiray.stages.canaries import plant_canaries
    from hoiray.stages.canary_file import canary_lines, write_canaries
    from hoiray.stages.rejudge import Judgement, list_parts
    from hoiray.stages.view import hand_of

    chosen = own_limits(run) if limits is None else read_limits(limits, [])
    store, parts = Store.open(run), list_parts(run, predict_id)
    canaries = plant_canaries(parts, Judgement.by(chosen), hand_of(store), num_clips=num_clips, seed=seed)
    for line in canary_lines(canaries):
        typer.echo(line)
    typer.echo(f"kept apart from the labels: {write_canaries(store, canaries)}")
    return 0
