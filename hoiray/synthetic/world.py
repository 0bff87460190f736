"""The synthetic world: plan recordings, let them happen, and see them through a camera.

`plan` is cheap and says what will be recorded; each plan carries its own entropy, so that recordings can be simulated
in any order, on any number of workers, with the same result bit for bit. `simulate` lets one happen. `view` is the
truth of one camera at one instant. None of them knows a pixel.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.rest_wrist import of_side, rest_wrist
from hoiray.datasets.sample import ManoParameters
from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations import axis_angle_to_matrix, random_rotations
from hoiray.geometry.transforms import compose_transforms, invert_transform, transform_mano, transform_points
from hoiray.hand.anatomy import AnatomicalAxes, anatomical_axes
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.poses import NAMED_POSES, named_pose, pose_from_angles, random_angles
from hoiray.hand.sides import mirror_axis_angle
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
from hoiray.synthetic.domains import Domain, Extent, SizeName, domain_of, environments_of, extent_of
from hoiray.synthetic.grasp import Grasp, find_grasp
from hoiray.synthetic.holding import Hand, make_hand
from hoiray.synthetic.motion import Handling, Pace, band_noise, plan_handling, play, tremor
from hoiray.synthetic.objects import GraspKind, ObjectMesh, build_object
from hoiray.synthetic.scene import (
    Appearance,
    CameraTrack,
    HandTrack,
    HandView,
    ObjectTrack,
    ObjectView,
    Recording,
    Subject,
    View,
)
from hoiray.synthetic.staging import (
    UP,
    bend_wrist,
    carry_groups,
    rest_on_table,
    scatter,
    stand_for_grasp,
    towards_person,
    waiting_hand,
)
from hoiray.synthetic.subjects import sample_subject, subject_id

FloatArray = NDArray[np.float64]
SplitName: TypeAlias = Literal["train", "validation", "test"]

HAND_DEPTH_RANGE_M = (0.08, 2.5)
"""Depth of the middle of a target hand in any camera; outside of it something is wrong with the staging."""

_STEPPED_BACK_M = 0.12
"""Depth of the nearest hand before a camera that stepped back for it."""

_SPLIT_SHARES: tuple[tuple[SplitName, float], ...] = (("train", 0.6), ("validation", 0.2), ("test", 0.2))
_PASSER_BY = 100_000
"""Indices of people who are only seen by chance start here: they act in no recording, so no split can leak them."""

_IN_CONTACT_SHARE = 0.85
"""Of recordings shorter than the act, those that begin so that the middle shows the hand holding."""

_MAX_MOVEMENTS = 60


@dataclass(frozen=True)
class RecordingPlan:
    """What will be recorded; small, pickleable, complete.

    Attributes:
        recording_id: unique within domain and seed.
        domain, size, seed: of the set it belongs to.
        recording_index: within the set.
        split: follows from the subject; a subject is in one split only.
        subject_id, subject_index: who acts.
        object_name: what is handled, or None for an empty hand.
        environment: name of the packaged light and background.
        num_frames, fps: of every camera.
        entropy: seed of everything drawn at simulation.
    """

    recording_id: str
    domain: str
    size: SizeName
    seed: int
    recording_index: int
    split: SplitName
    subject_id: str
    subject_index: int
    object_name: str | None
    environment: str
    num_frames: int
    fps: float
    entropy: tuple[int, ...]


def plan(domain_name: str, size: SizeName, seed: int) -> tuple[RecordingPlan, ...]:
    """Plan a set: who does what where, in which split.

    Args:
        domain_name: "lab", "wild", "ego" or "studio".
        size: "tiny", "small" or "medium".
        seed: of the whole set; another seed has other people.

    Raises:
        ConfigError: no such domain or size.
    """
    domain = domain_of(domain_name)
    extent = extent_of(domain, size)
    sequence = np.random.SeedSequence([seed, zlib.crc32(domain.name.encode())])
    shared, *own = sequence.spawn(1 + extent.num_recordings)
    rng = np.random.default_rng(shared)
    splits = split_subjects(extent.num_subjects, rng)
    names = _object_names(domain, extent, rng)
    rooms = environments_of(extent, int(rng.integers(1000)))
    first_object, first_room = int(rng.integers(len(names))), int(rng.integers(len(rooms)))
    plans = []
    for index, child in enumerate(own):
        subject = index % extent.num_subjects
        draw = np.random.default_rng(child.spawn(1)[0])
        is_empty = draw.uniform() < domain.knobs.empty_hand_share
        # Each round of all pairs shifts by one, so that everybody meets every object where there are enough rounds.
        name = names[(first_object + index + index // math.lcm(extent.num_subjects, len(names))) % len(names)]
        plans.append(
            RecordingPlan(
                recording_id=f"{domain.name}-{seed}-{index:05d}",
                domain=domain.name,
                size=size,
                seed=seed,
                recording_index=index,
                split=splits[subject],
                subject_id=subject_id(domain.name, seed, subject),
                subject_index=subject,
                object_name=None if is_empty else name,
                environment=rooms[(first_room + index) % len(rooms)],
                num_frames=extent.frames_per_recording,
                fps=domain.fps,
                entropy=tuple(int(word) for word in child.generate_state(4)),
            )
        )
    return tuple(plans)


def split_subjects(num_subjects: int, rng: np.random.Generator) -> tuple[SplitName, ...]:
    """Share people out: three fifths train, a fifth each validation and test, at least one each of three or more."""
    counts = {name: round(share * num_subjects) for name, share in _SPLIT_SHARES[1:]}
    if num_subjects >= 3:
        counts = {name: max(1, count) for name, count in counts.items()}
    names: list[SplitName] = ["train"] * (num_subjects - sum(counts.values()))
    for name, _ in _SPLIT_SHARES[1:]:
        names += [name] * counts[name]
    return tuple(names[i] for i in rng.permutation(num_subjects))


def simulate(recording_plan: RecordingPlan) -> Recording:
    """Let a recording happen; the same plan gives the same recording, bit for bit.

    Raises:
        ContractError: no grasp of any kind was found, or the result fails `check_recording`.
    """
    stage = _set_stage(recording_plan)
    acted = _act_empty(stage) if stage.target is None else _act(stage, stage.target)
    bystanders = _bystanders(stage)
    recording = Recording(
        recording_id=recording_plan.recording_id,
        domain=recording_plan.domain,
        fps=recording_plan.fps,
        num_frames=recording_plan.num_frames,
        subjects=(stage.subject, *bystanders.subjects),
        hands=(acted.hand, *bystanders.hands),
        objects=(*acted.objects, *bystanders.objects),
        cameras=tuple(_stepped_back(camera, acted.hand) for camera in _cameras(stage, acted)),
        appearance=_appearance(stage, [track.name for track in (*acted.objects, *bystanders.objects)]),
        contact_statistics=acted.contact_statistics,
    )
    check_recording(recording)
    return recording


def view(recording: Recording, camera_index: int, frame_index: int) -> View:
    """Return the truth of one camera at one instant, in its axes.

    Raises:
        ContractError: there is no such camera or frame.
    """
    if not (0 <= camera_index < len(recording.cameras) and 0 <= frame_index < recording.num_frames):
        expected = f"a camera below {len(recording.cameras)} and a frame below {recording.num_frames}"
        found = f"camera {camera_index}, frame {frame_index}"
        raise ContractError(
            describe(what=f"recording {recording.recording_id}", expected=expected, found=found, fix="Count from 0.")
        )
    camera = recording.cameras[camera_index]
    T_cam_world = np.asarray(camera.T_cam_world[frame_index], dtype=np.float64)
    betas = {subject.subject_id: subject.betas for subject in recording.subjects}
    return View(
        recording_id=recording.recording_id,
        camera_id=camera.camera_id,
        frame_index=frame_index,
        time_s=frame_index / recording.fps,
        K=camera.K,
        image_size=camera.image_size,
        T_cam_world=T_cam_world,
        hands=tuple(_hand_view(track, betas[track.subject_id], T_cam_world, frame_index) for track in recording.hands),
        objects=tuple(
            ObjectView(
                track.name, track.is_target, np.asarray(compose_transforms(T_cam_world, track.T_world_obj[frame_index]))
            )
            for track in recording.objects
        ),
    )


def check_recording(recording: Recording) -> None:
    """Refuse what no camera could have seen: missing numbers, a target hand behind a camera or absurdly far away.

    Raises:
        ContractError: naming recording, camera and frame.
    """
    for track in recording.hands:
        arrays = (track.global_orient, track.hand_pose, track.transl, track.forearm)
        _require_finite(recording, "a hand", arrays, recording.num_frames)
    for item in recording.objects:
        _require_finite(recording, f"object {item.name}", (item.T_world_obj,), recording.num_frames)
    target = next(track for track in recording.hands if track.is_target)
    low, high = HAND_DEPTH_RANGE_M
    for camera in recording.cameras:
        _require_finite(recording, f"camera {camera.camera_id}", (camera.T_cam_world,), recording.num_frames)
        depth = _depths(camera, target)
        wrong = np.flatnonzero((depth < low) | (depth > high))
        if len(wrong):
            found = f"{depth[wrong[0]]:.3f} m in camera {camera.camera_id}, frame {wrong[0]}"
            raise _bad(recording, f"the target hand {low} to {high} m in front of every camera", found)


# --- inside --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Stage:
    """What is settled before anything moves."""

    plan: RecordingPlan
    domain: Domain
    subject: Subject
    hand: Hand
    is_right: bool
    target: ObjectMesh | None
    person: FloatArray
    rng: np.random.Generator

    @property
    def side(self) -> int:
        return 1 if self.is_right else -1

    def draw(self, limits: tuple[float, float]) -> float:
        return float(self.rng.uniform(*limits))

    def happens(self, share: float) -> bool:
        return bool(self.rng.uniform() < share)


class _Acted(NamedTuple):
    times_s: FloatArray
    hand: HandTrack
    objects: tuple[ObjectTrack, ...]
    contact_statistics: dict[str, float]


class _Bystanders(NamedTuple):
    subjects: tuple[Subject, ...]
    hands: tuple[HandTrack, ...]
    objects: tuple[ObjectTrack, ...]


@lru_cache(maxsize=2)
def _arrays(is_right: bool) -> HandArrays:
    return of_side(load_hand_arrays(), is_right=is_right)


@lru_cache(maxsize=1)
def _axes() -> AnatomicalAxes:
    return anatomical_axes(load_hand_arrays())


def _object_names(domain: Domain, extent: Extent, rng: np.random.Generator) -> tuple[str, ...]:
    if not domain.has_variants:
        return domain.object_names[: extent.num_objects]
    variants = rng.choice(10_000, size=extent.num_objects, replace=False)
    bases = domain.object_names
    return tuple(f"{bases[i % len(bases)]}_{variant:04d}" for i, variant in enumerate(variants))


def _set_stage(recording_plan: RecordingPlan) -> _Stage:
    domain = domain_of(recording_plan.domain)
    rng = np.random.default_rng(list(recording_plan.entropy))
    subject = sample_subject(recording_plan.domain, recording_plan.seed, recording_plan.subject_index)
    is_right = bool(rng.uniform() >= domain.knobs.left_share)
    # With a camera on the head the person is behind it; else people sit anywhere but right behind what they hold.
    azimuth = rng.normal(0.0, 0.15) if "egocentric" in domain.knobs.camera_kinds else rng.uniform(-np.pi, np.pi)
    name = recording_plan.object_name
    return _Stage(
        recording_plan,
        domain,
        subject,
        make_hand(load_hand_arrays(), np.asarray(subject.betas, dtype=np.float64)),
        is_right,
        None if name is None else build_object(name),
        towards_person(azimuth),
        rng,
    )


def _find_any_grasp(stage: _Stage, target: ObjectMesh) -> Grasp:
    weights = stage.domain.knobs.grasp_weights
    kinds: list[GraspKind] = [kind for kind in weights if any(kind in grip.kinds for grip in target.grips)]
    share = np.array([weights[kind] for kind in kinds])
    for position in stage.rng.choice(len(kinds), size=len(kinds), replace=False, p=share / share.sum()):
        grasp = find_grasp(stage.hand, target, kinds[position], is_right=stage.is_right, rng=stage.rng)
        if grasp is not None:
            return grasp
    what = f"recording {stage.plan.recording_id}"
    expected, found = f"a grasp of {target.name}", f"none among {', '.join(kinds)}"
    raise ContractError(describe(what=what, expected=expected, found=found, fix="Give the object wider or more grips."))


def _act(stage: _Stage, target: ObjectMesh) -> _Acted:
    """Reach for the object, carry it about, put it down."""
    grasp = _find_any_grasp(stage, target)
    if not stage.domain.is_acted:
        return _pose_for_studio(stage, grasp.hand_pose, grasp, target)
    handling = _stage_handling(stage, target, grasp)
    times_s = _filmed_times(stage, handling)
    shaking = tremor(times_s, stage.draw(stage.domain.knobs.tremor_m), stage.rng)
    motion = play(handling, times_s, shaking)
    track = _hand_track(stage, motion.T_world_hand, motion.hand_pose, motion.contact)
    thing = ObjectTrack(target.name, True, motion.T_world_obj)
    return _Acted(times_s, track, (thing,), _statistics(grasp))


def _statistics(grasp: Grasp) -> dict[str, float]:
    measured = grasp.statistics
    return {
        "max_penetration_m": measured.max_penetration_m,
        "mean_penetration_m": measured.mean_penetration_m,
        "mean_contact_distance_m": measured.mean_contact_distance_m,
        "num_contacts": float(measured.num_contacts),
    }


def _stage_handling(stage: _Stage, target: ObjectMesh, grasp: Grasp) -> Handling:
    """Plan reaching, carrying and leaving, with as many movements as the film is long."""
    knobs, rng = stage.domain.knobs, stage.rng
    T_obj_hand = np.asarray(invert_transform(grasp.T_hand_obj), dtype=np.float64)
    joints = _joints_of(stage, grasp.hand_pose)
    T_world_obj = stand_for_grasp(target, T_obj_hand, hand_points=joints, side=stage.side, person=stage.person, rng=rng)
    T_world_grasp = T_world_obj @ T_obj_hand
    wrist = np.asarray(transform_points(T_world_grasp, joints[:1]))[0]
    pace = Pace(
        stage.draw(knobs.hand_speed_m_s),
        stage.draw(knobs.turn_speed_rad_s),
        stage.draw(knobs.close_s),
        stage.draw(knobs.pause_s),
    )
    reach = (stage.draw(knobs.carry_range_m), stage.draw(knobs.carry_turn_rad))
    T_world_rest = _waiting_place(stage, wrist)
    poses = (_calm_pose(stage), grasp.open_pose, grasp.hand_pose)
    needed_s = stage.plan.num_frames / stage.plan.fps
    forearm = stage.side * T_world_grasp[:3, 0]
    shape = rng.spawn(2)
    for num_movements in range(1, _MAX_MOVEMENTS):
        # The same stream each time: a longer act begins like a shorter one.
        carries = carry_groups(
                T_world_obj, target, pivot_world=wrist, forearm_world=forearm, reach=reach, num_groups=num_movements,
                rng=_copy(shape[0]),
            )  # fmt: skip
        handling = plan_handling(
            T_world_obj=T_world_obj, T_obj_hand=T_obj_hand, retreat_world=T_world_grasp[:3, :3] @ grasp.retreat_hand,
            T_world_rest=T_world_rest, poses=poses, carries=carries, pace=pace, rng=_copy(shape[1]),
        )  # fmt: skip
        if handling.end_s >= needed_s:
            break
    return handling


def _copy(rng: np.random.Generator) -> np.random.Generator:
    fresh = np.random.default_rng(0)
    fresh.bit_generator.state = rng.bit_generator.state
    return fresh


def _filmed_times(stage: _Stage, handling: Handling) -> FloatArray:
    """Choose when the film runs: the whole act where it fits, else a part that mostly shows the hand holding."""
    length_s = stage.plan.num_frames / stage.plan.fps
    latest = max(0.0, handling.end_s - length_s)
    start = stage.rng.uniform(0.0, latest)
    if stage.happens(_IN_CONTACT_SHARE):
        middle = stage.rng.uniform(handling.hold_s - 0.2, handling.let_go_s + 0.2)
        start = min(latest, max(0.0, middle - length_s / 2.0))
    return np.asarray(start + np.arange(stage.plan.num_frames) / stage.plan.fps)


def _waiting_place(stage: _Stage, wrist: FloatArray) -> FloatArray:
    """Where the hand comes from: near the body, or from outside the picture."""
    leaves = stage.happens(stage.domain.knobs.leave_frame_share)
    distance = stage.rng.uniform(0.4, 0.6) if leaves else stage.rng.uniform(0.1, 0.2)
    across = np.cross(UP, stage.person) * stage.side
    sideways = stage.rng.uniform(0.0, 0.15) * across
    place = wrist + distance * stage.person + sideways
    place = np.array([place[0], max(0.03, wrist[1] - 0.02), place[2]])
    return waiting_hand(stage.side, stage.person, place, stage.rng.normal(0.0, 0.2, 3))


def _joints_of(stage: _Stage, hand_pose: FloatArray) -> FloatArray:
    """(16, 3) joints in the frame of the hand's own side."""
    arrays = _arrays(stage.is_right)
    rest = arrays.J_regressor @ (arrays.v_template + arrays.shapedirs @ stage.subject.betas)
    turns = np.asarray(axis_angle_to_matrix(hand_pose.reshape(15, 3)))
    rotations, joints = [np.eye(3)], [rest[0]]
    for joint in range(1, 16):
        parent = int(arrays.parents[joint])
        joints.append(joints[parent] + rotations[parent] @ (rest[joint] - rest[parent]))
        rotations.append(rotations[parent] @ turns[joint - 1])
    return np.stack(joints)


