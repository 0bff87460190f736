import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from toy_training import losses_of, prepare_toy

from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.training.checkpoints import CHECKPOINTS, list_folders
from hoiray.training.here import clock, forget_old, refuse_used_output, train_here
from hoiray.training.job import Ending, TrainJob
from hoiray.training.reports import Event, Note
from hoiray.training.world import World

TESTS = Path(__file__).parents[1]


def run(
    out: Path,
    events: list[Event] | None = None,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    seed: int = 0,
) -> Ending:
    job = TrainJob(str(out), partial(prepare_toy, out=str(out), seed=seed), max_minutes=max_minutes)
    return train_here(job, World(), resume=resume, tell=(events if events is not None else []).append)


def test_a_training_leaves_a_model_its_history_events_and_its_last_states(tmp_path: Path) -> None:
    events: list[Event] = []
    ending = run(tmp_path / "a", events)
    assert (ending.is_complete, ending.epoch, ending.num_steps) == (True, 3, 15)
    assert ending.model_uri == str(tmp_path / "a" / "weights.json")
    assert ending.scores == {"error": losses_of(tmp_path / "a")[-1]["val_error"]}
    assert ending.means["total"] == losses_of(tmp_path / "a")[-1]["loss_total"]
    assert list_folders(Store.open(tmp_path / "a")) == ["step_00000012", "step_00000015_epoch"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        CHECKPOINTS, "history.parquet", "tensorboard", "weights.json"
    ]  # fmt: skip
    assert len(events) == 9 + 3


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2400):
        if path.exists():
            return
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def start(code: str, arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)


def test_a_killed_process_goes_on_to_the_losses_of_an_unbroken_run(tmp_path: Path) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    code = (
        "from functools import partial; from toy_training import prepare_toy; from hoiray.training.here import *;"
        f"job = TrainJob({str(broken)!r}, partial(prepare_toy, out={str(broken)!r}, halt=(1, 2)));"
        "train_here(job, __import__('hoiray.training.world').training.world.World(), resume=False, tell=print)"
    )
    process = start(code)
    wait_for(tmp_path / "broken.halted", process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    events: list[Event] = []
    assert run(broken, events, resume=True).is_complete
    run(unbroken)
    assert isinstance(events[0], Note)
    assert events[0].text.startswith("goes on at epoch 2, step 1 of ")
    assert losses_of(broken) == losses_of(unbroken)
    assert (broken / "weights.json").read_bytes() == (unbroken / "weights.json").read_bytes()


def test_time_that_is_up_stops_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    for expected_steps in (1, 2):
        ending = run(tmp_path / "short", resume=True, max_minutes=0.0)
        assert (ending.is_complete, ending.num_steps) == (False, expected_steps)
        assert ending.model_uri == str(tmp_path / "short" / "weights.json"), "the model as it is now"
    assert run(tmp_path / "short", resume=True).is_complete
    run(tmp_path / "long")
    assert losses_of(tmp_path / "short") == losses_of(tmp_path / "long")


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path, max_minutes=0.0)
    with pytest.raises(
        ConfigError, match=r"--resume from .*step_00000001: expected seed 0, found seed 1\. Resume with"
    ):
        run(tmp_path, resume=True, seed=1)


def test_resuming_where_nothing_is_begins(tmp_path: Path) -> None:
    assert run(tmp_path / "new", resume=True, max_minutes=0.0).num_steps == 1


def test_resuming_from_nothing_but_half_written_states_says_so_and_begins(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINTS / "step_00000003").mkdir(parents=True)
    (tmp_path / CHECKPOINTS / "step_00000003" / "state.pt").write_bytes(b"half")
    events: list[Event] = []
    assert run(tmp_path, events, resume=True, max_minutes=0.0).num_steps == 1
    assert events[0] == Note(f"found no whole state in {tmp_path / CHECKPOINTS}: begins anew")


def test_an_output_with_something_in_it_is_refused(tmp_path: Path) -> None:
    refuse_used_output(Store.open(tmp_path / "new"))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"expected an empty or a new place, found notes\.txt in it\. Pass --resume"):
        refuse_used_output(Store.open(tmp_path))


def test_only_the_newest_states_are_kept(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for number in (1, 2, 3):
        store.write(f"{CHECKPOINTS}/step_{number:08d}/state.pt", b"")
    forget_old(store, 2)
    assert list_folders(store) == ["step_00000002", "step_00000003"]


def test_without_a_limit_time_is_never_up() -> None:
    assert not clock(None)()
    assert not clock(60.0)()
    assert clock(0.0)()
