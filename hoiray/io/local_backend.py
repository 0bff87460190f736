"""Files of a local (or mounted) folder. Whole files appear at once or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.objects import MissingFileError, ObjectInfo, OnUnreadable

PARTIAL_SUFFIX: Final = ".partial"
"""Ends the name of a file that is being written; listings leave such files out."""


@dataclass(frozen=True)
class LocalBackend:
    """The files below `root`."""

    root: str

    def path(self, key: str) -> Path:
        """Where a key lies.

        Raises:
            ConfigError: the key leaves the root, or is no name of a file.
        """
        parts = key.split("/")
        if key.startswith("/") or ".." in parts or "\0" in key:
            raise ConfigError(
                describe(
                    what=f"key {key!r}", expected="a path below the root", found="one that leaves it", fix="Correct it."
                )
            )
        return Path(self.root, *parts) if key else Path(self.root)

    def read(self, key: str, *, etag: str | None = None) -> bytes:
        """Read a whole file."""
        try:
            with self.path(key).open("rb") as file:
                self._require_version(key, os.fstat(file.fileno()), etag)
                return file.read()
        except OSError as error:
            raise self._error(key, error) from error

    def read_range(self, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        """Read the bytes [start, end)."""
        try:
            with self.path(key).open("rb") as file:
                self._require_version(key, os.fstat(file.fileno()), etag)
                file.seek(start)
                data = file.read(end - start)
        except OSError as error:
            raise self._error(key, error) from error
        if len(data) != end - start:
            raise too_short(self._name(key), end, start + len(data))
        return data

    def write(self, key: str, data: bytes, *, durable: bool) -> None:
        """Write beside the target, then rename over it; on disk before the rename where `durable`."""
        target = self.path(key)
        try:
            partial = self._write_partial(target, data, durable=durable)
            partial.replace(target)
            if durable:
                _sync_folder(target.parent)
        except OSError as error:
            raise self._unwritable(key, error) from error

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write beside the target, then link it under its name: the kernel refuses a second link.

        The content is whole and on disk before the name exists, whenever the process or the machine dies.
        """
        target = self.path(key)
        try:
            if target.exists():
                return False
            partial = self._write_partial(target, data, durable=True)
            try:
                os.link(partial, target)
            except FileExistsError:
                return False
            finally:
                partial.unlink()
            _sync_folder(target.parent)
        except OSError as error:
            raise self._unwritable(key, error) from error
        return True

    def delete(self, key: str) -> None:
        """Remove a file; the folders stay."""
        try:
            self.path(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(key, error) from error

    def info(self, key: str) -> ObjectInfo | None:
        """Look at a file."""
        try:
            found = self.path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._error(key, error) from error
        return _info(key, found) if stat.S_ISREG(found.st_mode) else None

    def objects(self, prefix: str, *, on_unreadable: OnUnreadable | None = None) -> Iterator[ObjectInfo]:
        """Walk a folder; one folder's names are in memory at a time. Links to files and folders are followed."""
        folder = self.path(prefix)
        if folder.is_dir():
            yield from self._walk(prefix, (os.path.realpath(folder),), on_unreadable)
        elif folder.exists():
            raise self._no_folder(prefix, "a file")

    def names(self, prefix: str) -> tuple[list[ObjectInfo], list[str]]:
        """List one folder."""
        folder = self.path(prefix)
        if not folder.exists():
            return [], []
        files, folders = list[ObjectInfo](), list[str]()
        for entry in self._scan(prefix):
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.is_file() and not entry.name.endswith(PARTIAL_SUFFIX):
                files.append(_info(_joined(prefix, entry.name), entry.stat()))
        return files, folders

    def partials(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Walk the files that a killed writer left half-written."""
        for folder, _, names in os.walk(self.path(prefix)):
            for name in sorted(names):
                if name.endswith(PARTIAL_SUFFIX):
                    path = Path(folder, name)
                    yield _info(path.relative_to(self.root).as_posix(), path.stat())

    def _walk(self, prefix: str, above: tuple[str, ...], on_unreadable: OnUnreadable | None) -> Iterator[ObjectInfo]:
        try:
            entries = self._scan(prefix)
        except InputError as error:
            if on_unreadable is None or not prefix:
                raise
            on_unreadable(prefix, str(error))
            return
        entries.reverse()
        while entries:
            entry = entries.pop()  # once asked, an entry keeps its answers: twice the memory of the names
            key = _joined(prefix, entry.name)
            if entry.name.endswith(PARTIAL_SUFFIX):
                continue
            reason = _unreadable_reason(entry, above)
            if reason:
                if on_unreadable is not None:
                    on_unreadable(key, reason)
            elif entry.is_dir():
                yield from self._walk(key, (*above, os.path.realpath(entry.path)), on_unreadable)
            else:
                yield _info(key, entry.stat())

    def _scan(self, prefix: str) -> list[os.DirEntry[str]]:
        """One folder's entries in the order of the keys below them: `a.txt` before `a/b`, as `.` is before `/`."""
        try:
            with os.scandir(self.path(prefix)) as entries:
                return sorted(entries, key=_place_in_listing)
        except NotADirectoryError as error:
            raise self._no_folder(prefix, "a file") from error
        except OSError as error:
            raise self._no_folder(prefix, str(error)) from error

    def _write_partial(self, target: Path, data: bytes, *, durable: bool) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
        try:
            with partial.open("xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return partial

    def _require_version(self, key: str, found: os.stat_result, etag: str | None) -> None:
        if etag is not None and _etag(found) != etag:
            raise changed(self._name(key), etag, _etag(found))

    def _name(self, key: str) -> str:
        return str(self.path(key))

    def _error(self, key: str, error: OSError) -> InputError:
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            return missing(self._name(key))
        what = self._name(key)
        return InputError(describe(what=what, expected="a readable file", found=str(error), fix="Check access."))

    def _unwritable(self, key: str, error: OSError) -> InputError:
        what, fix = self._name(key), "Check access; the file system must have hard links."
        return InputError(describe(what=what, expected="a place that can be written", found=str(error), fix=fix))

    def _no_folder(self, prefix: str, found: str) -> InputError:
        fix = "Name the folder or prefix itself, and check access."
        return InputError(describe(what=self._name(prefix), expected="a folder to list", found=found, fix=fix))


def missing(name: str) -> MissingFileError:
    """Return the error of an object that is not there."""
    return MissingFileError(describe(what=name, expected="a file", found="nothing there", fix="Restore it."))


def changed(name: str, expected: str, found: str) -> InputError:
    """Return the error of an object that is another than the one that was listed."""
    fix = "It was replaced since it was indexed: index again with --update."
    return InputError(describe(what=name, expected=f"version {expected}", found=f"version {found}", fix=fix))


def too_short(name: str, expected: int, found: int) -> InputError:
    """Return the error of an object that ends too early."""
    fix = "The file is truncated, or was replaced while it was read."
    return InputError(describe(what=name, expected=f"at least {expected} bytes", found=str(found), fix=fix))


def _unreadable_reason(entry: os.DirEntry[str], above: tuple[str, ...]) -> str:
    """Say why an entry cannot be listed, empty where it can."""
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    try:
        if entry.is_dir():
            return "a link to a folder above it" if os.path.realpath(entry.path) in above else ""
        if entry.is_file():
            return ""
    except OSError as error:
        return str(error)
    return "a link to nothing" if entry.is_symlink() else "no file (a pipe, socket or device)"


def _place_in_listing(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(f"{entry.name}/" if _is_dir(entry) else entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _etag(found: os.stat_result) -> str:
    return f"mtime-{found.st_mtime_ns}"


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, _etag(found), found.st_mtime_ns / 1e9)


def _sync_folder(folder: Path) -> None:
    """Put the folder's names on disk: a file's own sync does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
