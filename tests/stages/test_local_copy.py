import os
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.errors import InputError
from hoiray.io import store as store_module
from hoiray.io.decoding.failures import MissingVideoError
from hoiray.io.store import Store
from hoiray.stages.local_copy import LatestCopy, local_file


def test_a_local_file_is_used_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"content")
    store = Store.open(tmp_path)
    info = store.info("a.mp4")
    assert info is not None
    with local_file(store, "a.mp4", etag=info.etag) as file:
        assert (file.path, file.descriptor) == (str(tmp_path / "a.mp4"), None)


def test_a_file_that_has_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"content")
    with pytest.raises(InputError, match=r"a\.mp4"), local_file(Store.open(tmp_path), "a.mp4", etag="another"):
        pass


@pytest.mark.s3
def test_a_remote_file_is_copied_without_leaving_a_name(
    s3_environment: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "COPY_BYTES", 1 << 20)
    store = Store.open(f"s3://{s3_environment.bucket}/copies")
    content = bytes(range(256)) * 10_000
    store.write("a.mp4", content)
    with local_file(store, "a.mp4", spool=tmp_path) as file:
        assert file.path == store.url("a.mp4")
        assert file.descriptor is not None
        assert os.pread(file.descriptor, 9_999_999, 0) == content
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingVideoError, match=r"none\.mp4"), local_file(store, "none.mp4"):
        pass


@pytest.mark.s3
def test_a_remote_video_is_copied_once_for_all_its_segments(
    s3_environment: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(f"s3://{s3_environment.bucket}/kept")
    for name in ("a.mp4", "b.mp4"):
        store.write(name, name.encode())
    asked: list[str] = []
    read_range = Store.read_range

    def counted(self: Store, key: str, start: int, end: int, *, etag: str | None = None) -> bytes:
        asked.append(key)
        return read_range(self, key, start, end, etag=etag)

    monkeypatch.setattr(Store, "read_range", counted)
    copy = LatestCopy(tmp_path)
    for name in ("a.mp4", "a.mp4", "b.mp4", "b.mp4", "a.mp4"):
        info = store.info(name)
        assert info is not None
        with copy.file(store, name, etag=info.etag) as file:
            assert file.descriptor is not None
            assert os.pread(file.descriptor, 9, 0) == name.encode()
    assert asked == ["a.mp4", "b.mp4", "a.mp4"]
    with pytest.raises(InputError, match=r"a\.mp4"), copy.file(store, "a.mp4", etag="another"):
        pass
    with pytest.raises(MissingVideoError, match=r"none\.mp4"), copy.file(store, "none.mp4", etag="any"):
        pass
    copy.drop()
    assert list(tmp_path.iterdir()) == []
