import dataclasses
import pickle

import numpy as np
import pytest
import torch

from hoiray.errors import ContractError
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import is_rigid, transform_points
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.synthetic.domains import DOMAIN_NAMES, DOMAINS
from hoiray.synthetic.grasp import MAX_PENETRATION_M
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.scene import HandView, Recording
from hoiray.synthetic.world import check_recording, plan, simulate, split_subjects, view

MODEL = HandModel(load_hand_arrays(), flat_hand_mean=True, tip_set="smplx", dtype=torch.float64)
TINY = {name: plan(name, "tiny", 0) for name in DOMAIN_NAMES}
RECORDINGS = {name: [simulate(item) for item in TINY[name][:4]] for name in DOMAIN_NAMES}


def _vertices(hand: HandView) -> np.ndarray:
    mano = hand.mano
    parts = (torch.tensor(np.asarray(x)) for x in (mano.global_orient, mano.hand_pose, mano.betas, mano.transl))
    return MODEL(*parts, is_right=torch.tensor(hand.is_right)).vertices.numpy()


def _arrays(recording: Recording) -> list[np.ndarray]:
    hands = [x for h in recording.hands for x in (h.global_orient, h.hand_pose, h.transl, h.forearm, h.contact)]
    cameras = [x for camera in recording.cameras for x in (camera.K, camera.T_cam_world)]
    return [*hands, *(item.T_world_obj for item in recording.objects), *cameras]


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_the_same_plan_gives_the_same_recording_bit_for_bit_also_after_pickling(name: str) -> None:
    again = simulate(pickle.loads(pickle.dumps(plan(name, "tiny", 0)[1])))
    for first, second in zip(_arrays(RECORDINGS[name][1]), _arrays(again), strict=True):
        np.testing.assert_array_equal(first, second)
    assert vars(again.appearance) == vars(RECORDINGS[name][1].appearance)


