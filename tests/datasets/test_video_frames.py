import io
from typing import Any

import av
import numpy as np
import pytest
from s3_server import S3Server

from hoiray.datasets import video_frames
from hoiray.datasets.video_frames import StoredVideo, numbered_frames, read_frames, video_facts
from hoiray.errors import InputError
from hoiray.io.store import Store

SIZE_WH = (96, 64)
LEVELS = np.array([20 + (index * 97) % 211 for index in range(24)])
CODECS = {"webm": "libvpx-vp9", "mp4": "libx264", "mkv": "libx264", "avi": "mpeg4"}


def clip(suffix: str, rate: int = 12, num_frames: int = 24) -> bytes:
    """A clip whose brightness tells each frame's index."""
    formats = {"mkv": "matroska"}
    file = io.BytesIO()
    with av.open(file, "w", format=formats.get(suffix, suffix)) as container:
        stream: Any = container.add_stream(CODECS[suffix], rate=rate)
        stream.width, stream.height, stream.pix_fmt = *SIZE_WH, "yuv420p"
        for level in LEVELS[:num_frames]:
            image = np.full((SIZE_WH[1], SIZE_WH[0], 3), level, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("clips"))
    for suffix in CODECS:
        store.write(f"a.{suffix}", clip(suffix))
    return store


def levels(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(len(frames), -1).mean(axis=1)


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
def test_frames_come_in_order_and_exactly(store: Store, suffix: str, decoder: Any) -> None:
    facts = video_facts(store, f"a.{suffix}")
    assert (facts.num_frames, facts.width_px, facts.height_px) == (24, *SIZE_WH)
    assert float(facts.frame_rate or 0) == pytest.approx(12.0, rel=0.01)
    frames = read_frames(store, f"a.{suffix}", decoder=decoder)
    assert frames.shape == (24, 64, 96, 3)
    np.testing.assert_allclose(levels(frames), LEVELS, atol=20)
    chosen = read_frames(store, f"a.{suffix}", [17, 3, 3, 23], decoder=decoder)
    np.testing.assert_array_equal(chosen, frames[[17, 3, 3, 23]])


def test_both_decoders_agree_to_the_bit(store: Store) -> None:
    np.testing.assert_array_equal(
        read_frames(store, "a.webm", decoder="decord"), read_frames(store, "a.webm", decoder="pyav")
    )


def test_no_frames_are_an_empty_array(store: Store) -> None:
    assert read_frames(store, "a.mp4", []).shape == (0, 64, 96, 3)


@pytest.mark.parametrize("index", [24, -1])
def test_a_frame_that_is_not_there_is_named(store: Store, index: int) -> None:
    with pytest.raises(InputError, match=rf"a\.webm: expected a frame of index {index}, found 24 frames"):
        read_frames(store, "a.webm", [index])


@pytest.mark.parametrize("suffix", CODECS)
def test_a_truncated_video_is_named(store: Store, suffix: str) -> None:
    data = store.read(f"a.{suffix}")
    store.write(f"cut.{suffix}", data[: len(data) * 3 // 5])
    with pytest.raises(InputError, match=rf"cut\.{suffix}"):
        read_frames(store, f"cut.{suffix}")


@pytest.mark.parametrize("data", [b"", b"junk" * 100])
def test_what_is_no_video_is_named(store: Store, data: bytes) -> None:
    store.write("x.webm", data)
    with pytest.raises(InputError, match=r"x\.webm: expected a video file"):
        video_facts(store, "x.webm")


def test_a_missing_video_is_named(store: Store) -> None:
    with pytest.raises(InputError, match=r"none\.webm: expected a readable file, found nothing there"):
        read_frames(store, "none.webm")


def test_a_hidden_start_is_seen_and_left_to_pyav(store: Store) -> None:
    """A copy cut at a time inside a group of pictures: an edit list hides the frames before it."""
    source, target = io.BytesIO(store.read("a.mp4")), io.BytesIO()
    with av.open(source) as read, av.open(target, "w", format="mp4") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is None:
                continue
            shift = int(1.0 / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = copy
            written.mux(packet)
    store.write("hidden.mp4", target.getvalue())
    facts = video_facts(store, "hidden.mp4")
    assert facts.has_hidden_start
    assert facts.num_frames == 12
    np.testing.assert_allclose(levels(read_frames(store, "hidden.mp4")), LEVELS[12:], atol=20)


def test_a_longer_sound_track_is_no_missing_frame(store: Store) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        video: Any = container.add_stream("libx264", rate=12)
        video.width, video.height, video.pix_fmt = *SIZE_WH, "yuv420p"
        sound: Any = container.add_stream("aac", rate=8000)
        for level in LEVELS[:6]:
            image = np.full((SIZE_WH[1], SIZE_WH[0], 3), level, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 24_000), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    store.write("sound.mkv", file.getvalue())
    assert video_facts(store, "sound.mkv").num_frames == 6


def test_a_turned_video_is_shown_upright(store: Store) -> None:
    turned = io.BytesIO()
    with av.open(io.BytesIO(store.read("a.mp4"))) as read, av.open(turned, "w", format="mp4") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                written.mux(packet)
    data = bytearray(turned.getvalue())
    # the display matrix of the track header: a quarter turn
    start = data.index(b"tkhd") + 4 + 40
    data[start : start + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in _QUARTER)
    store.write("turned.mp4", bytes(data))
    facts = video_facts(store, "turned.mp4")
    assert (facts.width_px, facts.height_px) == SIZE_WH[::-1]
    assert read_frames(store, "turned.mp4", [3]).shape == (1, 96, 64, 3)


_QUARTER = (0, 1 << 16, 0, -(1 << 16), 0, 0, 64 << 16, 0, 1 << 30)


def planned(store: Store, key: str) -> StoredVideo:
    info = store.info(key)
    assert info is not None
    return StoredVideo(key, None, store.url(key), info.size_bytes, info.etag)


def test_frames_are_numbered_at_the_rate_they_were_labelled_at(store: Store) -> None:
    video = planned(store, "a.webm")
    every = np.stack(list(numbered_frames(video, [3, 4, 9], None)))
    np.testing.assert_array_equal(every, read_frames(store, "a.webm", [3, 4, 9]))
    # the clip has 12 frames a second: at 24 each is shown twice, at 6 every second one, the first place filled early
    doubled = list(numbered_frames(video, [6, 7], 24.0))
    np.testing.assert_array_equal(doubled[0], doubled[1])
    assert len(list(numbered_frames(video, [0, 1, 2], 6.0))) == 3


@pytest.mark.s3
def test_a_video_from_afar_is_read_whole_or_by_a_copy(
    store: Store, s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = Store.open(f"{s3_environment.uri}/numbered")
    far.write("a.mp4", store.read("a.mp4"))
    video = planned(far, "a.mp4")
    expected = read_frames(store, "a.mp4", [2, 20])
    np.testing.assert_array_equal(np.stack(list(numbered_frames(video, [2, 20], None))), expected)
    monkeypatch.setattr(video_frames, "MAX_BYTES_IN_MEMORY", 0)
    np.testing.assert_array_equal(np.stack(list(numbered_frames(video, [2, 20], None))), expected)
    far.write("a.mp4", store.read("a.mp4")[:-1] + b"x")
    with pytest.raises(InputError, match=r"a\.mp4"):
        list(numbered_frames(video, [2], None))


def test_a_number_behind_the_end_is_named(store: Store) -> None:
    with pytest.raises(InputError, match=r"a\.mp4: expected a frame of number 24, found 24 numbers"):
        list(numbered_frames(planned(store, "a.mp4"), [0, 24], None))
