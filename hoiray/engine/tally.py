"""How much the workers have done, told while they do it: an actor that counts, beside the stream of finished shards."""

import time
from typing import Any, Final

from hoiray.engine.session import exit_for_sure_in_actors

TELL_S: Final = 2.0
"""Between two reports of one worker."""

ANSWER_S: Final = 5.0
"""A worker waits for an answer at most so long."""


class Tally:
    """An actor that every worker can reach, alive as long as the driver."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._num_frames, self._has_begun, self._may_begin = 0, False, True
        exit_for_sure_in_actors()

    def stop(self) -> None:
        """Let nobody begin with another shard."""
        self._may_begin = False

    def may_begin(self) -> bool:
        """Return whether a worker may begin with another shard."""
        return self._may_begin

    def add(self, num_frames: int) -> None:
        """Count frames that were predicted; none where a worker only says that it begins with a shard."""
        self._num_frames += num_frames
        self._has_begun = True

    def state(self) -> tuple[int, bool]:
        """Return how many frames there were, and whether any worker has begun with a shard."""
        return self._num_frames, self._has_begun


def open_tally() -> Any:  # noqa: ANN401 - a handle of Ray
    """Start a tally on the driver's machine; it ends with its last handle."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Tally).remote()


class Teller:
    """A worker's end: adds up, and reports now and then. Nobody waits for an answer, or minds a lost one."""

    def __init__(self, tally: Any) -> None:  # noqa: ANN401 - a handle of Ray
        """Begin."""
        self._tally, self._waiting, self._next_s = tally, 0, 0.0

    def __call__(self, num_frames: int) -> None:
        """Count frames."""
        self._waiting += num_frames
        if time.monotonic() >= self._next_s:
            self.tell()

    def may_begin(self) -> bool:
        """Ask whether another shard may be begun; yes, where nobody answers."""
        import ray
        from ray.exceptions import RayError

        try:
            return bool(ray.get(self._tally.may_begin.remote(), timeout=ANSWER_S))
        except RayError:
            return True

    def tell(self) -> None:
        """Report what is not reported yet."""
        self._next_s = time.monotonic() + TELL_S
        self._tally.add.remote(self._waiting)
        self._waiting = 0
