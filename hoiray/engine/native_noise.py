"""What Ray's native code writes to standard error for nobody: known lines are left out, every other one passes.

Ray's log level would hide errors with the noise, and Python's logging never sees these lines. So standard error of the
process leads through a small process of its own, which outlives a crash of this one and passes on its last words; what
Python writes goes past it.
"""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

NOISE: Final = (
    # Ray Data's own actors, whose arguments live exactly as long as the driver that it says this to
    b"has constructor arguments in the object store and max_restarts > 0",
)
"""Parts of lines that say nothing to anybody who labels."""

END_S: Final = 5.0
"""Time for the last lines; a child of ours that lives on may keep standard error open longer, and is not waited for."""


@contextmanager
def native_noise_hidden() -> Iterator[None]:
    """Leave out lines of `NOISE` from what native code of this process writes to standard error.

    Used around everything that writes there, progress bars included: a bar keeps the stream that it began with.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # standard error is closed
        yield
        return
    # a session of its own: Ctrl-C is not meant for it
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(__file__))],
        stdin=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    assert child.stdin is not None
    before, own = sys.stderr, _python_stream(terminal)
    os.dup2(child.stdin.fileno(), 2)
    child.stdin.close()
    if own is not None:
        sys.stderr = own
    try:
        yield
    finally:
        sys.stderr = before
        os.dup2(terminal, 2)
        with suppress(subprocess.TimeoutExpired):
            child.wait(END_S)
        if own is not None:
            own.flush()
        os.close(terminal)


def _python_stream(terminal: int) -> IO[str] | None:
    """Return a stream for Python that leads where standard error led; None where Python's leads elsewhere already."""
    try:
        if sys.stderr.fileno() != 2:
            return None
    except (AttributeError, ValueError, io.UnsupportedOperation):
        return None
    sys.stderr.flush()
    return open(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace", closefd=False)


def pass_on(lines: IO[bytes], to: IO[bytes]) -> None:
    """Copy lines, without those of `NOISE`, until they end."""
    for line in lines:
        if not any(part in line for part in NOISE):
            to.write(line)
            to.flush()


if __name__ == "__main__":
    pass_on(sys.stdin.buffer, sys.stderr.buffer)
