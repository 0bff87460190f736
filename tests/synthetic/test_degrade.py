import dataclasses

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.synthetic.degrade import CameraFlaws, compress, develop, draw_flaws, expose, frame_generator, tone_curve
from hoiray.synthetic.domains import DOMAINS, LAB, WILD, Knobs
from hoiray.synthetic.scene import Appearance
from hoiray.synthetic.shading import Layers

GREY = np.full((64, 64, 3), 0.18, np.float32)
APPEARANCE = Appearance(3, "lab", 1.0, {})


def _rng(frame: int = 0) -> np.random.Generator:
    return frame_generator(APPEARANCE, "0", frame)


def test_without_flaws_mid_grey_is_half_as_bright_as_white() -> None:
    assert (develop(GREY, CameraFlaws(), _rng()) == 118).all()


def test_the_tone_curve_rises_and_never_clips() -> None:
    values = tone_curve(np.linspace(0.0, 4.0, 1000))
    assert (np.diff(values) > 0).all()
    assert values[0] == 0
    assert values[-1] < 1


def test_the_tone_curve_has_no_step_at_its_shoulder() -> None:
    values = tone_curve(np.linspace(0.5, 0.6, 1001))
    assert np.diff(values).max() < 1.2 * np.diff(values).min() + 1e-5


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_noise_at_mid_grey_is_as_strong_as_the_knob_says(sigma: float) -> None:
    image = develop(GREY, CameraFlaws(sensor_noise=sigma), _rng())
    assert image.std() / 255 == pytest.approx(sigma, rel=0.1)


def test_bright_places_are_noisier_in_linear_light_and_low_light_noisier_than_both() -> None:
    flaws = CameraFlaws(sensor_noise=0.02)
    dark = develop(GREY / np.float32(4), flaws, _rng()).std()
    assert (
        develop(GREY, dataclasses.replace(flaws, exposure=0.2), _rng()).std() > 1.3 * develop(GREY, flaws, _rng()).std()
    )
    assert dark > 0


def test_a_dark_room_makes_a_darker_picture_though_the_camera_helps() -> None:
    dim = develop(GREY, CameraFlaws(exposure=0.2), _rng()).mean()
    assert 118 * 0.2 < dim < 118 * 0.8


def test_colours_of_one_pixel_share_half_of_their_noise() -> None:
    image = develop(GREY, CameraFlaws(sensor_noise=0.03), _rng()).reshape(-1, 3).astype(float)
    correlation = np.corrcoef(image.T)
    assert 0.35 < correlation[0, 1] < 0.65


def test_white_balance_shifts_the_colour() -> None:
    red, _, blue = develop(GREY, CameraFlaws(white_balance=(1.1, 1.0, 0.9)), _rng()).mean(axis=(0, 1))
    assert red > blue + 10


def test_defocus_blurs_and_keeps_the_light() -> None:
    edge = np.zeros((32, 32, 3), np.float32)
    edge[:, 16:] = 0.4
    sharp, soft = (develop(edge, CameraFlaws(defocus_px=blur), _rng()).astype(float) for blur in (0.0, 1.5))
    assert np.abs(np.diff(soft, axis=1)).max() < 0.6 * np.abs(np.diff(sharp, axis=1)).max()


def test_the_same_frame_has_the_same_bits_and_the_next_frame_other_noise() -> None:
    flaws = CameraFlaws(sensor_noise=0.02)
    np.testing.assert_array_equal(develop(GREY, flaws, _rng(4)), develop(GREY, flaws, _rng(4)))
    assert not np.array_equal(develop(GREY, flaws, _rng(4)), develop(GREY, flaws, _rng(5)))
    other = develop(GREY, flaws, frame_generator(APPEARANCE, "1", 4))
    assert not np.array_equal(develop(GREY, flaws, _rng(4)), other)


def test_developing_leaves_the_light_alone() -> None:
    light = GREY.copy()
    develop(light, CameraFlaws(sensor_noise=0.02, defocus_px=1.0), _rng())
    np.testing.assert_array_equal(light, GREY)


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_flaws_lie_in_the_ranges_of_their_domain(name: str) -> None:
    knobs = DOMAINS[name].knobs
    for seed in range(20):
        flaws = draw_flaws(knobs, dataclasses.replace(APPEARANCE, seed=seed))
        for value, limits in (
            (flaws.defocus_px, knobs.defocus_px),
            (flaws.sensor_noise, knobs.sensor_noise),
            (flaws.shutter_share, knobs.shutter_share),
            (flaws.compression_quality, knobs.compression_quality),
        ):
            assert limits[0] <= value <= limits[1]


def test_wild_cameras_are_worse_than_those_of_the_lab() -> None:
    def mean(knobs: Knobs) -> float:
        drawn = [draw_flaws(knobs, dataclasses.replace(APPEARANCE, seed=seed)).sensor_noise for seed in range(30)]
        return float(np.mean(drawn))

    assert mean(WILD.knobs) > 1.5 * mean(LAB.knobs)


def test_compression_costs_detail_and_less_of_it_at_higher_quality() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    losses = [np.abs(compress(image, quality).astype(int) - image).mean() for quality in (20, 90)]
    assert losses[0] > losses[1] > 0


