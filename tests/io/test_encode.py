import io
import pickle
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.hand.unpickle import parse_pickle
from hoiray.io import encode

NUM_FRAMES = 10


def numbered_frames(width: int) -> list[np.ndarray]:
    """Frames that tell their own index: four bits as black and white bars, on a level that changes too."""
    frames = []
    for index in range(NUM_FRAMES):
        image = np.full((64, width, 3), 90 + 4 * index, np.uint8)
        for bit in range(4):
            image[8:56, 4 + 16 * bit : 16 + 16 * bit] = 255 if index >> bit & 1 else 0
        frames.append(image)
    return frames


def digests_of_files(suffix: str, count: int) -> set[str]:
    codec = encode.VIDEO_CODECS[suffix]
    files = (encode.encode_video(iter(numbered_frames(96)), codec, fps=12.0, size_wh=(96, 64)) for _ in range(count))
    return {sha256(file).hexdigest() for file in files}


@pytest.mark.parametrize(("suffix", "count"), [("mp4", 300), ("webm", 60)])
def test_files_are_the_same_however_busy_the_machine_is(suffix: str, count: int) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        digests = pool.map(digests_of_files, [suffix] * 4, [count] * 4)
        assert len(set[str]().union(*digests)) == 1


def read_number(image: np.ndarray) -> int:
    return sum(1 << bit for bit in range(4) if image[20:44, 7 + 16 * bit : 13 + 16 * bit].mean() > 128)


@pytest.mark.parametrize("suffix", ["mp4", "webm", "mkv", "avi"])
@pytest.mark.parametrize("width", [96, 95])
def test_decord_reads_the_frames_that_were_encoded_in_order(tmp_path: Path, suffix: str, width: int) -> None:
    codec = encode.at_quality(encode.VIDEO_CODECS[suffix], 40.0)
    path = tmp_path / f"numbered.{suffix}"
    path.write_bytes(encode.encode_video(iter(numbered_frames(width)), codec, fps=12.0, size_wh=(width, 64)))
    reader = decord.VideoReader(str(path), num_threads=1)
    # one after another, as hoiray reads: a jump (`reader[index]` is one) has been seen to wait for ever
    frames = [reader.next().asnumpy() for _ in range(len(reader))]
    assert [read_number(frame) for frame in frames] == list(range(NUM_FRAMES))
    assert frames[0].shape == (64, width, 3)
    assert reader.get_avg_fps() == pytest.approx(12.0)


def test_files_are_the_same_some_seconds_later() -> None:
    arrays = {"seg": np.arange(12, dtype=np.uint8).reshape(3, 4), "pose_m": np.ones((1, 51), np.float32)}

    def written() -> dict[str, bytes]:
        videos = {
            suffix: encode.encode_video(iter(numbered_frames(96)), codec, fps=12.0, size_wh=(96, 64))
            for suffix, codec in encode.VIDEO_CODECS.items()
        }
        return {**videos, "npz": encode.encode_npz(arrays)}

    first = written()
    time.sleep(2.1)  # video files count in seconds, zip archives in steps of two
    assert written() == first
    with np.load(io.BytesIO(first["npz"]), allow_pickle=False) as archive:
        assert {name: archive[name].tolist() for name in archive.files} == {k: v.tolist() for k, v in arrays.items()}


def test_a_video_does_not_name_the_version_of_its_encoder() -> None:
    for codec in encode.VIDEO_CODECS.values():
        assert b"Lavc" not in encode.encode_video(iter(numbered_frames(96)), codec, fps=12.0, size_wh=(96, 64))


def test_a_better_quality_takes_more_bytes() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(3)]
    for codec in encode.VIDEO_CODECS.values():
        small, large = (
            len(encode.encode_video(iter(frames), encode.at_quality(codec, quality), fps=12.0, size_wh=(96, 64)))
            for quality in (10.0, 90.0)
        )
        assert large > 1.2 * small


