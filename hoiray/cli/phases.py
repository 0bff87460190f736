"""What a self-training shows while its commands run: each command, its last line now and then, and how long it took."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

from hoiray.errors import EXIT_STOPPED
from hoiray.io.store import Store
from hoiray.selftrain.lock import only_here
from hoiray.selftrain.phases import Done, Phase, Runner, command_line

LOG_INTERVAL_S: Final = 30.0
"""Between two lines of a command where the output is no terminal."""

MAX_SHOWN: Final = 100
"""Characters of a command's line on a terminal."""


class PhaseProgress:
    """Tells of phases as they go by."""

    def __init__(self, show: Callable[[str], None], *, interval_s: float = LOG_INTERVAL_S) -> None:
        """Begin.

        Args:
            show: given the last line of a command; what it shows may be replaced by the next.
            interval_s: between two such lines.
        """
        self._show, self._interval_s = show, interval_s
        self._next_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def watch(self, phase: Phase, line: str) -> None:
        """Tell of a line of a command; of one of several that run at once, with the name of its phase."""
        now = time.monotonic()
        with self._lock:
            if phase.name not in self._next_s:
                self._next_s[phase.name] = now + self._interval_s
                typer.echo(f"{phase.name}: {phase.says}\n  $ {command_line(phase)}", err=True)
            if line.strip() and now >= self._next_s[phase.name]:
                self._next_s[phase.name] = now + self._interval_s
                self._show(f"  {phase.name}: {line.strip()}" if len(self._next_s) > 1 else f"  {line.strip()}")

    def done(self, done: Done) -> None:
        """Tell that a phase is done."""
        words = "was done before, in" if done.was_done else "done in"
        with self._lock:
            self._next_s.pop(done.phase.name, None)
            typer.echo(f"{done.phase.name}: {words} {duration(done.seconds)}", err=True)


def duration(seconds: float) -> str:
    """Write a time as a person says it."""
    if seconds < 60.0:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def working_in(store: Store) -> Iterator[Runner]:
    """Hold a folder, show the phases that are done in it, and end quietly on Ctrl-C.

    Args:
        store: the folder.

    Yields:
        What does them.

    Raises:
        ConfigError: somebody else holds it.
        InputError: it cannot be written.
    """
    try:
        with only_here(store) as inherited, phase_progress() as progress:
            yield Runner(store, progress.watch, on_done=progress.done, inherited=inherited)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from there", err=True)
        raise typer.Exit(EXIT_STOPPED) from None


@contextmanager
def phase_progress() -> Iterator[PhaseProgress]:
    """Show phases on standard error: on a terminal with a line that is renewed, else with a line now and then."""
    if not sys.stderr.isatty():
        yield PhaseProgress(lambda line: typer.echo(line, err=True))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    with console.status("starting") as status:
        yield PhaseProgress(lambda line: status.update(escape(line[:MAX_SHOWN])), interval_s=0.5)