def test_a_grey_image_is_refused() -> None:
    with pytest.raises(ContractError, match="linear image"):
        develop(np.zeros((4, 4), np.float32), CameraFlaws(), _rng())


class TestExpose:
    """Squares of one grey at one depth: (first row, first column, side in px, grey, depth in metres, motion in px)."""

    @staticmethod
    def _layers(*squares: tuple[int, int, int, float, float, float], panning_px: float = 0.0) -> Layers:
        """Lay squares over a background that is black on the left and white on the right."""
        front, back = np.zeros((64, 64, 4), np.float32), np.zeros((64, 64, 3), np.float32)
        course = np.zeros((64, 64, 3), np.float32)
        back[:, 32:] = 1.0
        course[..., 2] = np.inf
        for row, column, side, grey, depth_m, motion_px in squares:
            part = (slice(row, row + side), slice(column, column + side))
            front[part], course[part] = [grey, grey, grey, 1.0], [motion_px, 0.0, depth_m]
        back_course = np.zeros((64, 64, 2) if panning_px else (0, 0, 2), np.float32)
        back_course[..., 0] = panning_px
        return Layers(front, back, course, back_course)

    def test_what_stands_still_is_laid_over_what_is_behind_it(self) -> None:
        still = self._layers((10, 20, 20, 0.5, 1.0, 0.0))
        expected = still.front[..., :3] + (1 - still.front[..., 3:]) * still.back
        np.testing.assert_array_equal(expose(still), expected)
        np.testing.assert_array_equal(expose(still._replace(course=np.zeros((0, 0, 3), np.float32))), expected)

    @pytest.mark.parametrize("motion_px", [3.0, -9.0, 20.0])
    def test_a_moving_edge_becomes_a_ramp_as_long_as_the_motion(self, motion_px: float) -> None:
        layers = self._layers((10, 16, 30, 0.5, 1.0, motion_px))
        linear = expose(layers._replace(back=np.zeros_like(layers.back)))
        columns = np.arange(64.0)
        instants = (np.arange(400) + 0.5) / 400 - 0.5
        left, right = 15.5 + motion_px * instants[:, None], 45.5 + motion_px * instants[:, None]
        covered = np.clip(columns - left + 0.5, 0, 1) * np.clip(right - columns + 0.5, 0, 1)
        np.testing.assert_allclose(linear[25, :, 0], 0.5 * covered.mean(axis=0), atol=0.5 / (2 + abs(motion_px) / 2))
        assert np.abs(np.diff(linear[25, :, 0])).max() < 0.5 / (1 + abs(motion_px) / 2), "no steps"
        assert linear[25, 30, 0] == pytest.approx(0.5), "the inside is as it was"
        np.testing.assert_array_equal(linear[:9], 0.0)

    def test_light_is_neither_lost_nor_won(self) -> None:
        layers = self._layers((10, 18, 20, 0.5, 1.0, 11.0))
        linear = expose(layers._replace(back=np.zeros_like(layers.back)))
        assert linear.sum() == pytest.approx(layers.front[..., :3].sum(), rel=0.01)

    def test_what_passes_behind_something_does_not_smear_over_it(self) -> None:
        alone = self._layers((10, 20, 20, 0.5, 1.0, 0.0))
        passed = self._layers((20, 34, 20, 0.9, 2.0, 16.0), (10, 20, 20, 0.5, 1.0, 0.0))
        np.testing.assert_allclose(expose(passed)[10:30, 20:40], expose(alone)[10:30, 20:40], atol=1e-6)

    def test_what_passes_in_front_of_something_smears_over_it_and_uncovers_it(self) -> None:
        """The ramp runs from one grey to the other; the white behind both is seen nowhere."""
        layers = self._layers((0, 20, 44, 0.2, 2.0, 0.0), (10, 30, 20, 0.6, 1.0, 12.0))
        line = expose(layers)[20, 24:60, 0]
        assert line.max() < 0.6 + 1e-6
        assert line.min() > 0.2 - 1e-6
        assert 0.3 < line[4] < 0.5
        assert 0.3 < line[8] < 0.5

    def test_a_turning_camera_blurs_what_is_behind_and_not_what_turns_with_it(self) -> None:
        linear = expose(self._layers((10, 4, 20, 0.5, 1.0, 0.0), panning_px=8.0))
        np.testing.assert_array_equal(linear[12:28, 6:22], np.float32(0.5))
        ramp = np.diff(linear[40, 26:38, 0])
        assert ramp.min() >= 0
        assert ramp.max() < 0.2, "no steps: 1/8 would be even"
        assert (ramp > 0).sum() >= 6
        np.testing.assert_array_equal(linear[40, :26, 0], 0.0)

    def test_layers_are_left_alone(self) -> None:
        layers = self._layers((10, 20, 20, 0.5, 1.0, 7.0), panning_px=3.0)
        before = [layer.copy() for layer in layers]
        expose(layers)
        for layer, copy in zip(layers, before, strict=True):
            np.testing.assert_array_equal(layer, copy)
