"""How far a long command is: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

LOG_INTERVAL_S: Final = 10.0
"""Between two lines where the output is no terminal."""

Progress = Callable[[int, int], None]


@contextmanager
def hands_progress(title: str, unit: str = "hands") -> Iterator[Progress]:
    """Show how many of all hands are done; the context's value is told both numbers."""
    if not sys.stderr.isatty():
        yield _lines(title, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(title: str, unit: str) -> Progress:
    last_s = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= LOG_INTERVAL_S:
            last_s = time.monotonic()
            typer.echo(f"{title}: {done} of {total} {unit}", err=True)

    return tell
