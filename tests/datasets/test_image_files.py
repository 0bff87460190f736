from pathlib import Path

import cv2
import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.image_files import check_whole, decode_rgb, read_levels, read_rgb
from hoiray.errors import InputError
from hoiray.io.store import Store


def encoded(suffix: str, *options: int) -> bytes:
    ok, data = cv2.imencode(suffix, files.picture(64, 48)[..., ::-1], list(options))
    assert ok
    return bytes(data.tobytes())


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
KINDS = {
    "png": encoded(".png"),
    "jpg": encoded(".jpg"),
    "progressive": encoded(".jpg", *PROGRESSIVE),
    "restarts": encoded(".jpg", *RESTARTS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_image_is_decoded_as_rgb(kind: str) -> None:
    image = decode_rgb(KINDS[kind], name="x", size_wh=(64, 48))
    expected = files.picture(64, 48)
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - expected).max() <= (0 if kind == "png" else 12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_truncation_goes_unnoticed(kind: str) -> None:
    data = KINDS[kind]
    for length in range(len(data)):
        with pytest.raises(InputError):
            check_whole(data[:length], name="x")


def test_bytes_behind_the_end_do_no_harm() -> None:
    for data in KINDS.values():
        check_whole(data + b"\0\0", name="x")


def test_every_damaged_byte_of_a_png_is_noticed() -> None:
    data = KINDS["png"]
    for position in range(8, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(InputError, match=r"wrong checksum|cut off"):
            check_whole(bytes(damaged), name="x")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"GIF89a", "begins with b'GIF89a'"),
        (b"\xff\xd8\xff\xd9", "without image data"),
        (b"\xff\xd8\x00\x00", "without a marker at byte 2"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, found: str) -> None:
    with pytest.raises(InputError, match=f"^photo: expected a complete PNG or JPEG image, found .*{found}"):
        check_whole(data, name="photo")


def test_masks_and_depths_keep_their_depth(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    deep = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 20
    files.put_image(tmp_path / "deep.png", deep)
    np.testing.assert_array_equal(read_levels(store, "deep.png"), deep)
    files.put_image(tmp_path / "grey.png", np.repeat(deep.astype(np.uint8)[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_levels(store, "grey.png"), deep.astype(np.uint8))
    files.put_image(tmp_path / "colour.png", files.picture(64, 48))
    with pytest.raises(InputError, match=r"colour\.png: expected a grey image"):
        read_levels(store, "colour.png")


def test_another_size_is_named(tmp_path: Path) -> None:
    files.put_image(tmp_path / "x.png", files.picture(64, 48))
    with pytest.raises(InputError, match="expected 48 x 64 px, found 64 x 48 px"):
        read_rgb(Store.open(tmp_path), "x.png", size_wh=(48, 64))


def test_a_sound_structure_around_junk_is_named() -> None:
    junk = b"\xff\xd8\xff\xda\x00\x02junk\xff\xd9"
    with pytest.raises(InputError, match="OpenCV cannot decode"):
        decode_rgb(junk, name="x")
