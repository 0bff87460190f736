import subprocess
import sys
from pathlib import Path

import pytest

from hoiray.cli.train import default_cache, fix_labels, plan_line, run_train, summary
from hoiray.cli.train_request import Request
from hoiray.config.load import load_training, parse_training
from hoiray.config.what import Hand
from hoiray.datasets.label_rows import LabelChoice
from hoiray.datasets.label_run import LabelRun
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.training.data_plan import DataPlan, PlannedSet
from hoiray.training.job import Ending
from hoiray.training.label_plan import LabelPlan

ROOT = Path(__file__).parents[2]
SMALLER = (
    "training.network={preset: nano, input_px: 64, backbone: {widths: [8, 8, 16, 16], pyramid_channels: 16}}",
    "training.network.hand.hourglass_channels=16",
    "training.network.hand.encoder_widths=[16, 16, 16]",
    "training.network.obj.channels=16",
    "training.batch_size=4",
    "training.validation_fraction=0.3",
    "training.epochs=1",
)


def request_of(data: Path, out: Path, cache: Path, **options: bool) -> Request:
    return Request(data=[str(data)], out=str(out), cache=cache, overrides=SMALLER, uses_ray=False, **options)


def test_a_network_is_trained_from_the_command_line(
    training_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    run_train(request_of(training_data, out, tmp_path / "crops"))
    told = capsys.readouterr()
    assert "data: 8 images to train on, 4 held out (1 of 3 people)" in told.err
    assert "epoch 1/1 ended" in told.err
    assert "trained: 1 of 1 epochs, 2 steps" in told.out
    assert "| PA-MPJPE, mm | " in told.out
    assert f"model: {out / 'model.safetensors'}. Score it: " in told.out
    assert load_training(out / "train.yaml").training.batch_size == 4
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoints", "history.parquet", "model.safetensors", "tensorboard", "train.yaml"
    ]  # fmt: skip

    with pytest.raises(ConfigError, match="Pass --resume to go on"):
        run_train(request_of(training_data, out, tmp_path / "crops"))
    run_train(request_of(training_data, out, tmp_path / "crops", resume=True))
    assert "trained: 1 of 1 epochs, 2 steps" in capsys.readouterr().out


def test_the_job_is_started_like_any_module_and_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jobs.train", str(tmp_path / "no.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'no.yaml'}: expected a readable configuration file, found")


def test_the_example_file_is_the_papers_training() -> None:
    run = load_training(ROOT / "jobs/train.yaml")
    plain = parse_training("output_uri: o\ntraining: {annotated: {format: ho3d_v2, uri: data/HO3D_v2}}").training
    assert run.training.model_copy(update={"precision": "float32"}) == plain


def ending(*, is_complete: bool, scores: dict[str, float]) -> Ending:
    return Ending(is_complete, 3, 40, scores, {"total": 1.0}, "out/model.safetensors")


def test_the_summary_has_the_constant_hand_in_its_table() -> None:
    run = parse_training("output_uri: o\ntraining: {annotated: {format: fpha, uri: d}, epochs: 5}")
    scores = {"pa_mpjpe_mm": 8.0, "mpjpe_mm": 25.0, "constant_pa_mpjpe_mm": 9.0, "constant_mpjpe_mm": 105.0}
    text = summary(run, ending(is_complete=True, scores=scores))
    assert "trained: 3 of 5 epochs, 40 steps" in text
    assert "| held-out samples | this network | constant hand |" in text
    assert "| PA-MPJPE, mm | 8.00 | 9.00 |" in text
    assert "evaluate --model out/model.safetensors --data d" in text
    stopped = summary(run, ending(is_complete=False, scores={}))
    assert "stopped in time; --resume goes on: 3 of 5 epochs" in stopped
    assert "|" not in stopped


def test_what_is_held_out_is_said_in_its_unit() -> None:
    planned = PlannedSet(parse_training("output_uri: o\ntraining: {annotated: {format: fpha, uri: d}}")
                         .training.annotated, (1, 2, 3), (4,))  # fmt: skip
    groups = {"train": 4, "validation": 1}
    assert plan_line(DataPlan((planned,), groups, is_by_subject=True)) == (
        "data: 3 images to train on, 1 held out (1 of 5 people)"
    )
    nothing = PlannedSet(planned.annotated, (1, 2, 3), ())
    assert plan_line(DataPlan((nothing,), {}, is_by_subject=False)) == "data: 3 images to train on, none held out"


def test_labels_are_counted_beside_the_annotated_images() -> None:
    annotated = parse_training("output_uri: o\ntraining: {annotated: {format: fpha, uri: d}}").training.annotated
    run = LabelRun(
        "r", Store.open("r"), "s", "j", "p", "q", (), 9, 5, Store.open("p"), (), None, Hand(flat_hand_mean=True)
    )
    plan = DataPlan((PlannedSet(annotated, (1, 2, 3), ()),), {}, is_by_subject=False,
                    labels=LabelPlan(run, LabelChoice(), 5, 4, 2))  # fmt: skip
    assert plan_line(plan) == (
        "data: 3 annotated images and 5 labels (4 frames of 2 videos) to train on, none held out"
    )


def test_without_labels_there_is_nothing_to_fix() -> None:
    run = parse_training("output_uri: o\ntraining: {annotated: {format: fpha, uri: d}}")
    assert fix_labels(run) == (run, None)


def test_crops_go_to_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == "/somewhere/hoiray/crops"
