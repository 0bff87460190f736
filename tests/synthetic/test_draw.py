import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from hoiray.datasets.sample import ManoParameters
from hoiray.errors import ConfigError, ContractError
from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.sides import mirror_faces
from hoiray.render.raster import concatenate_meshes, rasterise
from hoiray.synthetic.arm import SleeveCut, load_arm, pose_arm, shape_arm
from hoiray.synthetic.degrade import CameraFlaws
from hoiray.synthetic.domains import LAB
from hoiray.synthetic.draw import NEAR_M, Renderer
from hoiray.synthetic.environments import load_environment
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.scene import Appearance, HandView, ObjectView, RenderedFrame, Subject, View

FloatArray = NDArray[np.float64]

PERFECT = CameraFlaws()
ALICE = Subject("alice", np.array([0.5, -0.4, *np.zeros(8)]), 3, 11)
LOOK = Appearance(5, "hall", 1.0, {"can": 1, "box": 2})


def _camera(size: tuple[int, int], elevation_rad: float) -> tuple[FloatArray, FloatArray]:
    """Look at the middle of the table from half a metre."""
    position = 0.5 * np.array([0.0, np.sin(elevation_rad), np.cos(elevation_rad)]) + [0.0, 0.06, 0.0]
    z = np.array([0.0, 0.06, 0.0]) - position
    z /= np.linalg.norm(z)
    x = np.array([1.0, 0.0, 0.0])
    R = np.stack([x, np.cross(z, x), z])
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R, -R @ position
    K = np.array([[1.3 * size[1], 0.0, size[1] / 2], [0.0, 1.3 * size[1], size[0] / 2], [0.0, 0.0, 1.0]])
    return K, T


