"""`hoiray canaries` tells miss rates and keeps them beside the labels."""

import json
from pathlib import Path

import pytest
from labelled_run import labelled_run

from hoiray.cli.canaries import plant
from hoiray.stages.canary_file import canary_lines, read_canaries
from hoiray.stages.label_summary import summarise, summary_lines, write_summary
from hoiray.trust.canaries import KINDS


def test_the_miss_rate_of_every_kind_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = labelled_run(tmp_path, "ab")
    assert plant(job.store.uri, limits=None, predict_id=None, num_clips=2, seed=0) == 0
    said = capsys.readouterr().out
    assert all(kind in said for kind in KINDS)
    planted = read_canaries(job.store, job.judge_id)
    assert planted is not None
    assert planted.num_clips > 0
    # a hand in a mirror is refused by nothing that this judge looks at
    mirrored = next(one.miss for one in planted.kinds if one.kind == "mirrored")
    assert mirrored.num_labels > 0
    assert mirrored.rate > 0.5
    # and stands in the summary, as JSON and in words
    summary = summarise(job)
    assert summary.canaries == planted
    assert set(canary_lines(planted)) <= set(summary_lines(summary))
    write_summary(job, summary)
    kinds = json.loads(job.store.read("summary.json"))["canaries"]["kinds"]
    assert [one["kind"] for one in kinds] == list(KINDS)
