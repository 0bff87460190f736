"""`hoiray self-train`: teacher, labels, student, audit, round after round; called again it goes on where it stopped."""

from dataclasses import dataclass
from pathlib import Path

import typer

from hoiray.cli.phases import working_in
from hoiray.config.halves import route_overrides
from hoiray.config.load import load_cluster, load_run
from hoiray.errors import ConfigError
from hoiray.evaluation.bootstrap import Interval
from hoiray.io.store import Store
from hoiray.selftrain.audit import SHOWN
from hoiray.selftrain.rounds import STORY_FILE, RoundResult, Rounds, RoundsRequest, Story


@dataclass(frozen=True)
class SelfTrainRequest:
    """What was typed; see `hoiray self-train --help`."""

    run_file: str
    cluster: Path | None = None
    overrides: tuple[str, ...] = ()
    uses_ray: bool = True
    ray_address: str | None = None
    workers: int | None = None


def self_train(request: SelfTrainRequest) -> None:
    """Do all rounds, and say what came of them.

    Raises:
        ConfigError: the request cannot be met as asked, or somebody else works in the folder.
        PhaseFailedError: a command failed.
    """
    rounds_request = read_request(request)
    store = Store.open(rounds_request.run.output_uri)
    if not store.is_local:
        store = store.probed()
    with working_in(store) as runner:
        story = Rounds(rounds_request, runner).run()
    typer.echo("\n".join(story_lines(story)))
    typer.echo(f"all of it: {store.url(STORY_FILE)}")


def read_request(request: SelfTrainRequest) -> RoundsRequest:
    """Read the run file, and sort what was typed to the commands it concerns.

    Raises:
        ConfigError: the file, an override or the cluster file is wrong.
    """
    routed = route_overrides(request.overrides)
    if routed.problems:
        raise ConfigError("\n  ".join(routed.problems))
    run = load_run(request.run_file, routed.run)
    where = [word for change in routed.cluster for word in ("--set", change)]
    if request.cluster is not None:
        load_cluster(request.cluster, routed.cluster)
        where += ["--cluster", str(request.cluster)]
    if not request.uses_ray:
        where.append("--no-ray")
    if request.ray_address is not None:
        where += ["--ray-address", request.ray_address]
    workers = [] if request.workers is None else ["--workers", str(request.workers)]
    return RoundsRequest(run, request.run_file, tuple(routed.run), tuple(where), (*where, *workers))


def story_lines(story: Story) -> list[str]:
    """Say what happened in every round, as Markdown."""
    lines = [
        "",
        "| round | labels accepted | metric | teacher | student | student minus teacher | then |",
        "| ---: | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for result in story.rounds:
        lines += _round_lines(result)
    for result in story.rounds:
        if result.gauges is not None:
            lines += [f"round {result.number}: {words}" for words in result.gauges.warnings()]
    return [*lines, "", f"use: {story.best}"]


def _round_lines(result: RoundResult) -> list[str]:
    first = [str(result.number), f"{result.num_accepted:,} of {result.num_rows:,} ({result.acceptance:.1%})"]
    if result.audit is None:
        return [_row([*first, "", "", "", "", result.decision])]
    rows = []
    for number, (name, compared) in enumerate(result.audit.metrics.items()):
        values = [_shown(value) for value in (compared.teacher, compared.student, compared.difference)]
        decision = result.decision if number == 0 else ""
        rows.append(_row([*(first if number == 0 else ["", ""]), SHOWN[name], *values, decision]))
    return rows


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(value: Interval) -> str:
    digits = 2 if abs(value.value) >= 1.0 else 3
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
