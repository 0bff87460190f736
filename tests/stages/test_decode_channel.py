import os
import socket
import tempfile

import pytest

from hoiray.stages.decode_channel import ChannelClosedError, receive, send


def test_messages_arrive_whole_and_in_order() -> None:
    here, there = socket.socketpair()
    messages = [{"a": 1}, {"text": "ümläut " * 2000}, {"list": list(range(5000))}]
    for message in messages:
        send(here, message)
    assert [receive(there)[0] for _ in messages] == messages


def test_a_descriptor_travels_with_its_message() -> None:
    here, there = socket.socketpair()
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        send(here, {"number": 1})
        send(here, {"number": 2}, file.fileno())
        send(here, {"number": 3})
    assert receive(there) == ({"number": 1}, None)
    message, descriptor = receive(there)
    assert message == {"number": 2}
    assert descriptor is not None
    assert os.pread(descriptor, 99, 0) == b"content"
    os.close(descriptor)
    assert receive(there) == ({"number": 3}, None)


def test_the_other_sides_end_is_told() -> None:
    here, there = socket.socketpair()
    here.sendall(b"\x09\0\0\0half")
    here.close()
    with pytest.raises(ChannelClosedError):
        receive(there)
    with pytest.raises(ChannelClosedError):
        send(there, {"a": 1})
