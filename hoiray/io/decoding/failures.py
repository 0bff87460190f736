"""Why a video could not be decoded.

::

    InputError
    └── DecodeError          the video is given up; nothing of it becomes rows
        ├── MissingVideoError        nothing there, no file, or no access
        ├── UnreadableVideoError     no video file: empty, text, junk, its index cut off
        ├── NoVideoStreamError       sound only
        ├── TruncatedVideoError      ends before its header says
        ├── DamagedVideoError        a frame in it cannot be decoded
        ├── UnsupportedVideoError    readable, but nothing is known that shows it rightly
        ├── FrameNotThereError       a frame that annotations name does not exist
        ├── DecodeTimeoutError       slower than its budget of time, or stuck
        ├── DecodeMemoryError        needs more than its budget of memory
        └── DecoderCrashError        the decoder's process died
"""

from typing import Final

from hoiray.errors import InputError, describe

COPY_AGAIN: Final = "Copy the file again from its source, or leave it out."


class DecodeError(InputError):
    """A video that cannot be decoded, or not within its budget.

    Attributes:
        message: which file, what was expected, what was found, what to do.
        frame_index: number at the sampled rate of the frame at which it failed; None where it is not one frame's fault.
        attempts: how often decoding was tried.
        ended_by: name of the signal that ended the decoder's process; None where none did.
    """

    def __init__(
        self, message: str, frame_index: int | None = None, attempts: int = 1, ended_by: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.frame_index, self.attempts, self.ended_by = message, frame_index, attempts, ended_by

    def __reduce__(self) -> tuple[type["DecodeError"], tuple[str, int | None, int, str | None]]:
        """Pickle with all that is known: errors travel between processes."""
        return type(self), (self.message, self.frame_index, self.attempts, self.ended_by)

    @property
    def error_class(self) -> str:
        """What a dead letter says of the error: its class, or the signal that ended the process."""
        return self.ended_by or type(self).__name__


class MissingVideoError(DecodeError):
    """Nothing is there, it is no file, or access is refused."""


class UnreadableVideoError(DecodeError):
    """The file is no video: empty, text, junk, or its index is cut off."""


class NoVideoStreamError(DecodeError):
    """The file holds sound but no pictures."""


class TruncatedVideoError(DecodeError):
    """The file ends before its header says."""


class DamagedVideoError(DecodeError):
    """A frame cannot be decoded."""


class UnsupportedVideoError(DecodeError):
    """The file is sound, but none of the decoders shows it rightly."""


class FrameNotThereError(DecodeError):
    """A frame is asked for that the video does not have."""


class DecodeTimeoutError(DecodeError):
    """Decoding took longer than its budget, or stood still."""


class DecodeMemoryError(DecodeError):
    """Decoding needs more memory than its budget."""


class DecoderCrashError(DecodeError):
    """The decoder's process ended in the middle of the video."""


FAILURES: Final[dict[str, type[DecodeError]]] = {
    failure.__name__: failure
    for failure in (
        MissingVideoError,
        UnreadableVideoError,
        NoVideoStreamError,
        TruncatedVideoError,
        DamagedVideoError,
        UnsupportedVideoError,
        FrameNotThereError,
        DecodeTimeoutError,
        DecodeMemoryError,
        DecoderCrashError,
    )
}
"""The classes by name, so that a decoder's process can tell its parent which one to raise."""


def damaged(name: str, source_index: int, found: str) -> DamagedVideoError:
    """Return the error of a frame that does not decode.

    Args:
        name: the file, for the message.
        source_index: which of the file's frames, from 0, in the order they are shown.
        found: what the decoder says.
    """
    message = describe(what=name, expected=f"a sound frame {source_index}", found=found, fix=COPY_AGAIN)
    return DamagedVideoError(message)


def not_a_video(name: str, found: str) -> UnreadableVideoError:
    """Return the error of a file that no demuxer can open.

    Args:
        name: the file, for the message.
        found: what it holds instead.
    """
    fix = "Check that it is a video, and copied as a whole: " + COPY_AGAIN[0].lower() + COPY_AGAIN[1:]
    return UnreadableVideoError(describe(what=name, expected="a video file", found=found, fix=fix))
