import os
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from bad_videos import ODD, plain
from clips import clip, number_in, overwritten
from s3_server import S3Server

from hoiray.io.decoding.choose import open_reader
from hoiray.io.decoding.failures import (
    DamagedVideoError,
    DecodeError,
    DecodeMemoryError,
    DecoderCrashError,
    DecodeTimeoutError,
    FrameNotThereError,
)
from hoiray.io.store import Store
from hoiray.stages.decode import DecodeBudget, FrameBatch, FrameSelection, VideoDecoder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("videos")
    for odd in ODD:
        (folder / odd.key).write_bytes(odd.content())
    (folder / "long.mp4").write_bytes(clip(range(120), rate=24, size_wh=(320, 240)))
    (folder / "large.mp4").write_bytes(clip(range(24), size_wh=(960, 540), options={"preset": "ultrafast"}))
    # long enough that its memory is looked at while it is being decoded, however fast the machine
    ultrafast = {"preset": "ultrafast", "crf": "40"}
    (folder / "4k for long.mp4").write_bytes(clip(range(12), size_wh=(3840, 2160), options=ultrafast))
    return Store.open(folder)


@pytest.fixture(scope="module")
def decoder() -> Iterator[VideoDecoder]:
    with VideoDecoder() as made:
        yield made


def decode(made: VideoDecoder, store: Store, key: str, **how: object) -> list[FrameBatch]:
    with made.open(store, key, video_id=key, **how) as video:  # type: ignore[arg-type]
        return list(video)


def numbers(batches: list[FrameBatch]) -> list[int]:
    return [int(number) for batch in batches for number in batch.frame_index]


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def test_every_odd_file_ends_as_frames_and_every_bad_one_by_name(store: Store, decoder: VideoDecoder) -> None:
    before = shared_memory()
    for odd in ODD:
        if odd.error_class is None:
            batches = decode(decoder, store, odd.key)
            images = [odd.turn(image) if odd.turn else image for batch in batches for image in batch.frames]
            assert [number_in(image) for image in images] == odd.shown, odd.key
            assert numbers(batches) == list(range(len(images))), odd.key
        else:
            with pytest.raises(DecodeError, match=r"expected .* found") as caught:
                decode(decoder, store, odd.key)
            assert (caught.value.error_class, caught.value.attempts) == (odd.error_class, 1), odd.key
            assert odd.key in str(caught.value)
    assert shared_memory() == before


def test_frames_and_facts_are_those_of_the_reader(store: Store, decoder: VideoDecoder) -> None:
    reader = open_reader(plain(), "x", "pyav")
    with decoder.open(store, "plain.mp4", video_id="a", max_batch_frames=5) as video:
        assert (video.facts.width_px, video.facts.frame_rate, video.facts.num_frames) == (96, Fraction(12), 24)
        assert (video.decoder, video.why_not_decord, video.num_wanted) == ("decord", None, 24)
        batches = list(video)
    assert [len(batch.frame_index) for batch in batches] == [5, 5, 5, 5, 4]
    frames = list(reader.frames(range(24)))
    np.testing.assert_array_equal(np.concatenate([batch.frames for batch in batches]), [f.image for f in frames])
    assert np.concatenate([batch.time_s for batch in batches]).tolist() == [frame.time_s for frame in frames]
    assert {batch.video_id for batch in batches} == {"a"}


@pytest.mark.parametrize("how", ["decord", "pyav"])
def test_a_segment_has_the_frames_of_the_whole(store: Store, decoder: VideoDecoder, how: str) -> None:
    whole = decode(decoder, store, "long.mp4", selection=FrameSelection(12.0), decoder=how, max_batch_frames=64)
    segment = FrameSelection(12.0, first_frame_index=31, num_frames=9)
    part = decode(decoder, store, "long.mp4", selection=segment, decoder=how)
    assert numbers(part) == list(range(31, 40))
    np.testing.assert_array_equal(part[0].frames, whole[0].frames[31:40])
    np.testing.assert_array_equal(part[0].source_index, whole[0].source_index[31:40])


def test_only_the_frames_with_boxes_come(store: Store, decoder: VideoDecoder) -> None:
    batches = decode(decoder, store, "long.mp4", selection=FrameSelection(12.0, frame_indices=(0, 4, 30, 59)))
    assert numbers(batches) == [0, 4, 30, 59]
    assert [number_in(image) for image in batches[0].frames] == [0, 5, 57, 115]


def test_a_box_behind_the_end_is_named(store: Store, decoder: VideoDecoder) -> None:
    with pytest.raises(FrameNotThereError, match="number 24") as caught:
        decode(decoder, store, "plain.mp4", selection=FrameSelection(frame_indices=(3, 24)))
    assert caught.value.frame_index == 24