def _of_own_side(stage: _Stage, right_pose: FloatArray) -> FloatArray:
    return right_pose if stage.is_right else mirror_axis_angle(right_pose)


def _calm_pose(stage: _Stage) -> FloatArray:
    """A hand that waits: relaxed, a little different for everybody."""
    relaxed = named_pose("relaxed", _axes())
    other = pose_from_angles(random_angles(stage.rng), _axes())
    return _of_own_side(stage, 0.8 * relaxed + 0.2 * other)


def _hand_track(
    stage: _Stage,
    T_world_hand: FloatArray,
    hand_pose: FloatArray,
    contact: NDArray[np.bool_],
    *,
    is_target: bool = True,
) -> HandTrack:
    root = np.asarray(rest_wrist(_arrays(stage.is_right), stage.subject.betas), dtype=np.float64)
    num = len(T_world_hand)
    orient, transl = transform_mano(np.zeros((num, 3)), np.zeros((num, 3)), T_world_hand, np.tile(root, (num, 1)))
    wrist = transl + root
    return HandTrack(
        is_right=stage.is_right,
        subject_id=stage.subject.subject_id,
        is_target=is_target,
        global_orient=orient,
        hand_pose=hand_pose,
        transl=transl,
        forearm=bend_wrist(T_world_hand, np.asarray(wrist), stage.person, stage.side),
        contact=contact,
    )


