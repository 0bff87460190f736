import pytest

from hoiray.training import reports
from hoiray.training.reports import Stopwatch


def test_a_lap_tells_samples_a_second_and_the_share_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(reports.time, "perf_counter", lambda: now[0])
    watch = Stopwatch()
    for _ in range(2):
        watch.begin_waiting()
        now[0] += 0.5
        watch.got(num_samples=8)
        now[0] += 1.5
    timing = watch.lap()
    assert (timing.samples_per_s, timing.data_wait_share) == (4.0, 0.25)
    now[0] += 2.0
    watch.begin_waiting()
    watch.got(num_samples=8)
    assert watch.lap().samples_per_s == 4.0
