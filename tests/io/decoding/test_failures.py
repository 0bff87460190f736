import pickle

import pytest

from hoiray.errors import InputError
from hoiray.io.decoding.failures import FAILURES, DecodeError, DecoderCrashError, damaged, not_a_video


@pytest.mark.parametrize("failure", FAILURES.values())
def test_failures_travel_between_processes_whole(failure: type[DecodeError]) -> None:
    error = pickle.loads(pickle.dumps(failure("a message", 7, 2, "SIGSEGV")))
    assert isinstance(error, InputError)
    assert (type(error), str(error)) == (failure, "a message")
    assert (error.frame_index, error.attempts, error.ended_by) == (7, 2, "SIGSEGV")


def test_a_dead_letter_names_the_class_or_the_signal() -> None:
    assert not_a_video("a.mp4", "text").error_class == "UnreadableVideoError"
    assert DecoderCrashError("gone", ended_by="SIGSEGV").error_class == "SIGSEGV"


def test_messages_have_four_parts() -> None:
    assert str(damaged("a.mp4", 3, "noise")).startswith("a.mp4: expected a sound frame 3, found noise. Copy the file")
