import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from hoiray.errors import ContractError
from hoiray.render.light import (
    Light,
    panorama_directions,
    project_environment,
    rotate_sh,
    sh_basis,
    sky_ambient,
    sphere_directions,
)

UP = np.array([0.0, -0.6, 0.8])


def integrate_irradiance(radiance: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum the panorama's light on a matt surface pixel by pixel, without spherical harmonics; divided by pi."""
    height, width = radiance.shape[:2]
    polar = (np.arange(height) + 0.5) / height * np.pi
    solid_angle = np.sin(polar)[:, None] * (np.pi / height) * (2 * np.pi / width)
    cosine = np.clip(panorama_directions(height, width) @ normal, 0, None)
    return np.asarray((radiance * (cosine * solid_angle)[..., None]).sum((0, 1)) / np.pi)


def test_the_basis_is_orthonormal() -> None:
    directions = sphere_directions(20000)
    gram = sh_basis(directions).T @ sh_basis(directions) * (4 * np.pi / len(directions))
    np.testing.assert_allclose(gram, np.eye(9), atol=1e-4)


def test_a_sky_lights_what_faces_it_and_a_ground_what_faces_down() -> None:
    sky, ground = np.array([0.5, 0.6, 0.9]), np.array([0.3, 0.2, 0.1])
    coefficients = sky_ambient(UP, sky, ground)
    side = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(sh_basis(UP) @ coefficients, sky)
    np.testing.assert_allclose(sh_basis(-UP) @ coefficients, ground)
    np.testing.assert_allclose(sh_basis(side) @ coefficients, (sky + ground) / 2)


def test_a_panorama_lights_as_the_integral_says() -> None:
    directions = panorama_directions(64, 128)
    radiance = np.stack([1 + directions[..., 0], 1 + directions[..., 1] ** 2, np.clip(directions[..., 2], 0, None)], -1)
    coefficients = project_environment(radiance)
    for normal in sphere_directions(20):
        # Ramamoorthi and Hanrahan bound what nine numbers leave out; a clamped cosine is the roughest of the three
        np.testing.assert_allclose(sh_basis(normal) @ coefficients, integrate_irradiance(radiance, normal), atol=0.012)


def test_a_panorama_looks_up_in_its_first_row_and_forward_in_its_middle() -> None:
    directions = panorama_directions(64, 128)
    assert directions[0, :, 1].min() > 0.99
    assert directions[32, 64, 2] > 0.99
    assert directions[32, 96, 0] > 0.99
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0)


def test_turning_the_light_turns_what_it_lights() -> None:
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(9, 3))
    R = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    turned = rotate_sh(coefficients, R)
    for normal in sphere_directions(20):
        np.testing.assert_allclose(sh_basis(R @ normal) @ turned, sh_basis(normal) @ coefficients, atol=1e-12)


def test_a_light_that_would_shade_wrongly_is_refused() -> None:
    ambient = np.zeros((9, 3))
    with pytest.raises(ContractError, match="length 1, found 2"):
        Light(np.array([0.0, 0.0, -2.0]), np.ones(3), ambient)
    with pytest.raises(ContractError, match="ambient_sh"):
        Light(np.array([0.0, 0.0, -1.0]), np.ones(3), np.zeros((3, 9)))
    with pytest.raises(ContractError, match="colour"):
        Light(np.array([0.0, 0.0, -1.0]), np.array([1.0, np.nan, 1.0]), ambient)
