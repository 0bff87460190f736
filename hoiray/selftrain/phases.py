"""A self-training is a list of `hoiray` commands, each done once.

Every phase is a command that anyone can type: it runs in a process of its own (its memory and its Ray end with it), its
output goes to a log, and a record is written when it has succeeded. Called again, phases with a record are passed over
and the one that was stopped goes on, for the commands themselves go on where they were stopped.
"""

import contextlib
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

from pydantic import JsonValue

from hoiray.errors import ConfigError, ContractError, HoirayError, describe
from hoiray.io.store import Store

PHASES: Final = "phases"
LOGS: Final = "logs"

MODEL_FILE: Final = "model.safetensors"
"""What `hoiray train` leaves in its folder."""

NUM_SHOWN_LINES: Final = 15
"""Of a failed command's log, in the message."""

MAX_SHOWN: Final = 400
"""Characters of settings, in a message."""

STOP_S: Final = 60.0
"""A command that is asked to stop may take so long to write down what it has."""

_PR_SET_PDEATHSIG: Final = 1


class PhaseFailedError(HoirayError):
    """A command of a self-training ended with an error of its own; the message has its last words."""


@dataclass(frozen=True)
class Phase:
    """One command.

    Attributes:
        name: unique within the folder, like `round-1/label`; also the name of its record and log.
        says: what it does, for people.
        arguments: behind `hoiray`.
        settings: what decides its result: a phase that was done with other settings is not done. None: the arguments.
    """

    name: str
    says: str
    arguments: tuple[str, ...]
    settings: Mapping[str, JsonValue] | None = None

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What decides its result."""
        return {"arguments": list(self.arguments)} if self.settings is None else dict(self.settings)

    @property
    def record_key(self) -> str:
        """Where its record lies."""
        return f"{PHASES}/{self.name}.json"

    @property
    def log_key(self) -> str:
        """Where its output lies."""
        return f"{LOGS}/{self.name}.log"


@dataclass(frozen=True)
class Done:
    """A phase that has succeeded.

    Attributes:
        seconds: of the call that finished it.
        was_done: by an earlier call.
    """

    phase: Phase
    seconds: float
    was_done: bool


Watch = Callable[[Phase, str], None]
"""Told each line a command prints."""


def done_before(store: Store, phase: Phase) -> float | None:
    """Return the seconds a phase took when it was done, None where it has not been.

    Raises:
        ConfigError: it was done with other settings.
        ContractError: its record is damaged.
    """
    data = store.read_if_there(phase.record_key)
    if data is None:
        return None
    try:
        record = json.loads(data)
        found, seconds = dict(record["identity"]), float(record["seconds"])
    except (ValueError, KeyError, TypeError) as error:
        fix = "Remove it: the phase is then done again, or goes on."
        what = store.url(phase.record_key)
        raise ContractError(describe(what=what, expected="a phase's record", found=repr(error), fix=fix)) from error
    if found != phase.identity:
        _refuse_other(store, phase, found)
    return seconds


class Running:
    """The commands that are running, so that those of other threads can be stopped."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_over = False

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        """Note a command; it is stopped at once where all are to stop."""
        with self._lock:
            self._processes.add(process)
            is_over = self._is_over
        if is_over:
            _stop(process)

    def remove(self, process: "subprocess.Popen[bytes]") -> None:
        """Forget a command that has ended."""
        with self._lock:
            self._processes.discard(process)

    def stop(self) -> None:
        """Stop all, and whatever is started from now on."""
        with self._lock:
            self._is_over = True
            processes = list(self._processes)
        for process in processes:
            _stop(process)


