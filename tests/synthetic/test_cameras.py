from collections.abc import Callable

import numpy as np
import pytest

from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import is_rigid
from hoiray.synthetic.cameras import (
    egocentric_track,
    focal_of_view,
    handheld_track,
    intrinsics,
    look_at,
    place_on_sphere,
    ring_of_cameras,
    still_track,
)
from hoiray.synthetic.scene import CameraTrack

K = intrinsics(600.0, (480, 640))


def _pixel(point_cam: np.ndarray) -> np.ndarray:
    return np.asarray(project_points(point_cam[None, :3], K))[0]


def test_a_camera_sees_its_target_in_the_middle_and_up_is_up() -> None:
    T = look_at(np.array([0.3, 0.4, 0.5]), np.array([0.0, 0.1, 0.0]))
    assert is_rigid(T)
    target = T @ [0.0, 0.1, 0.0, 1.0]
    above = T @ [0.0, 0.2, 0.0, 1.0]
    np.testing.assert_allclose(_pixel(target), [319.5, 239.5])
    assert _pixel(above)[1] < 239.5
    assert target[2] == pytest.approx(np.linalg.norm([0.3, 0.3, 0.5]))


def test_the_first_camera_stands_at_plus_z_and_sees_x_to_the_right() -> None:
    position = place_on_sphere(0.0, 0.0, 0.7)
    np.testing.assert_allclose(position, [0.0, 0.0, 0.7], atol=1e-12)
    T = look_at(position, np.zeros(3))
    np.testing.assert_allclose(T[:3, :3] @ [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], atol=1e-12)


def test_roll_turns_the_picture() -> None:
    T = look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3), np.pi / 2)
    np.testing.assert_allclose(T[:3, :3] @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)


def test_the_field_of_view_spans_the_width() -> None:
    focal = focal_of_view(np.pi / 2, (240, 427))
    assert focal == pytest.approx(427 / 2)


def test_a_tripod_stands_still() -> None:
    track = still_track("0", K, (480, 640), look_at(np.array([0.0, 0.3, 0.6]), np.zeros(3)), 90)
    assert np.ptp(track.T_cam_world, axis=0).max() == 0.0


@pytest.mark.parametrize("make", [handheld_track, egocentric_track])
def test_a_moving_camera_moves_smoothly_and_as_much_as_asked(make: Callable[..., CameraTrack]) -> None:
    still = still_track("0", K, (480, 640), look_at(np.array([0.0, 0.3, 0.6]), np.zeros(3)), 3000)
    times = np.arange(3000) / 100
    moved = make(still, times, 0.005, 0.01, np.random.default_rng(0))
    assert is_rigid(moved.T_cam_world).all()
    relative = moved.T_cam_world @ np.linalg.inv(still.T_cam_world)
    assert relative[:, :3, 3].std(axis=0) == pytest.approx(np.full(3, 0.005), rel=0.35)
    velocity = np.diff(moved.T_cam_world[:, :3, 3], axis=0) * 100
    assert np.abs(np.diff(velocity, axis=0)).max() < 0.2
    angle = np.arccos(np.clip((np.trace(relative[:, :3, :3], axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert 0.008 < np.sqrt((angle**2).mean()) < 0.03


def test_five_cameras_stand_apart_and_all_see_the_focus() -> None:
    focus = np.array([0.05, 0.1, 0.0])
    tracks = ring_of_cameras(5, K, (480, 640), focus_m=focus, num_frames=3, rng=np.random.default_rng(0))
    assert [track.camera_id for track in tracks] == ["0", "1", "2", "3", "4"]
    centres = np.stack([-track.T_cam_world[0, :3, :3].T @ track.T_cam_world[0, :3, 3] for track in tracks])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(5, 1)]
    assert apart.min() > 0.1
    assert abs(centres[0, 0] - focus[0]) < 0.25
    for track in tracks:
        seen = track.T_cam_world[0] @ [*focus, 1.0]
        assert np.linalg.norm(_pixel(seen) - [319.5, 239.5]) < 60
