"""A stream of Ray Data that cannot hang in silence: pulled by a thread, while the driver looks at the clock.

Ray waits for ever, and says nothing, when no operator can run: actors that hold every CPU, a pool whose only actor
died, a node group that never comes. The driver ends such a run and says which operator waits for what.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hoiray.engine.driver_memory import forget_statistics, go_on_as_one, running_executions
from hoiray.errors import HoirayError, InputError, describe

if TYPE_CHECKING:
    from ray.data import Dataset

POLL_S: Final = 0.5
"""Between two looks at the clock."""

Row: TypeAlias = dict[str, Any]
NumFrames: TypeAlias = Callable[[], int]


class Stream:
    """The rows of a dataset while it is executed."""

    def __init__(self, dataset: "Dataset", *, no_progress_s: float, num_frames: NumFrames) -> None:
        """Prepare; the execution begins with :meth:`rows`.

        Args:
            dataset: what to execute.
            no_progress_s: it is given up when for so long no row came out and no frame was counted.
            num_frames: frames counted so far.
        """
        go_on_as_one(dataset)
        self._dataset, self._no_progress_s, self._num_frames = dataset, no_progress_s, num_frames
        self._arrived: queue.Queue[Row | None] = queue.Queue()
        self._error: BaseException | None = None

    def rows(self) -> Generator[Row | None, None, None]:
        """Yield rows as they come out, and None from time to time.

        Raises:
            HoirayError: what a stage raised on purpose.
            InputError: nothing moved for too long; the message says what waits for what.
            Exception: whatever else ended the execution.
        """
        thread = threading.Thread(target=self._pull, name="label-stream", daemon=True)
        moved_s, seen = time.monotonic(), self._num_frames()
        thread.start()
        try:
            while True:
                try:
                    row = self._arrived.get(timeout=POLL_S)
                except queue.Empty:
                    count = self._num_frames()
                    if count != seen:
                        moved_s, seen = time.monotonic(), count
                    elif time.monotonic() - moved_s > self._no_progress_s:
                        raise self._stalled() from None
                    yield None
                    continue
                if row is None:
                    break
                forget_statistics()
                moved_s = time.monotonic()
                yield row
        finally:
            end_executions()
        if self._error is not None:
            raise cause_of(self._error)

    def _pull(self) -> None:
        try:
            for row in self._dataset.iter_rows():
                self._arrived.put(row)
        except BaseException as error:  # noqa: BLE001 - handed to the driver's thread, which raises it
            self._error = error
        finally:
            self._arrived.put(None)

    def _stalled(self) -> InputError:
        found = "; ".join(describe_operators()) or "no operator that runs"
        fix = "Compare the pools of the cluster file with `ray status`; then run the same command again."
        expected = f"a frame or a shard within {self._no_progress_s:.0f} s"
        return InputError(describe(what="labelling on Ray", expected=expected, found=f"none: {found}", fix=fix))


def describe_operators() -> list[str]:
    """Say of every unfinished operator of running executions what it has and what it waits for."""
    import ray

    lines = []
    for executor in running_executions():
        for operator, state in (executor._topology or {}).items():
            if operator.has_completed() or not operator.input_dependencies:
                continue
            lines.append(_describe(operator, state))
    if lines:
        free = ray.available_resources()
        lines.append(f"free in the cluster: {free.get('CPU', 0.0):g} CPUs, {free.get('GPU', 0.0):g} GPUs")
    return lines


def _describe(operator: Any, state: Any) -> str:  # noqa: ANN401 - of Ray's own executor
    waiting = state.total_enqueued_input_blocks()
    running = operator.num_active_tasks()
    text = f"{operator.name} has {running} tasks running and {waiting} inputs waiting"
    actors = getattr(operator, "get_actor_info", None)
    if actors is not None:
        info = actors()
        text += f", {info.running} actors running, {info.pending} pending, {info.restarting} restarting"
    # of an actor pool: what its pending actors wait for; of tasks: what the next one wants
    wants = operator.incremental_resource_usage() if actors is None else operator.pending_logical_usage()
    parts = [f"{amount:g} {unit}" for amount, unit in ((wants.cpu, "CPUs"), (wants.gpu, "GPUs")) if amount]
    return text + (f", and wants {' and '.join(parts)}" if parts else "")


def end_executions() -> None:
    """End what Ray Data still executes for this process; its actors end with it."""
    for executor in running_executions():
        executor.shutdown(force=True)


def cause_of(error: BaseException) -> BaseException:
    """Return what a stage raised on purpose, from under Ray's wrappings; the error itself where it was a bug."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HoirayError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return error
