"""What a training shows while it runs: a bar on a terminal, else a line now and then; a line for every epoch."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

from hoiray.engine.progress import duration
from hoiray.training.reports import EpochReport, Event, Note, StepReport

LOG_INTERVAL_S: Final = 15.0
"""Between two lines about steps where the output is no terminal."""

Tell = Callable[[Event], None]


@contextmanager
def show_progress(batch_size: int) -> Iterator[Tell]:
    """Show what happens on standard error.

    Args:
        batch_size: samples of one step, for the time that is left.
    """
    if not sys.stderr.isatty():
        yield _teller(_lines_now_and_then(batch_size), lambda text: typer.echo(text, err=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("the first steps take a while", total=None)

        def on_step(report: StepReport) -> None:
            total = report.steps_per_epoch * report.epochs
            bar.update(task, description=step_line(report, batch_size), completed=report.num_steps, total=total)

        yield _teller(on_step, lambda text: bar.console.print(text, highlight=False))


def step_line(report: StepReport, batch_size: int) -> str:
    """Say where the training is, what its losses are, how fast it is and how long it will take."""
    left = report.steps_per_epoch * report.epochs - report.num_steps
    eta_s = left * batch_size / max(report.timing.samples_per_s, 1e-9)
    losses = {name: value for name, value in report.means.items() if name not in ("total", "grad_norm")}
    parts = " ".join(f"{name} {value:.3g}" for name, value in losses.items())
    speed = f"{report.timing.samples_per_s:.0f} samples/s, {report.timing.data_wait_share:.0%} waiting for data"
    return (
        f"epoch {report.epoch + 1}/{report.epochs} step {report.step}/{report.steps_per_epoch}"
        f"  loss {report.means['total']:.4g} ({parts})  {speed}, {duration(eta_s)} left"
    )


def epoch_line(report: EpochReport) -> str:
    """Say how an epoch ended, with each score beside the constant hand's."""
    line = f"epoch {report.epoch + 1}/{report.epochs} ended  loss {report.means['total']:.4g}"
    scores = report.scores
    for label, name in (("PA-MPJPE", "pa_mpjpe_mm"), ("MPJPE", "mpjpe_mm")):
        if name in scores:
            line += f"  {label} {scores[name]:.2f} mm (constant hand {scores[f'constant_{name}']:.2f})"
    if "joints_2d_percent" in scores:
        line += f"  2D {scores['joints_2d_percent']:.1f} % of the box"
    return line


def _teller(on_step: Callable[[StepReport], None], say: Callable[[str], None]) -> Tell:
    def tell(event: Event) -> None:
        match event:
            case StepReport():
                on_step(event)
            case EpochReport():
                say(epoch_line(event))
            case Note():
                say(event.text)

    return tell


def _lines_now_and_then(batch_size: int) -> Callable[[StepReport], None]:
    next_s = 0.0

    def on_step(report: StepReport) -> None:
        nonlocal next_s
        now = time.monotonic()
        if now >= next_s:
            next_s = now + LOG_INTERVAL_S
            typer.echo(step_line(report, batch_size), err=True)

    return on_step
