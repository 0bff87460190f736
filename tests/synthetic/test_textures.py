from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.synthetic.objects import SHAPES, build_object
from hoiray.synthetic.textures import (
    TEXTURE_PX,
    banana_skin,
    cloth_texture,
    metal,
    mip_chain,
    object_finishes,
    printed_label,
    stone_texture,
    table_finish,
    wood_texture,
)


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_part_of_every_object_has_a_surface(name: str) -> None:
    parts = build_object(name).part_names
    finishes = object_finishes(name, parts, 5)
    assert len(finishes) == len(parts)
    for finish in finishes:
        assert finish.texture.shape == (TEXTURE_PX, TEXTURE_PX, 3)
        assert finish.texture.dtype == np.float32
        assert finish.texture.min() >= 0
        assert finish.texture.max() <= 1
        assert 0 <= finish.specular < 1
        assert finish.shininess >= 1
        assert 0 <= finish.mirror <= 1


def test_the_same_seed_prints_the_same_label_and_another_seed_another() -> None:
    first, again, other = (object_finishes("can", ("body",), seed)[0].texture for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02


def test_labels_differ_in_colour_and_layout() -> None:
    means = np.array([printed_label(np.random.default_rng(seed)).texture.mean(axis=(0, 1)) for seed in range(40)])
    assert means.std(axis=0).min() > 0.1
    printed = [printed_label(np.random.default_rng(seed)).texture.std() for seed in range(40)]
    assert np.mean(np.array(printed) > 0.05) > 0.5


@pytest.mark.parametrize("make", [wood_texture, cloth_texture, stone_texture])
def test_table_tops_repeat_without_a_seam(make: Callable[[np.random.Generator], NDArray[np.float32]]) -> None:
    texture = make(np.random.default_rng(11)).mean(axis=2)
    for axis in (0, 1):
        # a stripe may end at the border as at any other line: the seam is no worse than the worst line inside
        steps = np.abs(texture - np.roll(texture, 1, axis=axis)).mean(axis=1 - axis)
        assert steps[0] <= 1.2 * steps[1:].max()


def test_tables_come_in_several_materials() -> None:
    assert len({table_finish(seed).shininess for seed in range(30)}) > 1


def test_steel_mirrors_and_bananas_are_yellow() -> None:
    assert metal(np.random.default_rng(0)).specular > 0.3
    red, green, blue = banana_skin(np.random.default_rng(0)).texture.mean(axis=(0, 1))
    assert red > 0.4
    assert green > 0.25
    assert blue < 0.15


def test_a_mip_chain_keeps_the_mean() -> None:
    texture = np.random.default_rng(0).uniform(size=(32, 32, 3)).astype(np.float32)
    chain = mip_chain(texture)
    assert [len(level) for level in chain] == [32, 16, 8, 4]
    for level in chain:
        np.testing.assert_allclose(level.mean(axis=(0, 1)), texture.mean(axis=(0, 1)), rtol=1e-5)
