import pickle
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.errors import ConfigError, InputError
from hoiray.io import store as store_module
from hoiray.io.store import Store


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "root")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def test_what_is_written_is_read_back(store: Store) -> None:
    store.write("a/b/c.bin", b"one")
    store.write("a/b/c.bin", b"two")
    assert store.read("a/b/c.bin") == b"two"
    assert store.size("a/b/c.bin") == 3
    assert store.exists("a/b/c.bin")
    assert not store.exists("a/b")


def test_listings_are_sorted_relative_and_bounded_by_the_prefix(store: Store) -> None:
    for key in ("b/2", "a/1", "b/1", "top"):
        store.write(key, b"x")
    assert list(store.list()) == ["a/1", "b/1", "b/2", "top"]
    assert list(store.list("b")) == ["b/1", "b/2"]
    assert list(store.list(recursive=False)) == ["top"]
    assert list(store.list("missing")) == []
    assert list(store.list_folders()) == ["a", "b"]


def test_a_missing_file_is_named(store: Store) -> None:
    for call in (store.read, store.size):
        with pytest.raises(InputError, match=r"no/such\.bin: expected a file, found nothing there"):
            call("no/such.bin")


def test_a_key_cannot_leave_the_root(store: Store) -> None:
    for key in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(ConfigError, match="leaves it"):
            store.read(key)


def test_a_store_travels_to_a_worker(store: Store) -> None:
    store.write("x", b"1")
    assert pickle.loads(pickle.dumps(store)).read("x") == b"1"


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="file:// or s3://"):
        Store.open("gs://bucket/x")


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"file")
    with pytest.raises(InputError, match="a/b"):
        Store.open(tmp_path).write("a/b", b"x")


def test_sizes_come_with_the_listing(store: Store) -> None:
    store.write("a/1", b"12345")
    store.write("a/2", b"")
    assert store.sizes("a") == {"a/1": 5, "a/2": 0}


def test_a_file_in_place_of_the_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for call in (Store.open(tmp_path / "file").list, Store.open(tmp_path / "file").list_folders):
        with pytest.raises(InputError, match="expected a folder to list"):
            list(call())


def test_a_file_is_copied_piece_by_piece_in_one_version(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "COPY_BYTES", 1 << 20)
    content = bytes(range(256)) * 10_000
    store.write("a.bin", content)
    info = store.info("a.bin")
    assert info is not None
    with (tmp_path / "copy").open("wb") as file:
        store.copy_to(file, "a.bin", etag=info.etag)
        assert (tmp_path / "copy").read_bytes() == content
        with pytest.raises(InputError, match=r"a\.bin"):
            store.copy_to(file, "a.bin", etag="another")
        with pytest.raises(InputError, match=r"none\.bin"):
            store.copy_to(file, "none.bin")
