"""What is left to do: the plan without what is committed, as two sorted streams laid side by side."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.io.store import Store
from hoiray.schema.tables import SHARD_INDEX
from hoiray.stages.plan import Plan, ShardEntry
from hoiray.stages.run_layout import Area, shard_of_marker

CHUNK_ROWS: Final = 1024


@dataclass(frozen=True)
class Portion:
    """What of the pending shards is to be done now.

    Attributes:
        only: these of them; None for all.
        ask: asked before a shard is begun; once it says no, those that have begun are the last. None: there is no end.
    """

    only: frozenset[str] | None = None
    ask: Callable[[], bool] | None = None

    def may_begin(self) -> bool:
        """Whether another shard may be begun."""
        return self.ask is None or self.ask()

    def has(self, shard_id: str) -> bool:
        """Whether a shard belongs to it."""
        return self.only is None or shard_id in self.only


EVERYTHING: Final = Portion()


@dataclass(frozen=True)
class Bucket:
    """Shards that are judged together: one, or all segments of a long video in their order."""

    bucket_id: str
    entries: tuple[ShardEntry, ...]


def committed_ids(store: Store, area: Area) -> Iterator[str]:
    """Walk the ids of committed shards, sorted. One request lists a thousand; no marker is read."""
    for info in store.objects(area.commit_folder):
        if info.key.endswith(".json"):
            yield shard_of_marker(info.key)


def without_committed(entries: Iterable[ShardEntry], committed: Iterable[str]) -> Iterator[tuple[ShardEntry, bool]]:
    """Say of each shard whether it is committed; both streams sorted by id, nothing kept in memory."""
    done = iter(committed)
    current = next(done, None)
    for entry in entries:
        while current is not None and current < entry.shard_id:
            current = next(done, None)
        yield entry, current == entry.shard_id


def pending_table(plan: Plan, store: Store, area: Area, portion: Portion = EVERYTHING) -> pa.Table:
    """Return the shards of a plan that are not committed, in the order they are to be done; columns of ``shard_index``.

    Shards of whole videos come first, the most expensive before the others, so that labels appear from the start and no
    long shard is left for the end. Segments follow, all of one video and then all of the next: none is longer than a
    shard should be, a long video's labels wait for its last segment anyway, and who has fetched the video for one
    segment still has it for the next.

    Memory: about 120 bytes a pending shard, whatever the number of committed ones.
    """
    marked = without_committed(plan.shards(), committed_ids(store, area))
    pending = (entry for entry, is_done in marked if not is_done and portion.has(entry.shard_id))
    schema = SHARD_INDEX.to_arrow().with_metadata(None)
    chunks = [schema.empty_table()]
    while block := list(islice(pending, CHUNK_ROWS)):
        columns = zip(*map(attrgetter(*schema.names), block), strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        chunks.append(pa.Table.from_arrays(arrays, schema=schema))
    table = pa.concat_tables(chunks)
    chunks.clear()
    is_whole = pc.equal(table["bucket_id"], table["shard_id"])
    video = pc.if_else(is_whole, "", table["bucket_id"])
    keys = pa.table([video, table["cost_frames"], table["shard_id"]], ["video", "cost_frames", "shard_id"])
    names = [("video", "ascending"), ("cost_frames", "descending"), ("shard_id", "ascending")]
    return table.take(pc.sort_indices(keys, names)).combine_chunks()


def pending_shards(plan: Plan, store: Store, area: Area, portion: Portion = EVERYTHING) -> list[ShardEntry]:
    """Return the same as a list, some five times the memory."""
    return [ShardEntry(**row) for row in pending_table(plan, store, area, portion).to_pylist()]


def pending_cost(plan: Plan, store: Store, area: Area, portion: Portion = EVERYTHING) -> tuple[int, int]:
    """Return how many shards of a plan are not committed, and the frames they are reckoned with."""
    count = cost = 0
    for entry, is_done in without_committed(plan.shards(), committed_ids(store, area)):
        if not is_done and portion.has(entry.shard_id):
            count, cost = count + 1, cost + entry.cost_frames
    return count, cost


def pending_buckets(plan: Plan, store: Store, predictions: Area, labels: Area) -> list[Bucket]:
    """Return the buckets whose shards are all predicted and that are not judged, sorted by id.

    Memory: those, and the shards of long videos.
    """
    ready: list[Bucket] = []
    long: dict[str, list[tuple[ShardEntry, bool]]] = {}
    predicted = without_committed(plan.shards(), committed_ids(store, predictions))
    judged = without_committed(plan.shards(), committed_ids(store, labels))
    for (entry, is_predicted), (_, is_judged) in zip(predicted, judged, strict=True):
        if entry.bucket_id != entry.shard_id:
            long.setdefault(entry.bucket_id, []).append((entry, is_predicted))
        elif is_predicted and not is_judged:
            ready.append(Bucket(entry.bucket_id, (entry,)))
    for bucket_id, members in long.items():
        if all(is_predicted for _, is_predicted in members) and not store.exists(labels.commit_key(bucket_id)):
            ready.append(Bucket(bucket_id, tuple(sorted((it for it, _ in members), key=lambda it: it.shard_id))))
    return sorted(ready, key=lambda bucket: bucket.bucket_id)
