"""Trying again: how often, how long to wait, and who decides what deserves it.

There is one loop for every storage call. The libraries' own retries are switched off (boto3's cover the head of an
answer, not a body that is cut while it is read), so that a call is tried as often as written here and not that often
squared.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class RetryPolicy:
    """How a call is repeated.

    Attributes:
        max_attempts: calls in all, the first one included.
        base_s: longest wait before the second attempt; doubled before every further one.
        cap_s: no wait is longer.
    """

    max_attempts: int = 8
    base_s: float = 0.2
    cap_s: float = 20.0


PATIENT: Final = RetryPolicy()
"""For the work of a run: 8 attempts over 13 s on average, 25 s at most. At 5 % faults a call fails for good once in
2.6e10."""

IMPATIENT: Final = RetryPolicy(max_attempts=2, base_s=0.1)
"""For a question a person waits for, such as whether a place can be reached at all."""


def backoff_s(attempt: int, policy: RetryPolicy, rng: random.Random) -> float:
    """Return how long to wait after a failed attempt, in seconds: "full jitter", uniform in [0, min(cap, base 2^n)].

    Without jitter a thousand workers that were throttled together would come back together.

    Args:
        attempt: the attempt that failed, from 1.
        policy: its base and cap.
        rng: source of the jitter.
    """
    return rng.uniform(0.0, min(policy.cap_s, policy.base_s * 2.0 ** (attempt - 1)))


def call_with_retries(
    call: Callable[[int], Result],
    is_transient: Callable[[Exception], bool],
    *,
    policy: RetryPolicy = PATIENT,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Call until it succeeds, an error is not transient, or the attempts are used up.

    Args:
        call: takes the number of the attempt, from 1.
        is_transient: whether an error may vanish by itself.
        policy: how often, and how long to wait.
        sleep: waits; the tests pass their own.

    Raises:
        Exception: the last error, unchanged.
    """
    rng = random.Random()  # noqa: S311 - jitter, nothing secret
    for attempt in range(1, policy.max_attempts):
        try:
            return call(attempt)
        except Exception as error:
            if not is_transient(error):
                raise
        sleep(backoff_s(attempt, policy, rng))
    return call(policy.max_attempts)
