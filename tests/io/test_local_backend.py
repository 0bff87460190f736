import os
from pathlib import Path

import pytest

from hoiray.errors import InputError
from hoiray.io.local_backend import LocalBackend


def test_the_order_is_that_of_the_keys_as_bytes(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path))
    keys = ["a/b", "a.txt", "a", "a b", "ä/x", "Z", "a-/1", "z/\U0001f590/1", "z/~"]
    for key in keys:
        if key != "a":
            backend.write(key, b"", durable=False)
    expected = sorted((key for key in keys if key != "a"), key=lambda key: key.encode())
    assert [info.key for info in backend.objects("")] == expected


def test_what_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes(b"x")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4")).write_bytes(b"x")
    told: dict[str, str] = {}
    found = [info.key for info in LocalBackend(str(tmp_path)).objects("", on_unreadable=told.__setitem__)]
    assert found == ["good.mp4"]
    assert told == {
        "broken.mp4": "a link to nothing",
        "loop": "a link to a folder above it",
        "pipe.mp4": "no file (a pipe, socket or device)",
        "\udcff\udcfe.mp4": "its name is no UTF-8",
    }


def test_links_to_files_and_folders_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "v.mp4").write_bytes(b"xyz")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "elsewhere")
    assert [(info.key, info.size_bytes) for info in LocalBackend(str(tmp_path / "root")).objects("")] == [
        ("folder/v.mp4", 3)
    ]


def test_a_half_written_file_is_neither_listed_nor_in_the_way(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path))
    (tmp_path / ".abc.partial").write_bytes(b"half")
    assert backend.put_if_absent("k", b"1")
    assert [info.key for info in backend.objects("")] == ["k"]
    assert [info.key for info in backend.partials()] == [".abc.partial"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        LocalBackend(str(tmp_path)).write("k", b"1", durable=True)
    assert list(tmp_path.iterdir()) == []


def test_another_version_is_refused(tmp_path: Path) -> None:
    backend = LocalBackend(str(tmp_path))
    backend.write("k", b"1", durable=False)
    info = backend.info("k")
    assert info is not None
    assert backend.read("k", etag=info.etag) == b"1"
    os.utime(tmp_path / "k", ns=(1, 1))
    for read in (lambda: backend.read("k", etag=info.etag), lambda: backend.read_range("k", 0, 1, etag=info.etag)):
        with pytest.raises(InputError, match="index again with --update"):
            read()
