import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from labelling import Clip, clips, digests_of, is_same, markers_of, rows_of, run_of, write_videos
from labelling_predictor import BoxPredictor, FindingPredictor

from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.inflight import Attempt, Note, read_notes
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import (
    MAX_KILLS_WITHOUT_VIDEO,
    BucketResult,
    ShardResult,
    Tools,
    label_here,
    measure_shard,
    predict_shard,
)
from hoiray.stages.pending import pending_shards

CUT, JUNK = "cut off.mp4", "junk.mp4"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    damaged = {CUT: Clip(30, damage=lambda it: it[:-200]), JUNK: Clip(damage=lambda _: b"no video " * 20)}
    write_videos(str(folder), clips(4) | damaged)
    return folder


@pytest.fixture
def tools() -> Iterator[Tools]:
    frames = LocalFrames(DecodeSettings(None, num_decoders=2))
    yield Tools(BoxPredictor(), frames, batch_size=4)
    frames.close()


def label(job: LabelJob, tools: Tools) -> list[ShardResult | BucketResult]:
    return list(label_here(job, tools, lambda _count: None))


def killed(job: LabelJob, shard_id: str, video_id: str | None, times: int = 1) -> None:
    """Leave the notes of processes that died at a shard with a video open."""
    for number in range(times):
        note = Note(
            shard_id=shard_id,
            worker=f"{video_id} {number}",
            attempt=1,
            video_id=video_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            process_start="of another process",
            started_s=time.time(),
            heartbeat_s=time.time(),
        )
        Attempt(job.store, job.predict_id, note)


def test_every_video_is_labelled_or_given_up_with_its_reason(data: Path, tools: Tools, tmp_path: Path) -> None:
    job = open_label_job(run_of(data, tmp_path))
    results = label(job, tools)
    assert sum(it.num_videos for it in results if isinstance(it, ShardResult)) == 6
    letters = {letter.video_id: letter for marker in markers_of(job).values() for letter in marker.dead_letters}
    assert {name: (it.stage, it.error_class) for name, it in letters.items()} == {
        CUT: ("decode", "TruncatedVideoError"),
        JUNK: ("decode", "UnreadableVideoError"),
    }
    for table in ("predictions", "labels"):
        rows = pa.concat_tables([rows for name, rows in rows_of(job).items() if name.startswith(table)])
        counts = dict(
            zip(*map(pa.Array.to_pylist, rows["video_id"].combine_chunks().value_counts().flatten()), strict=True)
        )
        assert counts == {name: clip.num_frames * clip.num_hands for name, clip in clips(4).items()}
    assert any(
        0 < it.judged.num_accepted < it.judged.num_rows for it in results if isinstance(it, ShardResult) and it.judged
    )
    assert not read_notes(job.store, job.predict_id)
    assert label(job, tools) == []


def test_labels_that_are_missing_beside_their_predictions_are_made_without_predicting(
    data: Path, tools: Tools, tmp_path: Path
) -> None:
    whole, broken = (open_label_job(run_of(data, tmp_path / name)) for name in ("whole", "broken"))
    label(whole, tools)
    for entry in pending_shards(broken.plan, broken.store, broken.predictions):
        measure_shard(broken, predict_shard(broken, entry, tools))
    unable = replace(tools, predictor=None)  # type: ignore[arg-type]
    assert {type(it) for it in label(broken, unable)} == {BucketResult}
    assert digests_of(broken) == digests_of(whole)


def test_a_long_video_is_judged_when_its_last_segment_is_done_as_if_it_were_not_cut(
    data: Path, tools: Tools, tmp_path: Path
) -> None:
    cut, whole = (
        open_label_job(run_of(data, tmp_path / str(most), target_frames=target, max_video_frames=most))
        for target, most in ((4, 7), (8, 100))
    )
    (bucket_id,) = [name for name, shards in cut.long_videos.items() if len(shards) == 2]
    results = [it for it in label(cut, tools) if isinstance(it, ShardResult)]
    judged = [it.judged is not None for it in results if it.shard_id in cut.shards_of(bucket_id)]
    assert judged == [False, True]
    label(whole, tools)
    name = "clip 02.mp4"
    found = [_labels_of(name, job) for job in (cut, whole)]
    assert found[0].num_rows == clips(4)[name].num_frames
    assert is_same(found[0], found[1])


