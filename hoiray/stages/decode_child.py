"""The process that decodes: ``python -m hoiray.stages.decode_child``; :mod:`hoiray.stages.decode_process` starts it.

It exists to be killed: decoders hang, crash and devour memory in native code where Python cannot stop them. It reads
one file at a time, hands pixels over in memory that both processes see, and stops when as many batches wait as may. It
dies with its parent: the kernel kills it when the other end of its life line closes, even while native code holds
Python's lock.
"""

import argparse
import contextlib
import fcntl
import itertools
import math
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import describe
from hoiray.io.decoding.choose import open_reader
from hoiray.io.decoding.container import ContainerFacts, scan_container
from hoiray.io.decoding.decord_reader import why_not_decord
from hoiray.io.decoding.failures import DecodeError, DecodeMemoryError
from hoiray.io.decoding.reader import FrameReader
from hoiray.stages.decode_channel import ChannelClosedError, Message, receive, send
from hoiray.stages.frame_selection import FrameSelection, NumberedFrame, NumberedSelection, select_numbers
from hoiray.stages.pixel_ring import NUM_SLOTS, PixelRing

F_SETSIG: Final = 10
"""Linux's command to choose the signal of a descriptor; Python's fcntl has no name for it."""

LOG: Final = 2
"""Standard error: a file of the parent's. libav writes there."""

ADDRESS_SLACK_BYTES: Final = 1 << 30
"""Address space beyond the budget: threads reserve what they never touch. The parent measures what is touched; this
limit holds when it does not look."""

MAX_BATCHES_WAITING: Final = NUM_SLOTS - 1
PICTURES_AT_LEAST: Final = 3
"""Decoded pictures, at 1.5 bytes a pixel, that exist at once whatever the codec: two referred to and the one made;
beside one picture in RGB."""


@dataclass(frozen=True)
class DecodeRequest:
    """One video to decode.

    Attributes:
        path: the file.
        name: what messages call it.
        selection: the frames wanted.
        decoder: `auto`, `decord` or `pyav`.
        num_done: wanted frames that were handed over by an earlier attempt.
        max_batch_frames: frames handed over at once.
        max_batch_bytes: the same in bytes; a single frame may be larger.
    """

    path: str
    name: str
    selection: FrameSelection
    decoder: Any
    num_done: int
    max_batch_frames: int
    max_batch_bytes: int

    @classmethod
    def of(cls, message: Message) -> "DecodeRequest":
        """Read a request from its message."""
        fields = dict(message["request"])
        chosen = dict(fields.pop("selection"))
        numbers = chosen.pop("frame_indices")
        return cls(
            selection=FrameSelection(frame_indices=None if numbers is None else tuple(numbers), **chosen), **fields
        )

    def to_message(self) -> Message:
        """Return the message that asks for it."""
        return {"do": "open", "request": asdict(self)}


class _StoppedError(Exception):
    """The parent wants no more of this video."""


class LatestFile:
    """What the file that was read last holds: of a long video each segment is a request of its own."""

    def __init__(self) -> None:
        """Know none."""
        self._known: tuple[tuple[int, ...], ContainerFacts] | None = None

    def facts(self, path: Path, name: str) -> ContainerFacts:
        """Scan a file, unless it is the latest one: the same file of the same content, by what the system says of it.

        Raises:
            DecodeError: as :func:`~hoiray.io.decoding.container.scan_container`.
        """
        version = _version(path)
        if self._known is None or version is None or self._known[0] != version:
            self._known = None  # two timelines of hours need not be there at once
            facts = scan_container(path, name)
            self._known = None if version is None else (version, facts)
            return facts
        return self._known[1]


