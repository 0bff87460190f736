"""Light as a renderer needs it: one directional lamp, and everything else as nine spherical-harmonic coefficients.

A matt surface blurs its surroundings so strongly that the irradiance of any environment is known to about one per
cent from nine numbers per colour (Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment
maps", SIGGRAPH 2001). Coefficients here are stored after that blur and divided by pi: the sum over the basis, times
the albedo, is the radiance that leaves the surface.

The basis is the real one, in the order 1; y, z, x; xy, yz, 3z^2-1, xz, x^2-y^2, in whatever frame the directions have.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hoiray.errors import ContractError, describe

FloatArray = npt.NDArray[np.floating]

NUM_SH = 9
# sqrt(1/4pi); sqrt(3/4pi); sqrt(15/4pi), sqrt(5/16pi), sqrt(15/16pi)
SH_BAND_0, SH_BAND_1, SH_BAND_2, SH_BAND_2_ZZ, SH_BAND_2_XXYY = (
    0.28209479177387814,
    0.4886025119029199,
    1.0925484305920792,
    0.31539156525252005,
    0.5462742152960396,
)
# Convolution with the clamped cosine divided by pi, per band (Ramamoorthi and Hanrahan, equation 8: pi, 2pi/3, pi/4).
_COSINE_BANDS = np.array([1.0] + [2.0 / 3.0] * 3 + [0.25] * 5)


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """The light of one frame, in the camera frame (OpenCV axes), in linear RGB.

    Attributes:
        direction_cam: (3,) unit vector from the scene *towards* the lamp.
        colour: (3,) radiance that leaves a white matt surface which faces the lamp.
        ambient_sh: (9, 3) coefficients of everything else, see the module's head.
        shadow_map_px: side of the shadow map, 0 for no shadows. The penumbra is about three of its pixels wide, so a
            small map means a large, soft lamp.
    """

    direction_cam: FloatArray
    colour: FloatArray
    ambient_sh: FloatArray
    shadow_map_px: int = 192

    def __post_init__(self) -> None:
        """Refuse what would shade to a plausible wrong picture."""
        shapes = {"direction_cam": (3,), "colour": (3,), "ambient_sh": (NUM_SH, 3)}
        for name, shape in shapes.items():
            value = np.asarray(getattr(self, name), np.float64)
            if value.shape != shape or not np.isfinite(value).all():
                raise ContractError(
                    describe(
                        what=f"Light.{name}",
                        expected=f"finite values of shape {shape}",
                        found=np.array2string(value),
                        fix="Give linear RGB in the camera frame.",
                    )
                )
        length = float(np.linalg.norm(self.direction_cam))
        if abs(length - 1.0) > 1e-6:
            raise ContractError(
                describe(what="Light.direction_cam", expected="length 1", found=f"{length:.9g}", fix="Normalise it.")
            )


def sh_basis(directions: FloatArray) -> npt.NDArray[np.float64]:
    """Evaluate the nine basis functions.

    Args:
        directions: (..., 3) unit vectors.

    Returns:
        (..., 9).
    """
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    return np.stack(
        [
            np.full_like(x, SH_BAND_0),
            SH_BAND_1 * y,
            SH_BAND_1 * z,
            SH_BAND_1 * x,
            SH_BAND_2 * x * y,
            SH_BAND_2 * y * z,
            SH_BAND_2_ZZ * (3 * z * z - 1),
            SH_BAND_2 * x * z,
            SH_BAND_2_XXYY * (x * x - y * y),
        ],
        axis=-1,
    )


def sky_ambient(up: FloatArray, sky: FloatArray, ground: FloatArray) -> npt.NDArray[np.float64]:
    """Light a scene from a sky of one colour above and a ground of another below.

    The half-sky's irradiance is ``(sky + ground) / 2 + (sky - ground) / 2 * cos(angle to up)``, exactly, so bands 0
    and 1 hold all of it.

    Args:
        up: (3,) unit vector.
        sky: (3,) linear RGB radiance of the upper half.
        ground: (3,) of the lower half.

    Returns:
        (9, 3) coefficients for `Light.ambient_sh`.
    """
    mean = (np.asarray(sky, np.float64) + np.asarray(ground, np.float64)) / 2
    slope = (np.asarray(sky, np.float64) - np.asarray(ground, np.float64)) / 2
    x, y, z = np.asarray(up, np.float64)
    coefficients = np.zeros((NUM_SH, 3))
    coefficients[0] = mean / SH_BAND_0
    coefficients[1:4] = np.array([y, z, x])[:, None] * slope / SH_BAND_1
    return coefficients


def project_environment(radiance: FloatArray) -> npt.NDArray[np.float64]:
    """Reduce a panorama to the nine coefficients of the irradiance it causes.

    Args:
        radiance: (H, W, 3) linear RGB, equirectangular: row 0 looks along +y, the middle column along +z, the column
            at three quarters of the width along +x.

    Returns:
        (9, 3) in the panorama's own frame; `rotate_sh` takes them to the camera.
    """
    height, width = radiance.shape[:2]
    directions = panorama_directions(height, width)
    polar = (np.arange(height) + 0.5) / height * np.pi
    solid_angle = np.sin(polar) * (np.pi / height) * (2 * np.pi / width)
    basis = sh_basis(directions) * solid_angle[:, None, None]
    coefficients = np.tensordot(basis, np.asarray(radiance, np.float64), axes=((0, 1), (0, 1)))
    return np.asarray(coefficients * _COSINE_BANDS[:, None])


def panorama_directions(height: int, width: int) -> npt.NDArray[np.float64]:
    """Return the (H, W, 3) unit directions of an equirectangular image's pixels; see `project_environment`."""
    polar = ((np.arange(height) + 0.5) / height * np.pi)[:, None]
    azimuth = ((np.arange(width) + 0.5) / width * 2 * np.pi - np.pi)[None]
    return np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar) + 0 * azimuth, np.sin(polar) * np.cos(azimuth)], axis=-1
    )


def rotate_sh(coefficients: FloatArray, R: FloatArray) -> npt.NDArray[np.float64]:
    """Turn a light: ``irradiance_after(R @ n) == irradiance_before(n)``.

    Args:
        coefficients: (9, 3).
        R: (3, 3) rotation, for instance panorama frame to camera frame.

    Returns:
        (9, 3).
    """
    directions, inverse_basis = _probe()
    return np.asarray(inverse_basis @ (sh_basis(directions @ R) @ coefficients))


@lru_cache(maxsize=1)
def _probe() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return directions that determine nine coefficients, and the pseudo-inverse of the basis there."""
    directions = sphere_directions(32)
    return directions, np.asarray(np.linalg.pinv(sh_basis(directions)), np.float64)


def sphere_directions(count: int) -> npt.NDArray[np.float64]:
    """Spread (count, 3) unit vectors evenly over the sphere by the golden spiral (no randomness)."""
    steps = np.arange(count) + 0.5
    z = 1 - 2 * steps / count
    radius, angle = np.sqrt(1 - z * z), np.pi * (1 + 5**0.5) * steps
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)
