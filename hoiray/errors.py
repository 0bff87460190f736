"""The errors hoiray raises, and what each one stops.

::

    HoirayError
    ├── ConfigError      the run is asked for wrongly          nothing has started; nothing was written
    ├── InputError       one video, frame or file is bad       it becomes a dead-letter row; the run goes on
    └── ContractError    a shape, schema or file format that   the run stops: going on would make
                         the code relies on does not hold      plausible, wrong data

Every message names the thing (a file, a line, a key), what was expected, what was found and what to do.
"""

from typing import Final

EXIT_FAILED: Final = 1
"""Exit status of a command that could not do what it was asked for."""

EXIT_WRONG_REQUEST: Final = 2
"""Exit status when the request itself is wrong (as the shell's own commands use it): another attempt ends alike."""

EXIT_UNFINISHED: Final = 3
"""Exit status where all went well and something is left to do: `hoiray status` with shards pending, a used budget."""

EXIT_STOPPED: Final = 130
"""Exit status after Ctrl-C, as shells have it, and of a job that was stopped."""


class HoirayError(Exception):
    """Root of every error hoiray raises on purpose."""


class ConfigError(HoirayError):
    """The configuration cannot be run as written. Raised before anything starts."""


class InputError(HoirayError):
    """One input (a video, a frame, an annotation) is unusable. The run goes on without it."""


class ContractError(HoirayError):
    """Something the code relies on does not hold: a shape, a schema, a model file, a checkpoint."""


def describe(*, what: str, expected: str, found: str, fix: str) -> str:
    """Put the four parts every message needs into one sentence.

    Args:
        what: the thing that is wrong, with its path or key.
        expected: what would have been right.
        found: what was there instead.
        fix: what the reader can do about it.
    """
    return f"{what}: expected {expected}, found {found}. {fix}"
