"""The fewest rounds that kill each kind once; `python -m chaos` plays many."""

import random
from collections.abc import Iterator

import pytest

from .kills import KINDS
from .nodes import Nodes, marked, running_nodes
from .rounds import RoundPlayer
from .world import World, make_world

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with running_nodes() as started:
        yield started
        started.stop()
        assert not marked(started)


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "predictor"]


@pytest.mark.parametrize("kind", ["predictor", *SLOW])
def test_whoever_is_killed_the_result_is_that_of_an_unbroken_run(
    kind: str, world: World, nodes: Nodes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    played = RoundPlayer(world, nodes, tmp_path_factory.mktemp(kind)).play(0, kind, random.Random(1))
    assert played.problems == []
    assert played.num_killed > 0


def test_a_lost_shard_a_foreign_row_and_work_done_twice_are_findings(world: World) -> None:
    """What the harness looks for, it finds."""
    from .world import problems_of

    out = world.folder / "unbroken"
    assert problems_of(world, out) == []
    marker = next(out.glob("predictions/*/commit/*.json"))
    kept = marker.read_text()
    marker.unlink()
    assert any(f"lost: predictions/{marker.stem}" in it for it in problems_of(world, out))
    marker.write_text(kept)
    data = next(out.glob(f"labels/*/data/{marker.stem}-*.parquet"), None) or next(out.glob("labels/*/data/*.parquet"))
    whole = data.read_bytes()
    data.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Exception, match=data.name):
        problems_of(world, out)
    data.write_bytes(whole)
    assert problems_of(world, out) == []
