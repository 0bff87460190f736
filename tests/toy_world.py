"""A small recording by hand: known poses, flat colours. For tests of what is written, not of how the world looks."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.sample import ManoParameters
from hoiray.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from hoiray.geometry.transforms import make_transform, transform_mano
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.sides import mirror_points
from hoiray.io.store import Store
from hoiray.render.raster import concatenate_meshes, rasterise
from hoiray.synthetic.scene import (
    Appearance,
    CameraTrack,
    HandTrack,
    HandView,
    ObjectTrack,
    ObjectView,
    Recording,
    RenderedFrame,
    Subject,
    View,
)
from hoiray.synthetic.writers.shot import Part, RecordingWriter, Shot, Slot, film, truth_model
from hoiray.synthetic.writers.truth import TruthRecorder, measure_truth

FACING = np.array([0.0, np.pi / 2, 0.0])
"""Turns the rest hand, whose fingers point to -x, so that it is seen from its back."""


@cache
def rest_root(is_right: bool, seed: int) -> NDArray[np.floating]:
    arrays = load_hand_arrays()
    shaped = arrays.v_template + arrays.shapedirs @ betas_of(seed)
    root = arrays.J_regressor[0] @ shaped
    return root if is_right else mirror_points(root)


def betas_of(seed: int) -> NDArray[np.floating]:
    return np.random.default_rng(seed).normal(size=10).clip(-2, 2)


def intrinsics(size: tuple[int, int], focal: float) -> NDArray[np.floating]:
    return np.array([[focal, 0, size[1] / 2 - 0.5], [0, focal, size[0] / 2 - 0.5], [0, 0, 1.0]])


def hand_track(num_frames: int, *, is_right: bool, is_target: bool, seed: int, at: Sequence[float]) -> HandTrack:
    rng = np.random.default_rng(seed)
    steps = np.arange(num_frames)[:, None]
    base = np.array([2.4, 0.9, 0.2]) if is_target else np.array([0.3, -0.4, 0.9])
    pose = rng.normal(scale=0.12, size=45) * (1 + 0.1 * steps)
    transl = np.asarray(at) + steps * np.array([0.008, 0.003, -0.004])
    contact = np.arange(num_frames) >= num_frames // 2
    zeros = np.zeros((num_frames, 3))
    return HandTrack(
        is_right, f"s{seed}", is_target, base + 0.04 * steps, pose, transl, zeros, contact & np.bool_(is_target)
    )


def make_recording(
    *,
    recording_id: str = "rec-0000",
    num_frames: int = 6,
    num_cameras: int = 2,
    size: tuple[int, int] = (480, 640),
    focal: float = 614.0,
    object_names: Sequence[str] = ("021_bleach_cleanser",),
    target_is_right: bool = True,
    with_second_hand: bool = True,
    seed: int = 1,
    fps: float = 12.0,
    K: NDArray[np.floating] | None = None,
) -> Recording:
    """World axes are the first camera's, turned by half a turn about x (z towards the camera)."""
    hands = [hand_track(num_frames, is_right=target_is_right, is_target=True, seed=seed, at=(-0.02, 0.02, -0.62))]
    if with_second_hand:
        second = hand_track(
            num_frames, is_right=not target_is_right, is_target=False, seed=seed + 50, at=(0.25, 0, -0.8)
        )
        hands.append(second)
    steps = np.arange(num_frames)[:, None]
    objects = []
    for index, name in enumerate(object_names):
        turn = axis_angle_to_matrix(np.array([0.3, 0.5 + index, 0.1]) + 0.05 * steps)
        shift = np.array([0.06 - 0.2 * index, -0.03, -0.6]) + steps * np.array([0.006, 0.002, 0.0])
        objects.append(ObjectTrack(name, index == 0, make_transform(turn, shift)))
    cameras = []
    for index in range(num_cameras):
        around = axis_angle_to_matrix(np.array([np.pi, 0, 0])) @ axis_angle_to_matrix(np.array([0, 0.25 * index, 0.0]))
        centre = np.array([0.0, 0.0, -0.6])
        T = make_transform(around, np.array([0, 0, 0.6]) - around @ centre)
        poses = np.repeat(T[None], num_frames, axis=0)
        cameras.append(CameraTrack(str(index), intrinsics(size, focal) if K is None else K, size, poses))
    subjects = tuple(Subject(hand.subject_id, betas_of(int(hand.subject_id[1:])), 0, 0) for hand in hands)
    return Recording(
        recording_id,
        "toy",
        fps,
        num_frames,
        subjects,
        tuple(hands),
        tuple(objects),
        tuple(cameras),
        Appearance(seed, "none", 1.0, {}),
        {},
    )


