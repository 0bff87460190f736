import pickle
from pathlib import Path

import pytest
from run_folders import plan_of, videos

from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.stages.plan import current_plan_id, index_key, load_shard, open_plan, part_key, plan_key


def test_a_folder_without_a_plan_says_how_to_make_one(tmp_path: Path) -> None:
    assert current_plan_id(Store.open(tmp_path)) is None
    with pytest.raises(InputError, match="hoiray index"):
        open_plan(Store.open(tmp_path))


def test_a_plan_travels_to_a_worker(tmp_path: Path) -> None:
    plan = plan_of(Store.open(tmp_path), videos(10))
    there = pickle.loads(pickle.dumps(plan))
    for entry in there.shards():
        assert load_shard(there, pickle.loads(pickle.dumps(entry))).segments.num_rows == entry.num_videos


def test_a_plan_is_whole_when_it_can_be_opened(tmp_path: Path) -> None:
    """The head is written last: without it there is no plan, whatever else is there."""
    store = Store.open(tmp_path)
    plan = plan_of(store, videos(10))
    store.delete(plan_key(plan.plan_id))
    with pytest.raises(InputError, match="nothing there"):
        open_plan(store)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"plan": 1}', b""])
def test_a_damaged_pointer_is_named(tmp_path: Path, content: bytes) -> None:
    store = Store.open(tmp_path)
    store.write("current.json", content)
    with pytest.raises(ContractError, match=r"current\.json"):
        open_plan(store)


def test_a_damaged_head_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store, videos(10))
    store.write(plan_key(plan.plan_id), b'{"plan_version": 2}')
    with pytest.raises(ContractError, match="plan_version"):
        open_plan(store)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store, videos(10))
    entry = next(plan.shards())
    key = part_key(entry.part, "shards")
    data = bytearray(store.read(key))
    data[len(data) // 8] ^= 255
    store.write(key, bytes(data))
    with pytest.raises(ContractError, match=rf"{entry.part}-shards\.parquet"):
        load_shard(plan, entry)
    store.write(index_key(plan.head.index), b"junk")
    with pytest.raises(ContractError, match=plan.head.index):
        list(plan.shards())
