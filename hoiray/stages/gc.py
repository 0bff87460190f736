"""What a run's folder holds that nothing needs: found, said why, and deleted only on demand."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from hoiray.io.objects import ObjectInfo
from hoiray.io.store import Store
from hoiray.stages.commit import read_marker
from hoiray.stages.inflight import MAX_SILENCE_S
from hoiray.stages.pending import committed_ids
from hoiray.stages.run_layout import Area, shard_of_data
from hoiray.stages.snapshot import Snapshot, list_snapshots

MIN_AGE_S: Final = 24 * 3600.0
"""Younger objects are left alone: data is written before its marker, and another job may be about to commit."""


@dataclass(frozen=True)
class Garbage:
    """An object that nothing needs, and why."""

    key: str
    size_bytes: int
    reason: str


def find_garbage(store: Store, *, now_s: float, min_age_s: float = MIN_AGE_S) -> Iterator[Garbage]:
    """Walk what can be deleted: data that no marker and no snapshot names, notes of the dead, half-written files.

    Data of a shard that is committed once is not looked into: one object, one marker. Only where there are several
    objects, or no marker, is the marker read.

    Args:
        store: the run's folder.
        now_s: the present time, seconds since 1970, by the store's clock.
        min_age_s: younger objects are left alone.
    """

    def is_old(info: ObjectInfo) -> bool:
        return now_s - info.modified_s >= min_age_s

    held = {entry.data_key for head in list_snapshots(store) for entry in Snapshot(store, head).entries()}
    for table in ("predictions", "labels"):
        for name in store.list_folders(table):
            for info in _orphans(store, Area(table, name), held):
                if is_old(info):
                    yield Garbage(info.key, info.size_bytes, "data that no marker names")
    for info in store.objects("inflight"):
        if now_s - info.modified_s >= max(min_age_s, MAX_SILENCE_S):
            yield Garbage(info.key, info.size_bytes, "note of a worker that is gone")
    for info in store.partials():
        if is_old(info):
            yield Garbage(info.key, info.size_bytes, "half-written file")


def delete_garbage(store: Store, garbage: Garbage) -> None:
    """Delete one object."""
    path = store.local_path(garbage.key)
    if path is not None:
        path.unlink(missing_ok=True)
    else:
        store.delete(garbage.key)


def _orphans(store: Store, area: Area, held: set[str]) -> Iterator[ObjectInfo]:
    """Lay data and markers side by side, both sorted by shard."""
    committed = committed_ids(store, area)
    current = next(committed, None)
    for shard_id, group in groupby(store.objects(area.data_folder), key=lambda info: shard_of_data(info.key)):
        objects = list(group)
        while current is not None and current < shard_id:
            current = next(committed, None)
        if current == shard_id and len(objects) == 1:
            continue
        marker = read_marker(store, area, shard_id) if current == shard_id else None
        kept = held | {marker.data_key if marker else ""}
        yield from (info for info in objects if info.key not in kept)