def test_a_recording_does_not_depend_on_the_ones_before_it() -> None:
    """The order of simulation, and so the number of workers, changes nothing."""
    backwards = [simulate(item) for item in reversed(TINY["wild"][:3])][::-1]
    for first, second in zip(RECORDINGS["wild"], backwards, strict=False):
        for one, other in zip(_arrays(first), _arrays(second), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_another_seed_has_other_people(name: str) -> None:
    here, there = plan(name, "small", 0), plan(name, "small", 1)
    assert not {item.subject_id for item in here} & {item.subject_id for item in there}
    assert not {item.entropy for item in here} & {item.entropy for item in there}


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_a_plan_counts_what_the_domain_says_and_splits_by_subject(name: str) -> None:
    plans = plan(name, "small", 3)
    domain, extent = DOMAINS[name], DOMAINS[name].extents["small"]
    assert len(plans) == extent.num_recordings
    assert sum(item.num_frames for item in plans) * domain.num_cameras == domain.num_frames("small")
    assert len({item.recording_id for item in plans}) == len(plans)
    assert len({item.entropy for item in plans}) == len(plans)
    assert len({item.subject_id for item in plans}) == extent.num_subjects
    of_subject: dict[str, set[str]] = {}
    for item in plans:
        of_subject.setdefault(item.subject_id, set()).add(item.split)
    assert all(len(splits) == 1 for splits in of_subject.values())
    assert {item.split for item in plans} == {"train", "validation", "test"}


def test_half_of_the_studios_hands_are_empty_and_no_others() -> None:
    studio = [item.object_name is None for item in plan("studio", "small", 0)]
    assert 0.45 < np.mean(studio) < 0.55
    assert all(item.object_name is not None for name in ("lab", "wild", "ego") for item in plan(name, "small", 0))


def test_every_object_of_the_lab_is_used() -> None:
    assert {item.object_name for item in plan("lab", "small", 0)} == set(DOMAINS["lab"].object_names)


@pytest.mark.parametrize(("count", "expected"), [(3, (1, 1, 1)), (10, (6, 2, 2)), (50, (30, 10, 10)), (1, (1, 0, 0))])
def test_people_are_shared_out_three_to_one_to_one(count: int, expected: tuple[int, int, int]) -> None:
    names = split_subjects(count, np.random.default_rng(0))
    assert tuple(names.count(split) for split in ("train", "validation", "test")) == expected


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_a_hand_in_contact_touches_in_every_view_and_enters_nowhere(name: str) -> None:
    """From the labels alone: MANO parameters and object pose, both in camera axes."""
    checked = 0
    for recording in RECORDINGS[name]:
        for frame in range(0, recording.num_frames, 5):
            seen = view(recording, frame % len(recording.cameras), frame)
            hand = seen.hands[0]
            if not hand.holds_object:
                continue
            item = seen.objects[0]
            points = np.asarray(transform_points(np.linalg.inv(item.T_cam_obj), _vertices(hand)))
            distance = build_object(item.name).signed_distance(points)
            # Left grasps are mirrored, and an object is its own mirror image to 0.25 mm.
            assert -MAX_PENETRATION_M - 2.5e-4 < distance.min() < 0.001
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize("name", ["lab", "wild", "ego"])
def test_what_is_held_is_rigid_in_the_hand_in_camera_axes(name: str) -> None:
    for recording in RECORDINGS[name]:
        relative = []
        for frame in range(recording.num_frames):
            seen = view(recording, 0, frame)
            if seen.hands[0].holds_object:
                in_object = transform_points(np.linalg.inv(seen.objects[0].T_cam_obj), _vertices(seen.hands[0])[:40])
                relative.append(np.asarray(in_object))
        if len(relative) > 1:
            assert np.ptp(np.stack(relative), axis=0).max() < 1e-7


def test_sister_cameras_see_one_world() -> None:
    recording = RECORDINGS["lab"][0]
    in_world = []
    for camera in range(5):
        seen = view(recording, camera, 1)
        in_world.append(np.asarray(transform_points(np.linalg.inv(seen.T_cam_world), _vertices(seen.hands[0]))))
    np.testing.assert_allclose(in_world[1:], np.broadcast_to(in_world[0], (4, 778, 3)), atol=1e-7)


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_target_hands_are_in_front_of_cameras_and_mostly_in_the_picture(name: str) -> None:
    inside = []
    for recording in RECORDINGS[name]:
        for frame in range(0, recording.num_frames, 4):
            for camera in range(len(recording.cameras)):
                seen = view(recording, camera, frame)
                vertices = _vertices(seen.hands[0])
                assert vertices[:, 2].min() > 0.05
                height, width = seen.image_size
                pixels = np.asarray(project_points(vertices, seen.K))
                inside.append(np.all((pixels >= 0) & (pixels < [width, height]), axis=1).mean())
    assert np.mean(np.array(inside) > 0.3) > 0.7


def test_a_camera_steps_back_from_a_hand_that_would_touch_its_lens() -> None:
    """This hand comes into the picture past the camera, 5 cm before it."""
    recording = simulate(plan("wild", "medium", 1)[98])
    target = next(track for track in recording.hands if track.is_target)
    T_cam_world = recording.cameras[0].T_cam_world
    depth = np.einsum("ta,ta->t", T_cam_world[:, 2, :3], target.transl) + T_cam_world[:, 2, 3]
    assert depth.min() == pytest.approx(0.12)
    assert np.count_nonzero(depth < 0.2) < 5


def test_left_and_right_hands_and_bystanders_appear_in_the_wild() -> None:
    recordings = [simulate(item) for item in plan("wild", "small", 5)[:12]]
    assert {recording.hands[0].is_right for recording in recordings} == {True, False}
    assert any(len(recording.hands) > 1 for recording in recordings)
    assert any(not item.is_target for recording in recordings for item in recording.objects)
    for recording in recordings:
        assert [hand.is_target for hand in recording.hands].count(True) == 1
        people = {subject.subject_id for subject in recording.subjects}
        assert {hand.subject_id for hand in recording.hands} <= people
        names = [item.name for item in recording.objects]
        assert set(recording.appearance.textures) == set(names)


@pytest.mark.parametrize("name", ["lab", "wild", "ego"])
def test_hands_move_at_human_speed(name: str) -> None:
    for recording in RECORDINGS[name]:
        wrist = recording.hands[0].transl
        speed = np.linalg.norm(np.diff(wrist, axis=0), axis=1) * recording.fps
        assert speed.max() < 2.0


def test_views_are_rigid_and_timed() -> None:
    seen = view(RECORDINGS["ego"][0], 0, 6)
    assert is_rigid(seen.T_cam_world)
    assert all(is_rigid(item.T_cam_obj) for item in seen.objects)
    assert seen.time_s == pytest.approx(6 / 30)


@pytest.mark.parametrize(("camera", "frame"), [(5, 0), (0, 4), (-1, 0), (0, -1)])
def test_a_view_that_does_not_exist_is_refused(camera: int, frame: int) -> None:
    with pytest.raises(ContractError, match="Count from 0"):
        view(RECORDINGS["lab"][0], camera, frame)


def test_the_gate_notices_missing_numbers_and_hands_behind_a_camera() -> None:
    good = RECORDINGS["wild"][0]
    check_recording(good)
    hand = good.hands[0]
    broken = hand.transl.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ContractError, match="frame 3"):
        check_recording(dataclasses.replace(good, hands=(dataclasses.replace(hand, transl=broken), *good.hands[1:])))
    away = dataclasses.replace(hand, transl=hand.transl + np.array([0.0, 0.0, 5.0]))
    with pytest.raises(ContractError, match="in front of every camera"):
        check_recording(dataclasses.replace(good, hands=(away, *good.hands[1:])))
    short = dataclasses.replace(hand, hand_pose=hand.hand_pose[:-1])
    with pytest.raises(ContractError, match="12 frames"):
        check_recording(dataclasses.replace(good, hands=(short, *good.hands[1:])))
