import pickle
from functools import partial
from pathlib import Path

from toy_training import prepare_toy

from hoiray.training.job import TrainJob
from hoiray.training.world import World


def test_a_job_travels_to_another_process_and_is_prepared_there(tmp_path: Path) -> None:
    job = TrainJob(str(tmp_path), partial(prepare_toy, out=str(tmp_path), seed=3), max_minutes=2.0)
    again = pickle.loads(pickle.dumps(job))
    assert (again.out, again.keep, again.max_minutes) == (str(tmp_path), 2, 2.0)
    first, second = (each.prepare(World()) for each in (job, again))
    assert first.identity == second.identity == {"seed": 3}
    assert first.settings == second.settings
