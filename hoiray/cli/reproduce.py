"""`hoiray reproduce`: the paper's tables on the synthetic twin, arm by arm, and what came out."""

import json
import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import typer

from hoiray import __version__
from hoiray.cli.phases import working_in
from hoiray.config.what import Training
from hoiray.errors import ConfigError, describe
from hoiray.io.store import Store
from hoiray.selftrain.arms import AMOUNTS, Bench
from hoiray.selftrain.paper_tables import TABLES
from hoiray.selftrain.reproduce import Plan, collect, document, read_run, reproduce
from hoiray.selftrain.reproduce_report import claims_plot, fractions_plot, markdown
from hoiray.selftrain.twin import PACKAGED_TEACHER, PRESET, WORLDS, Amounts

EVERY_TABLE: Final = "all"


@dataclass(frozen=True)
class ReproduceRequest:
    """What was typed; see `hoiray reproduce --help`."""

    tables: tuple[str, ...]
    out: str
    results: str
    size: str
    num_steps: int | None
    num_seeds: int
    parallel: int | None
    ray_address: str | None
    changes: tuple[str, ...] = ()


def run_reproduce(request: ReproduceRequest) -> None:
    """Run the arms, and write the tables after every seed.

    Raises:
        ConfigError: the request cannot be met as asked, or an experiment runs in the folder.
        PhaseFailedError: a command failed.
    """
    if request.size not in AMOUNTS:
        _refuse("--size", AMOUNTS, request.size)
    unknown = [name for name in request.tables if name not in (*TABLES, EVERY_TABLE)]
    if unknown:
        _refuse("TABLE", (*TABLES, EVERY_TABLE), unknown[0])
    store = Store.open(request.out)
    if not store.is_local:
        fix = "Name a folder all machines reach."
        raise ConfigError(describe(what="--out", expected="a folder", found=store.uri, fix=fix))
    tables = tuple(TABLES) if EVERY_TABLE in request.tables else tuple(dict.fromkeys(request.tables))
    cores = len(os.sched_getaffinity(0))
    parallel = request.parallel or (1 if request.ray_address else cores)
    plan = Plan(tables, tuple(range(request.num_seeds)), parallel=parallel, workers=cores)
    where = ("--ray-address", request.ray_address) if request.ray_address else ("--no-ray",)
    bench = Bench(store, amounts_of(request), request.changes, where, where)
    results = Store.open(request.results)

    with working_in(store) as runner:
        reproduce(plan, bench, runner, after_seed=lambda: write_results(bench, plan, request, results))
    typer.echo(results.read("reproduce.md").decode())
    typer.echo(f"written: {results.url('reproduce.md')}")


def amounts_of(request: ReproduceRequest) -> Amounts:
    """Return how much there is of everything: as the size says, but for the number of steps that was asked for.

    Raises:
        ConfigError: the steps cannot be dealt out evenly to the epochs.
    """
    amounts = AMOUNTS[request.size]
    if request.num_steps is None:
        return amounts
    if request.num_steps % amounts.epochs:
        expected, fix = f"a multiple of its {amounts.epochs} epochs", "Take a step more or less."
        raise ConfigError(describe(what="--steps", expected=expected, found=str(request.num_steps), fix=fix))
    return replace(amounts, steps_per_epoch=request.num_steps // amounts.epochs)


def write_results(bench: Bench, plan: Plan, request: ReproduceRequest, out: Store) -> None:
    """Write what is known by now: Markdown, JSON and plots."""
    results = collect(bench, plan)
    header = header_of(bench, plan, request, num_seeds=results.num_seeds(plan))
    out.write("reproduce.md", markdown(results, plan, header).encode())
    out.write(
        "reproduce.json", (json.dumps(document(results, plan, header), indent=1, allow_nan=False) + "\n").encode()
    )
    for name in plan.tables:
        plot = fractions_plot(results) if name == "figure9" else claims_plot(results, TABLES[name])
        out.write(f"{name}.svg", plot.encode())


def header_of(bench: Bench, plan: Plan, request: ReproduceRequest, *, num_seeds: int) -> dict[str, Any]:
    """What must be known to read the numbers; so many seeds are finished."""
    amounts = bench.amounts
    steps = amounts.epochs * amounts.steps_per_epoch
    run = read_run(bench)
    training = run.training
    assert training is not None
    return {
        "command": f"hoiray reproduce {' '.join(request.tables)} --size {request.size}"
        + ("" if request.num_steps is None else f" --steps {request.num_steps}")
        + f" --seeds {request.num_seeds}"
        + "".join(f" --set {shlex.quote(change)}" for change in request.changes),
        "hoiray": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "network": f"preset {PRESET}, {steps} steps of {amounts.batch_size} crops in every arm, learning rate up to"
        f" {training.optimiser.learning_rate:g}",
        "start": _start_of(training),
        "annotated": f"hoiray synth lab --size {amounts.sizes['lab']}, split train",
        "videos": f"hoiray synth wild --size {amounts.sizes['wild']}, split train"
        + ("" if amounts.max_videos is None else f", {amounts.max_videos} videos of it")
        + f", labelled with {run.ensemble.num_views} views and the preset"
        " `paper`" + (f" but {dict(amounts.limits)}" if amounts.limits else ""),
        "tests": f"{', '.join(f'{name} ({world.split})' for name, world in WORLDS.items())}:"
        f" {amounts.max_samples} images each",
        "seeds": f"{len(plan.seeds)}{'' if num_seeds == len(plan.seeds) else f', {num_seeds} of them finished'};"
        " of weights, batches and choice; the data are the same",
    }


def _start_of(training: Training) -> str:
    """Say which weights every arm starts from."""
    if training.init_uri is None:
        return "random weights"
    if training.init_uri == str(PACKAGED_TEACHER):
        return f"the packaged teacher's weights ({training.init_parts}) in every arm; it has seen other people"
    return f"weights of {training.init_uri} ({training.init_parts}) in every arm"


def _refuse(what: str, allowed: Sequence[str] | Any, found: str) -> None:  # noqa: ANN401 - any mapping of names
    expected = f"one of {', '.join(allowed)}"
    raise ConfigError(describe(what=what, expected=expected, found=repr(found), fix="Choose one."))
