from hoiray.engine.tally import Tally, Teller


class Handle:
    """A tally without Ray."""

    def __init__(self) -> None:
        self.tally, self.calls = Tally(), 0
        self.add = self

    def remote(self, num_frames: int) -> None:
        self.calls += 1
        self.tally.add(num_frames)


def test_frames_are_told_now_and_then_and_none_is_lost() -> None:
    handle = Handle()
    teller = Teller(handle)
    for _ in range(1000):
        teller(3)
    teller.tell()
    assert handle.tally.state() == (3000, True)
    assert handle.calls < 100


def test_a_worker_that_begins_is_known_before_its_first_frame() -> None:
    handle = Handle()
    assert handle.tally.state() == (0, False)
    Teller(handle).tell()
    assert handle.tally.state() == (0, True)
