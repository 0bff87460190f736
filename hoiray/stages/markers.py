"""Reading many markers at once."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker
from hoiray.stages.commit import read_marker
from hoiray.stages.pending import committed_ids
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import Area

Argument = TypeVar("Argument")
Result = TypeVar("Result")

NUM_READS_AT_ONCE: Final = 16


def in_order(
    call: Callable[[Argument], Result], arguments: Iterable[Argument], *, num_threads: int = NUM_READS_AT_ONCE
) -> Iterator[Result]:
    """Call in threads, yield results in order; only a few calls are ahead, so any number of arguments is fine."""
    waiting = iter(arguments)
    with ThreadPoolExecutor(num_threads) as pool:
        futures: list[Future[Result]] = [pool.submit(call, it) for it in islice(waiting, 2 * num_threads)]
        while futures:
            yield futures.pop(0).result()
            futures += [pool.submit(call, it) for it in islice(waiting, 1)]


def read_markers(store: Store, area: Area, shard_ids: Iterable[str]) -> Iterator[CommitMarker]:
    """Read the markers of shards, in their order; one that vanished meanwhile is left out.

    Raises:
        ContractError: a marker is damaged.
    """
    for marker in in_order(lambda shard_id: read_marker(store, area, shard_id), shard_ids):
        if marker is not None:
            yield marker


def unit_ids(plan: Plan, area: Area) -> Iterator[str]:
    """Walk the ids under which a plan's results are committed, sorted: shards for predictions, buckets for labels."""
    if area.table == "predictions":
        yield from (entry.shard_id for entry in plan.shards())
        return
    # the buckets of long videos are few; they are laid between the others
    long = sorted({entry.bucket_id for entry in plan.shards() if entry.bucket_id != entry.shard_id})
    position = 0
    for entry in plan.shards():
        if entry.bucket_id != entry.shard_id:
            continue
        while position < len(long) and long[position] < entry.shard_id:
            yield long[position]
            position += 1
        yield entry.shard_id
    yield from long[position:]


def committed_units(plan: Plan, store: Store, area: Area) -> Iterator[tuple[str, bool]]:
    """Walk a plan's ids, sorted, with whether each is committed. Markers of other plans' shards are passed over."""
    done = committed_ids(store, area)
    current = next(done, None)
    for unit_id in unit_ids(plan, area):
        while current is not None and current < unit_id:
            current = next(done, None)
        yield unit_id, current == unit_id
