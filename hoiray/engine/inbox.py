"""What the workers of a training leave for their driver. A module of its own: its process need not load torch."""

from typing import Any

from hoiray.errors import HoirayError
from hoiray.training.reports import Event


class Inbox:
    """An actor that every worker can reach, alive as long as the driver."""

    def __init__(self) -> None:
        """Begin empty."""
        self._events: list[Event] = []
        self._fatal: HoirayError | None = None

    def put(self, event: Event) -> None:
        """Leave something that the driver should hear."""
        self._events.append(event)

    def put_fatal(self, error: HoirayError) -> None:
        """Leave an error that would come again; the first one counts."""
        self._fatal = self._fatal or error

    def fatal(self) -> HoirayError | None:
        """Return the error after which going on is pointless, if there is one."""
        return self._fatal

    def take(self) -> tuple[list[Event], HoirayError | None]:
        """Hand over what has come since the last time, and the error that ends it all, if there is one."""
        events, self._events = self._events, []
        return events, self._fatal


def open_inbox() -> Any:  # noqa: ANN401 - a handle of Ray
    """Start an inbox; it ends with its last handle."""
    import ray

    return ray.remote(num_cpus=0)(Inbox).remote()
