"""One way to open a video: decord where it is right, PyAV everywhere else, the same frames from both."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from hoiray.io.decoding.container import ContainerFacts, Source, scan_container
from hoiray.io.decoding.decord_reader import DecordFailedError, DecordReader, why_not_decord
from hoiray.io.decoding.pyav_reader import PyavReader
from hoiray.io.decoding.reader import FrameReader, SourceFrame

FAR_FRAMES: Final = 10_000
"""From this frame on PyAV is taken, which begins at the key frame before it. decord reads the whole file whenever it
opens it: for one of many segments of a video of 8 hours that costs more than decoding the segment."""

Decoder: TypeAlias = Literal["auto", "decord", "pyav"]


def open_reader(
    source: Source,
    name: str,
    decoder: Decoder = "auto",
    *,
    has_complained: Callable[[], bool] | None = None,
    facts: ContainerFacts | None = None,
) -> FrameReader:
    """Open a video.

    Args:
        source: the file, or its bytes.
        name: what messages call it.
        decoder: `auto` takes decord where it is known to be right, with PyAV behind it. `decord` alone is for
            comparisons: it paints over damage and may hang.
        has_complained: says whether libav has logged anything since it was asked last; decord tells of damage in no
            other way. None: its log cannot be seen, and such damage stays unseen.
        facts: what the file holds, where that is known; None: it is scanned.

    Raises:
        DecodeError: the file cannot be decoded.
    """
    facts = scan_container(source, name) if facts is None else facts
    if decoder == "decord":
        return DecordReader(source, facts)
    judge = PyavReader(source, name, facts)
    if decoder == "pyav" or why_not_decord(facts) is not None:
        return judge
    return _JudgedReader(source, judge, has_complained or _never)


def _never() -> bool:
    return False


class _JudgedReader:
    """decord, and PyAV from where decord fails or complains."""

    def __init__(self, source: Source, judge: PyavReader, has_complained: Callable[[], bool]) -> None:
        self._source, self._judge, self._has_complained = source, judge, has_complained
        self.name: Literal["decord", "pyav"] = "decord"

    @property
    def facts(self) -> ContainerFacts:
        return self._judge.facts

    def frames(self, source_indices: Sequence[int]) -> Iterator[SourceFrame]:
        if len(source_indices) and source_indices[0] >= FAR_FRAMES:
            self.name = "pyav"
            yield from self._judge.frames(source_indices)
            return
        self._has_complained()
        num_given = 0
        try:
            for frame in DecordReader(self._source, self.facts).frames(source_indices):
                if self._has_complained():
                    break
                yield frame
                num_given += 1
            else:
                if not self._has_complained():
                    return
        except DecordFailedError:
            self._has_complained()
        self.name = "pyav"
        # from the start again: PyAV says whether what was painted over before is damage
        for position, frame in enumerate(self._judge.frames(source_indices)):
            if position >= num_given:
                yield frame
