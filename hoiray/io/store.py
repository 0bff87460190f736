"""One way to read and write files below a root, in a local folder or on S3.

Built on `pyarrow.fs`; adds errors that name the file, and refuses keys that leave the root.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import fs

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.storage import S3Location


@dataclass(frozen=True)
class Store:
    """A root folder or prefix. Keys are relative, with forward slashes (`train/ABF10/rgb/0000.png`).

    It can be pickled, so it travels to workers.
    """

    uri: str

    @classmethod
    def open(cls, uri: str | Path) -> "Store":
        """Make a store from a local path, `file://` or `s3://` URI. Nothing is read or created yet.

        Raises:
            ConfigError: the scheme is not one of these.
        """
        text = str(uri)
        if "://" not in text:
            return cls(str(Path(text).expanduser().absolute()))
        if text.startswith("file://"):
            return cls(text.removeprefix("file://").rstrip("/") or "/")
        if text.startswith("s3://"):
            S3Location.parse(text)
            return cls(text.rstrip("/"))
        raise ConfigError(
            describe(
                what=f"location {text!r}", expected="a local path, file:// or s3://", found=text, fix="Correct it."
            )
        )

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder of this machine."""
        return not self.uri.startswith("s3://")

    def local_path(self, key: str) -> Path | None:
        """Where a key lies on this machine, or None on S3."""
        return Path(self._path(key)) if self.is_local else None

    def url(self, key: str) -> str:
        """The full name of a key, for messages."""
        return f"{self.uri}/{key}" if key else self.uri

    def read(self, key: str) -> bytes:
        """Read a whole file.

        Raises:
            InputError: it is missing or cannot be read.
        """
        try:
            with self._filesystem().open_input_stream(self._path(key)) as stream:
                return bytes(stream.read())
        except FileNotFoundError as error:
            raise InputError(
                describe(what=self.url(key), expected="a file", found="nothing there", fix="Restore it.")
            ) from error
        except OSError as error:
            raise InputError(
                describe(what=self.url(key), expected="a readable file", found=str(error), fix="Check access.")
            ) from error

    def write(self, key: str, data: bytes) -> None:
        """Write a whole file, replacing an older one; folders are made as needed. Local writes are atomic.

        Raises:
            InputError: the place cannot be written.
        """
        try:
            if self.is_local:
                target = Path(self._path(key))
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{target.name}.partial")
                partial.write_bytes(data)
                partial.replace(target)
            else:
                with self._filesystem().open_output_stream(self._path(key)) as stream:
                    stream.write(data)
        except OSError as error:
            raise InputError(
                describe(
                    what=self.url(key), expected="a place that can be written", found=str(error), fix="Check access."
                )
            ) from error

    def exists(self, key: str) -> bool:
        """Whether a file (not a folder) is there."""
        return bool(self._filesystem().get_file_info(self._path(key)).type == fs.FileType.File)

    def size(self, key: str) -> int:
        """Size of a file in bytes.

        Raises:
            InputError: it is missing.
        """
        info = self._filesystem().get_file_info(self._path(key))
        if info.type != fs.FileType.File:
            raise InputError(describe(what=self.url(key), expected="a file", found="nothing there", fix="Restore it."))
        return int(info.size)

    def list(self, prefix: str = "", *, recursive: bool = True) -> Iterator[str]:
        """Keys of the files under a folder, sorted; empty where the folder does not exist.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        yield from self.sizes(prefix, recursive=recursive)

    def sizes(self, prefix: str = "", *, recursive: bool = True) -> dict[str, int]:
        """Keys of the files under a folder, sorted, with their sizes in bytes.

        Raises:
            InputError: it is a file, or cannot be listed.
        """
        root = self._path("").rstrip("/") + "/"
        # some S3 servers keep a zero-byte object per folder, its name ending in a slash
        found = {
            info.path.removeprefix(root): int(info.size)
            for info in self._infos(prefix, recursive=recursive)
            if info.type == fs.FileType.File and not info.path.endswith("/") and not info.base_name.endswith(".partial")
        }
        return dict(sorted(found.items()))

    def list_folders(self, prefix: str = "") -> Iterator[str]:
        """Names of the folders directly under a folder, sorted."""
        infos = self._infos(prefix, recursive=False)
        yield from sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)

    def _infos(self, prefix: str, *, recursive: bool) -> Sequence[fs.FileInfo]:
        selector = fs.FileSelector(self._path(prefix), recursive=recursive, allow_not_found=True)
        try:
            infos: Sequence[fs.FileInfo] = self._filesystem().get_file_info(selector)
        except OSError as error:
            fix = "Name the folder or prefix itself, and check access."
            what = self.url(prefix)
            raise InputError(describe(what=what, expected="a folder to list", found=str(error), fix=fix)) from error
        return infos

    def _filesystem(self) -> fs.FileSystem:
        if self.is_local:
            return fs.LocalFileSystem()
        filesystem, _ = fs.FileSystem.from_uri(self.uri)
        return filesystem

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if key.startswith("/") or ".." in parts:
            raise ConfigError(
                describe(
                    what=f"key {key!r}", expected="a path below the root", found="one that leaves it", fix="Correct it."
                )
            )
        root = self.uri if self.is_local else self.uri.removeprefix("s3://")
        return f"{root}/{key}" if key else root