def _labels_of(video_id: str, job: LabelJob) -> pa.Table:
    rows = pa.concat_tables([rows for name, rows in rows_of(job).items() if name.startswith("labels")])
    own = rows.filter(pa.compute.equal(rows["video_id"], video_id)).combine_chunks()
    return own.drop_columns(["shard_id"]).replace_schema_metadata(None)


def test_a_shard_at_which_a_process_died_is_done_carefully_with_the_same_rows(
    data: Path, tools: Tools, tmp_path: Path
) -> None:
    calm, shaken = (open_label_job(run_of(data, tmp_path / name)) for name in ("calm", "shaken"))
    label(calm, tools)
    for entry in pending_shards(shaken.plan, shaken.store, shaken.predictions):
        killed(shaken, entry.shard_id, None)
    opened: list[str | None] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Attempt, "open_video", lambda _self, name: opened.append(name))
        results = label(shaken, tools)
    assert digests_of(shaken) == digests_of(calm)
    assert {it.attempt for it in results if isinstance(it, ShardResult)} == {2}
    assert sorted(name for name in opened if name is not None) == sorted([*clips(4), CUT, JUNK])
    assert opened[1::2] == [None] * 6


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [
        (lambda: {"clip 01.mp4": 2}, []),
        (lambda: {"clip 01.mp4": 3}, ["clip 01.mp4"]),
        (lambda: {None: MAX_KILLS_WITHOUT_VIDEO}, ["clip 01.mp4"]),
    ],
)
def test_a_video_that_was_open_in_three_deaths_is_left_out(
    tools: Tools, tmp_path: Path, deaths: Callable[[], dict[str | None, int]], expected: list[str]
) -> None:
    write_videos(str(tmp_path), {"clip 01.mp4": Clip()})
    job = open_label_job(run_of(tmp_path, tmp_path / "out"))
    (entry,) = pending_shards(job.plan, job.store, job.predictions)
    for video_id, times in deaths().items():
        killed(job, entry.shard_id, video_id, times)
    predicted = predict_shard(job, entry, tools)
    assert [letter.video_id for letter in predicted.dead_letters] == expected
    assert {letter.error_class for letter in predicted.dead_letters} <= {"ProcessKilled"}
    assert predicted.fused is not None
    assert predicted.fused.num_rows == (0 if expected else 6)


def test_a_bug_is_no_dead_letter(tools: Tools, tmp_path: Path) -> None:
    class Buggy(BoxPredictor):
        def predict(self, request: object) -> object:  # type: ignore[override]
            raise KeyError("a bug")

    write_videos(str(tmp_path), clips(1))
    job = open_label_job(run_of(tmp_path, tmp_path / "out"))
    with pytest.raises(KeyError, match="a bug"):
        label(job, replace(tools, predictor=Buggy()))
    assert not markers_of(job)
    assert not read_notes(job.store, job.predict_id)


@pytest.mark.parametrize("finders", [(FindingPredictor(), None), (BoxPredictor(), FindingPredictor())])
def test_a_predictor_or_detector_that_finds_hands_labels_every_frame_of_plain_videos(
    tmp_path: Path, finders: tuple[BoxPredictor, FindingPredictor | None]
) -> None:
    data = tmp_path / "plain"
    write_videos(str(data), {"short.mp4": Clip(5), "long.mp4": Clip(9)})
    run = run_of(
        data, tmp_path / "out", "videos.box_format=none", "videos.boxes_uri=null", target_frames=4, max_video_frames=7
    )
    job = open_label_job(run)
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    label(job, Tools(finders[0], frames, batch_size=4, detector=finders[1]))
    frames.close()
    rows = pa.concat_tables([table for name, table in rows_of(job).items() if name.startswith("predictions/")])
    keys = sorted(zip(rows["video_id"].to_pylist(), rows["frame_index"].to_pylist(), strict=True))
    assert keys == sorted([("short.mp4", frame) for frame in range(5)] + [("long.mp4", frame) for frame in range(9)])
    assert set(rows["side_source"].to_pylist()) == {"given"}
    found = {(row["video_id"], row["frame_index"]) for row in rows.to_pylist() if row["box_source"] == "detected"}
    # a tracker begins anew with every video, and with every segment of one that is cut
    assert found == {("short.mp4", 0), ("long.mp4", 0), ("long.mp4", 4), ("long.mp4", 8)}
    assert set(rows["box_source"].to_pylist()) == {"detected", "tracked"}