def _version(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Server:
    """Serves requests, one video at a time."""

    def __init__(self, channel: socket.socket, ring: PixelRing, max_bytes: int) -> None:
        self._channel, self._ring, self._max_bytes, self._log_bytes = channel, ring, max_bytes, 0
        self._num_free = MAX_BATCHES_WAITING
        self._latest = LatestFile()
        self._told_cpu_s = 0.0

    def serve(self, message: Message, descriptor: int | None) -> None:
        """Decode a video; every failure that is the video's becomes a message."""
        request = DecodeRequest.of(message)
        self._num_free = MAX_BATCHES_WAITING
        self._told_cpu_s = time.process_time()
        self._forget_log()
        try:
            path = Path(request.path) if descriptor is None else Path(f"/proc/self/fd/{descriptor}")
            facts = self._latest.facts(path, request.name)
            reader = open_reader(path, request.name, request.decoder, has_complained=self._has_complained, facts=facts)
            selection = select_numbers(reader.facts.timeline, request.selection, request.name)
            send(self._channel, {"is": "facts", **_told(reader, selection)})
            self._hand_over(request, reader, selection.after(request.num_done))
            send(self._channel, {"is": "end", "decoder": reader.name})
        except _StoppedError:
            send(self._channel, {"is": "end", "decoder": None})
        except DecodeError as error:
            send(self._channel, {"is": "error", **_failure(error)})
        except MemoryError:
            refused = _too_large(request.name, self._max_bytes, "more than the process is allowed")
            send(self._channel, {"is": "error", **_failure(refused)})
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _hand_over(self, request: DecodeRequest, reader: FrameReader, selection: NumberedSelection) -> None:
        size = _batch_frames(request, reader.facts, self._max_bytes)
        frames = selection.numbered(reader.frames(selection.sources), request.name)
        with contextlib.closing(frames):
            shape = (size, reader.facts.height_px, reader.facts.width_px, 3)
            self._ring.grow(math.prod(shape))
            turn = 0
            while self._send_batch(frames, self._ring.slot(turn, shape), turn) == size:
                turn += 1

    def _send_batch(self, frames: Iterator[NumberedFrame], pixels: NDArray[np.uint8], turn: int) -> int:
        """Decode as many frames as fit into a slot and hand it over; return how many there were."""
        heads: list[NumberedFrame] = []
        for frame in itertools.islice(frames, len(pixels)):
            pixels[len(heads)] = frame.image
            heads.append(frame._replace(image=pixels[:0]))
        if heads:
            self._wait_for_room()
            spent = {"cpu_s": self._new_cpu_s()}
            send(self._channel, {"is": "frames", "turn": turn, "shape": pixels.shape, **_numbers(heads), **spent})
        return len(heads)

    def _new_cpu_s(self) -> float:
        """Return the processor time since the video was opened, or since this was last asked."""
        before, self._told_cpu_s = self._told_cpu_s, time.process_time()
        return self._told_cpu_s - before

    def _wait_for_room(self) -> None:
        while self._num_free == 0 or select.select([self._channel], [], [], 0.0)[0]:
            message, _ = receive(self._channel)
            if message["do"] == "stop":
                raise _StoppedError
            self._num_free += 1
        self._num_free -= 1

    def _forget_log(self) -> None:
        os.ftruncate(LOG, 0)
        os.lseek(LOG, 0, os.SEEK_SET)
        self._log_bytes = 0

    def _has_complained(self) -> bool:
        before, self._log_bytes = self._log_bytes, os.fstat(LOG).st_size
        return self._log_bytes > before


def main(arguments: list[str] | None = None) -> None:
    """Serve until the parent hangs up."""
    parser = argparse.ArgumentParser(description="Decodes videos for its parent process.")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--ring", type=int, required=True, help="descriptor of the memory for pixels")
    parser.add_argument("--life-line", type=int, required=True, help="descriptor of a pipe the parent keeps open")
    parser.add_argument("--max-bytes", type=int, required=True, help="memory budget")
    options = parser.parse_args(arguments)
    _die_when_closed(options.life_line)
    _load_decoders()
    _limit_memory(options.max_bytes)
    channel = socket.socket(fileno=options.channel)
    server = _Server(channel, PixelRing(options.ring), options.max_bytes)
    with contextlib.suppress(ChannelClosedError):
        send(channel, {"is": "ready"})
        while True:
            message, descriptor = receive(channel)
            if message["do"] == "open":  # "more" and "stop" may still arrive for a video that has ended
                server.serve(message, descriptor)


def _die_when_closed(life_line: int) -> None:
    """Have the kernel kill this process when the last writer of a pipe is gone.

    Unlike PR_SET_PDEATHSIG this is bound to the parent's process, not to the thread of it that happened to start us.
    """
    fcntl.fcntl(life_line, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life_line, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(life_line, fcntl.F_SETFL, fcntl.fcntl(life_line, fcntl.F_GETFL) | os.O_ASYNC)
    poller = select.poll()
    poller.register(life_line, select.POLLHUP)
    if poller.poll(0):  # it closed before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def _load_decoders() -> None:
    """Load native code now, so that no video pays for it."""
    import av

    del av
    with contextlib.suppress(ImportError):
        import decord

        del decord


def _limit_memory(max_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + max_bytes + ADDRESS_SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _batch_frames(request: DecodeRequest, facts: ContainerFacts, max_bytes: int) -> int:
    num_pixels = facts.width_px * facts.height_px
    needed = math.ceil(num_pixels * (3 + 1.5 * PICTURES_AT_LEAST))
    if needed > max_bytes:
        found = f"{needed / 2**20:.0f} MiB at least for pictures of {facts.width_px} x {facts.height_px} px"
        raise _too_large(request.name, max_bytes, found)
    return max(1, min(request.max_batch_frames, request.max_batch_bytes // (3 * num_pixels)))


def _too_large(name: str, max_bytes: int, found: str) -> DecodeMemoryError:
    expected, fix = f"decoding in {max_bytes / 2**20:.0f} MiB", "Raise pools.decode.max_video_gib, or scale it down."
    return DecodeMemoryError(describe(what=name, expected=expected, found=found, fix=fix))


def _failure(error: DecodeError) -> Message:
    return {"class": type(error).__name__, "message": error.message, "frame_index": error.frame_index}


def _numbers(frames: list[NumberedFrame]) -> Message:
    return {
        "frame_index": [frame.frame_index for frame in frames],
        "source_index": [frame.source_index for frame in frames],
        "time_s": [frame.time_s for frame in frames],
    }


def _told(reader: FrameReader, selection: NumberedSelection) -> Message:
    facts = reader.facts
    rate = facts.frame_rate
    return {
        "decoder": reader.name,
        "why_not_decord": why_not_decord(facts),
        "num_wanted": len(selection.frame_index),
        "facts": {
            "width_px": facts.width_px,
            "height_px": facts.height_px,
            "rotation_deg": facts.orientation.clockwise_deg,
            "is_mirrored": facts.orientation.is_mirrored,
            "codec": facts.codec,
            "container": facts.container,
            "frame_rate": None if rate is None else [rate.numerator, rate.denominator],
            "duration_s": facts.duration_s,
            "num_source_frames": facts.num_frames,
            "num_frames": selection.num_numbers,
            "is_variable_rate": facts.is_variable_rate,
            "has_hidden_start": facts.has_hidden_start,
            "num_audio_streams": facts.num_audio_streams,
        },
    }


if __name__ == "__main__":
    main()
