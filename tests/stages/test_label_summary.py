import json
from pathlib import Path

from clips import overwritten
from labelling import Clip, clips, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.stages.dead import list_dead, retry_dead
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here, measure_shard, predict_shard
from hoiray.stages.label_summary import SUMMARY_FILE, summarise, summary_lines, write_summary
from hoiray.stages.pending import pending_shards


def test_a_labelling_is_summed_up_from_what_is_committed(tmp_path: Path) -> None:
    write_videos(str(tmp_path), clips(3) | {"junk.mp4": Clip(damage=lambda _: b"junk")})
    (tmp_path / "videos" / "empty.mp4").write_bytes(b"")
    (tmp_path / "videos" / "nobody.mp4").write_bytes(b"of whom no box tells")
    job = open_label_job(run_of(tmp_path, tmp_path / "out"))
    frames = LocalFrames(DecodeSettings(None))
    tools = Tools(BoxPredictor(), frames, batch_size=4)
    first = pending_shards(job.plan, job.store, job.predictions)[0]
    measure_shard(job, predict_shard(job, first, tools))
    partly = summarise(job)
    assert (partly.num_shards_done, partly.num_buckets_done, partly.is_finished) == (1, 0, False)
    assert "not finished" in "\n".join(summary_lines(partly))
    list(label_here(job, tools, lambda _count: None))
    frames.close()
    whole = summarise(job)
    num_rows = sum(clip.num_frames * clip.num_hands for clip in clips(3).values())
    assert (whole.num_rows, whole.num_videos, whole.num_not_planned, whole.num_unboxed) == (num_rows, 5, 1, 1)
    assert whole.dead == {"decode: UnreadableVideoError": 1}
    assert whole.is_finished
    assert 0 < whole.num_accepted < num_rows
    write_summary(job, whole)
    assert json.loads((tmp_path / "out" / SUMMARY_FILE).read_text())["reasons"] == whole.reasons
    text = "\n".join(summary_lines(whole))
    assert f"{num_rows} hands labelled" in text
    videos = (
        "4 videos done, 1 given up (decode: UnreadableVideoError 1), 1 could not be planned, 1 without a hand's box"
    )
    assert videos in text
    assert whole.labels in text


def test_a_long_video_that_is_given_up_in_every_segment_is_one_dead_video(tmp_path: Path) -> None:
    write_videos(str(tmp_path), clips(1) | {"zeros.mp4": Clip(30, damage=lambda it: overwritten(it, 0, b"\0"))})
    job = open_label_job(run_of(tmp_path, tmp_path / "out", target_frames=6, max_video_frames=7))
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    summary = summarise(job)
    assert (summary.num_videos, summary.num_dead) == (2, 1)
    assert [it.letter.video_id for it in list_dead(job.store, job.predict_id, job.plan)] == ["zeros.mp4"]
    (segments,) = job.long_videos.values()
    assert retry_dead(job.store, job.predict_id, job.plan, video_id="zeros.mp4") == sorted(segments)
