import random

import pytest

from hoiray.io.retry import PATIENT, RetryPolicy, backoff_s, call_with_retries


class Flaky:
    """Fails with the given errors, one after the other, then answers with the attempt's number."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self, attempt: int) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return attempt


def is_os_error(error: Exception) -> bool:
    return isinstance(error, OSError)


def test_a_transient_error_is_tried_again_after_a_wait() -> None:
    waits: list[float] = []
    assert call_with_retries(Flaky(OSError(), OSError()), is_os_error, sleep=waits.append) == 3
    assert len(waits) == 2


def test_any_other_error_is_raised_at_once() -> None:
    waits: list[float] = []
    with pytest.raises(KeyError):
        call_with_retries(Flaky(KeyError()), is_os_error, sleep=waits.append)
    assert waits == []


def test_the_last_error_is_raised_unchanged() -> None:
    last = OSError("last")
    with pytest.raises(OSError, match="last") as raised:
        call_with_retries(Flaky(OSError(), last), is_os_error, policy=RetryPolicy(max_attempts=2), sleep=lambda _: None)
    assert raised.value is last


def test_waits_are_random_grow_twofold_and_are_capped() -> None:
    rng = random.Random(0)
    policy = RetryPolicy(base_s=1.0, cap_s=5.0)
    longest = [max(backoff_s(attempt, policy, rng) for _ in range(2000)) for attempt in (1, 2, 3, 4)]
    assert longest == pytest.approx([1.0, 2.0, 4.0, 5.0], rel=0.01)
    assert min(backoff_s(4, policy, rng) for _ in range(2000)) < 0.05


def test_a_run_outlasts_a_short_outage() -> None:
    bounds = [min(PATIENT.cap_s, PATIENT.base_s * 2**attempt) for attempt in range(PATIENT.max_attempts - 1)]
    assert 10.0 < sum(bounds) / 2 < 20.0
