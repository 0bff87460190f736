import os
from pathlib import Path

import pytest
from s3_server import S3Server

from hoiray.errors import ConfigError
from hoiray.io.objects import ObjectInfo
from hoiray.io.store import Store
from hoiray.stages import listing
from hoiray.stages.listing import FoundVideo, Refusal, glob_to_regex, list_videos

NAMES = ["a b.mp4", "q'uo\"te.mp4", "ünïcode🖐.webm", "a..b.mp4", "UPPER.MP4", "deep/er/x.mkv", "%20#?.mov"]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "root")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def ids(uri: str) -> list[str]:
    return [found.video_id for found in list_videos(uri) if isinstance(found, FoundVideo)]


def refusals(uri: str) -> list[tuple[str, str, str]]:
    return [(it.kind, it.name, it.reason) for it in list_videos(uri) if isinstance(it, Refusal)]


def test_strange_names_are_videos_like_others(store: Store) -> None:
    for name in NAMES:
        store.write(name, b"123")
    found = [it for it in list_videos(store.uri) if isinstance(it, FoundVideo)]
    assert [it.video_id for it in found] == sorted(NAMES, key=str.encode)
    assert {it.size_bytes for it in found} == {3}
    assert all(it.etag for it in found)
    assert {it.uri for it in found} == {f"{store.uri}/{name}" for name in NAMES}


def test_what_is_no_video_is_refused_and_never_lost(store: Store) -> None:
    store.write("good.mp4", b"1")
    store.write("empty.mp4", b"")
    store.write("notes.txt", b"1")
    store.write("noext", b"1")
    assert ids(store.uri) == ["good.mp4"]
    assert refusals(store.uri) == [
        ("video", "empty.mp4", "empty"), ("file", "noext", "suffix"), ("file", "notes.txt", "suffix")
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["../x.mp4", "a/../../y.mp4", "./z.mp4", "/abs.mp4"])
def test_a_key_that_would_leave_its_folder_is_refused(key: str) -> None:
    # AWS stores such keys, local folders and the test server do not
    found = listing._judged(Store.open("s3://b"), ObjectInfo(key, 1, "e", 0.0), "key", None, named=False)
    assert isinstance(found, Refusal)
    assert (found.kind, found.name, found.reason) == ("video", key, "leaves_root")


def test_broken_links_and_foreign_encodings_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "good.mp4").write_bytes(b"1")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "nowhere")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_bytes(b"1")
    assert ids(str(tmp_path)) == ["good.mp4"]
    assert sorted(refusals(str(tmp_path))) == [
        ("video", "\\udcff.mp4", "unreadable"), ("video", "link.mp4", "unreadable")
    ]  # fmt: skip
    assert refusals(f"{tmp_path}/*.mp4") != []


def test_a_glob_selects(store: Store) -> None:
    for name in ("x/1.mp4", "x/2.webm", "x/y/3.mp4", "z/4.mp4", "x/5.ts"):
        store.write(name, b"1")
    assert ids(f"{store.uri}/x/*.mp4") == ["1.mp4"]
    assert ids(f"{store.uri}/**/*.mp4") == ["x/1.mp4", "x/y/3.mp4", "z/4.mp4"]
    assert ids(f"{store.uri}/?/[14].*") == ["x/1.mp4", "z/4.mp4"]
    # named by its suffix, it is a video
    assert ids(f"{store.uri}/x/*.ts") == ["5.ts"]
    assert refusals(f"{store.uri}/x/**") == [("file", "5.ts", "suffix")]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.mp4", ["a.mp4", ".mp4"], ["a/b.mp4", "amp4"]),
        ("**/*.mp4", ["a.mp4", "a/b/c.mp4"], ["a.mp4x"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a"]),
        ("[!a]?.mp4", ["bc.mp4"], ["ac.mp4"]),
        ("a+b(1).mp4", ["a+b(1).mp4"], ["aab1.mp4"]),
    ],
)
def test_a_glob_means_what_the_shell_means(pattern: str, matching: list[str], other: list[str]) -> None:
    import re

    regex = re.compile(glob_to_regex(pattern))
    assert all(regex.fullmatch(name) for name in matching)
    assert not any(regex.fullmatch(name) for name in other)


def test_a_pattern_for_buckets_is_refused() -> None:
    with pytest.raises(ConfigError, match="Name the bucket"):
        ids("s3://b*/x.mp4")


def test_a_list_file_names_videos_and_what_is_missing(store: Store) -> None:
    for name in ("a b.mp4", "raw.bin"):
        store.write(name, b"123")
    store.write("empty.mp4", b"")
    lines = ["a b.mp4", f"{store.uri}/raw.bin", "", "gone.mp4", "../up.mp4", "empty.mp4", "gs://x/y.mp4"]
    store.write("list.txt", "\r\n".join(lines).encode())
    uri = f"{store.uri}/list.txt"
    assert ids(uri) == ["a b.mp4", f"{store.uri}/raw.bin"]
    assert refusals(uri) == [
        ("video", "gone.mp4", "missing"), ("video", "../up.mp4", "leaves_root"), ("video", "empty.mp4", "empty"),
        ("video", "gs://x/y.mp4", "leaves_root"),
    ]  # fmt: skip


def test_a_something_something_folder_is_known_by_its_name(store: Store) -> None:
    store.write("20bn-something-something-v2/44745.webm", b"1")
    store.write("labels/train.json", b"[]")
    found = list(list_videos(store.uri))
    assert [(it.video_id, it.dataset) for it in found if isinstance(it, FoundVideo)] == [("44745", "something")]


def test_a_single_video_is_a_place_too(store: Store) -> None:
    store.write("x/a.mp4", b"1")
    assert ids(f"{store.uri}/x/a.mp4") == ["a.mp4"]
