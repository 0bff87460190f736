"""Frames of a video in a data set, through the decoders of :mod:`hoiray.io.decoding`.

What is shown is what labelling sees: turned and mirrored as the file says, hidden frames left out, damage named.
PyAV decodes unless decord is asked for by name: decord may wait for ever in a damaged file, and a data set that is
looked at has no process of its own for it. Both give the same frames.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import InputError, describe
from hoiray.io.decoding.choose import Decoder, open_reader
from hoiray.io.decoding.container import ContainerFacts, Source, scan_container
from hoiray.io.decoding.decord_reader import DecordFailedError
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.store import Store, open_uri

MAX_BYTES_IN_MEMORY: Final = 64 << 20
"""A longer video from elsewhere is copied to a file while it is decoded."""


def video_facts(store: Store, key: str) -> ContainerFacts:
    """Read the packets of a video; only its first frame is decoded where they tell what it shows.

    Raises:
        InputError: the file is missing, no video, without frames, or ends before its header says.
    """
    return scan_container(_source(store, key), store.url(key))


def read_frames(
    store: Store, key: str, indices: Sequence[int] | None = None, *, decoder: Decoder = "pyav"
) -> NDArray[np.uint8]:
    """Decode frames of a video.

    Args:
        store: where it lies.
        key: its name.
        indices: which frames, 0-based, in any order; None for all.
        decoder: see :func:`hoiray.io.decoding.choose.open_reader`.

    Returns:
        (T, H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: the file is missing or damaged, or has no frame of that index.
    """
    name = store.url(key)
    try:
        reader = open_reader(_source(store, key), name, decoder)
        facts = reader.facts
        wanted = np.arange(facts.num_frames) if indices is None else np.asarray(indices, dtype=np.int64)
        outside = wanted[(wanted < 0) | (wanted >= facts.num_frames)]
        if len(outside):
            expected, found = f"a frame of index {outside[0]}", f"{facts.num_frames} frames"
            fix = "Frame numbers of annotations count from 1 and name frames of this very file."
            raise InputError(describe(what=name, expected=expected, found=found, fix=fix))
        distinct, places = np.unique(wanted, return_inverse=True)
        frames = np.empty((len(distinct), facts.height_px, facts.width_px, 3), dtype=np.uint8)
        num_decoded = 0
        for frame in reader.frames(distinct.tolist()):
            frames[num_decoded] = frame.image
            num_decoded += 1
    except DecordFailedError as error:
        found = f"one decord cannot decode ({error})"
        raise InputError(describe(what=name, expected="a video", found=found, fix="Try PyAV.")) from error
    if num_decoded < len(distinct):
        found = f"a decoder that stops after {num_decoded} of {len(distinct)}"
        fix = "The file is truncated or damaged: copy it again."
        raise InputError(describe(what=name, expected=f"{facts.num_frames} frames", found=found, fix=fix))
    return frames[places]


def _source(store: Store, key: str) -> Source:
    path = store.local_path(key)
    return store.read(key) if path is None else path


@dataclass(frozen=True)
class StoredVideo:
    """A video as it was planned: its name, place and version; see table ``videos``."""

    video_id: str
    dataset: str | None
    uri: str
    size_bytes: int
    etag: str | None


def numbered_frames(
    video: StoredVideo, numbers: Sequence[int], sample_rate_hz: float | None
) -> Iterator[NDArray[np.uint8]]:
    """Decode frames by their numbers at a sampled rate, in one pass from the key frame before the first.

    Args:
        video: the very version whose frames were numbered.
        numbers: growing, from 0.
        sample_rate_hz: rate at which frames are numbered; None: every frame of the file.

    Yields:
        (H, W, 3) uint8 RGB, upright, for each number.

    Raises:
        InputError: the video is missing, was changed, is damaged, or has no frame of a number.
    """
    with _file_of(video) as source:
        reader = open_reader(source, video.uri, "pyav")
        try:
            carriers = sampled_sources(reader.facts.timeline, sample_rate_hz)
        except ValueError as error:
            fix = "It cannot be the file that was labelled: restore that one."
            found = f"one where {error}"
            raise InputError(
                describe(what=video.uri, expected="time stamps without holes", found=found, fix=fix)
            ) from error
        _require_numbers(video, numbers, len(carriers))
        wanted = carriers[np.asarray(numbers, dtype=np.int64)]
        position = 0
        for frame in reader.frames(np.unique(wanted).tolist()):
            while position < len(wanted) and wanted[position] == frame.source_index:
                yield np.ascontiguousarray(frame.image)
                position += 1
        if position < len(wanted):
            _require_numbers(video, numbers, numbers[position])


def _require_numbers(video: StoredVideo, numbers: Sequence[int], num_numbers: int) -> None:
    if len(numbers) and numbers[-1] >= num_numbers:
        fix = "It is not the file that was labelled, or it was cut: restore that one."
        expected, found = f"a frame of number {numbers[-1]}", f"{num_numbers} numbers"
        raise InputError(describe(what=video.uri, expected=expected, found=found, fix=fix))


@contextmanager
def _file_of(video: StoredVideo) -> Iterator[Source]:
    """Give a video as a local file, or as its bytes where it is small and lies elsewhere."""
    store, key = open_uri(video.uri)
    path = store.local_path(key)
    size = store.size(key)
    if size != video.size_bytes:
        expected, found = f"{video.size_bytes} bytes, as it was labelled", f"{size} bytes"
        fix = "Restore the file that was labelled, or label it again."
        raise InputError(describe(what=video.uri, expected=expected, found=found, fix=fix))
    if path is not None:
        store.read_range(key, 0, 0, etag=video.etag)  # nothing is read; the store compares the version
        yield path
        return
    if size <= MAX_BYTES_IN_MEMORY:
        yield store.read(key, etag=video.etag)
        return
    with tempfile.NamedTemporaryFile(prefix="hoiray-video-") as file:
        store.copy_to(file, key, etag=video.etag)
        yield Path(file.name)
