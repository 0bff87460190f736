"""Cameras: what they are, where they stand, and how they shake or look about.

World axes: x right, y up, z towards the first camera; the action is near the origin. Camera axes are OpenCV's.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.synthetic.motion import band_noise
from hoiray.synthetic.scene import CameraTrack

FloatArray = NDArray[np.float64]
CameraKind: TypeAlias = Literal["tripod", "handheld", "egocentric"]

SHAKE_BAND_HZ = (0.4, 4.0)
"""Hand-held cameras sway at breathing and muscle rates; what is faster is tremor, a tenth of it."""

HEAD_BAND_HZ = (0.1, 0.9)
"""Heads turn slowly while hands work."""


def intrinsics(
    focal_px: float, image_size: tuple[int, int], centre_offset_px: tuple[float, float] = (0, 0)
) -> FloatArray:
    """Return K (3, 3) of square pixels with centres at integers.

    Args:
        focal_px: focal length.
        image_size: (height, width).
        centre_offset_px: (x, y) of the principal point from the middle of the image.
    """
    height, width = image_size
    cx, cy = (width - 1) / 2.0 + centre_offset_px[0], (height - 1) / 2.0 + centre_offset_px[1]
    return np.array([[focal_px, 0.0, cx], [0.0, focal_px, cy], [0.0, 0.0, 1.0]])


def focal_of_view(field_of_view_rad: float, image_size: tuple[int, int]) -> float:
    """Return the focal length in px that shows the given angle over the image's width."""
    return float(image_size[1] / (2.0 * np.tan(field_of_view_rad / 2.0)))


def look_at(position_m: FloatArray, target_m: FloatArray, roll_rad: float = 0.0) -> FloatArray:
    """Return T_cam_world (4, 4) of a camera at a position (world axes) that looks at a target, y of the world up.

    Args:
        position_m: (3,), not above or below the target.
        target_m: (3,).
        roll_rad: turn about the optical axis, clockwise as seen by the viewer of the image.
    """
    forward = (target_m - position_m) / np.linalg.norm(target_m - position_m)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    R_cam_world = np.stack([right, np.cross(forward, right), forward])
    R_cam_world = Rotation.from_rotvec([0.0, 0.0, roll_rad]).as_matrix() @ R_cam_world
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3] = R_cam_world
    T_cam_world[:3, 3] = -R_cam_world @ position_m
    return T_cam_world


def place_on_sphere(azimuth_rad: float, elevation_rad: float, distance_m: float) -> FloatArray:
    """Return a position (3,) round the origin; azimuth 0 is +z, pi/2 is +x, elevation is towards +y."""
    flat = np.cos(elevation_rad)
    return distance_m * np.array(
        [flat * np.sin(azimuth_rad), np.sin(elevation_rad), flat * np.cos(azimuth_rad)]
    )  # fmt: skip


def still_track(
    camera_id: str, K: FloatArray, image_size: tuple[int, int], T_cam_world: FloatArray, num: int
) -> CameraTrack:
    """Film from a tripod."""
    return CameraTrack(camera_id, K, image_size, np.broadcast_to(T_cam_world, (num, 4, 4)).copy())


def handheld_track(
    still: CameraTrack, times_s: FloatArray, shake_m: float, shake_rad: float, rng: np.random.Generator
) -> CameraTrack:
    """Take a still camera into the hand.

    Args:
        still: where it would be on a tripod.
        times_s: (T,).
        shake_m: root mean square of its sway a direction.
        shake_rad: likewise of its turning.
        rng: phases of the sway.
    """
    shift = band_noise(times_s, shake_m, SHAKE_BAND_HZ, rng)
    turn = Rotation.from_rotvec(band_noise(times_s, shake_rad, SHAKE_BAND_HZ, rng)).as_matrix()
    return _shaken(still, shift, turn)


def egocentric_track(
    still: CameraTrack, times_s: FloatArray, sway_m: float, sway_rad: float, rng: np.random.Generator
) -> CameraTrack:
    """Put a camera on a head that looks about slowly and shakes a little with every step of the hands."""
    slow = Rotation.from_rotvec(band_noise(times_s, sway_rad, HEAD_BAND_HZ, rng))
    fast = Rotation.from_rotvec(band_noise(times_s, 0.1 * sway_rad, SHAKE_BAND_HZ, rng))
    return _shaken(still, band_noise(times_s, sway_m, HEAD_BAND_HZ, rng), (fast * slow).as_matrix())


def ring_of_cameras(
    num: int,
    K: FloatArray,
    image_size: tuple[int, int],
    *,
    focus_m: FloatArray,
    num_frames: int,
    rng: np.random.Generator,
) -> tuple[CameraTrack, ...]:
    """Set up synchronised tripods round the scene, the first in front; distances and heights as in a small lab.

    Args:
        num: of cameras.
        K: (3, 3) of each.
        image_size: (height, width).
        focus_m: (3,) what they look at, world axes.
        num_frames: of each.
        rng: small differences.
    """
    tracks = []
    spread = np.radians(130.0)
    azimuths = np.array([0.0]) if num == 1 else np.linspace(-spread / 2.0, spread / 2.0, num)
    azimuths = azimuths[np.argsort(np.abs(azimuths), kind="stable")]
    for index, azimuth in enumerate(azimuths):
        elevation = rng.uniform(np.radians(15.0), np.radians(55.0))
        position = place_on_sphere(azimuth + rng.normal(0.0, 0.08), elevation, rng.uniform(0.55, 0.85))
        target = focus_m + rng.normal(0.0, 0.015, 3)
        T_cam_world = look_at(focus_m + position, target, rng.normal(0.0, 0.05))
        tracks.append(still_track(str(index), K, image_size, T_cam_world, num_frames))
    return tuple(tracks)


def _shaken(still: CameraTrack, shift_m: FloatArray, turn: FloatArray) -> CameraTrack:
    """Move a camera by (T, 3) and turn it by (T, 3, 3) in its own axes."""
    sway = np.tile(np.eye(4), (len(shift_m), 1, 1))
    sway[:, :3, :3] = turn
    sway[:, :3, 3] = shift_m
    return CameraTrack(still.camera_id, still.K, still.image_size, sway @ still.T_cam_world)
