"""`hoiray train`: train a network, on Ray or in this process."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from hoiray.cli.progress import hands_progress
from hoiray.cli.runnable import runnable
from hoiray.cli.train_progress import show_progress
from hoiray.cli.train_request import Request, read_request
from hoiray.config.load import dump
from hoiray.config.what import TrainRun
from hoiray.config.where import ClusterConfig, TrainWorkers
from hoiray.errors import EXIT_STOPPED, ContractError
from hoiray.io.store import Store

if TYPE_CHECKING:
    from hoiray.datasets.label_run import LabelRun
    from hoiray.training.data_plan import DataPlan
    from hoiray.training.job import Ending, Tell, TrainJob

CONFIG_FILE: Final = "train.yaml"
"""The resolved configuration, beside the output."""


def run_train(request: Request) -> None:
    """Train, show progress, and say what came out and what to do next.

    Raises:
        ConfigError: the request cannot be met as asked; nothing was written.
        ContractError: the data are not what they should be, or a loss is no number.
        InputError: workers died too often.
    """
    run, cluster = read_request(request)
    # imports of seconds, after the command line itself has been checked
    from hoiray.training.assemble import require_backbone_weights, require_divisible_batch
    from hoiray.training.here import refuse_used_output

    workers = cluster.train if request.uses_ray else cluster.train.model_copy(update={"num_workers": 1})
    require_divisible_batch(run.training, workers.num_workers)
    if request.ray_address is None:
        require_backbone_weights(run.training)
    store = Store.open(run.output_uri)
    if not request.resume:
        refuse_used_output(store)
    run, labels = fix_labels(run)
    job = _make_job(request, run, workers, labels)
    store.write(CONFIG_FILE, dump(run).encode())
    try:
        with show_progress(run.training.batch_size) as tell:
            ending = _train(request, job, workers, cluster, tell)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command with --resume goes on from the last checkpoint", err=True)
        raise typer.Exit(EXIT_STOPPED) from None
    typer.echo(summary(run, ending))


def fix_labels(run: TrainRun) -> "tuple[TrainRun, LabelRun | None]":
    """Open the labels a training names, and name the snapshot that they are in its place, so that it can be repeated.

    Raises:
        ConfigError, InputError, ContractError: see :func:`hoiray.stages.label_input.open_label_run`.
    """
    if run.training.labels_uri is None:
        return run, None
    from hoiray.stages.label_input import open_label_run

    labels = open_label_run(run.training.labels_uri)
    training = run.training.model_copy(update={"labels_uri": labels.uri})
    return run.model_copy(update={"training": training}), labels


def _make_job(request: Request, run: TrainRun, workers: TrainWorkers, labels: "LabelRun | None") -> "TrainJob":
    """Decide which samples are held out, cut crops where they are needed here, and put it all together."""
    from hoiray.hand.load import load_hand_arrays
    from hoiray.training.assemble import open_sets, prepare
    from hoiray.training.data_plan import plan_training
    from hoiray.training.job import TrainJob

    arrays = load_hand_arrays(run.hand.model_uri)
    plan = plan_training(run, arrays, labels)
    typer.echo(plan_line(plan), err=True)
    cache = str(request.cache.absolute()) if request.cache else workers.cache_folder or default_cache()
    if request.ray_address is None:  # else every machine cuts what it needs
        with hands_progress("crops", "parts") as on_part:
            open_sets(run, plan, arrays, cache, workers, on_part=on_part)
    parts = partial(prepare, run=run, plan=plan, workers=workers, cache=cache)
    return TrainJob(run.output_uri, parts, max_minutes=request.minutes)


def _train(request: Request, job: "TrainJob", workers: TrainWorkers, cluster: ClusterConfig, tell: "Tell") -> "Ending":
    if not request.uses_ray:
        from hoiray.training.here import this_device, train_here

        return train_here(job, this_device(), resume=request.resume, tell=tell)
    from hoiray.engine.train import train_on_ray

    return train_on_ray(
        job,
        workers,
        address=request.ray_address,
        resume=request.resume,
        tell=tell,
        no_progress_s=cluster.retries.no_progress_s,
    )


def default_cache() -> str:
    """hoiray's part of the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(base) / "hoiray" / "crops")


def plan_line(plan: "DataPlan") -> str:
    """Say what is trained on and what is held out."""
    held_out = "none held out"
    if plan.num_validation:
        unit = "people" if plan.is_by_subject else "recordings, or people where they are known"
        num_train, num_validation = plan.num_groups["train"], plan.num_groups["validation"]
        held_out = f"{plan.num_validation} held out ({num_validation} of {num_train + num_validation} {unit})"
    labels = plan.labels
    if labels is None:
        return f"data: {plan.num_train} images to train on, {held_out}"
    which = f"{labels.num_chosen} labels ({labels.num_frames} frames of {labels.num_videos} videos)"
    return f"data: {plan.num_train} annotated images and {which} to train on, {held_out}"


def summary(run: TrainRun, ending: "Ending") -> str:
    """Write the result as a small table, and what to type next."""
    lines = []
    state = "trained" if ending.is_complete else "stopped in time; --resume goes on"
    lines.append(f"{state}: {ending.epoch} of {run.training.epochs} epochs, {ending.num_steps} steps")
    if ending.scores:
        lines += ["", "| held-out samples | this network | constant hand |", "|---|---|---|"]
        for label, name in (("PA-MPJPE, mm", "pa_mpjpe_mm"), ("MPJPE about the wrist, mm", "mpjpe_mm")):
            lines.append(f"| {label} | {ending.scores[name]:.2f} | {ending.scores[f'constant_{name}']:.2f} |")
        lines.append("")
    if ending.model_uri is None:
        raise ContractError("training: expected a model from worker 0, found none. This is an error of hoiray.")
    evaluate = runnable("evaluate", "--model", ending.model_uri, "--data", run.training.annotated.uri)
    lines.append(f"model: {ending.model_uri}. Score it: {evaluate}")
    return "\n".join(lines)
