import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hoiray.synthetic.motion import (
    Handling,
    Leg,
    Pace,
    band_noise,
    ease,
    leg_duration_s,
    plan_handling,
    play,
    sample_legs,
    tremor,
)

PACE = Pace(speed_m_s=0.6, turn_rad_s=3.0, close_s=0.4, pause_s=0.2)


def _pose(rotvec: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(rotvec).as_matrix()
    pose[:3, 3] = shift
    return pose


def _handling(seed: int = 0) -> Handling:
    carries = [
        np.stack([_pose((0.4, 0.2, 0), (0.05, 0.15, 0.02)), _pose((-0.8, 0.5, 0.3), (-0.1, 0.2, 0.1))]),
        np.stack([_pose((0, 0.3, 0), (0.05, 0.1, 0.0)), _pose((0, 0.2, 0), (0.05, 0.0, 0.0))]),
    ]
    return plan_handling(
        T_world_obj=np.eye(4),
        T_obj_hand=_pose((0.3, -0.5, 1.0), (0.05, 0.03, 0.0)),
        retreat_world=np.array([0.0, 1.0, 0.0]),
        T_world_rest=_pose((0.0, 1.0, 0.0), (0.3, 0.1, 0.3)),
        poses=(np.full(45, 0.1), np.full(45, 0.05), np.full(45, 0.5)),
        carries=carries,
        pace=PACE,
        rng=np.random.default_rng(seed),
    )


def test_ease_starts_and_ends_at_rest() -> None:
    times = np.linspace(-0.5, 1.5, 2001)
    eased = ease(times, 0.0, 1.0)
    assert eased[0] == 0.0
    assert eased[-1] == 1.0
    step = times[1] - times[0]
    velocity, acceleration = np.gradient(eased, step), np.gradient(np.gradient(eased, step), step)
    assert velocity.max() == pytest.approx(1.875, rel=1e-3)
    assert np.abs(np.diff(acceleration)).max() < 60 * step * 1.5  # the largest jerk of the profile is 60


@pytest.mark.parametrize("seed", range(4))
def test_position_velocity_and_acceleration_have_no_jumps(seed: int) -> None:
    """Halving the time step halves the largest change of acceleration: it is continuous. A jump would stay."""
    handling = _handling(seed)
    changes = []
    for step in (2e-3, 1e-3):
        times = np.arange(0.0, handling.end_s + 0.2, step)
        motion = play(handling, times, np.zeros((len(times), 3)))
        acceleration = np.diff(motion.T_world_hand[:, :3, 3], n=2, axis=0) / step**2
        changes.append(np.abs(np.diff(acceleration, axis=0)).max())
        assert np.linalg.norm(acceleration, axis=1).max() < 15.0
    assert changes[1] < 0.75 * changes[0]


def test_rotation_has_continuous_acceleration_too() -> None:
    handling = _handling(1)
    changes = []
    for step in (2e-3, 1e-3):
        times = np.arange(0.0, handling.end_s, step)
        turns = Rotation.from_matrix(play(handling, times, np.zeros((len(times), 3))).T_world_hand[:, :3, :3])
        rate = (turns[:-1].inv() * turns[1:]).as_rotvec() / step
        changes.append(np.abs(np.diff(rate, n=2, axis=0)).max() / step)
    assert changes[1] < 0.75 * changes[0]


@pytest.mark.parametrize("tremor_m", [0.0, 0.0005])
def test_what_is_held_is_rigid_in_the_hand(tremor_m: float) -> None:
    handling = _handling()
    times = np.arange(0.0, handling.end_s, 1 / 60)
    motion = play(handling, times, tremor(times, tremor_m, np.random.default_rng(0)))
    T_obj_hand = np.linalg.inv(motion.T_world_obj[motion.contact]) @ motion.T_world_hand[motion.contact]
    assert motion.contact.sum() > 20
    np.testing.assert_allclose(T_obj_hand, np.broadcast_to(handling.T_obj_hand, T_obj_hand.shape), atol=1e-12)


def test_the_object_rests_while_nobody_holds_it() -> None:
    handling = _handling()
    times = np.arange(0.0, handling.end_s, 1 / 60)
    motion = play(handling, times, tremor(times, 0.001, np.random.default_rng(0)))
    before, after = times < handling.hold_s, times >= handling.let_go_s
    assert np.ptp(motion.T_world_obj[before], axis=0).max() == 0.0
    assert np.ptp(motion.T_world_obj[after], axis=0).max() < 1e-12


def test_trembling_does_not_make_the_hand_jump_when_it_lets_go() -> None:
    handling = _handling()
    times = np.arange(0.0, handling.end_s, 1e-3)
    shaken = play(handling, times, tremor(times, 0.001, np.random.default_rng(0))).T_world_hand[:, :3, 3]
    calm = play(handling, times, np.zeros((len(times), 3))).T_world_hand[:, :3, 3]
    step = np.linalg.norm(np.diff(shaken - calm, axis=0), axis=1)
    assert step.max() < 3e-4
    assert step.max() > 0.0


def test_fingers_are_closed_exactly_while_they_hold() -> None:
    handling = _handling()
    times = np.arange(0.0, handling.end_s, 1 / 120)
    motion = play(handling, times, np.zeros((len(times), 3)))
    np.testing.assert_allclose(motion.hand_pose[motion.contact], 0.5, atol=1e-12)
    assert motion.hand_pose[~motion.contact].max() < 0.5 - 1e-9
    np.testing.assert_allclose(motion.hand_pose[[0, -1]], 0.1, atol=1e-3)


def test_speed_stays_below_the_pace() -> None:
    poses = np.stack([_pose((0, 0, 0), (0, 0, 0)), _pose((0, 0, 0.5), (0.4, 0, 0))])
    leg = Leg(0.0, leg_duration_s(poses, PACE), poses)
    times = np.linspace(0.0, leg.duration_s, 4001)
    sampled = sample_legs([leg], poses[0], times)
    speed = np.linalg.norm(np.diff(sampled[:, :3, 3], axis=0), axis=1) / (times[1] - times[0])
    assert speed.max() == pytest.approx(PACE.speed_m_s, rel=1e-3)


def test_a_turn_on_the_spot_obeys_the_turn_rate() -> None:
    poses = np.stack([_pose((0, 0, 0), (0, 0, 0)), _pose((0, 0, 2.0), (0, 0, 0))])
    leg = Leg(0.0, leg_duration_s(poses, PACE), poses)
    times = np.linspace(0.0, leg.duration_s, 2001)
    turns = Rotation.from_matrix(sample_legs([leg], poses[0], times)[:, :3, :3])
    rate = (turns[:-1].inv() * turns[1:]).magnitude() / (times[1] - times[0])
    assert rate.max() == pytest.approx(PACE.turn_rad_s, rel=1e-3)


def test_noise_has_the_asked_strength_and_band() -> None:
    times = np.arange(0.0, 60.0, 1 / 100)
    noise = band_noise(times, 0.002, (6.0, 12.0), np.random.default_rng(0))
    np.testing.assert_allclose(noise.std(axis=0), 0.002, rtol=0.1)
    power = np.abs(np.fft.rfft(noise[:, 0])) ** 2
    frequency = np.fft.rfftfreq(len(times), 1 / 100)
    assert power[(frequency > 5.8) & (frequency < 12.2)].sum() > 0.99 * power.sum()