def view_of(recording: Recording, camera_index: int, frame: int) -> View:
    camera = recording.cameras[camera_index]
    T = camera.T_cam_world[frame]
    hands = []
    for track in recording.hands:
        betas = betas_of(int(track.subject_id[1:]))
        root = rest_root(track.is_right, int(track.subject_id[1:]))
        orient, transl = transform_mano(track.global_orient[frame], track.transl[frame] - root, T, root)
        mano = ManoParameters(orient, track.hand_pose[frame], betas, transl)
        held = bool(track.contact[frame])
        hands.append(HandView(track.is_right, track.subject_id, track.is_target, mano, track.forearm[frame], held))
    objects = tuple(ObjectView(o.name, o.is_target, T @ o.T_world_obj[frame]) for o in recording.objects)
    time_s = frame / recording.fps
    place = (recording.recording_id, camera.camera_id, frame, time_s, camera.K, camera.image_size)
    return View(*place, T, tuple(hands), objects)


def views_of(recording: Recording) -> Mapping[str, list[View]]:
    return {
        camera.camera_id: [view_of(recording, index, frame) for frame in range(recording.num_frames)]
        for index, camera in enumerate(recording.cameras)
    }


def draw_flat(view: View, after: View | None = None) -> RenderedFrame:
    """Draw labels and depth exactly and the image in flat colours on a grey slope."""
    from hoiray.synthetic.writers.shot import object_truths, pose_views

    (hands,) = pose_views([view])
    meshes = [(hand.vertices, truth_model().faces(is_right=hand.view.is_right).numpy()) for hand in hands]
    for target in object_truths(view):
        pose = target.view.T_cam_obj
        meshes.append((target.mesh.vertices @ pose[:3, :3].T + pose[:3, 3], target.mesh.faces))
    vertices, faces, mesh_id = concatenate_meshes(meshes)
    fragments = rasterise(vertices, faces, view.K, view.image_size)
    labels = np.zeros(view.image_size, np.uint8)
    labels[fragments.covered] = 1 + mesh_id[fragments.triangle_id[fragments.covered]]
    colours = np.array([[0, 0, 0], [230, 180, 150], [90, 60, 50], [40, 90, 200], [20, 160, 60], [9, 9, 9]], np.uint8)
    image = colours[labels % len(colours)]
    slope = np.linspace(60, 200, view.image_size[1]).astype(np.uint8)
    image = np.where((labels == 0)[..., None], slope[None, :, None], image)
    return RenderedFrame(np.ascontiguousarray(image, np.uint8), labels, fragments.depth_m)


def slot(index: int = 0, split: str = "train", *, first: int = 0, total: int = 12, subject: int = 0) -> Slot:
    return Slot(index, split, first, total, subject, (1000 + index,), 75.0)  # type: ignore[arg-type]  # texts of the tests


def write_recording(
    writer: RecordingWriter, store: Store, recording: Recording, place: Slot
) -> tuple[Part, list[Shot]]:
    """Feed a recording to a writer with the truth beside it, as the generator does."""
    recorder = TruthRecorder(place.split)
    shots = list(film(views_of(recording), draw_flat))
    for shot in shots:
        recorder.add(measure_truth(shot), writer.add(shot))
    recorder.close(store, recording.recording_id)
    return writer.close(), shots


__all__ = ["FACING", "draw_flat", "make_recording", "matrix_to_axis_angle", "slot", "view_of", "write_recording"]
