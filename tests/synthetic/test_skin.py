from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.errors import ContractError
from hoiray.synthetic.arm import load_arm
from hoiray.synthetic.skin import ATLAS_PX, SKIN_TONES, atlas_uv, bake_skin, value_noise

FloatArray = NDArray[np.float64]


def _colour_at(texels: NDArray[np.float32], corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean colour at the middles of the faces whose corners' texture places are given."""
    middle = corners.mean(axis=1) * ATLAS_PX
    return np.asarray(texels[middle[:, 1].astype(int), middle[:, 0].astype(int), :3].mean(axis=0))


def _faces_where(condition: Callable[[FloatArray], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    arm = load_arm()
    return condition(arm.vertices[arm.faces].mean(axis=1))


def test_ten_tones_go_from_light_to_dark() -> None:
    luminance = SKIN_TONES @ [0.2126, 0.7152, 0.0722]
    assert SKIN_TONES.shape == (10, 3)
    assert (np.diff(luminance) < 0).all()
    assert 0.02 < luminance[-1] < luminance[0] < 0.75
    assert (SKIN_TONES[:, 0] > SKIN_TONES[:, 1]).all()
    assert (SKIN_TONES[:, 1] > SKIN_TONES[:, 2]).all()


def test_the_same_seed_bakes_the_same_bits_and_another_seed_others() -> None:
    first = bake_skin(4, 7)
    np.testing.assert_array_equal(first.texels, bake_skin(4, 7).texels)
    assert not np.array_equal(first.texels, bake_skin(4, 8).texels)


@pytest.mark.parametrize("tone", [0, 5, 9])
def test_a_baked_skin_keeps_its_tone_on_the_back_of_the_hand(tone: int) -> None:
    texels = bake_skin(tone, 3).texels
    back = _faces_where(lambda p: (p[:, 0] > 0.02) & (p[:, 0] < 0.07) & (p[:, 1] > 0.018))
    np.testing.assert_allclose(_colour_at(texels, atlas_uv()[back]), SKIN_TONES[tone], rtol=0.25)


def test_palms_of_dark_hands_are_lighter_than_their_backs() -> None:
    texels = bake_skin(9, 3).texels
    back = _faces_where(lambda p: (p[:, 0] > 0.02) & (p[:, 0] < 0.07) & (p[:, 1] > 0.018))
    palm = _faces_where(lambda p: (p[:, 0] > 0.02) & (p[:, 0] < 0.07) & (p[:, 1] < -0.004))
    assert _colour_at(texels, atlas_uv()[palm]).mean() > 1.5 * _colour_at(texels, atlas_uv()[back]).mean()


def test_texels_are_reflectances() -> None:
    texels = bake_skin(0, 1).texels
    assert texels.dtype == np.float32
    assert texels[..., :3].min() > 0
    assert texels[..., :3].max() < 1
    assert np.linalg.norm(texels[..., 4:7], axis=2).max() < 0.8, "relief tilts a normal, it never turns it over"


def test_hand_and_forearm_do_not_share_texels() -> None:
    uv, hand = atlas_uv(), load_arm().face_is_hand
    assert uv.min() >= 0
    assert uv.max() <= 1
    middles = (uv.mean(axis=1) * 64).astype(int)
    far = load_arm().behind_cut_m[load_arm().faces].min(axis=1) > 0.03
    assert not set(map(tuple, middles[hand])) & set(map(tuple, middles[far]))


def test_noise_is_smooth_and_has_unit_variance() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (20_000, 3))
    values = value_noise(points)
    assert abs(values.mean()) < 0.05
    assert 0.5 < values.std() < 1.1
    assert np.abs(value_noise(points + 1e-6) - values).max() < 1e-4
    np.testing.assert_allclose(value_noise(points + 64.0), values, atol=1e-9)


@pytest.mark.parametrize("tone", [-1, 10])
def test_an_unknown_tone_is_refused(tone: int) -> None:
    with pytest.raises(ContractError, match="skin tone"):
        bake_skin(tone, 0)