def test_damage_is_told_with_its_number_and_the_next_video_is_well(
    store: Store, decoder: VideoDecoder, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(overwritten(plain(), 15, b"\0", start=30))
    with pytest.raises(DamagedVideoError) as caught:
        decode(decoder, Store.open(tmp_path), "a.mp4")
    assert caught.value.frame_index in (12, 13, 14, 15)
    assert numbers(decode(decoder, store, "plain.mp4")) == list(range(24))


def test_a_video_may_be_left_early(store: Store, decoder: VideoDecoder) -> None:
    decode(decoder, store, "plain.mp4")
    pid = decoder.pid
    with decoder.open(store, "long.mp4", video_id="a", max_batch_frames=2) as video:
        next(iter(video))
    assert numbers(decode(decoder, store, "plain.mp4")) == list(range(24))
    assert decoder.pid == pid


def test_the_process_is_replaced_after_so_many_videos(store: Store) -> None:
    with VideoDecoder(videos_per_process=2) as decoder:
        pids = []
        for _ in range(3):
            decode(decoder, store, "one frame.mp4")
            pids.append(decoder.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_process_that_is_killed_once_costs_nothing(store: Store) -> None:
    whole = decode_with(store, kills=0)
    interrupted = decode_with(store, kills=1)
    assert numbers(interrupted) == numbers(whole)
    for batch, other in zip(interrupted, whole, strict=True):
        np.testing.assert_array_equal(batch.frames, other.frames)


def test_a_process_that_is_killed_again_and_again_kills_the_video(store: Store) -> None:
    with pytest.raises(DecoderCrashError, match="a decoder that ended by SIGKILL") as caught:
        decode_with(store, kills=99)
    assert (caught.value.error_class, caught.value.attempts) == ("SIGKILL", 3)


def decode_with(store: Store, kills: int) -> list[FrameBatch]:
    """Decode large frames and kill the process after a batch, so many times."""
    batches = []
    with VideoDecoder() as decoder, decoder.open(store, "large.mp4", video_id="a", max_batch_frames=2) as video:
        for batch in video:
            batches.append(batch)
            if len(batches) <= kills and decoder.pid is not None:
                os.kill(decoder.pid, signal.SIGKILL)
    return batches


def test_a_video_that_hangs_in_decord_is_taken_over_by_pyav(store: Store) -> None:
    """A stopped process stands for native code that spins: neither answers to anything but SIGKILL."""
    budget = DecodeBudget(max_stall_s=0.5)
    with VideoDecoder(budget) as decoder, decoder.open(store, "large.mp4", video_id="a", max_batch_frames=2) as video:
        batches = iter(video)
        found = numbers([next(batches)])
        assert decoder.pid is not None
        os.kill(decoder.pid, signal.SIGSTOP)
        found += numbers(list(batches))
    assert found == list(range(24))


def stop_and_read_on(decoder: VideoDecoder, store: Store) -> None:
    """Ask a decoder that does not answer any more."""
    with decoder.open(store, "large.mp4", video_id="a", max_batch_frames=2) as video:
        for _ in video:
            if decoder.pid is not None:
                os.kill(decoder.pid, signal.SIGSTOP)


def test_a_video_that_takes_too_long_is_dead(store: Store) -> None:
    """Less time for the whole video than for one frame: PyAV has none left."""
    message = r"decoding within 0\.3 s, found no end after .* Raise pools.decode.max_video_s"
    with (
        VideoDecoder(DecodeBudget(max_video_s=0.3)) as decoder,
        pytest.raises(DecodeTimeoutError, match=message),
    ):
        stop_and_read_on(decoder, store)
    assert decoder.pid is None


@pytest.mark.parametrize(
    ("gib", "found"), [(0.056, "59 MiB at least for pictures of 3840 x 2160 px"), (0.06, "MiB in use")]
)
def test_a_video_that_needs_too_much_memory_is_dead(store: Store, gib: float, found: str) -> None:
    expected = (
        rf"4k for long\.mp4: expected decoding in \d+ MiB, found [\d ]*{found}\. Raise pools\.decode\.max_video_gib"
    )
    with VideoDecoder(DecodeBudget(max_video_gib=gib)) as decoder, pytest.raises(DecodeMemoryError, match=expected):
        decode(decoder, store, "4k for long.mp4", max_batch_frames=1)


@pytest.mark.s3
def test_a_video_on_s3_is_decoded_alike(s3_environment: S3Server, store: Store, decoder: VideoDecoder) -> None:
    remote = Store.open(f"s3://{s3_environment.bucket}/decode")
    remote.write("a b.mp4", plain())
    local = decode(decoder, store, "plain.mp4")
    for batch, other in zip(decode(decoder, remote, "a b.mp4"), local, strict=True):
        np.testing.assert_array_equal(batch.frames, other.frames)
    with pytest.raises(DecodeError, match=r"s3://.*none\.mp4") as caught:
        decode(decoder, remote, "none.mp4")
    assert caught.value.error_class == "MissingVideoError"
