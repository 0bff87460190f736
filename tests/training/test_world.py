from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hoiray.training.world import World


def test_one_worker_needs_no_others() -> None:
    world = World()
    assert world.is_first
    assert torch.equal(world.sum(torch.tensor([1.0, 2.0])), torch.tensor([1.0, 2.0]))
    assert world.gather("a") == ["a"]


def _talk(rank: int, file: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    world = World(rank=rank, size=2)
    assert world.is_first == (rank == 0)
    assert world.sum(torch.tensor([1.0 + rank])).item() == 3.0
    numbers = torch.tensor([float(rank)])
    world.copy_from_first([numbers])
    assert numbers.item() == 0.0
    assert world.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    dist.destroy_process_group()


def test_two_workers_add_up_and_hear_each_other(tmp_path: Path) -> None:
    mp.start_processes(_talk, args=(str(tmp_path / "meeting"),), nprocs=2, start_method="fork")