def _act_empty(stage: _Stage) -> _Acted:
    """Show a hand that holds nothing."""
    names = list(NAMED_POSES)
    named = named_pose(names[int(stage.rng.integers(len(names)))], _axes())
    free = pose_from_angles(random_angles(stage.rng), _axes())
    pose = _of_own_side(stage, named if stage.happens(0.2) else free)
    return _pose_for_studio(stage, pose, None, None)


def _pose_for_studio(stage: _Stage, pose: FloatArray, grasp: Grasp | None, target: ObjectMesh | None) -> _Acted:
    """Hold a hand still in front of the camera, turned any way, with or without an object."""
    num = stage.plan.num_frames
    middle = _joints_of(stage, pose).mean(axis=0)
    T_world_hand = np.eye(4)
    T_world_hand[:3, :3] = random_rotations(stage.rng)
    T_world_hand[:3, 3] = -T_world_hand[:3, :3] @ middle
    tracks: tuple[ObjectTrack, ...] = ()
    if grasp is not None and target is not None:
        tracks = (ObjectTrack(target.name, True, np.tile(T_world_hand @ grasp.T_hand_obj, (num, 1, 1))),)
    contact = np.full(num, grasp is not None)
    hand = _hand_track(stage, np.tile(T_world_hand, (num, 1, 1)), np.tile(pose, (num, 1)), contact)
    # Nobody's body is in the way here: the wrist is bent at random.
    hand = HandTrack(**{**vars(hand), "forearm": np.tile(stage.rng.normal(0.0, 0.25, 3), (num, 1))})
    times_s = np.arange(num) / stage.plan.fps
    return _Acted(times_s, hand, tracks, {} if grasp is None else _statistics(grasp))


