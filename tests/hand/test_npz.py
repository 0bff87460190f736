"""Facts about reading .npz archives without trusting them."""

import contextlib
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.hand import npz

ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3),
    "b": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "c": np.arange(4, dtype=">i4"),
}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def by_hand(header: str, body: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    return b"\x93NUMPY" + bytes(version) + length + header.encode("latin-1") + body


def archive(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as opened:
        for key, content in ({key: npy(array) for key, array in ARRAYS.items()} | members).items():
            opened.writestr(f"{key}.npy", content)
    return file.getvalue()


def read(content: bytes, max_bytes: int = 20_000) -> dict[str, Any]:
    return npz.read_npz(content, ("a", "b", "c", "absent"), path=Path("x.npz"), max_bytes=max_bytes)


def header(descr: str = "'<f8'", order: str = "False", shape: str = "(2, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


BODY = bytes(48)


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_are_read_as_numpy_reads_them(method: int) -> None:
    found = read(archive(method))
    assert set(found) == set(ARRAYS)
    for key, array in ARRAYS.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 2, 3)])
@pytest.mark.parametrize("dtype", ["<f2", "<f8", "|u1", "<i8", "<u4"])
def test_every_shape_and_plain_type_is_read(shape: tuple[int, ...], dtype: str) -> None:
    array = np.ones(shape, dtype)
    found = read(archive(a=npy(array)))["a"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "text",
    [
        header(),
        header() + " " * 20 + "\n",
        "{'shape':(2,3),'fortran_order':False,'descr':'<f8'}",
        "{ 'descr' : '<f8' , 'fortran_order' : False , 'shape' : ( 2 , 3 , ) }",
        header(shape="(2L, 3L)"),
    ],
    ids=["numpy's", "padded", "another order", "spaces", "Python 2"],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_headers_other_writers_make_are_read(text: str, version: tuple[int, int]) -> None:
    np.testing.assert_array_equal(read(archive(a=by_hand(text, BODY, version)))["a"], np.zeros((2, 3)))


# --- what is not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (b"", "0 bytes that begin with"),
        (b"\x93NUM", "4 bytes that begin with"),
        (by_hand(header(), BODY, (9, 9)), "begin with"),
        (b"\x93NUMPY\x01\x00\xff", "a header of 255 bytes"),
        (by_hand(" " * 10_001 + header(), BODY), "a header of 100"),
        (by_hand("{[]: 1}"), "the header"),
        (by_hand("{'descr': ((((("), "the header"),
        (by_hand(header(shape="(100000000000000, 3)"), BODY), "an array that fills its shape"),
        (by_hand(header(shape="(1" + "0" * 40 + ", 3)"), BODY), "the header"),
        (by_hand(header(shape="(-2, 3)"), BODY), "the header"),
        (by_hand(header(shape="(2 3)"), BODY), "the header"),
        (by_hand(header(shape="6"), BODY), "the header"),
        (by_hand(header(descr="'zz9'"), BODY), "of the type 'zz9'"),
        (by_hand(header(descr="{1: 2}"), BODY), "the header"),
        (by_hand(header(descr="[('a', '<f8')]"), BODY), "the header"),
        (by_hand(header(descr="'<f8\0'"), BODY), "of the type"),
        (by_hand(header(descr="'|O'"), BODY), "pickled objects"),
        (by_hand(header(order="0"), BODY), "the header"),
        (by_hand(header()[:-1], BODY), "the header"),
        (by_hand(header()[1:], BODY), "the header"),
        (by_hand("{'descr': '<f8', 'shape': (2, 3), }", BODY), "the header"),
        (by_hand(header(), BODY[:-1]), "before 47 bytes"),
        (by_hand(header(), BODY + b"0"), "before 49 bytes"),
        (by_hand(header(shape="(" + "1, " * 65 + "6)"), BODY), "a shape NumPy knows"),
        (by_hand(header(shape="(0, 9999999999999999999)")), "a shape NumPy knows"),
        (npy(np.array(["text"])), "an array of real numbers"),
        (npy(np.array([1j])), "an array of real numbers"),
        (npy(np.array([True])), "an array of real numbers"),
    ],
)
def test_a_member_that_is_no_plain_array_is_refused_by_key(member: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=r"x\.npz, key 'a': expected") as refusal:
        read(archive(a=member))
    assert reason in str(refusal.value)


def test_nothing_of_a_header_is_evaluated() -> None:
    text = header(shape="(2, __import__('os').abort())")
    with pytest.raises(ContractError, match="the header"):
        read(archive(a=by_hand(text, BODY)))


def test_an_encrypted_member_is_refused() -> None:
    content = bytearray(archive())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ContractError, match="key 'a': expected an array, found an encrypted one"):
        read(bytes(content))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_than_numpys_are_refused(method: int) -> None:
    with pytest.raises(ContractError, match=f"key 'a': expected a stored or deflated array, .* by method {method}"):
        read(archive(method))


def test_a_member_that_is_there_twice_is_refused() -> None:
    file = io.BytesIO(archive())
    with zipfile.ZipFile(file, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr("a.npy", npy(np.zeros(3)))
    with pytest.raises(ContractError, match="key 'a': expected one array, found 2"):
        read(file.getvalue())


def test_other_files_are_refused() -> None:
    for content in (b"", b"hello world", npy(np.zeros(3)), archive()[:-10], archive()[: len(archive()) // 2]):
        with pytest.raises(ContractError, match=r"x\.npz: expected a complete \.npz file"):
            read(content)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    size = sum(len(npy(array)) for array in ARRAYS.values())
    assert len(read(archive(zipfile.ZIP_DEFLATED), max_bytes=size)) == 3
    with pytest.raises(ContractError, match=f"expected arrays of at most {size - 1} bytes, found {size}"):
        read(archive(zipfile.ZIP_DEFLATED), max_bytes=size - 1)


def test_a_stream_longer_than_it_claims_is_not_unpacked() -> None:
    bomb = bytearray(archive(zipfile.ZIP_DEFLATED, a=npy(np.zeros(4_000_000))))
    directory = bomb.index(b"PK\x01\x02")
    claimed = len(npy(np.zeros((2, 3))))
    bomb[directory + 24 : directory + 28] = struct.pack("<I", claimed)
    with pytest.raises(ContractError, match="key 'a': expected a complete array, found a damaged one"):
        read(bytes(bomb))


def test_an_archive_of_very_many_members_is_refused_before_its_directory_is_read() -> None:
    with pytest.raises(ContractError, match="more than 1000 members"):
        read(archive() + b"PK\x01\x02" * npz.MAX_MEMBERS)


# --- damage -----------------------------------------------------------------------------------------------------------

STORED, DEFLATED, ONE = archive(), archive(zipfile.ZIP_DEFLATED), npy(ARRAYS["a"])


@given(st.sampled_from([STORED, DEFLATED]), st.integers(0, len(STORED) - 1), st.integers(0, 255))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_changed_byte_of_an_archive_gives_data_or_a_refusal(content: bytes, position: int, byte: int) -> None:
    changed = bytearray(content)
    changed[position % len(content)] = byte
    with contextlib.suppress(ContractError):
        read(bytes(changed))


@given(st.lists(st.tuples(st.integers(0, len(ONE) - 1), st.integers(0, 255)), min_size=1, max_size=3))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_any_changed_byte_of_an_array_gives_data_or_a_refusal(changes: list[tuple[int, int]]) -> None:
    changed = bytearray(ONE)
    for position, byte in changes:
        changed[position] = byte
    with contextlib.suppress(ContractError):
        read(archive(a=bytes(changed)))  # with a checksum that fits
