"""Submit a job to a Ray cluster's job server, follow its log, and tell how it ended.

Ray never starts a job twice under one id, nor does it start a failed one again: whoever submits does, under the id of
the next attempt. The run itself goes on from what is committed.
"""

import asyncio
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hoiray.errors import EXIT_STOPPED, ConfigError, describe
from hoiray.io.secrets import redacted

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

DEFAULT_ADDRESS: Final = "http://127.0.0.1:8265"

ANSWER_TIMEOUT_S: Final = 20.0
"""For the first answer of a job server; Ray's own client waits for ever."""

POLL_S: Final = 1.0

LOST_AFTER_S: Final = 120.0
"""A job server that cannot be reached for so long is given up. The job is not: it runs on the cluster."""

_RUNNING: Final = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class JobRequest:
    """A job to submit.

    Attributes:
        run: name of the run; the id is made of it and the attempt.
        entrypoint: command line, for a shell on the cluster.
        working_dir: local folder that is sent along, or the URI of a zip.
        excludes: what of it stays here, as .gitignore spells it.
        environment: variables of the job and its workers. Their values are never shown.
        attempt: None for the next one.
    """

    run: str
    entrypoint: str
    working_dir: str
    excludes: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    attempt: int | None = None


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes:
        status: SUCCEEDED, FAILED or STOPPED, as Ray says it.
        exit_status: of the job's process; 1 where it failed without one.
        message: Ray's, without credentials.
    """

    status: str
    exit_status: int
    message: str


class JobServer:
    """A cluster's job server."""

    def __init__(self, client: "JobSubmissionClient", address: str) -> None:
        self._client = client
        self.address = address

    @classmethod
    def connect(cls, address: str) -> "JobServer":
        """Connect to a job server.

        Args:
            address: http://HOST:PORT of Ray's dashboard.

        Raises:
            ConfigError: nobody answers there, or somebody else than a job server of Ray's.
        """
        _refuse_other_addresses(address)
        _ask_for_an_answer(address)
        from ray.job_submission import JobSubmissionClient

        # what Ray says while it packs and uploads is said here, in fewer words
        for name in (
            "ray.dashboard.modules.dashboard_sdk",
            "ray.dashboard.modules.job.sdk",
            "ray._private.runtime_env",
        ):
            logging.getLogger(name).setLevel(logging.ERROR)
        with _explained(address), _without_ray_address():
            return cls(JobSubmissionClient(address), address)

    def submit(self, request: JobRequest) -> str:
        """Submit a job and return its id, `<run>-a<attempt>`.

        Raises:
            ConfigError: an attempt is running already, the id is taken, or the folder is too large.
        """
        with _explained(self.address):
            known = {job.submission_id: str(job.status.value) for job in self._client.list_jobs() if job.submission_id}
        name = next_id(request, known, self.address)
        runtime_env: dict[str, Any] = {"working_dir": request.working_dir, "excludes": list(request.excludes)}
        if "://" in request.working_dir:
            del runtime_env["excludes"]
        if request.environment:
            runtime_env["env_vars"] = dict(request.environment)
        with _explained(self.address, *request.environment.values()):
            self._client.submit_job(
                entrypoint=request.entrypoint,
                submission_id=name,
                runtime_env=runtime_env,
                metadata={"run": request.run},
            )
        return name

    def follow(self, name: str, write: Callable[[str], None]) -> Ending:
        """Write a job's log as it grows, until it ends; a connection that breaks is made again.

        Args:
            name: the job's id.
            write: takes pieces of text, line breaks included.

        Raises:
            ConfigError: the job server cannot be reached any more; the job may still run.
        """
        log = _Log(write)
        lost_since_s: float | None = None
        while True:
            try:
                asyncio.run(self._tail(name, log))
                ending = self._ending(name)
                lost_since_s = None
                if ending is not None:
                    # what came between the last piece and the end
                    log.take(0, self._client.get_job_logs(name))
                    return ending
            except (OSError, RuntimeError) as error:
                lost_since_s = time.monotonic() if lost_since_s is None else lost_since_s
                if time.monotonic() - lost_since_s > LOST_AFTER_S:
                    raise _lost(self.address, name, error) from error
            time.sleep(POLL_S)

    async def _tail(self, name: str, log: "_Log") -> None:
        start = 0
        async for piece in self._client.tail_job_logs(name):
            log.take(start, piece)
            start += len(piece)

    def _ending(self, name: str) -> Ending | None:
        info = self._client.get_job_info(name)
        status = str(info.status.value)
        if status in _RUNNING:
            return None
        exit_status = {"SUCCEEDED": 0, "STOPPED": EXIT_STOPPED}.get(status, info.driver_exit_code or 1)
        return Ending(status, exit_status, redacted(info.message or ""))


