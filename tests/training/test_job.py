import pickle
from dataclasses import FrozenInstanceError
from functools import partial

import pytest
from toy_training import prepare_toy

from hoiray.training.job import TrainJob
from hoiray.training.world import World


def test_a_job_travels_to_another_process_and_prepares_the_same_part(tmp_path: object) -> None:
    job = TrainJob(str(tmp_path), partial(prepare_toy, out=str(tmp_path)), keep=3)
    arrived = pickle.loads(pickle.dumps(job))
    assert (arrived.out, arrived.keep, arrived.max_minutes) == (job.out, 3, None)
    assert arrived.prepare(World()).identity == job.prepare(World()).identity


def test_a_job_cannot_be_changed(tmp_path: object) -> None:
    with pytest.raises(FrozenInstanceError):
        TrainJob(str(tmp_path), prepare_toy).keep = 1  # type: ignore[misc]
