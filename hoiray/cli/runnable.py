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
    script = _script("hoiray")
    program = [_shown(Path(sys.executable)), "-m", "hoiray"] if script is None else [script]
    return shlex.join([*program, *arguments])


def installed_script(name: str, *arguments: str) -> str:
    """Write a command of a package that is installed beside hoiray, such as `rerun`, as :func:`runnable` does."""
    return shlex.join([_script(name) or name, *arguments])


def _script(name: str) -> str | None:
    """Return what calls a script: its name where that is found, else its path beside this Python; None without one."""
    if shutil.which(name) is not None:
        return name
    script = Path(sys.executable).with_name(name)
    return _shown(script) if script.is_file() else None


def _shown(path: Path) -> str:
    here = Path.cwd()
    if not path.is_relative_to(here):
        return str(path)
    relative = path.relative_to(here)
    # a name without a slash would be looked for on the PATH
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"
