"""`hoiray submit`: label or train as a job of a Ray cluster, from the folder one works in."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import typer

from hoiray.config.document import parse_document
from hoiray.errors import EXIT_WRONG_REQUEST, ConfigError, describe

if TYPE_CHECKING:
    from hoiray.engine.submit import JobServer

EXCLUDES: Final = (
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".import_linter_cache",
    "/out",
    "/runs",
    "/data",
)
"""What of the working folder stays here, besides what its .gitignore and .rayignore name."""

MAX_PACKAGE_MIB: Final = 200
"""Ray keeps the package in the head's memory and sends it to every node. Code has a few MiB."""

PASSED_ON: Final = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EC2_METADATA_DISABLED")
"""Where S3 is: passed on when set. Credentials are not, unless asked for by name: Ray's job server stores them."""

_NUM_SHOWN: Final = 5
_RUN_SUFFIXES: Final = (".yaml", ".yml")
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class SubmitRequest:
    """What was typed.

    Attributes:
        job: `jobs.label` or `jobs.train`.
        arguments: those of the job.
        address: of the job server; None for the environment's, else this machine's.
        working_dir: folder that is sent along, or the URI of a zip.
        run_name: None for the run file's name.
        attempt: None for the next one.
        variables: names of environment variables to pass on.
        excludes: more of what stays here, as .gitignore spells it.
        python: the interpreter on the cluster.
        waits: follow the log until the job ends.
    """

    job: Literal["label", "train"]
    arguments: Sequence[str]
    address: str | None = None
    working_dir: str = "."
    run_name: str | None = None
    attempt: int | None = None
    variables: Sequence[str] = ()
    excludes: Sequence[str] = ()
    python: str = "python"
    waits: bool = True


def submit(request: SubmitRequest) -> int:
    """Submit, follow the log, and return the job's exit status.

    Raises:
        ConfigError: the request is wrong, the folder too large, or the job server cannot be reached.
    """
    name = request.run_name or _name_of_the_run(request)
    environment = _environment(request.variables)
    excludes = [*EXCLUDES, *request.excludes]
    if "://" not in request.working_dir:
        _check_folder(request.working_dir, excludes)
    from hoiray.engine.submit import JobRequest, JobServer

    server = JobServer.connect(_address(request.address))
    job = JobRequest(
        run=name,
        entrypoint=shlex.join([request.python, "-m", f"jobs.{request.job}", *request.arguments]),
        working_dir=request.working_dir,
        excludes=excludes,
        environment=environment,
        attempt=request.attempt,
    )
    job_id = server.submit(job)
    passed = f"; passed on: {', '.join(sorted(environment))}" if environment else ""
    _say(f"submitted {job_id} to {server.address}{passed}")
    if not request.waits:
        _say(f"follow it: ray job logs -f {job_id} --address {server.address}")
        return 0
    return _follow(server, job_id)


def _follow(server: "JobServer", job_id: str) -> int:
    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        ending = server.follow(job_id, write)
    except KeyboardInterrupt:
        _say(f"\nno longer following; {job_id} goes on:")
        _say(f"  ray job logs -f {job_id} --address {server.address}")
        _say(f"  ray job stop {job_id} --address {server.address}")
        return 130
    if ending.status == "SUCCEEDED":
        _say(f"{job_id} succeeded")
        return 0
    _say(f"{job_id} {ending.status.lower()} (exit status {ending.exit_status})")
    if "No module named" in ending.message or ending.exit_status == 127:
        _say("Has the cluster's Python hoiray and Ray in it? Name another with --python PATH.")
    elif ending.exit_status == EXIT_WRONG_REQUEST:
        _say("The log above says what is wrong with the request.")
    elif ending.status == "FAILED":
        _say("The same command goes on from what is committed, as the next attempt.")
    return ending.exit_status


def _address(given: str | None) -> str:
    """Return the address asked for, the environment's, or that of this machine's dashboard."""
    from hoiray.engine.submit import DEFAULT_ADDRESS

    found = given or os.environ.get("RAY_API_SERVER_ADDRESS") or _http_only(os.environ.get("RAY_ADDRESS"))
    address = found or DEFAULT_ADDRESS
    return address if "://" in address else f"http://{address}"


def _http_only(address: str | None) -> str | None:
    """RAY_ADDRESS may name the cluster's own port, which is no job server's."""
    return address if address and address.startswith(("http://", "https://")) else None


def _name_of_the_run(request: SubmitRequest) -> str:
    """Take the name out of the run file among the arguments, else that of the job."""
    files = [text for text in request.arguments[:1] if text.endswith(_RUN_SUFFIXES)]
    if not files:
        return request.job
    path = Path(files[0]) if "://" in request.working_dir else Path(request.working_dir) / files[0]
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fix = "Name it relative to --working-dir: the job starts there."
        found = getattr(error, "strerror", None) or "no text in UTF-8"
        raise ConfigError(describe(what=str(path), expected="a run file", found=found, fix=fix)) from error
    name = parse_document(text, str(path)).values.get("name")
    return name if isinstance(name, str) and name else request.job


def _environment(variables: Sequence[str]) -> dict[str, str]:
    """Return the variables to pass on.

    Raises:
        ConfigError: one that was asked for is not set here; or a value was written on the command line.
    """
    for name in variables:
        if "=" in name:
            bare = name.partition("=")[0]
            fix = f"Export it and pass --env {bare}: what stands on a command line can be seen by others."
            expected, found = "a name only", f"{bare}=..."
            raise ConfigError(describe(what="--env", expected=expected, found=found, fix=fix))
        if name not in os.environ:
            fix = "Export it, or leave the option out."
            raise ConfigError(describe(what=f"--env {name}", expected="a variable set here", found="none", fix=fix))
    return {name: os.environ[name] for name in (*PASSED_ON, *variables) if name in os.environ}


def _check_folder(folder: str, excludes: Sequence[str]) -> None:
    """Refuse a folder that is not there, has no jobs in it, or is too large to be sent."""
    path = Path(folder)
    if not (path / "jobs").is_dir():
        found = "no folder" if not path.is_dir() else "none"
        fix = "Run this in a checkout of hoiray, or name one with --working-dir."
        raise ConfigError(describe(what=f"--working-dir {folder}", expected="jobs/ in it", found=found, fix=fix))
    from hoiray.engine.submit import package_sizes

    sizes = package_sizes(path, excludes)
    total = sum(sizes.values())
    if total <= MAX_PACKAGE_MIB * _MIB:
        return
    large = [item for item in sizes.items() if item[1] >= _MIB]
    largest = sorted(large, key=lambda item: -item[1])[:_NUM_SHOWN]
    shown = ", ".join(f"{name} {size / _MIB:.0f} MiB" for name, size in largest)
    fix = "Keep them here with --exclude /NAME (or .gitignore); data belongs on S3."
    what = f"--working-dir {folder}"
    expected = f"at most {MAX_PACKAGE_MIB} MiB to send"
    raise ConfigError(describe(what=what, expected=expected, found=f"{total / _MIB:.0f} MiB ({shown})", fix=fix))


def _say(line: str) -> None:
    typer.echo(line, err=True)
