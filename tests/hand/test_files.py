"""Facts about reading files a user named."""

import os
from pathlib import Path

import pytest

from hoiray.errors import ContractError
from hoiray.hand.files import file_error, read_file


def read(path: Path, max_bytes: int = 100) -> bytes:
    return read_file(path, kind="a pickle", max_bytes=max_bytes, fix="Check the path.")


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"abc", bytes(range(100))):
        path.write_bytes(content)
        assert read(path) == content


def test_a_file_is_refused_one_byte_above_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcd")
    assert read(path, max_bytes=4) == b"abcd"
    with pytest.raises(ContractError, match=r"a pickle file of at most 3 bytes, found 4 bytes\. Check the path\."):
        read(path, max_bytes=3)


def test_a_directory_is_called_a_directory(tmp_path: Path) -> None:
    for path in (tmp_path, Path()):
        with pytest.raises(ContractError, match="found a directory"):
            read(path)


def test_a_missing_file_and_one_below_a_file_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("absent", "file/below", "dangling"):
        with pytest.raises(ContractError, match="found nothing there"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "\ud800"], ids=["too long", "NUL", "surrogate"])
def test_a_name_no_file_system_takes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ContractError, match="found one that cannot be read"):
        read(tmp_path / name)


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ContractError, match="cannot be read"):
        read(tmp_path / "loop")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ContractError, match="found a pipe or device"):
            read(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    path.symlink_to("/proc/self/mem")  # a regular file for stat, an input/output error for read
    with pytest.raises(ContractError, match=r"found one that cannot be read \(Input/output error\)"):
        read(path)


def test_a_file_that_holds_more_than_it_claims_is_refused() -> None:
    with pytest.raises(ContractError, match="claims 0 bytes and holds more"):
        read(Path("/proc/self/status"))


def test_an_error_names_the_file_and_the_key_if_only_that_is_wrong() -> None:
    parts = {"expected": "one", "found": "two", "fix": "Do three."}
    assert str(file_error(Path("a.npz"), None, **parts)) == "a.npz: expected one, found two. Do three."
    assert str(file_error(Path("a.npz"), "f", **parts)) == "a.npz, key 'f': expected one, found two. Do three."
