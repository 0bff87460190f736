"""TensorBoard's event files: `tensorboard --logdir OUT/tensorboard`."""

import math
import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from hoiray.io.store import Store
from hoiray.training.reports import EpochReport, StepReport

EVENTS: Final = "tensorboard"
"""Folder of the event files below a training's output."""

_VERSION: Final = "brain.Event:2"


class EventLog:
    """Scalars of a training: `train/NAME` every few steps, `epoch/NAME` and `val/NAME` every epoch, over all steps.

    A resumed training opens one more file; TensorBoard hides what the broken one had written beyond the step of the
    resumption. On S3 the file is copied whole at every :meth:`flush`.

    Written record by record: tensorboardX's own SummaryWriter hands over to a thread, and what it has been told when a
    checkpoint is made may not be in the file yet.
    """

    def __init__(self, store: Store, *, first_step: int) -> None:
        """Open a file.

        Args:
            store: the training's output.
            first_step: steps taken so far.
        """
        from tensorboardX.proto import event_pb2
        from tensorboardX.record_writer import RecordWriter

        self._messages: Any = event_pb2
        self._store = store
        local = store.local_path(EVENTS)
        self._scratch = None if local else tempfile.TemporaryDirectory(prefix="hoiray-events-")
        folder = local or Path(self._scratch.name if self._scratch else "")
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}.step{first_step}"
        self._path = folder / name
        self._records: Any = RecordWriter(str(self._path))
        self._write(file_version=_VERSION)
        started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._write(session_log=started, step=first_step + 1)

    def add_steps(self, report: StepReport) -> None:
        """Write the means of some steps."""
        values = {
            **report.means,
            "learning_rate": report.learning_rate,
            "samples_per_s": report.timing.samples_per_s,
            "data_wait_share": report.timing.data_wait_share,
        }
        self._add("train", values, report.num_steps)

    def add_epoch(self, report: EpochReport) -> None:
        """Write the means of an epoch and the scores after it."""
        self._add("epoch", report.means, report.num_steps)
        self._add("val", report.scores, report.num_steps)

    def flush(self) -> None:
        """Bring everything to the output."""
        self._records.flush()
        if self._scratch is not None:
            self._store.write(f"{EVENTS}/{self._path.name}", self._path.read_bytes())

    def close(self) -> None:
        """Flush, and write no more."""
        self.flush()
        self._records.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _add(self, group: str, values: dict[str, float], num_steps: int) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=f"{group}/{name}", simple_value=value)
            for name, value in values.items()
            if math.isfinite(value)
        ]
        if scalars:
            self._write(summary=Summary(value=scalars), step=num_steps)

    def _write(self, **content: object) -> None:
        event = self._messages.Event(wall_time=time.time(), **content)
        self._records.write(event.SerializeToString())
