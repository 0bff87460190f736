"""The synthetic twin: worlds that are scored as they are held out, and commands over them."""

from pathlib import Path

import pytest

from hoiray.cli.evaluate import HELD_OUT_SPLITS
from hoiray.io.store import Store
from hoiray.selftrain.arms import AMOUNTS
from hoiray.selftrain.demo import SIZES
from hoiray.selftrain.twin import WORLDS, Amounts, render_phase, score_arguments, twin_run
from hoiray.synthetic.domains import DOMAIN_NAMES, SIZE_NAMES
from hoiray.synthetic.generate import DOMAIN_FORMATS

ALL_AMOUNTS = [*AMOUNTS.values(), *SIZES.values()]


def test_every_world_is_one_of_the_generators_with_a_seed_of_its_own() -> None:
    assert set(WORLDS) == set(DOMAIN_NAMES)
    assert len({world.seed for world in WORLDS.values()}) == len(WORLDS)


def test_networks_are_scored_on_what_is_held_out() -> None:
    for name, world in WORLDS.items():
        known_as = world.format or DOMAIN_FORMATS[name][0].partition("_")[0]
        assert world.split == HELD_OUT_SPLITS[known_as], name


@pytest.mark.parametrize("amounts", ALL_AMOUNTS)
def test_every_amount_names_sizes_that_exist_and_makes_a_valid_run(tmp_path: Path, amounts: Amounts) -> None:
    assert set(amounts.sizes) == set(WORLDS)
    assert set(amounts.sizes.values()) <= set(SIZE_NAMES)
    run = twin_run(Store.open(tmp_path), "twin", amounts)
    assert run.training is not None
    assert (run.training.epochs, run.training.steps_per_epoch) == (amounts.epochs, amounts.steps_per_epoch)
    assert (run.training.init_uri is None) == (amounts.init_parts is None)
    if run.training.init_uri is not None:
        assert Path(run.training.init_uri).is_file()
        assert run.training.init_parts == amounts.init_parts
    assert {name: getattr(run.limits, name) for name in amounts.limits} == amounts.limits


def test_a_set_is_rendered_by_its_seed_and_another_size_is_another_set(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    phases = [render_phase(store, "ego", amounts, 2) for amounts in (SIZES["tiny"], SIZES["demo"])]
    assert phases[0].arguments[:3] == ("synth", "ego", "--out")
    assert phases[0].identity == {"size": "tiny", "seed": 2}
    assert phases[0].identity != phases[1].identity


def test_a_network_is_scored_alone_or_against_another() -> None:
    store = Store.open("/data/x")
    alone = score_arguments(store, "wild", SIZES["tiny"], "m", "out")
    both = score_arguments(store, "wild", SIZES["tiny"], "m", "out", against="t")
    assert "--against" not in alone
    assert set(both) - set(alone) == {"--against", "t"}
    assert alone[alone.index("--format") :][:2] == ("--format", "synthetic_truth")
    assert "--format" not in score_arguments(store, "lab", SIZES["tiny"], "m", "out")