class _Log:
    """Writes a log once, though every connection tells it from the beginning."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._written = 0

    def take(self, start: int, piece: str) -> None:
        """Write what of a piece is new; it begins at character `start` of the log."""
        new = piece[max(self._written - start, 0) :]
        if new:
            self._write(new)
            self._written = start + len(piece)


def next_id(request: JobRequest, known: Mapping[str, str], address: str) -> str:
    """Return the id of the next attempt at a run.

    Args:
        request: the run, and its attempt where that is given.
        known: status by id of every job the cluster has had.
        address: of the job server, for messages.

    Raises:
        ConfigError: an earlier attempt is still running, or the given attempt has been.
    """
    pattern = re.compile(re.escape(request.run) + r"-a(\d+)")
    attempts = {int(match[1]): name for name in known if (match := pattern.fullmatch(name))}
    what = f"run {request.run!r}"
    if request.attempt is not None:
        name = f"{request.run}-a{request.attempt}"
        if name in known:
            fix = f"Take --attempt {max(attempts) + 1}, or leave it out."
            found = f"{name}: {known[name]}"
            raise ConfigError(describe(what=what, expected="an attempt that has not been", found=found, fix=fix))
        return name
    running = [name for name in attempts.values() if known[name] in _RUNNING]
    if running:
        one = f"{running[0]} --address {redacted(address)}"
        fix = f"Follow it with `ray job logs -f {one}`, stop it with `ray job stop {one}`, or choose --attempt N."
        found = f"{running[0]}: {known[running[0]]}"
        raise ConfigError(describe(what=what, expected="no attempt that is still running", found=found, fix=fix))
    return f"{request.run}-a{max(attempts, default=0) + 1}"


def _quiet_packing() -> None:
    """Keep what Ray says of each ignored file out of the terminal."""
    import ray._private.runtime_env.packaging
    import ray.dashboard.modules.job.sdk  # noqa: F401 - sets the levels that are changed below

    for name in (
        "ray._private.runtime_env.packaging",
        "ray._private.runtime_env.working_dir",
        "ray.dashboard.modules.dashboard_sdk",
        "ray.dashboard.modules.job.sdk",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)


def package_sizes(folder: Path, excludes: Sequence[str]) -> dict[str, int]:
    """Add up what Ray would send of a folder, by the first part of the path, in bytes.

    Args:
        folder: the working folder.
        excludes: what stays, as .gitignore spells it; .gitignore and .rayignore files count too.
    """
    # Ray's own walk: what is measured here is what is packed
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes

    _quiet_packing()
    sizes: Counter[str] = Counter()

    def add(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(root).parts[0]] += path.stat().st_size

    root = folder.absolute()
    _dir_travel(root, [_get_excludes(root, list(excludes))], add, include_gitignore=True)
    return dict(sizes)


def _refuse_other_addresses(address: str) -> None:
    if not re.fullmatch(r"https?://[^/\s]+/?", address):
        fix = "Give the dashboard's address; `kubectl port-forward` and `ray dashboard` bring it to this machine."
        expected = f"http://HOST:PORT of Ray's dashboard (default {DEFAULT_ADDRESS})"
        raise ConfigError(describe(what="--address", expected=expected, found=redacted(address), fix=fix))


def _ask_for_an_answer(address: str) -> None:
    """Look whether a web server is there: Ray's client would wait without end for one that never answers."""
    import requests

    what = f"Ray's job server at {redacted(address)}"
    try:
        requests.get(f"{address.rstrip('/')}/api/version", timeout=ANSWER_TIMEOUT_S, allow_redirects=False)
    except requests.exceptions.Timeout as error:
        found = f"none within {ANSWER_TIMEOUT_S:g} s"
        fix = "Check host, port and firewall."
        raise ConfigError(describe(what=what, expected="an answer", found=found, fix=fix)) from error
    except requests.exceptions.RequestException as error:
        found = "no connection" if "refused" in str(error) else redacted(_last_cause(error))
        fix = (
            "Is the address that of the dashboard (port 8265, not 6379 or 10001)? Does the head run, with a dashboard"
            " (ray[default], no --include-dashboard=false)?"
        )
        raise ConfigError(describe(what=what, expected="an answer", found=found, fix=fix)) from error


def _last_cause(error: BaseException) -> str:
    """Return the innermost reason of a failed request; the outer ones repeat the address."""
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return str(reason).rpartition(": ")[2] or type(error).__name__


@contextmanager
def _explained(address: str, *secrets: str) -> Iterator[None]:
    """Turn the errors of Ray's client into ours."""
    from ray.exceptions import AuthenticationError

    what = f"Ray's job server at {redacted(address)}"
    try:
        yield
    except AuthenticationError as error:
        fix = "Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's token."
        expected = "the cluster's token"
        found = "none, or another"
        raise ConfigError(describe(what=what, expected=expected, found=found, fix=fix)) from error
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        said = redacted(str(error), *secrets).strip().removesuffix(".")
        fix = "Is this a dashboard of Ray's, with a job server (ray[default])?"
        if "No available agent" in said:
            fix = "The agent's port is taken by another Ray there: start the head with --dashboard-agent-listen-port."
        elif "package" in said.lower() and "size" in said.lower():
            fix = "Keep large folders here with --exclude, or list them in .gitignore."
        raise ConfigError(describe(what=what, expected="an answer", found=said, fix=fix)) from error


@contextmanager
def _without_ray_address() -> Iterator[None]:
    """Hide variables that would win over the address that was asked for."""
    hidden = {name: os.environ.pop(name) for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _lost(address: str, name: str, error: Exception) -> ConfigError:
    fix = f"The job may still run: `ray job logs -f {name} --address {redacted(address)}`."
    what = f"Ray's job server at {redacted(address)}"
    found = f"none for {LOST_AFTER_S:g} s ({redacted(str(error))})"
    return ConfigError(describe(what=what, expected="an answer", found=found, fix=fix))
