import io
from pathlib import Path

import av
import pytest
from labelling import SIZE_WH, Clip, run_of, write_videos
from labelling_predictor import BoxPredictor
from rerun.chunk import RrdReader

from hoiray.errors import InputError
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.view import draw_overlay, rules_of_labels

NUM_FRAMES = 4


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    folder = tmp_path_factory.mktemp("viewed")
    write_videos(str(folder), {"a/one.mp4": Clip(NUM_FRAMES), "two.mp4": Clip(6, num_hands=2)})
    job = open_label_job(run_of(folder, folder / "out"))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    list(label_here(job, Tools(BoxPredictor(with_hand=True), frames, batch_size=4), lambda _count: None))
    frames.close()
    return job


def test_every_frame_of_the_video_is_drawn_once_with_its_labels(job: LabelJob) -> None:
    told: list[int] = []
    drawn = draw_overlay(job.store, job.plan, "one.mp4", on_frame=told.append)  # the end of its name is enough
    assert (drawn.num_frames, drawn.num_labels) == (NUM_FRAMES, NUM_FRAMES)
    assert 0 <= drawn.num_accepted <= drawn.num_labels
    assert told == [1, 2, 3, 4]
    with av.open(io.BytesIO(drawn.data)) as video:
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(shown) == NUM_FRAMES
    assert shown[0].shape == (SIZE_WH[1], SIZE_WH[0], 3)


def test_a_recording_shows_the_same_labels_and_the_limits_they_were_judged_by(job: LabelJob, tmp_path: Path) -> None:
    path = tmp_path / "labels.rrd"
    drawn = draw_overlay(job.store, job.plan, "a/one.mp4", recording=path)
    frames: dict[str, list[int]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        names = set(batch.schema.names)
        if names & {"EncodedImage:blob", "Boxes2D:centers", "TextLog:text", "Scalars:scalars"}:
            frames.setdefault(chunk.entity_path, []).extend(batch["frame"].to_pylist())
    every = list(range(NUM_FRAMES))
    assert sorted(frames["/image"]) == every
    boxes = {verdict: frames.get(f"/image/{verdict}/track_0/box", []) for verdict in ("accepted", "refused")}
    assert len(boxes["accepted"]) == drawn.num_accepted
    assert sorted([*boxes["accepted"], *boxes["refused"]]) == sorted(frames["/verdicts/track_0"]) == every
    assert sorted(frames["/measurements/reprojection_frobenius_box_sides/limit"]) == every
    assert "/measurements/box_iou/limit" not in frames  # not judged in this run
    other = rules_of_labels(job.store, job.predict_id, "labels of other limits")
    assert other is None


def test_a_video_without_labels_is_named(job: LabelJob) -> None:
    with pytest.raises(InputError, match=r"expected labels of 'three\.mp4', found none.* such as a/one\.mp4"):
        draw_overlay(job.store, job.plan, "three.mp4")


def test_a_video_may_be_named_without_folder_and_suffix(job: LabelJob) -> None:
    whole, short = (draw_overlay(job.store, job.plan, name) for name in ("a/one.mp4", "one"))
    assert (whole.num_labels, whole.num_accepted) == (short.num_labels, short.num_accepted)
