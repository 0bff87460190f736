"""What is left to do: the plan without what is committed, as two sorted streams laid side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hoiray.io.store import Store
from hoiray.stages.plan import Plan, ShardEntry
from hoiray.stages.run_layout import Area, shard_of_marker


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


def pending_shards(plan: Plan, store: Store, area: Area) -> list[ShardEntry]:
    """Return the shards of a plan that are not committed, the most expensive first, then by id.

    Memory: the pending ones, whatever the number of committed ones.
    """
    pending = [entry for entry, is_done in without_committed(plan.shards(), committed_ids(store, area)) if not is_done]
    return sorted(pending, key=lambda entry: (-entry.cost_frames, entry.shard_id))


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