# --- bystanders, cameras, looks ------------------------------------------------------------------------------------


def _bystanders(stage: _Stage) -> _Bystanders:
    """Add the other hand, somebody else's hand, and things that lie about."""
    knobs = stage.domain.knobs
    subjects: tuple[Subject, ...] = ()
    hands: tuple[HandTrack, ...] = ()
    if stage.happens(knobs.second_hand_share):
        hands += (_idle_hand(stage, stage.subject, stage.person, is_right=not stage.is_right),)
    if stage.happens(knobs.other_person_share):
        other = sample_subject(stage.plan.domain, stage.plan.seed, _PASSER_BY + stage.plan.recording_index)
        turn = np.asarray(axis_angle_to_matrix(stage.rng.uniform(1.2, 5.0) * UP))
        subjects, hands = (other,), (*hands, _idle_hand(stage, other, turn @ stage.person, is_right=stage.happens(0.5)))
    names = stage.domain.object_names
    count = int(stage.rng.integers(knobs.max_clutter_objects + 1))
    things = []
    for place in scatter(count, stage.rng):
        item = build_object(names[int(stage.rng.integers(len(names)))])
        R_world_obj = np.asarray(axis_angle_to_matrix(stage.rng.uniform(0.0, 2.0 * np.pi) * UP)) @ np.array(
            [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
        )
        still = rest_on_table(item.vertices, R_world_obj, place)
        things.append(ObjectTrack(item.name, False, np.tile(still, (stage.plan.num_frames, 1, 1))))
    return _Bystanders(subjects, hands, tuple(things))


def _idle_hand(stage: _Stage, subject: Subject, person: FloatArray, is_right: bool) -> HandTrack:
    """A hand that rests on the table and stirs a little."""
    hand = make_hand(load_hand_arrays(), np.asarray(subject.betas, dtype=np.float64))
    own = _Stage(stage.plan, stage.domain, subject, hand, is_right, None, person, stage.rng)
    times_s = np.arange(stage.plan.num_frames) / stage.plan.fps
    outwards = np.cross(UP, person) * own.side
    place = stage.rng.uniform(0.15, 0.25) * outwards + stage.rng.uniform(0.08, 0.2) * person
    place[1] = stage.rng.uniform(0.02, 0.05)
    T_world_hand = waiting_hand(own.side, person, place, stage.rng.normal(0.0, 0.15, 3))
    moved = np.tile(T_world_hand, (len(times_s), 1, 1))
    moved[:, :3, 3] += band_noise(times_s, 0.003, (0.1, 0.6), stage.rng)
    pose = np.tile(_calm_pose(own), (len(times_s), 1))
    return _hand_track(own, moved, pose, np.zeros(len(times_s), dtype=np.bool_), is_target=False)


def _cameras(stage: _Stage, acted: _Acted) -> tuple[CameraTrack, ...]:
    domain, knobs, rng = stage.domain, stage.domain.knobs, stage.rng
    num = stage.plan.num_frames
    focus = _focus(acted)
    image_size = domain.image_sizes[int(rng.integers(len(domain.image_sizes)))]
    K = _intrinsics(stage, image_size)
    if domain.num_cameras > 1:
        return ring_of_cameras(domain.num_cameras, K, image_size, focus_m=focus, num_frames=num, rng=rng)
    kind = knobs.camera_kinds[int(rng.integers(len(knobs.camera_kinds)))]
    azimuth = float(np.arctan2(stage.person[0], stage.person[2])) if kind == "egocentric" else 0.0
    position = place_on_sphere(azimuth, stage.draw(knobs.camera_elevation_rad), stage.draw(knobs.camera_distance_m))
    aim = focus + rng.normal(0.0, knobs.aim_error_m, 3)
    T_cam_world = look_at(position + focus, aim, float(rng.normal(0.0, knobs.camera_roll_rad)))
    still = still_track("0", K, image_size, T_cam_world, num)
    if kind == "tripod":
        return (still,)
    sway = egocentric_track if kind == "egocentric" else handheld_track
    return (sway(still, acted.times_s, stage.draw(knobs.shake_m), stage.draw(knobs.shake_rad), rng),)


def _depths(camera: CameraTrack, hand: HandTrack) -> FloatArray:
    """Return (T,) metres along the optical axis: of transl, which is within 10 cm of the hand."""
    depths = np.einsum("ta,ta->t", camera.T_cam_world[:, 2, :3], hand.transl) + camera.T_cam_world[:, 2, 3]
    return np.asarray(depths, dtype=np.float64)


def _stepped_back(camera: CameraTrack, hand: HandTrack) -> CameraTrack:
    """Step back along the optical axis where the hand, on its way into the picture, would have touched the lens."""
    nearest_m = float(_depths(camera, hand).min())
    if nearest_m >= HAND_DEPTH_RANGE_M[0]:
        return camera
    T_cam_world = camera.T_cam_world.copy()
    T_cam_world[:, 2, 3] += _STEPPED_BACK_M - nearest_m
    return replace(camera, T_cam_world=T_cam_world)


def _focus(acted: _Acted) -> FloatArray:
    """What whoever sets up a camera points it at: the middle of the action, or of the empty hand."""
    if not acted.objects:
        return np.zeros(3)
    places = acted.objects[0].T_world_obj[:, :3, 3]
    return np.asarray((places.min(axis=0) + places.max(axis=0)) / 2.0, dtype=np.float64)


def _intrinsics(stage: _Stage, image_size: tuple[int, int]) -> FloatArray:
    if stage.domain.K is not None:
        fx, fy, cx, cy = stage.domain.K
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    # The angle belongs to the longer side, so that upright pictures are not telescopes.
    longer = (image_size[0], max(image_size))
    return intrinsics(focal_of_view(stage.draw(stage.domain.knobs.field_of_view_rad), longer), image_size)


_LOW_LIGHT = 0.2


def _appearance(stage: _Stage, names: Sequence[str]) -> Appearance:
    dim = _LOW_LIGHT if stage.happens(stage.domain.knobs.low_light_share) else 1.0
    exposure = stage.draw(stage.domain.knobs.exposure) * dim
    # The same object looks the same in every recording of a set, as it does in a real one.
    textures = {name: zlib.crc32(f"{stage.plan.domain}-{stage.plan.seed}-{name}".encode()) for name in names}
    return Appearance(int(stage.rng.integers(2**31)), stage.plan.environment, exposure, textures)


def _hand_view(track: HandTrack, betas: NDArray[np.floating], T_cam_world: FloatArray, frame: int) -> HandView:
    root = rest_wrist(_arrays(track.is_right), np.asarray(betas, dtype=np.float64))
    orient, transl = transform_mano(track.global_orient[frame], track.transl[frame], T_cam_world, root)
    mano = ManoParameters(np.asarray(orient), track.hand_pose[frame], betas, np.asarray(transl))
    return HandView(
        track.is_right, track.subject_id, track.is_target, mano, track.forearm[frame], bool(track.contact[frame])
    )


def _require_finite(recording: Recording, what: str, arrays: Sequence[NDArray[np.floating]], num_frames: int) -> None:
    for values in arrays:
        if len(values) != num_frames:
            raise _bad(recording, f"{num_frames} frames of {what}", f"{len(values)}")
        broken = ~np.isfinite(values).reshape(num_frames, -1).all(axis=1)
        if broken.any():
            raise _bad(recording, f"finite numbers for {what}", f"NaN or infinity in frame {int(broken.argmax())}")


def _bad(recording: Recording, expected: str, found: str) -> ContractError:
    what = f"recording {recording.recording_id}"
    return ContractError(describe(what=what, expected=expected, found=found, fix="This is an error of the staging."))
