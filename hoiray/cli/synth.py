"""`hoiray synth`: make a synthetic data set."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import typer

from hoiray.cli.runnable import runnable

if TYPE_CHECKING:
    from hoiray.synthetic.generate import Job, Outcome, Request, Result

ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Read once by the libraries when they are loaded. Workers share out recordings, so each computes on one thread."""

LOG_INTERVAL_S: Final = 10.0
"""Between two lines where the output is no terminal."""

Progress = Callable[["Outcome", int, int], None]


def run_synth(
    *,
    domain: str,
    out: str,
    size: str,
    seed: int,
    formats: Sequence[str],
    workers: int,
    resume: bool,
    ray_address: str | None,
) -> None:
    """Make the data set, show progress, and say what was made and what to do next.

    Args:
        domain: lab, wild, ego or studio.
        out: a local path or `s3://` prefix, empty unless `resume`.
        size: tiny, demo, small or medium.
        seed: of the set.
        formats: none for the domain's default.
        workers: recordings made at once; more than one starts Ray.
        resume: continue a run that was stopped.
        ray_address: a Ray cluster to use.

    Raises:
        ConfigError: the request cannot be met as asked; nothing was written.
    """
    if "numpy" not in sys.modules:
        for name in ONE_THREAD:
            os.environ.setdefault(name, "1")
    # imports of a second or two, after the command line itself has been checked
    from hoiray.engine.synth import execute
    from hoiray.synthetic.generate import generate, make_request

    request = make_request(domain, out, size=size, seed=seed, formats=formats)

    def run_jobs(jobs: "Sequence[Job]") -> "Iterator[Outcome]":
        return execute(jobs, workers=workers, address=ray_address)

    start = time.monotonic()
    with _progress() as on_outcome:
        result = generate(request, run_jobs, resume=resume, on_outcome=on_outcome)
    _say(request, result, time.monotonic() - start)


def _say(request: "Request", result: "Result", seconds: float) -> None:
    made = "" if result.num_made == result.num_recordings else f" ({result.num_made} of them now, the others before)"
    what = f"{result.num_recordings} recordings{made}, {result.num_frames} frames"
    places = ", ".join(f"{name} in {root}" for name, root in result.roots.items())
    next_step = " && ".join(runnable("inspect", root) for root in result.roots.values())
    typer.echo(f"{request.domain}: {what} in {seconds:.0f} s: {places}. Look at it: {next_step}")


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Show a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _LineProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("recordings", total=None)

        def show(outcome: "Outcome", num_done: int, num_all: int) -> None:
            bar.update(task, description=outcome.recording_id, completed=num_done, total=num_all)

        yield show


class _LineProgress:
    """One line at most every :data:`LOG_INTERVAL_S`, and one for the last recording."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, outcome: "Outcome", num_done: int, num_all: int) -> None:
        now = time.monotonic()
        if now >= self._next_s or num_done == num_all:
            self._next_s = now + LOG_INTERVAL_S
            typer.echo(f"{num_done} of {num_all} recordings ({outcome.recording_id})", err=True)