class Runner:
    """Does the phases of a folder and remembers them."""

    def __init__(
        self,
        store: Store,
        watch: Watch = lambda _phase, _line: None,
        *,
        on_done: Callable[["Done"], None] = lambda _done: None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Prepare; nothing is done yet.

        Args:
            store: the folder, held by the caller.
            watch: told what the commands print, from several threads where several run.
            on_done: told of each command that has ended, or had before, in order.
            inherited: file descriptors the commands keep open.
        """
        self.store = store
        self.finished: list[Done] = []
        self._watch, self._on_done, self._inherited = watch, on_done, tuple(inherited)

    def do(self, *phases: Phase, parallel: int = 1) -> None:
        """Do phases that do not need each other.

        Args:
            phases: what to do.
            parallel: commands at once.

        Raises:
            ConfigError: one was done with other settings.
            PhaseFailedError: one failed; the others are stopped.
        """
        running = Running()
        with ThreadPoolExecutor(parallel) as pool:
            waiting = [
                pool.submit(run_phase, self.store, phase, self._watch, self._inherited, running) for phase in phases
            ]
            try:
                for one in waiting:
                    self.finished.append(one.result())
                    self._on_done(self.finished[-1])
            except BaseException:
                for one in waiting:
                    one.cancel()
                running.stop()
                raise


def run_phase(
    store: Store, phase: Phase, watch: Watch, inherited: Sequence[int] = (), running: Running | None = None
) -> Done:
    """Do a phase unless it has been done.

    Args:
        store: of the self-training.
        phase: what to do.
        watch: told what the command prints.
        inherited: file descriptors the command keeps open.
        running: where the command is noted while it runs.

    Raises:
        ConfigError: it was done with other settings.
        PhaseFailedError: the command failed.
        KeyboardInterrupt: after the command has been stopped.
    """
    before_s = done_before(store, phase)
    if before_s is not None:
        return Done(phase, before_s, was_done=True)
    start_s = time.monotonic()
    with TemporaryDirectory(prefix="hoiray-") as scratch:
        log = store.local_path(phase.log_key) or Path(scratch) / "log"
        log.parent.mkdir(parents=True, exist_ok=True)
        status = _run(phase, log, watch, inherited, running or Running())
        if not store.is_local:
            store.write(phase.log_key, log.read_bytes())
        if status:
            _refuse_failed(store, phase, status, log)
    seconds = time.monotonic() - start_s
    record = {
        "identity": phase.identity,
        "command": command_line(phase),
        "seconds": round(seconds, 3),
        "finished_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    store.write(phase.record_key, json.dumps(record, indent=1).encode(), durable=True)
    return Done(phase, seconds, was_done=False)


def command_line(phase: Phase) -> str:
    """The command as it can be typed."""
    return shlex.join(("hoiray", *phase.arguments))


def _run(phase: Phase, log: Path, watch: Watch, inherited: Sequence[int], running: Running) -> int:
    """Run the command, copy what it prints to the log, and return its exit status."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("ab") as file:
        file.write(f"$ {command_line(phase)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "hoiray", *phase.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            pass_fds=tuple(inherited),
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - a single prctl, which needs no lock that a thread may hold
        )
        running.add(process)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                watch(phase, line.decode(errors="replace").rstrip())
            return process.wait()
        except BaseException:
            _stop(process)
            raise
        finally:
            running.remove(process)


def _end_with_parent() -> None:
    """Have this process ended when the one that started it is killed; else it would go on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ask a command to stop, then end what is left of it and of what it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _refuse_failed(store: Store, phase: Phase, status: int, log: Path) -> NoReturn:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-NUM_SHOWN_LINES:]
    found = f"status {status} after\n  " + "\n  ".join(lines)
    fix = f"\nThe whole log is {store.url(phase.log_key)}. The same command goes on from here once the cause is mended."
    raise PhaseFailedError(describe(what=phase.name, expected="success", found=found, fix=fix))


def _refuse_other(store: Store, phase: Phase, found: Mapping[str, JsonValue]) -> NoReturn:
    wanted = phase.identity
    differing = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    expected, was = ({name: values.get(name) for name in sorted(differing)} for values in (wanted, found))
    fix = "Name another folder, or ask for the same again."
    raise ConfigError(
        describe(
            what=f"{phase.name} in {store.uri}",
            expected=_short(expected),
            found=f"one done with {_short(was)}",
            fix=fix,
        )
    )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