def test_a_frame_of_another_size_is_refused() -> None:
    encoder = encode.VideoEncoder(encode.VP9_WEBM, fps=12.0, size_wh=(96, 64))
    encoder.add(np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(ContractError, match="frame 1"):
        encoder.add(np.zeros((64, 95, 3), np.uint8))
    assert len(list(av.open(io.BytesIO(encoder.finish())).decode(video=0))) == 1


def test_a_video_for_training_is_written_to_disk_and_every_second_frame_is_a_key_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [cv2.resize(one, (64, 48), interpolation=cv2.INTER_CUBIC) for one in rng.uniform(40, 215, (5, 3, 4, 3))]
    images = [image.clip(0, 255).astype(np.uint8) for image in images]
    for name in ("a.mp4", "b.mp4"):
        path = tmp_path / name
        encoder = encode.VideoEncoder(encode.H264_SEEKABLE_MP4, fps=Fraction(12), size_wh=(64, 48), path=path)
        for image in images:
            encoder.add(image)
        assert (encoder.finish(), encoder.num_frames) == (b"", 5)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert np.allclose([frame.time for frame in frames], np.arange(5) / 12)
    assert all(frame.key_frame for frame in frames[::2])
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - image).mean() < 8


def test_png_keeps_every_level_and_rgb_order() -> None:
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    deep = rng.integers(0, 65536, (5, 7), dtype=np.uint16)
    decoded = cv2.imdecode(np.frombuffer(encode.encode_png(colour), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], colour)
    np.testing.assert_array_equal(
        cv2.imdecode(np.frombuffer(encode.encode_png(deep), np.uint8), cv2.IMREAD_UNCHANGED), deep
    )


def test_an_image_of_floats_is_refused() -> None:
    with pytest.raises(ContractError, match="float64"):
        encode.encode_png(np.zeros((4, 4)))
    with pytest.raises(ContractError, match="uint16"):
        encode.encode_jpeg(np.zeros((4, 4), np.uint16))  # type: ignore[arg-type]  # the mistake under test


def test_a_meta_is_a_pickle_of_python_2_under_the_old_name_of_numpy() -> None:
    data = encode.encode_pickle({"camMat": np.eye(3).T, "objName": "006", "objRot": None})
    assert data.startswith(b"\x80\x02")
    assert b"numpy.core.multiarray" in data
    assert b"numpy._core" not in data
    read = parse_pickle(data, name="meta")
    np.testing.assert_array_equal(read["camMat"], np.eye(3))
    assert (read["objName"], read["objRot"]) == ("006", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 2 warns of the old name, and reads it
        plain = pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(plain["camMat"], np.eye(3))


def test_neither_sharing_nor_memory_order_shows_in_a_pickle() -> None:
    shared = np.arange(6.0).reshape(2, 3)
    apart = {"a": shared.copy(), "b": np.asfortranarray(shared)}
    assert encode.encode_pickle({"a": shared, "b": shared}) == encode.encode_pickle(apart)


def test_json_has_sorted_keys_and_no_nan() -> None:
    assert encode.encode_json({"b": 1, "a": [0.5]}) == b'{"a":[0.5],"b":1}\n'
    with pytest.raises(ContractError, match="finite"):
        encode.encode_json([float("nan")])


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_run_lengths_give_the_mask_back(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < rng.random()
    runs = encode.encode_rle(mask)
    np.testing.assert_array_equal(encode.decode_rle(runs, (height, width)), mask)
    assert not np.any(runs[1:] == 0)


def test_run_lengths_go_down_the_columns_and_begin_with_false() -> None:
    mask = np.array([[True, False], [True, True]])
    assert encode.encode_rle(mask).tolist() == [0, 2, 1, 1]
    with pytest.raises(ContractError, match="4 pixels"):
        encode.decode_rle([0, 2, 1, 1], (2, 3))


def test_another_process_writes_the_same_bytes() -> None:
    code = (
        "import sys, numpy as np; from hoiray.io import encode as e;"
        "sys.stdout.buffer.write(e.encode_pickle({'b': np.ones(3), 'n': 'x'}) + e.encode_npz({'a': np.eye(2)})"
        " + e.encode_jpeg(np.full((9, 9, 3), 77, np.uint8)))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    here = encode.encode_pickle({"b": np.ones(3), "n": "x"}) + encode.encode_npz({"a": np.eye(2)})
    assert run.stdout == here + encode.encode_jpeg(np.full((9, 9, 3), 77, np.uint8))
