"""The parent's end of the decoder's process: start it, feed it, watch what it costs, kill it."""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from hoiray.config.where import DecodePool
from hoiray.errors import ContractError, describe
from hoiray.stages.decode_channel import ChannelClosedError, Message, receive, send
from hoiray.stages.pixel_ring import PixelRing, new_memory

POLL_S: Final = 0.1
"""How often memory is looked at while nothing arrives."""

START_S: Final = 120.0
"""Time to start Python and load the decoders; half a second on an idle machine."""

STOP_S: Final = 5.0
"""Time to let go of a video; a process that takes longer is killed."""

LOG_TAIL_BYTES: Final = 600
GIB: Final = 1 << 30


@dataclass(frozen=True)
class DecodeBudget:
    """What decoding one video may cost.

    Attributes:
        max_video_s: time spent waiting for the decoder, in seconds. Time in which it waits for the consumer is free.
        max_video_gib: memory of the decoder's process, beyond what it starts with and the pixels it shares.
        max_stall_s: time without a frame after which decord is taken for hung; PyAV, which does not hang, is not timed.
    """

    max_video_s: float = 600.0
    max_video_gib: float = 4.0
    max_stall_s: float = 30.0

    @classmethod
    def of(cls, pool: DecodePool) -> Self:
        """Take the budget of a configuration."""
        return cls(pool.max_video_s, pool.max_video_gib)

    @property
    def max_bytes(self) -> int:
        """The memory in bytes."""
        return int(self.max_video_gib * GIB)


class ProcessFailedError(Exception):
    """The decoder's process did not bring a video to an end; it is dead now.

    Attributes:
        found: what happened, for a message.
        signal_name: the signal that ended it, where it ended by itself or by a stranger.
    """

    def __init__(self, found: str, signal_name: str | None = None) -> None:
        super().__init__(found)
        self.found, self.signal_name = found, signal_name


class ProcessDiedError(ProcessFailedError):
    """It ended in the middle."""


class ProcessSlowError(ProcessFailedError):
    """It took too long."""


class ProcessLargeError(ProcessFailedError):
    """It took too much memory."""


class DecodeProcess:
    """One running child. Not for several threads at once."""

    def __init__(self, max_bytes: int) -> None:
        """Start it.

        Args:
            max_bytes: its memory budget.

        Raises:
            ContractError: it cannot start: hoiray or a decoder cannot be imported there.
        """
        self._max_bytes, self._bytes_at_start = max_bytes, 0
        self._is_ready = False
        self._log = os.memfd_create("hoiray-decoder-log")
        self._memory = new_memory()
        self.ring = PixelRing(self._memory)
        self._channel, theirs = socket.socketpair()
        life_line, self._life_line = os.pipe()
        try:
            self._child = self._spawn(theirs, life_line)
        finally:
            theirs.close()
            os.close(life_line)
        self._wait_until_ready()

    def _spawn(self, channel: socket.socket, life_line: int) -> "subprocess.Popen[bytes]":
        """Start Python anew: forking a process that has threads, or CUDA, is not safe."""
        descriptors = {"--channel": channel.fileno(), "--ring": self._memory, "--life-line": life_line}
        arguments = [word for name, value in descriptors.items() for word in (name, f"{value}")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folder for folder in sys.path if folder),
            "MALLOC_ARENA_MAX": "2",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "hoiray.stages.decode_child", *arguments, "--max-bytes", f"{self._max_bytes}"],
            env=environment,
            pass_fds=tuple(descriptors.values()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )

    def _wait_until_ready(self) -> None:
        try:
            self.receive(START_S)
            self._bytes_at_start, self._is_ready = private_bytes(self._child.pid), True
        except ProcessFailedError as error:
            self.kill()
            what, fix = "the decoder's process", "Run `python -m hoiray.stages.decode_child --help` to see why."
            expected = "one that starts as this one did"
            raise ContractError(describe(what=what, expected=expected, found=error.found, fix=fix)) from error

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send a message.

        Raises:
            ProcessDiedError: nobody is there.
        """
        try:
            send(self._channel, message, descriptor)
        except ChannelClosedError:
            raise self._died() from None

    def receive(self, limit_s: float) -> Message:
        """Wait for a message.

        Raises:
            ProcessFailedError: it died, or was killed for taking more than `limit_s` or than its memory.
        """
        until = time.monotonic() + limit_s
        while True:
            self._check_memory()
            is_there = bool(select.select([self._channel], [], [], max(0.0, min(POLL_S, until - time.monotonic())))[0])
            if is_there:
                try:
                    return receive(self._channel)[0]
                except ChannelClosedError:
                    raise self._died() from None
            if time.monotonic() >= until:
                self.kill()
                raise ProcessSlowError(f"no end after {limit_s:.3g} s")

    def release(self) -> bool:
        """Have it let go of the video it is at. Returns whether it is fit for another one."""
        try:
            self.send({"do": "stop"})
            until = time.monotonic() + STOP_S
            while True:
                message = self.receive(max(0.0, until - time.monotonic()))
                if message["is"] in ("end", "error"):
                    return bool(message["is"] == "end")
        except ProcessFailedError:
            return False

    def kill(self) -> None:
        """End it now, whatever it is doing, and leave nothing behind."""
        if self._life_line < 0:
            return
        self._child.kill()
        self._child.wait()
        self._channel.close()
        os.close(self._life_line)
        os.close(self._log)
        os.close(self._memory)
        self._life_line = -1

    def _check_memory(self) -> None:
        used = private_bytes(self._child.pid) - self._bytes_at_start
        if self._is_ready and used > self._max_bytes:
            self.kill()
            raise ProcessLargeError(f"{used / 2**20:.0f} MiB in use")

    def _died(self) -> ProcessDiedError:
        try:
            status = self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        size = os.fstat(self._log).st_size
        log = os.pread(self._log, LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES)).decode(errors="replace").strip()
        self.kill()
        name = signal.Signals(-status).name if status < 0 else None
        found = f"a decoder that ended by {name or f'exit status {status}'}" + (
            f"; its last words: {log}" if log else ""
        )
        return ProcessDiedError(found, name)


def private_bytes(pid: int) -> int:
    """Return the memory of a process that is its own: resident and not shared. 0 where the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * resource.getpagesize()
