"""The whole loop, for real, on the smallest sets there are: in one go, killed half-way, and asked for twice at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hoiray.io.store import Store
from hoiray.selftrain.demo import DemoRequest, demo_run
from hoiray.selftrain.rounds import STORY_FILE


def test_the_demos_run_file_is_one_that_anyone_could_have_written() -> None:
    run = demo_run(DemoRequest(), Store.open("/data/demo"))
    assert run.training is not None
    assert run.self_training is not None
    assert (run.self_training.audit.split, run.self_training.audit.format) == ("validation", "synthetic_truth")
    assert run.videos.uri == "/data/demo/data/videos.txt"
    assert run.limits.model_dump() == {**run.limits.model_dump(), "min_box_iou": 0.6, "max_motion_pose": 0.01}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_demo_that_was_killed_goes_on_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hoiray", "demo", "--size", "tiny", "--no-ray", "--out", str(tmp_path)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "logs/teacher.log").exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "expected one self-training at a time" in second.stderr
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(5.0)  # its command is ended by the system
    whole = subprocess.run(command, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    assert "data/wild: was done before" in whole.stderr
    assert "| wild | PA-MPJPE, mm |" in whole.stdout
    story = json.loads((tmp_path / STORY_FILE).read_text())
    assert story["rounds"][0]["num_accepted"] > 0
    assert {each["decision"] for each in story["rounds"]} <= {"last round", "stopped: no gain shown", "stopped: harm"}
    page = (tmp_path / "demo.html").read_text()
    assert "Teacher against student" in page
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, whole.stdout)
    other = subprocess.run(
        [*command[:-1], str(tmp_path), "--size", "demo"], capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "one done with" in other.stderr
