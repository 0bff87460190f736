"""What rounds ask of the commands, when they end, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from hoiray.config.load import load_run
from hoiray.config.what import RunConfig
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.selftrain.phases import Runner
from hoiray.selftrain.rounds import (
    Rounds,
    RoundsRequest,
    audit_phase,
    decide,
    label_phase,
    student_phase,
    teacher_phase,
)

RUN_FILE = Path(__file__).parents[2] / "jobs/self_train.yaml"


def request_of(*changes: str, **more: Any) -> RoundsRequest:
    return RoundsRequest(load_run(RUN_FILE, changes), "jobs/self_train.yaml", changes, **more)


STORE = Store.open("/data/out")


@pytest.mark.parametrize(
    ("finding", "is_last", "decision"),
    [
        ("better", False, "next round"),
        ("better", True, "last round"),
        ("no difference shown", False, "stopped: no gain shown"),
        ("no difference shown", True, "stopped: no gain shown"),
        ("worse", False, "stopped: harm"),
        ("worse", True, "stopped: harm"),
    ],
)
def test_a_further_round_needs_a_gain(finding: Any, is_last: bool, decision: str) -> None:
    assert decide(finding, is_last=is_last) == decision


def test_commands_are_those_anyone_would_type() -> None:
    request = request_of("seed=3", label_options=("--no-ray",), train_options=("--workers", "2"))
    label = label_phase(request, STORE, 2, "teacher.safetensors").arguments
    assert label == (
        *("label", "jobs/self_train.yaml", "--set", "seed=3", "--set", 'output_uri="/data/out/round-2/labels"'),
        *("--set", 'teacher.checkpoint_uri="teacher.safetensors"', "--no-ray"),
    )
    student = student_phase(request, STORE, 2, "teacher.safetensors").arguments
    assert student == (
        *("train", "--config", "jobs/self_train.yaml", "--out", "/data/out/round-2/train", "--resume"),
        *("--set", "seed=3", "--set", 'training.labels_uri="/data/out/round-2/labels"', "--workers", "2"),
    )
    teacher = teacher_phase(request, STORE).arguments
    assert not any("labels_uri" in word for word in teacher)
    audit = request.run.self_training.audit  # type: ignore[union-attr]
    words = audit_phase(audit, STORE, 1, "t", "s").arguments
    assert words[:5] == ("evaluate", "--model", "s", "--against", "t")
    assert words[-4:] == ("--format", "freihand", "--split", "evaluation")


def test_a_student_starts_from_its_teacher_where_it_is_told_to() -> None:
    request = request_of("self_training.starts_from=teacher")
    phase = student_phase(request, STORE, 1, "t.safetensors")
    assert 'training.init_uri="t.safetensors"' in phase.arguments
    assert phase.settings != student_phase(request_of(), STORE, 1, "t.safetensors").settings


def test_the_number_of_rounds_may_grow_without_doing_anything_again() -> None:
    few, many = request_of(), request_of("self_training.max_rounds=9")
    assert label_phase(few, STORE, 1, "t").settings == label_phase(many, STORE, 1, "t").settings
    assert label_phase(few, STORE, 1, "t").arguments == label_phase(many, STORE, 1, "t").arguments
    assert student_phase(few, STORE, 1, "t").settings == student_phase(many, STORE, 1, "t").settings
    assert teacher_phase(few, STORE).settings == teacher_phase(many, STORE).settings


@pytest.mark.parametrize("change", ["training.epochs=61", "seed=5", "hand.tip_set=manopth"])
def test_what_decides_a_training_decides_whether_it_is_the_same(change: str) -> None:
    assert teacher_phase(request_of(), STORE).settings != teacher_phase(request_of(change), STORE).settings


def test_what_decides_labels_decides_whether_they_are_the_same() -> None:
    one, other = request_of(), request_of("limits.min_box_iou=0.5")
    assert label_phase(one, STORE, 1, "t").settings != label_phase(other, STORE, 1, "t").settings
    assert label_phase(one, STORE, 1, "t").settings != label_phase(one, STORE, 1, "u").settings
    longer = request_of("training.epochs=61")
    assert label_phase(one, STORE, 1, "t").settings == label_phase(longer, STORE, 1, "t").settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("self_training=null",), "expected a section self_training, found none"),
        (("training=null", "self_training=null"), "expected a section training and self_training"),
        (("training.labels_uri=s3://bucket/run",), r"training\.labels_uri: expected null"),
    ],
)
def test_a_run_that_cannot_go_in_rounds_is_refused(tmp_path: Path, changes: tuple[str, ...], message: str) -> None:
    run: RunConfig = load_run(RUN_FILE, changes)
    with pytest.raises(ConfigError, match=message):
        Rounds(RoundsRequest(run, "run.yaml"), Runner(Store.open(tmp_path)))
