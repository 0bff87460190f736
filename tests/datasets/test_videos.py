import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from hoiray.datasets.videos import VideoFolder
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store


def clip(level: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(4):
            image = np.full((48, 64, 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def test_every_kind_of_video_is_listed_and_nothing_else(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for key in ("b.mp4", "a/c.WEBM", "a/d.mkv", "e.avi", "f.mov", "notes.txt", "b.jpg"):
        store.write(key, b"")
    dataset = VideoFolder.open(store.uri)
    assert [video.key for video in dataset.videos] == ["a/c.WEBM", "a/d.mkv", "b.mp4", "e.avi", "f.mov"]
    assert (dataset.name, dataset.split, len(dataset)) == ("videos", "all", 5)


def test_the_first_frame_stands_for_a_video(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("x/a.mp4", clip(60))
    store.write("x/b.mp4", clip(200))
    dataset = VideoFolder.open(store.uri)
    sample = dataset.sample(1)
    assert (sample.sample_id, sample.recording_id, sample.hands) == ("x/b.mp4", "x/b.mp4", ())
    assert dataset.image(sample).mean() == pytest.approx(200, abs=4)
    assert dataset.frames(dataset.videos[0]).shape == (4, 48, 64, 3)
    assert (dataset.masks(sample), dataset.object_model("x")) == (None, None)


def test_a_damaged_video_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write("a.mp4", clip(60)[:300])
    dataset = VideoFolder.open(store.uri)
    with pytest.raises(InputError, match=r"a\.mp4"):
        dataset.image(dataset.sample(0))


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"\.mp4, \.webm, \.mkv, \.avi, \.mov, found none"):
        VideoFolder.open(str(tmp_path))
    with pytest.raises(ContractError, match="expected one of all, found 'train'"):
        VideoFolder.open(str(tmp_path), "train")
