import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from committing_process import exit_code, start
from run_folders import PREDICT_ID, plan_of, videos
from s3_server import S3Server

from hoiray.io.store import Store
from hoiray.stages.inflight import (
    HEARTBEAT_S,
    MAX_SILENCE_S,
    Attempt,
    Kills,
    Note,
    begin_attempt,
    count_kills,
    is_abandoned,
    process_start,
    quarantined,
    read_notes,
    reap,
)

NOTE = Note("s", "w", 1, "a.mp4", "here", 77, "123", 0.0, 1000.0)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return Store.open(tmp_path / "run")
    server: S3Server = request.getfixturevalue("s3_environment")
    return Store.open(f"{server.uri}/{tmp_path.name}")


def test_a_note_tells_who_works_on_what_until_it_is_closed(store: Store) -> None:
    attempt = begin_attempt(store, PREDICT_ID, "s", 2)
    attempt.open_video("a b/ü.mp4")
    (note,) = read_notes(store, PREDICT_ID)
    assert (note.shard_id, note.attempt, note.video_id, note.pid) == ("s", 2, "a b/ü.mp4", os.getpid())
    assert read_notes(store, PREDICT_ID, "other") == []
    attempt.open_video(None)
    assert read_notes(store, PREDICT_ID, "s")[0].video_id is None
    attempt.close()
    assert read_notes(store, PREDICT_ID) == []


def test_a_heartbeat_is_written_now_and_then(tmp_path: Path) -> None:
    moments = [1000.0]
    attempt = Attempt(Store.open(tmp_path), PREDICT_ID, NOTE, now_s=lambda: moments[0])
    for moment, expected in ((1001.0, 1000.0), (1000.0 + HEARTBEAT_S, 1000.0 + HEARTBEAT_S)):
        moments[0] = moment
        attempt.heartbeat()
        assert read_notes(Store.open(tmp_path), PREDICT_ID)[0].heartbeat_s == expected


@pytest.mark.parametrize(
    ("host", "started", "silence_s", "expected"),
    [
        ("here", lambda _: "123", 1e9, False),
        ("here", lambda _: None, 0.0, True),
        ("here", lambda _: "124", 0.0, True),
        ("elsewhere", lambda _: None, MAX_SILENCE_S - 1.0, False),
        ("elsewhere", lambda _: "123", MAX_SILENCE_S + 1.0, True),
    ],
)
def test_a_process_is_asked_at_home_and_believed_dead_by_its_silence_elsewhere(
    host: str, started: Callable[[int], str | None], silence_s: float, expected: bool
) -> None:
    assert is_abandoned(NOTE, now_s=1000.0 + silence_s, host=host, started=started) is expected


def test_a_process_is_known_by_its_start_and_a_dead_one_is_not_there() -> None:
    started = process_start(os.getpid())
    assert started
    time.sleep(2.0 / os.sysconf("SC_CLK_TCK"))  # the kernel tells starts in ticks
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid) not in (started, None)
    child.communicate(b"\n")
    assert process_start(child.pid) is None
    assert process_start(2**22 + 1) is None


def test_kills_are_counted_once_whoever_notices(store: Store) -> None:
    for worker, video in (("w1", "a.mp4"), ("w2", "a.mp4"), ("w3", "b.mp4"), ("w4", None)):
        note = replace(NOTE, worker=worker, video_id=video, host=socket.gethostname(), pid=2**22 + 1)
        Attempt(store, PREDICT_ID, note)
    begin_attempt(store, PREDICT_ID, "s", 5)
    expected = Kills({"a.mp4": 2, "b.mp4": 1}, without_video=1)
    assert reap(store, PREDICT_ID, "s") == expected
    assert reap(store, PREDICT_ID, "s") == expected
    assert expected.num_kills == 4
    # the living worker's note is still there
    assert [note.attempt for note in read_notes(store, PREDICT_ID, "s")] == [5]
    assert reap(store, PREDICT_ID, "other") == Kills({})


def test_a_note_that_cannot_be_read_is_no_kill(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write(f"inflight/{PREDICT_ID}/s/w.json", b"{")
    assert reap(store, PREDICT_ID, "s") == Kills({})
    assert count_kills([None]) == Kills({})


def test_a_video_is_quarantined_after_its_kills() -> None:
    kills = Kills({"a.mp4": 3, "b.mp4": 2, "gone.mp4": 9})
    uris = {"a.mp4": "s3://x/a.mp4", "b.mp4": "s3://x/b.mp4"}
    (letter,) = quarantined(kills, uris)
    assert (letter.video_id, letter.uri, letter.attempts, letter.error_class) == (
        "a.mp4",
        uris["a.mp4"],
        3,
        "ProcessKilled",
    )
    assert [it.video_id for it in quarantined(kills, uris, max_kills=2)] == ["a.mp4", "b.mp4"]


def test_a_process_that_was_really_killed_leaves_a_kill(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "run")
    plan_of(store.below("plan"), videos(3))
    process = start(store.uri, "before_marker", 1)
    pid, began = process.pid, process_start(process.pid or 0)
    assert exit_code(process) == -9
    note = replace(NOTE, host=socket.gethostname(), pid=pid or 0, process_start=began or "x")
    Attempt(store, PREDICT_ID, note)
    assert reap(store, PREDICT_ID, "s").by_video == {"a.mp4": 1}
