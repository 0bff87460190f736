import pickle
from pathlib import Path

import label_runs as runs


def test_a_run_travels_to_workers_and_names_samples_by_its_predictions(tmp_path: Path) -> None:
    run = runs.write_label_run(tmp_path, [], [])
    assert pickle.loads(pickle.dumps(run)) == run
    judged_again = runs.write_label_run(tmp_path, [], [], judge_id="k" * 32)
    assert run.name == judged_again.name == "labels-pppppppp"
