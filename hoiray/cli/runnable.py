"""Commands to type next, as they can be typed here: a fresh checkout has no `hoiray` on its PATH."""

import shlex
import shutil
import sys
from pathlib import Path


def runnable(*arguments: str) -> str:
    """Write a hoiray command for the shell, by the path of the script where `hoiray` alone is not found.

    Args:
        arguments: behind `hoiray`; quoted where the shell needs it.

    Returns:
        `hoiray ...`, or `.venv/bin/hoiray ...` (relative where the environment lies below the working directory), or
        `.../python -m hoiray ...` where this Python has no such script.
    """
    return shlex.join([*_program(), *arguments])


def _program() -> list[str]:
    if shutil.which("hoiray") is not None:
        return ["hoiray"]
    python = Path(sys.executable)
    script = python.with_name("hoiray")
    if script.is_file():
        return [_shown(script)]
    return [_shown(python), "-m", "hoiray"]


def _shown(path: Path) -> str:
    here = Path.cwd()
    if not path.is_relative_to(here):
        return str(path)
    relative = path.relative_to(here)
    # a name without a slash would be looked for on the PATH
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"
