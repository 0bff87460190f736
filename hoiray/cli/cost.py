"""`hoiray cost`: what a run has cost, from its folder alone."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import typer

from hoiray.cli.run_folder import RunFolder
from hoiray.schema.marker import CommitMarker
from hoiray.stages.ledger import Ledger, by_resource_s, ledger_lines, ledger_of
from hoiray.stages.markers import committed_units, read_markers
from hoiray.stages.run_layout import Area, labels_area, predictions_area


def show_cost(run: str, plan: str | None, *, predict_id: str | None, judge_id: str | None, as_json: bool) -> int:
    """Print seconds of each resource by stage, a video, and an accepted label; return the exit status."""
    from hoiray.cli.run_folder import open_run

    ledger = run_ledger(open_run(run, plan), predict_id, judge_id)
    if as_json:
        told = asdict(ledger) | {"by_resource_s": by_resource_s(ledger.costs_s)}
        typer.echo(json.dumps(told, sort_keys=True))
        return 0
    counts = f"{ledger.num_shards:,} shards, {ledger.num_videos:,} videos, {ledger.num_hands:,} hands"
    typer.echo(f"{counts}, {ledger.num_accepted:,} accepted labels")
    for line in ledger_lines(ledger):
        typer.echo(line)
    return 0


def run_ledger(folder: RunFolder, predict_id: str | None, judge_id: str | None) -> Ledger:
    """Sum up the markers of a run's predictions and of their labels, where there are any.

    Raises:
        ConfigError: there are several of either, and none is named.
        InputError: there are no predictions.
    """
    from hoiray.stages.report_rows import find_judge_id

    predicted = _markers(folder, predictions_area(folder.predict_id(predict_id)))
    has_labels = judge_id is not None or any(area.table == "labels" for area in folder.areas())
    judged = _markers(folder, labels_area(find_judge_id(folder.store, judge_id))) if has_labels else iter(())
    return ledger_of(predicted, judged)


def _markers(folder: RunFolder, area: Area) -> Iterator[CommitMarker]:
    done = (name for name, is_done in committed_units(folder.plan, folder.store, area) if is_done)
    return read_markers(folder.store, area, done)
