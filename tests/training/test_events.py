import struct
from pathlib import Path

import pytest
from s3_server import S3Server
from tensorboardX.proto.event_pb2 import Event
from toy_training import EPOCH_REPORT as EPOCH
from toy_training import STEP_REPORT as STEP

from hoiray.io.store import Store
from hoiray.training.events import EVENTS, EventLog


def scalars(data: bytes) -> dict[tuple[str, int], float]:
    """Read an event file by its framing: length, checksum, message, checksum."""
    found = {}
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
        for value in event.summary.value:
            found[value.tag, event.step] = value.simple_value
    return found


def read(data: bytes) -> None:
    found = scalars(data)
    assert found["train/total", 2] == 1.5
    assert found["train/learning_rate", 2] == pytest.approx(1e-4)
    assert found["epoch/total", 5] == 1.25
    assert found["val/pa_mpjpe_mm", 5] == 12.0


def test_scalars_are_written_where_tensorboard_looks(tmp_path: Path) -> None:
    log = EventLog(Store.open(tmp_path), first_step=0)
    log.add_steps(STEP)
    log.add_epoch(EPOCH)
    log.close()
    (path,) = (tmp_path / EVENTS).iterdir()
    assert path.name.startswith("events.out.tfevents.")
    read(path.read_bytes())


def test_a_resumed_training_opens_a_file_of_its_own(tmp_path: Path) -> None:
    for first_step in (0, 7):
        EventLog(Store.open(tmp_path), first_step=first_step).close()
    assert len(list((tmp_path / EVENTS).iterdir())) == 2


@pytest.mark.s3
def test_on_s3_the_file_is_there_after_every_flush(s3_environment: S3Server) -> None:
    store = Store.open(f"{s3_environment.uri}/events")
    log = EventLog(store, first_step=0)
    log.add_steps(STEP)
    log.add_epoch(EPOCH)
    log.flush()
    (key,) = store.list(EVENTS)
    read(store.read(key))
    log.close()