def _view(
    *,
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
    is_right: bool = True,
    name: str = "can",
    frame: int = 0,
    shift_m: float = 0.0,
    elevation_rad: float = 0.7,
    things: bool = True,
) -> View:
    rng = np.random.default_rng(seed)
    K, T = _camera(size, elevation_rad)
    arrays = load_hand_arrays()
    side = 1.0 if is_right else -1.0
    # a right hand's fingers point to -x at rest, towards the can; a left one's must be turned there
    turn = T[:3, :3] @ axis_angle_to_matrix(rng.normal(0, 0.4, 3)) @ np.diag([side, 1.0, side])
    wrist = T[:3, :3] @ np.array([0.08 + shift_m, 0.15, 0.02]) + T[:3, 3]
    assert arrays.flexion_axes is not None
    pose = arrays.flexion_axes[1:] * rng.uniform(0, 0.9, (15, 1)) * [1.0, side, side]
    root = arrays.rest_joints[0] * [side, 1.0, 1.0]
    mano = ManoParameters(np.asarray(matrix_to_axis_angle(turn)), pose.ravel(), ALICE.betas, wrist - root)
    hand = HandView(is_right, "alice", True, mano, np.array([0.0, 0.1, 0.2]), True)
    T_obj = np.eye(4)
    T_obj[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
    T_obj[1, 3] = -build_object(name).vertices[:, 2].min()
    objects = (ObjectView(name, True, T @ T_obj),) if things else ()
    return View("r", "0", frame, frame / 30, K, size, T, (hand,) if things else (), objects)


def _renderer(**changes: Any) -> Renderer:
    options = {"has_table": True, "flaws": PERFECT, **changes}
    return Renderer(LOOK, (ALICE,), LAB.knobs, **options)


@lru_cache(maxsize=1)
def _shared() -> Renderer:
    return _renderer()


def _truth(view: View) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw the 778-vertex hands and the objects alone: (labels, depth)."""
    parts = []
    for hand in view.hands:
        posed = pose_arm(
            shape_arm(np.asarray(hand.mano.betas), SleeveCut()),
            hand.mano,
            np.asarray(hand.forearm),
            is_right=hand.is_right,
        )
        faces = load_hand_arrays().faces
        parts.append((posed[load_arm().hand_ids], faces if hand.is_right else mirror_faces(faces)))
    for thing in view.objects:
        mesh = build_object(thing.name)
        parts.append((mesh.vertices @ thing.T_cam_obj[:3, :3].T + thing.T_cam_obj[:3, 3], mesh.faces))
    vertices, faces, mesh_id = concatenate_meshes(parts)
    seen = rasterise(vertices, faces, view.K, view.image_size, near_m=NEAR_M)
    return np.where(seen.covered, mesh_id[seen.triangle_id] + 1, 0), seen.depth_m


def _overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("seed", range(8))
def test_labels_are_the_truth_mesh_to_the_pixel(seed: int) -> None:
    view = _view(size=(240, 320), seed=seed, is_right=seed % 2 == 0, name=("can", "box")[seed % 2])
    frame = _shared().render(view)
    labels, depth_m = _truth(view)
    for label in (1, 2):
        assert (labels == label).sum() > 200
        np.testing.assert_array_equal(frame.labels == label, labels == label)
    # a forearm or sleeve may be in front: then the depth is its
    both = (frame.labels == labels) & (labels > 0) & (frame.depth_m > depth_m - 0.005)
    assert both.sum() > 0.8 * (labels > 0).sum()
    # the hand drawn has four times as many faces as the true one: up to 1 mm beside it, more at a slant
    assert np.quantile(np.abs(frame.depth_m[both] - depth_m[both]), 0.95) < 0.0015


def test_objects_lie_exactly_where_their_mesh_is() -> None:
    view = dataclasses.replace(_view(size=(240, 320)), hands=())
    frame = _shared().render(view)
    labels, depth_m = _truth(view)
    np.testing.assert_array_equal(frame.labels == 1, labels == 1)
    np.testing.assert_array_equal(frame.depth_m[labels == 1], depth_m[labels == 1])


def test_the_picture_shows_the_hand_where_the_label_says() -> None:
    """Take the hand away: only pixels of hand, forearm, shadow and reflection may change, all of the hand's do."""
    view = _view(size=(120, 160))
    with_hand = _shared().render_linear(view)
    without = _shared().render_linear(dataclasses.replace(view, hands=()))
    changed = np.abs(with_hand[0] - without[0]).max(axis=2) > 0.004
    hand = with_hand[1] == 1
    assert changed[hand].mean() > 0.97


def test_depth_of_the_table_is_that_of_the_plane() -> None:
    view = _view(things=False)
    depth_m = _shared().render(view).depth_m
    R, t = view.T_cam_world[:3, :3], view.T_cam_world[:3, 3]
    row, column = 80, 64
    ray = np.linalg.inv(view.K) @ [column, row, 1.0]
    height = (R.T @ (ray * depth_m[row, column] - t))[1]
    assert height == pytest.approx(0.0, abs=1e-5)


def test_without_a_table_nothing_is_hit_behind_the_meshes() -> None:
    view = _view(things=False)
    frame = _renderer(has_table=False).render(view)
    assert np.isinf(frame.depth_m).all()
    assert (frame.labels == 0).all()
    assert frame.image.std() > 3, "the room is seen"


def test_a_thing_below_the_table_is_hidden_by_it() -> None:
    view = _view(size=(120, 160))
    T = view.objects[0].T_cam_obj.copy()
    T[:3, 3] -= view.T_cam_world[:3, 1] * 0.3
    below = dataclasses.replace(view, objects=(ObjectView("can", True, T),), hands=())
    assert not (_shared().render(below).labels == 1).any()
    assert (_renderer(has_table=False).render(below).labels == 1).any()


def test_things_throw_shadows_on_the_table() -> None:
    view = _view(size=(120, 160), elevation_rad=1.2)
    bare = _shared().render_linear(dataclasses.replace(view, hands=(), objects=()))[0]
    linear, labels, depth_m = _shared().render_linear(dataclasses.replace(view, hands=()))
    # a pixel beside the outline shows a quarter or more of the object
    beside = maximum_filter(labels, size=3) > 0
    on_table = ~beside & np.isfinite(depth_m)
    ratio = linear.mean(axis=2)[on_table] / bare.mean(axis=2)[on_table]
    assert ratio.min() < 0.75
    assert np.median(ratio) > 0.97
    assert ratio.max() < 1.05, "nothing gets brighter"


def test_what_the_lamp_does_not_reach_is_dark_where_there_is_no_other_light(monkeypatch: pytest.MonkeyPatch) -> None:
    place = dataclasses.replace(load_environment("lab"), ambient_sh=np.zeros((9, 3)))
    monkeypatch.setattr("hoiray.synthetic.draw.load_environment", lambda name: place)
    view = dataclasses.replace(_view(size=(120, 160), elevation_rad=1.2), hands=())
    renderer = _renderer()
    linear, labels, depth_m = renderer.render_linear(view)
    bare = renderer.render_linear(dataclasses.replace(view, objects=()))[0]
    on_table = ~(maximum_filter(labels, size=3) > 0) & np.isfinite(depth_m)
    ratio = linear.mean(axis=2)[on_table] / bare.mean(axis=2)[on_table]
    assert ratio.min() < 0.15
    assert (ratio > 0.99).mean() > 0.5


def test_the_table_is_lit_by_the_lamp_and_by_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exposure makes white paper equally bright under either light; so is, within a third, a dull table."""
    place, view = load_environment("lab"), _view(things=False, elevation_rad=1.2)
    dark: tuple[dict[str, FloatArray], ...] = ({}, {"lamp_colour": np.zeros(3)}, {"ambient_sh": np.zeros((9, 3))})
    medians = []
    for changes in dark:
        changed = dataclasses.replace(place, **changes)
        monkeypatch.setattr("hoiray.synthetic.draw.load_environment", lambda name, changed=changed: changed)
        medians.append(np.median(_renderer().render_linear(view)[0]))
    assert 0.66 < medians[1] / medians[0] < 1.5
    assert 0.66 < medians[2] / medians[0] < 1.5


def test_the_same_view_has_the_same_bits_in_another_renderer() -> None:
    view = _view()
    first, second = _shared().render(view), _renderer().render(view)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.depth_m, second.depth_m)


def test_order_of_rendering_does_not_matter() -> None:
    views = [_view(seed=seed, frame=seed) for seed in range(3)]
    noisy = CameraFlaws(sensor_noise=0.02)
    forwards = [_renderer(flaws=noisy).render(view).image for view in views]
    renderer = _renderer(flaws=noisy)
    backwards = [renderer.render(view).image for view in reversed(views)][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        np.testing.assert_array_equal(first, second)


def test_another_appearance_looks_otherwise_and_is_labelled_alike() -> None:
    view = _view()
    other = Renderer(dataclasses.replace(LOOK, seed=6), (ALICE,), LAB.knobs, flaws=PERFECT)
    first, second = _shared().render(view), other.render(view)
    assert np.abs(first.image.astype(int) - second.image).mean() > 2
    np.testing.assert_array_equal(first.labels == 2, second.labels == 2)


@pytest.mark.parametrize("environment", ["lab", "night", "studio", "sunset"])
def test_exposure_suits_every_place(environment: str) -> None:
    look = dataclasses.replace(LOOK, environment=environment)
    for tone, (low, high) in ((0, (90, 235)), (9, (18, 140))):
        person = dataclasses.replace(ALICE, skin_tone_index=tone)
        frame = Renderer(look, (person,), LAB.knobs, flaws=PERFECT).render(_view())
        assert low < frame.image[frame.labels == 1].mean() < high


def test_edges_are_smooth() -> None:
    """Supersampling leaves pixels between hand and background at the outline, none of them brighter than both."""
    view = _view(size=(120, 160))
    linear, labels, _ = _shared().render_linear(view)
    hand = labels == 1
    edge = hand & ~(np.roll(hand, 1, 1) & np.roll(hand, -1, 1) & np.roll(hand, 1, 0) & np.roll(hand, -1, 0))
    assert edge.sum() > 50
    assert np.isfinite(linear).all()
    assert linear.min() >= 0


class TestMotion:
    FLAWS = CameraFlaws(shutter_share=1.0)

    def test_blur_widens_what_moves_and_keeps_the_labels_of_the_middle(self) -> None:
        now, then = _view(size=(120, 160)), _view(size=(120, 160), frame=1, shift_m=0.02)
        renderer = _renderer(flaws=self.FLAWS)
        still, moving = renderer.render(now), renderer.render(now, then)
        np.testing.assert_array_equal(still.labels, moving.labels)
        np.testing.assert_array_equal(still.depth_m, moving.depth_m)

        def sharpness(frame: RenderedFrame) -> float:
            steps = np.abs(np.diff(frame.image.astype(float), axis=1)).max(axis=2)
            return float(steps[still.labels[:, 1:] > 0].mean())

        assert sharpness(moving) < 0.8 * sharpness(still)

    def test_what_does_not_move_stays_as_it_is(self) -> None:
        now = _view()
        renderer = _renderer(flaws=self.FLAWS)
        np.testing.assert_array_equal(renderer.render(now, _view(frame=1)).image, renderer.render(now).image)

    def test_a_closed_shutter_freezes_motion(self) -> None:
        now, then = _view(), _view(frame=1, shift_m=0.02)
        np.testing.assert_array_equal(_shared().render(now, then).image, _shared().render(now).image)

    def test_blur_is_centred_on_the_labels(self) -> None:
        """An exposure that is symmetric about its middle looks the same whichever way things move."""
        now = dataclasses.replace(_view(size=(120, 160)), objects=())
        renderer = _renderer(flaws=self.FLAWS, has_table=False)
        still = renderer.render_linear(now)[0]
        there, back = (
            renderer.render_linear(now, dataclasses.replace(_view(size=(120, 160), shift_m=shift), objects=()))[0]
            for shift in (0.02, -0.02)
        )
        assert np.abs(there - back).mean() < 0.3 * np.abs(there - still).mean()

    def test_blur_is_the_mean_of_many_sharp_pictures(self) -> None:
        """The slow way: render the hand at many instants of the exposure, and take the mean of the light."""

        def shifted(shift_m: float) -> View:
            return dataclasses.replace(_view(size=(120, 160), shift_m=shift_m), objects=())

        renderer = _renderer(flaws=self.FLAWS, has_table=False)
        still = renderer.render_linear(shifted(0.0))[0]
        blurred = renderer.render_linear(shifted(0.0), shifted(0.025))[0]
        instants = 0.025 * ((np.arange(16) + 0.5) / 16 - 0.5)
        slow = np.mean([renderer.render_linear(shifted(shift_m))[0] for shift_m in instants], axis=0)
        assert np.abs(blurred - slow).mean() < 0.12 * np.abs(still - slow).mean()
        assert np.quantile(np.abs(blurred - slow), 0.999) < 0.3 * np.quantile(np.abs(still - slow), 0.999)

    @pytest.mark.parametrize(
        ("turn_rad", "shift_m", "elevation_rad"),
        [
            ((0.06, 0.0, 0.12), (0.0, 0.02, 0.03), 0.25),
            # the middle of the picture stands still
            ((0.0, 0.0, 0.12), (0.0, 0.0, 0.0), 0.25),
            # the room, which is far away, stands still
            ((0.0, 0.0, 0.0), (0.02, 0.02, 0.0), 1.2),
        ],
    )
    def test_a_moving_camera_blurs_table_and_room_as_the_mean_of_many_sharp_pictures(
        self, turn_rad: tuple[float, ...], shift_m: tuple[float, ...], elevation_rad: float
    ) -> None:
        def seen_by(time: float) -> View:
            view = _view(size=(120, 160), things=False, elevation_rad=elevation_rad)
            T = view.T_cam_world.copy()
            T[:3] = np.asarray(axis_angle_to_matrix(time * np.array(turn_rad))) @ T[:3]
            T[:3, 3] += time * np.array(shift_m)
            return dataclasses.replace(view, T_cam_world=T)

        renderer = _renderer(flaws=self.FLAWS)
        still = renderer.render_linear(seen_by(0.0))[0]
        blurred = renderer.render_linear(seen_by(0.0), seen_by(1.0))[0]
        slow = np.mean([renderer.render_linear(seen_by((k + 0.5) / 16 - 0.5))[0] for k in range(16)], axis=0)
        assert np.abs(blurred - slow).mean() < 0.2 * np.abs(still - slow).mean()

    def test_a_turning_camera_blurs_the_room(self) -> None:
        now = _view(size=(120, 160), things=False)
        T = now.T_cam_world.copy()
        T[:3] = np.asarray(axis_angle_to_matrix(np.array([0.0, 0.08, 0.0]))) @ T[:3]
        renderer = _renderer(flaws=self.FLAWS, has_table=False)
        still = renderer.render_linear(now)[0]
        turned = renderer.render_linear(now, dataclasses.replace(now, T_cam_world=T))[0]
        sharpness = [np.abs(np.diff(linear, axis=1)).max() for linear in (still, turned)]
        assert sharpness[1] < 0.9 * sharpness[0]
        assert turned.mean() == pytest.approx(still.mean(), rel=0.02)

    def test_a_later_view_of_something_else_is_refused(self) -> None:
        with pytest.raises(ContractError, match="later view"):
            _renderer(flaws=self.FLAWS).render(_view(), _view(name="box"))


def test_large_pictures_are_painted_at_half_size_in_place() -> None:
    """The picture of a large frame is that of a small one, enlarged: nothing is shifted."""
    K, T = _camera((720, 960), 0.7)
    view = dataclasses.replace(_view(), K=K, T_cam_world=T, image_size=(720, 960))
    frame = _shared().render(view)
    assert frame.image.shape == (720, 960, 3)
    labels, _ = _truth(view)
    assert _overlap(frame.labels == 2, labels == 2) > 0.97
    small = dataclasses.replace(
        view, K=np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]]) @ K, image_size=(360, 480)
    )
    shrunk = frame.image.reshape(360, 2, 480, 2, 3).mean(axis=(1, 3))
    expected = _shared().render(small).image.astype(float)
    for axis in (0, 1):
        for step in (-1, 1):
            half_a_pixel_off = (expected + np.roll(expected, step, axis=axis)) / 2
            assert np.abs(shrunk - expected).mean() < np.abs(shrunk - half_a_pixel_off).mean()


def test_an_empty_table_can_be_drawn() -> None:
    frame = _shared().render(_view(things=False))
    assert (frame.labels == 0).all()
    assert frame.image.shape == (96, 128, 3)


def test_a_hand_of_nobody_is_refused() -> None:
    with pytest.raises(ContractError, match="'alice'"):
        Renderer(LOOK, (), LAB.knobs, flaws=PERFECT).render(_view())


def test_an_unknown_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="'attic'"):
        Renderer(dataclasses.replace(LOOK, environment="attic"), (ALICE,), LAB.knobs)
