"""Frames of a video in a data set, through the decoders of :mod:`hoiray.io.decoding`.

What is shown is what labelling sees: turned and mirrored as the file says, hidden frames left out, damage named.
PyAV decodes unless decord is asked for by name: decord may wait for ever in a damaged file, and a data set that is
looked at has no process of its own for it. Both give the same frames.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import InputError, describe
from hoiray.io.decoding.choose import Decoder, open_reader
from hoiray.io.decoding.container import ContainerFacts, Source, scan_container
from hoiray.io.decoding.decord_reader import DecordFailedError
from hoiray.io.store import Store


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
