"""Finding videos: every file below a place becomes a video or a refusal with its reason; none is lost.

A place is a folder or prefix, a glob, a list file, one file, or the root of a Something-Something folder.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias

from hoiray.datasets.formats import something as facts
from hoiray.datasets.videos import is_video
from hoiray.errors import ConfigError, HoirayError, InputError, describe
from hoiray.io.objects import ObjectInfo
from hoiray.io.store import Store, open_uri

NUM_HEADS_AT_ONCE: Final = 16
"""Requests at once for the sizes of a list file's entries."""

_GLOB_CHARACTERS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class FoundVideo:
    """A video as it was found.

    Attributes:
        video_id: its key below the place; in Something-Something its number.
        uri: where it is.
        size_bytes: its size.
        etag: its version, as the store calls it.
        dataset: the data set it belongs to, where that is known.
    """

    video_id: str
    uri: str
    size_bytes: int
    etag: str
    dataset: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was found and cannot be used; the fields are those of the table ``refusals``."""

    kind: Literal["video", "file", "box"]
    name: str
    reason: str
    message: str


Found: TypeAlias = FoundVideo | Refusal


def list_videos(uri: str, *, ids: Literal["key", "stem"] = "key") -> Iterator[Found]:
    """Walk the videos at a place, in a stream.

    Args:
        uri: a folder or prefix, a glob (`**` crosses folders), a list file (`.txt`, a URI or relative path a line),
            a single video, or the root of a Something-Something folder.
        ids: what names a video: its key below the place, or the name of its file without suffix (as boxes of
            Something-Else do; so it always is in a Something-Something folder).

    Raises:
        ConfigError: the place has another form.
        InputError: it is not there, or cannot be listed.
    """
    if uri.lower().endswith(".txt"):
        yield from _from_list(uri, ids)
        return
    if _GLOB_CHARACTERS & set(uri) and not _is_folder(uri):
        yield from _from_glob(uri, ids)
        return
    if is_video(uri):
        store, key = open_uri(uri)
        info = store.info(key)
        if info is not None:
            yield _judged(store, info, ids, None, named=True)
            return
    store = Store.open(uri)
    if facts.VIDEO_FOLDER in store.list_folders():
        yield from _from_folder(store.below(facts.VIDEO_FOLDER), "stem", "something")
    else:
        yield from _from_folder(store, ids, None)


def _from_folder(store: Store, ids: Literal["key", "stem"], dataset: str | None) -> Iterator[Found]:
    for info in _objects(store):
        yield info if isinstance(info, Refusal) else _judged(store, info, ids, dataset, named=False)


def _objects(store: Store) -> Iterator[ObjectInfo | Refusal]:
    """Walk a folder, with what cannot be listed as refusals."""
    unreadable: list[Refusal] = []

    def note(name: str, reason: str) -> None:
        unreadable.append(_unreadable(name, reason))

    for info in store.objects(on_unreadable=note):
        yield from unreadable
        unreadable.clear()
        yield info
    yield from unreadable


def _from_glob(uri: str, ids: Literal["key", "stem"]) -> Iterator[Found]:
    fixed, pattern = _split_glob(uri)
    matches = re.compile(glob_to_regex(pattern)).fullmatch
    # `*.ts` asks for these files by name; `**` does not
    named = bool(re.fullmatch(r".*\.[A-Za-z0-9]+", pattern.rpartition("/")[2]))
    store = Store.open(fixed)
    for info in _objects(store):
        if isinstance(info, Refusal):
            if matches(info.name):
                yield info
        elif matches(info.key):
            yield _judged(store, info, ids, None, named=named)


def _from_list(uri: str, ids: Literal["key", "stem"]) -> Iterator[Found]:
    store, key = open_uri(uri)
    with ThreadPoolExecutor(NUM_HEADS_AT_ONCE) as pool, store.open_input(key) as file:
        lines = _lines(iter(lambda: file.read(1 << 20), b""))
        while block := list(islice(lines, NUM_HEADS_AT_ONCE * 16)):
            yield from pool.map(lambda line: _from_line(store, line, ids), block)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines of a text, without line ends and empty ones; names keep their blanks."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (text for line in whole if (text := _text(line)).strip())
    if (text := _text(rest)).strip():
        yield text


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").decode("utf-8", "backslashreplace")


def _from_line(folder: Store, line: str, ids: Literal["key", "stem"]) -> Found:
    try:
        is_absolute = "://" in line or line.startswith("/")
        store, key = open_uri(line) if is_absolute else (folder, line)
        info = store.info(key)
    except ConfigError as error:
        return Refusal("video", line, "leaves_root", str(error))
    except HoirayError as error:
        return Refusal("video", line, "unreadable", str(error))
    if info is None:
        return Refusal("video", line, "missing", f"{store.url(key)}: nothing there")
    found = _judged(store, info, ids, None, named=True)
    if isinstance(found, FoundVideo) and ids == "key":
        return FoundVideo(line, found.uri, found.size_bytes, found.etag, None)
    return found


def _judged(store: Store, info: ObjectInfo, ids: Literal["key", "stem"], dataset: str | None, *, named: bool) -> Found:
    """Say whether a file is a video to label; `named` ones are, whatever their suffix."""
    if not (named or is_video(info.key)):
        return Refusal("file", info.key, "suffix", "no video by its name")
    if {"..", "."} & set(info.key.split("/")) or info.key.startswith("/"):
        return Refusal("video", info.key, "leaves_root", "its name leaves the folder it lies in")
    if info.size_bytes == 0:
        return Refusal("video", info.key, "empty", "0 bytes")
    name = info.key.rpartition("/")[2]
    video_id = info.key if ids == "key" else name.rpartition(".")[0] or name
    return FoundVideo(video_id, store.url(info.key), info.size_bytes, info.etag, dataset)


def _unreadable(name: str, reason: str) -> Refusal:
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return Refusal("video" if is_video(shown) else "file", shown, "unreadable", reason)


def _is_folder(uri: str) -> bool:
    store = Store.open(uri)
    path = store.local_path("")
    return path is not None and path.is_dir()


def _split_glob(uri: str) -> tuple[str, str]:
    """Cut a glob into the folder before its first special character, and the pattern below it."""
    first = min(uri.index(character) for character in _GLOB_CHARACTERS if character in uri)
    fixed, _, _ = uri[:first].rpartition("/")
    if uri.startswith("s3://") and len(fixed) <= len("s3:/"):
        fix = "Name the bucket."
        raise ConfigError(describe(what=uri, expected="s3://BUCKET/PATTERN", found="a pattern for buckets", fix=fix))
    return fixed or ("/" if uri.startswith("/") else "."), uri[len(fixed) + 1 :] if fixed else uri.lstrip("/")


def glob_to_regex(pattern: str) -> str:
    """Turn a glob into a regular expression for a whole key.

    `*` and `?` stop at slashes, `**/` stands for any folders or none, `**` for anything, `[...]` for one character.
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?[^\]]+\])", pattern)
    meanings = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    regex = ""
    for part in parts:
        if part in meanings:
            regex += meanings[part]
        elif part.startswith("[") and part.endswith("]"):
            regex += "[" + part[1:-1].replace("\\", r"\\").replace("!", "^", part[1] == "!") + "]"
        else:
            regex += re.escape(part)
    return f"(?s:{regex})"


def require_videos(num_videos: int, uri: str) -> None:
    """Refuse a place without any video.

    Raises:
        InputError: there is none.
    """
    if num_videos == 0:
        fix = "Check the location; the refusals, if any, say what was found instead."
        raise InputError(describe(what=uri, expected="videos", found="none", fix=fix))
