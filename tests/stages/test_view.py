import io

import av
import pytest
from labelling import SIZE_WH, Clip, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.errors import InputError
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.view import draw_overlay

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


def test_a_video_without_labels_is_named(job: LabelJob) -> None:
    with pytest.raises(InputError, match=r"expected labels of 'three\.mp4', found none"):
        draw_overlay(job.store, job.plan, "three.mp4")
