"""Reading a whole file from a path a user typed, and saying what is wrong with it.

A path can name a directory, a pipe that never ends, a file of another user, or a file of ``/proc`` that claims to be
empty. Each of them is refused here with one sentence, so that the parsers behind it see bytes and nothing else.
"""

import stat
from pathlib import Path

from hoiray.errors import ContractError, describe


def file_error(path: Path, key: str | None, *, expected: str, found: str, fix: str) -> ContractError:
    """Make the error that names a file and, where only a part of it is wrong, that part.

    Args:
        path: the file.
        key: the array in it; None where the whole file is meant.
        expected: what would have been right.
        found: what was there instead.
        fix: what the reader can do about it.
    """
    what = str(path) if key is None else f"{path}, key {key!r}"
    return ContractError(describe(what=what, expected=expected, found=found, fix=fix))


def read_file(path: Path, *, kind: str, max_bytes: int, fix: str) -> bytes:
    """Read a regular file.

    Args:
        path: the file.
        kind: what it should be, for the message: "a pickle".
        max_bytes: larger files are refused before they are read.
        fix: the advice of every refusal.

    Raises:
        ContractError: nothing is there, or a directory or another thing that is no regular file, or it may not be
            read, is too large, or does not hold as many bytes as it claims.
    """
    expected = f"{kind} file"
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise file_error(path, None, expected=expected, found="a directory", fix=fix)
        # Opening a pipe would wait for its writer, for ever if there is none.
        if not stat.S_ISREG(facts.st_mode):
            raise file_error(path, None, expected=expected, found="a pipe or device", fix=fix)
        if facts.st_size > max_bytes:
            expected = f"{expected} of at most {max_bytes} bytes"
            raise file_error(path, None, expected=expected, found=f"{facts.st_size} bytes", fix=fix)
        with path.open("rb") as file:
            content = file.read(facts.st_size + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise file_error(path, None, expected=expected, found="nothing there", fix=fix) from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file system knows, with a NUL in it
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise file_error(path, None, expected=expected, found=f"one that cannot be read ({reason})", fix=fix) from error
    if len(content) != facts.st_size:
        # Files of /proc claim to be empty and are not; a file that is still being written has grown meanwhile.
        found = f"one that claims {facts.st_size} bytes and holds {'more' if len(content) > facts.st_size else 'fewer'}"
        raise file_error(path, None, expected=expected, found=found, fix=fix)
    return content
