"""Single frames of videos, by the numbers that labels have: one pass over each video, however many are wanted."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import InputError, describe
from hoiray.io.decoding.choose import open_reader
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.store import open_uri


def read_stills(
    uri: str, numbers: Sequence[int], sample_rate_hz: float | None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode frames of a video, each as soon as it is reached.

    Args:
        uri: the video, local or on S3.
        numbers: frame numbers at the sampled rate, growing.
        sample_rate_hz: the rate at which frames are numbered; None: every frame of the file.

    Yields:
        Number and (H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: the video is missing or damaged, or has no such frame.
    """
    store, key = open_uri(uri)
    path = store.local_path(key)
    # PyAV: decord may wait for ever in a damaged file
    reader = open_reader(store.read(key) if path is None else path, uri, "pyav")
    try:
        sources = sampled_sources(reader.facts.timeline, sample_rate_hz)
    except ValueError as error:
        fix = "Re-encode it: ffmpeg -i IN -fps_mode cfr OUT.mp4"
        raise InputError(describe(what=uri, expected="time stamps without holes", found=f"{error}", fix=fix)) from error
    behind = [number for number in numbers if not 0 <= number < len(sources)]
    if behind:
        fix = "Is it the video that was labelled?"
        raise InputError(
            describe(what=uri, expected=f"a frame of number {behind[0]}", found=f"{len(sources)} numbers", fix=fix)
        )
    wanted: dict[int, list[int]] = {}
    for number in numbers:
        wanted.setdefault(int(sources[number]), []).append(number)
    for frame in reader.frames(sorted(wanted)):
        for number in wanted.pop(frame.source_index):
            yield number, frame.image
    if wanted:
        found, fix = f"a video that ends before frame {min(wanted)}", "Copy the file again from its source."
        raise InputError(describe(what=uri, expected=f"{len(sources)} frames", found=found, fix=fix))
