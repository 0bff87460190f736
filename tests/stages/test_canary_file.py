"""The counts of canaries beside a run's labels."""

import math
from pathlib import Path

import pytest

from hoiray.errors import ContractError
from hoiray.io.store import Store
from hoiray.stages.canary_file import (
    Canaries,
    KindCount,
    all_canaries,
    canary_key,
    canary_lines,
    miss_words,
    read_canaries,
    write_canaries,
)
from hoiray.trust.canaries import MissRate

SOME = MissRate(num_clips=20, num_labels=129, num_missed=4, rate=4 / 129, low=0.006, high=0.09)
NONE = MissRate(0, 0, 0, math.nan, 0.0, 1.0)


def canaries(judge_id: str = "j") -> Canaries:
    return Canaries(judge_id, "p", 3, 20, 20, (KindCount("mirrored", SOME), KindCount("time shift", NONE)))


def test_what_is_written_is_read_again_of_every_judge(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert all_canaries(store) == []
    for judge_id in ("j", "k"):
        write_canaries(store, canaries(judge_id))
    found = read_canaries(store, "j")
    assert found is not None
    assert found.kinds[0] == canaries().kinds[0]
    assert math.isnan(found.kinds[1].miss.rate)
    assert [one.judge_id for one in all_canaries(store)] == ["j", "k"]
    assert read_canaries(store, "other") is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write(canary_key("j"), b'{"canary_version": 9}')
    with pytest.raises(ContractError, match=r"j\.json: expected counts of canaries, version 1"):
        read_canaries(store, "j")


def test_the_miss_rate_is_told_with_its_interval_and_its_counts() -> None:
    assert miss_words(SOME) == "3.1% (95 %: 0.6% to 9.0%), 4 of 129 labels of 20 clips"
    assert miss_words(NONE) == "nothing planted was wrong"
    assert len(canary_lines(canaries())) == 3
