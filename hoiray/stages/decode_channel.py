"""The wire between the decoder's process and its parent: short JSON messages, now and then with a file descriptor."""

import array
import json
import socket
import struct
from typing import Any, Final, TypeAlias

Message: TypeAlias = dict[str, Any]

HEADER: Final = struct.Struct("<I")


class ChannelClosedError(Exception):
    """The other side is gone."""


def send(channel: socket.socket, message: Message, descriptor: int | None = None) -> None:
    """Send a message, and a file descriptor that the other side will own a copy of.

    Raises:
        ChannelClosedError: the other side is gone.
    """
    payload = json.dumps(message).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [] if descriptor is None else [descriptor]))]
    try:
        # the descriptor travels with the first byte; four bytes are never split
        channel.sendmsg([HEADER.pack(len(payload))], rights if descriptor is not None else [])
        channel.sendall(payload)
    except OSError as error:
        raise ChannelClosedError(str(error)) from error


def receive(channel: socket.socket) -> tuple[Message, int | None]:
    """Wait for a message.

    Returns:
        The message, and the descriptor that came with it; the caller closes it.

    Raises:
        ChannelClosedError: the other side is gone.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(channel, HEADER.size, 1)
        head += _exactly(channel, HEADER.size - len(head)) if head else b""
        if not head:
            raise ChannelClosedError("end of file")
        payload = _exactly(channel, HEADER.unpack(head)[0])
    except OSError as error:
        raise ChannelClosedError(str(error)) from error
    message: Message = json.loads(payload)
    return message, descriptors[0] if descriptors else None


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            raise ChannelClosedError("end of file")
        parts += part
    return bytes(parts)
