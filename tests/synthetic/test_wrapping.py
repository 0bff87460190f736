import numpy as np

from hoiray.hand.load import load_hand_arrays
from hoiray.synthetic.closing import CHAINS
from hoiray.synthetic.grasp import measure_grasp
from hoiray.synthetic.holding import make_hand
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.posing import FLEXION
from hoiray.synthetic.wrapping import try_wrap

HAND = make_hand(load_hand_arrays(), np.zeros(10))


def _tries(name: str, kind: str, count: int = 6) -> list[tuple[np.ndarray, ...]]:
    target = build_object(name)
    grip = next(grip for grip in target.grips if kind in grip.kinds)
    made = (try_wrap(HAND, target, grip, kind, np.random.default_rng(seed)) for seed in range(count))  # type: ignore[arg-type]  # literals
    return [attempt for attempt in made if attempt is not None]


def test_the_palm_touches_in_a_power_grasp() -> None:
    tries = _tries("can", "power")
    assert len(tries) >= 4
    for closed, _, T_hand_obj, _ in tries:
        touching = measure_grasp(HAND, build_object("can"), closed, T_hand_obj).touching
        assert {"wrist"} | {f"{finger}_mcp" for finger in ("index", "middle", "ring", "pinky")} & set(touching)


def test_fingers_close_and_never_open() -> None:
    for closed, opened, _, _ in _tries("bottle", "power"):
        for finger in ("index", "middle", "ring", "pinky"):
            chain = list(CHAINS[finger])  # type: ignore[index]  # the literals themselves
            assert closed[chain, FLEXION].sum() > opened[chain, FLEXION].sum()


def test_a_thinner_handle_is_closed_further() -> None:
    bends = []
    for name in ("hammer", "021_bleach_cleanser"):
        closed = [attempt[0] for attempt in _tries(name, "power")]
        bends.append(np.mean([angles[list(CHAINS["middle"]), FLEXION].sum() for angles in closed]))
    assert bends[0] > bends[1] + 0.2


def test_a_hook_leaves_the_thumb_alone() -> None:
    for closed, opened, _, _ in _tries("banana", "hook"):
        np.testing.assert_array_equal(closed[list(CHAINS["thumb"])], opened[list(CHAINS["thumb"])])


def test_the_open_hand_is_free_of_the_object_where_it_closes() -> None:
    for name, kind in (("can", "power"), ("hammer", "power"), ("banana", "hook")):
        for _, opened, T_hand_obj, _ in _tries(name, kind):
            assert measure_grasp(HAND, build_object(name), opened, T_hand_obj).max_penetration_m < 0.003
