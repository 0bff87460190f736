from pathlib import Path

import numpy as np
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.videos import VideoFolder
from hoiray.io.store import Store
from hoiray.synthetic.writers import videos


def test_every_container_holds_the_drawn_frames_in_order(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    recording = make_recording(
        size=(240, 427), focal=300.0, num_frames=5, num_cameras=4, object_names=("mug",), fps=30.0
    )
    place = slot(1, "train")
    writer = videos.VIDEOS.begin(store, recording, place)
    part, shots = write_recording(writer, store, recording, place)
    videos.VIDEOS.finish(store, [part])
    dataset = VideoFolder.open(str(tmp_path))
    assert sorted(video.key.rpartition(".")[2] for video in dataset.videos) == ["avi", "mkv", "mp4", "webm"]
    for index, video in enumerate(dataset.videos):
        assert dataset.sample(index).sample_id == video.key
        camera_id = video.key.partition(".")[0].rpartition("_")[2]
        drawn = np.stack([s.pixels.image for s in shots if s.view.camera_id == camera_id]).astype(float)
        frames = dataset.frames(video, decoder="decord").astype(float)
        errors = np.abs(frames[:, None] - drawn[None]).mean(axis=(2, 3, 4))
        assert errors.argmin(axis=1).tolist() == list(range(5))
