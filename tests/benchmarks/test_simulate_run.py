from pathlib import Path

import pytest

from hoiray.benchmarks.simulate_run import simulate_run
from hoiray.benchmarks.simulate_world import World


def test_a_world_is_labelled_as_planted_in_two_goes(tmp_path: Path) -> None:
    world = World(5, 24)
    found = simulate_run(world, tmp_path / "run", target_frames=128, max_shards=3)
    assert (found.num_videos, found.num_sampled) == (24, len(found.shards))
    assert 2 <= found.num_sampled <= 3 < found.num_shards
    assert 0 < found.num_accepted < found.num_rows <= found.num_frames
    assert found.ledger.num_hands == found.num_rows


def test_a_label_that_was_not_planted_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(5, 12)
    honest = World.verdict
    monkeypatch.setattr(World, "verdict", lambda self, number: honest(self, number + 1))
    with pytest.raises(RuntimeError, match="planted"):
        simulate_run(world, tmp_path / "run", target_frames=128, max_shards=2)
