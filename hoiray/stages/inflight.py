"""Notes of running work: after a crash they tell which video was open, and after some crashes that it is the cause.

A worker writes a note when it begins a shard, names each video before it opens it, and removes the note at the end. A
note that outlives its process is a *kill*: it is moved to the kills of its shard, once, whoever notices. A video that
was open in `max_kills` kills is quarantined: the next attempt leaves it out and commits a dead letter for it.
"""

import json
import os
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from hoiray.errors import InputError
from hoiray.io.store import Store
from hoiray.schema.marker import DeadLetter
from hoiray.stages.run_layout import inflight_folder, kills_folder

HEARTBEAT_S: Final = 20.0
MAX_SILENCE_S: Final = 120.0
"""A note of another machine is believed dead after this; of this machine the process itself is asked."""

MAX_KILLS: Final = 3


@dataclass(frozen=True)
class Note:
    """One worker at one shard.

    Attributes:
        shard_id: what it works on.
        worker: unique to this attempt.
        attempt: which attempt at the shard, from 1.
        video_id: the video that is open; None between videos.
        host, pid, process_start: the process; the last tells apart two processes of one number.
        started_s: when the attempt began, seconds since 1970.
        heartbeat_s: when the worker was last heard of.
    """

    shard_id: str
    worker: str
    attempt: int
    video_id: str | None
    host: str
    pid: int
    process_start: str
    started_s: float
    heartbeat_s: float


@dataclass(frozen=True)
class Kills:
    """How often processes died at a shard: by the video that was open, and without any."""

    by_video: Mapping[str, int]
    without_video: int = 0

    @property
    def num_kills(self) -> int:
        """All of them."""
        return sum(self.by_video.values()) + self.without_video


class Attempt:
    """A worker's own note, kept up to date in the store."""

    def __init__(self, store: Store, predict_id: str, note: Note, now_s: Callable[[], float] = time.time) -> None:
        """Write the note."""
        self._store, self._predict_id, self._now_s = store, predict_id, now_s
        self._note = note
        self._write()

    @property
    def note(self) -> Note:
        """The note as it was last written."""
        return self._note

    def open_video(self, video_id: str | None) -> None:
        """Say which video is open from now on; None: no one. Returns when it is written."""
        self._note = replace(self._note, video_id=video_id, heartbeat_s=self._now_s())
        self._write()

    def heartbeat(self) -> None:
        """Say that the worker lives; written at most every `HEARTBEAT_S`."""
        now_s = self._now_s()
        if now_s - self._note.heartbeat_s >= HEARTBEAT_S:
            self._note = replace(self._note, heartbeat_s=now_s)
            self._write()

    def close(self) -> None:
        """Remove the note: the attempt ended, well or with an error that was handled."""
        self._store.delete(_note_key(self._predict_id, self._note))

    def _write(self) -> None:
        self._store.write(_note_key(self._predict_id, self._note), json.dumps(asdict(self._note)).encode())


def begin_attempt(store: Store, predict_id: str, shard_id: str, attempt: int) -> Attempt:
    """Write the note of this process's work on a shard."""
    now_s = time.time()
    note = Note(
        shard_id=shard_id,
        worker=uuid.uuid4().hex,
        attempt=attempt,
        video_id=None,
        host=socket.gethostname(),
        pid=os.getpid(),
        process_start=process_start(os.getpid()) or "",
        started_s=now_s,
        heartbeat_s=now_s,
    )
    return Attempt(store, predict_id, note)


def read_notes(store: Store, predict_id: str, shard_id: str | None = None) -> list[Note]:
    """Read the notes of a shard, or of all; damaged ones, and those that vanish meanwhile, are left out."""
    found = (_read(store, info.key) for info in store.objects(inflight_folder(predict_id, shard_id)))
    return [note for note in found if note is not None]


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None where there is none, empty if not told."""
    try:
        # the name of a program may hold anything, but it ends at the last bracket
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else ""
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def is_abandoned(
    note: Note,
    *,
    now_s: float,
    host: str,
    started: Callable[[int], str | None] = process_start,
    max_silence_s: float = MAX_SILENCE_S,
) -> bool:
    """Say whether a note's process is dead: asked directly on its own machine, by its silence from elsewhere."""
    if note.host == host and note.process_start:
        return started(note.pid) != note.process_start
    return now_s - note.heartbeat_s > max_silence_s


def reap(store: Store, predict_id: str, shard_id: str, *, now_s: float | None = None) -> Kills:
    """Turn the notes of dead processes at a shard into kills, and count all kills so far.

    Called before an attempt begins. A kill is created once under its worker's name, so it counts once.
    """
    moment = time.time() if now_s is None else now_s
    for note in read_notes(store, predict_id, shard_id):
        if is_abandoned(note, now_s=moment, host=socket.gethostname()):
            store.put_if_absent(f"{kills_folder(predict_id, shard_id)}/{note.worker}.json", _json(note))
            store.delete(_note_key(predict_id, note))
    return count_kills(_read(store, info.key) for info in store.objects(kills_folder(predict_id, shard_id)))


def count_kills(notes: Iterable[Note | None]) -> Kills:
    """Count kills by the video that was open."""
    counts = Counter(note.video_id for note in notes if note is not None)
    without = counts.pop(None, 0)
    return Kills({name: count for name, count in sorted(counts.items(), key=str) if name is not None}, without)


def quarantined(kills: Kills, uris: Mapping[str, str], *, max_kills: int = MAX_KILLS) -> list[DeadLetter]:
    """Return dead letters for the videos that were open in `max_kills` kills or more, sorted by video.

    Args:
        kills: of the shard.
        uris: of its videos, by id.
        max_kills: how often a video may take its process along.
    """
    return [
        DeadLetter(
            video_id=name,
            uri=uris[name],
            stage="decode",
            error_class="ProcessKilled",
            message=f"the process died {count} times with this video open (crash, hang that was ended, or memory)",
            attempts=count,
        )
        for name, count in sorted(kills.by_video.items())
        if count >= max_kills and name in uris
    ]


def _read(store: Store, key: str) -> Note | None:
    try:
        return Note(**json.loads(store.read(key)))
    except (InputError, ValueError, TypeError):
        return None


def _json(note: Note) -> bytes:
    return json.dumps(asdict(note)).encode()


def _note_key(predict_id: str, note: Note) -> str:
    return f"{inflight_folder(predict_id, note.shard_id)}/{note.worker}.json"
