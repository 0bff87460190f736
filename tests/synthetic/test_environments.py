import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.errors import ConfigError, ContractError
from hoiray.render.light import panorama_directions, sh_basis
from hoiray.synthetic.environments import (
    ENVIRONMENT_NAMES,
    ENVIRONMENTS_FOLDER,
    LIGHTS_FILE,
    MEAN_RADIANCE,
    decode_radiance,
    encode_radiance,
    load_environment,
    measure_environment,
    octahedral_map,
    write_environments,
)

FloatArray = NDArray[np.float64]


def _panorama(towards: Sequence[float] | FloatArray, *, lamp: float = 20.0, height: int = 32) -> FloatArray:
    directions = panorama_directions(height, 2 * height)
    is_lamp = directions @ np.asarray(towards) > 0.97
    return np.asarray(np.where(is_lamp[..., None], lamp, 1.0) * np.array([1.0, 0.8, 0.6]))


def test_eighteen_places_are_packaged_and_small() -> None:
    files = list(ENVIRONMENTS_FOLDER.iterdir())
    assert {path.stem for path in files if path.suffix == ".jpg"} == set(ENVIRONMENT_NAMES)
    assert set(json.loads((ENVIRONMENTS_FOLDER / LIGHTS_FILE).read_text())) == set(ENVIRONMENT_NAMES)
    assert len(ENVIRONMENT_NAMES) == 18
    assert sum(path.stat().st_size for path in files) < 500_000


@pytest.mark.parametrize("name", ENVIRONMENT_NAMES)
def test_every_place_is_equally_bright_and_lit_from_somewhere(name: str) -> None:
    place = load_environment(name)
    total = place.ambient_sh[0] * 0.28209479 + place.lamp_colour / 4
    assert 0.2 < total.mean() < 0.6
    assert np.linalg.norm(place.lamp_direction) == pytest.approx(1.0)
    assert place.lamp_direction[1] > 0.0, "light comes from above"
    assert 0.05 < place.lamp_colour.mean() < 1.0
    assert 0.05 < place.lamp_spread <= 0.5
    assert np.isfinite(place.panorama).all()
    assert place.panorama.min() >= 0


def test_the_lamp_is_found_where_it_is() -> None:
    towards = np.array([0.6, 0.64, 0.48])
    place = measure_environment("x", _panorama(towards))
    assert place.lamp_direction @ towards > 0.995


def test_lamp_and_rest_together_are_the_whole_light() -> None:
    towards = np.array([0.6, 0.64, 0.48])
    radiance = _panorama(towards)
    place = measure_environment("x", radiance)
    directions = panorama_directions(32, 64)
    polar = (np.arange(32) + 0.5) / 32 * np.pi
    weight = (np.sin(polar) * (np.pi / 32) ** 2)[:, None, None]
    scale = MEAN_RADIANCE / ((radiance * weight).sum() / (4 * np.pi) / 3)
    cosine = np.maximum(directions @ towards, 0.0)[..., None]
    exact = (radiance * scale * cosine * weight).sum(axis=(0, 1)) / np.pi
    split = sh_basis(towards) @ place.ambient_sh + place.lamp_colour
    np.testing.assert_allclose(split, exact, rtol=0.03)


def test_fireflies_and_their_ringing_become_a_plain_lamp() -> None:
    radiance = np.ones((32, 64, 3))
    radiance[8, 20] = 30_000.0
    radiance[8, 21] = -4_000.0
    place = measure_environment("x", radiance)
    patch = place.panorama[8, 20:22, 0] / place.panorama[20, 5, 0]
    np.testing.assert_allclose(patch, 60.0, rtol=1e-6)


def test_a_panorama_without_a_lamp_has_only_ambient_light() -> None:
    place = measure_environment("x", np.ones((16, 32, 3)))
    np.testing.assert_allclose(place.lamp_colour, 0.0)
    np.testing.assert_allclose(sh_basis(np.array([0.0, 0.6, 0.8])) @ place.ambient_sh, MEAN_RADIANCE, rtol=1e-2)


@pytest.mark.parametrize(
    "radiance", [np.ones((16, 16, 3)), np.ones((16, 32)), np.zeros((16, 32, 3)), np.full((16, 32, 3), np.nan)]
)
def test_what_is_no_panorama_is_refused(radiance: FloatArray) -> None:
    with pytest.raises(ContractError, match="environment"):
        measure_environment("x", radiance)


def test_radiance_survives_its_bytes() -> None:
    radiance = np.geomspace(0.01, 10.0, 60).reshape(20, 1, 3)
    np.testing.assert_allclose(decode_radiance(encode_radiance(radiance)), radiance, rtol=0.08, atol=0.002)


def test_written_environments_are_small_and_named(tmp_path: Path) -> None:
    place = measure_environment("corner", _panorama([0.0, 1.0, 0.0]))
    num_bytes = write_environments([place], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corner.jpg", LIGHTS_FILE]
    assert num_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_an_unknown_place_is_named() -> None:
    with pytest.raises(ConfigError, match="'moon'"):
        load_environment("moon")


@pytest.mark.parametrize("direction", [(0.1, 0.9, 0.2), (0.7, -0.4, 0.3), (-0.5, -0.8, -0.1), (0.3, 0.2, -0.9)])
def test_the_octahedron_shows_what_the_panorama_shows(direction: tuple[float, float, float]) -> None:
    x, y, z = np.array(direction) / np.linalg.norm(direction)
    panorama, octahedron = load_environment("sky").panorama, octahedral_map("sky")
    height, width = panorama.shape[:2]
    row = np.arccos(y) / np.pi * height
    column = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * width
    expected = panorama[int(row) - 2 : int(row) + 3, int(column) - 2 : int(column) + 3].mean(axis=(0, 1))
    u, v = np.array([x, z]) / (abs(x) + abs(y) + abs(z))
    if y < 0:
        u, v = (1 - abs(v)) * np.sign(u), (1 - abs(u)) * np.sign(v)
    size = len(octahedron)
    seen = octahedron[int((v + 1) / 2 * size), int((u + 1) / 2 * size)]
    np.testing.assert_allclose(seen, expected, rtol=0.12, atol=0.02)


def test_packaged_light_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_environment("lab").ambient_sh[0] = 0
