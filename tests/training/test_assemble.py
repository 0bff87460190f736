import json
from functools import partial
from pathlib import Path

import pytest
import torch
from toy_training import losses_of, train_on_two_forks
from trained_set import SMALLER

from hoiray.config.load import parse_training
from hoiray.config.training_presets import training_preset
from hoiray.config.what import Optimiser, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.errors import ConfigError, InputError
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import read_checkpoint, write_checkpoint
from hoiray.models.landmark_trunk import LandmarkTrunk
from hoiray.models.losses import TrainedNetwork
from hoiray.models.precision import Precision
from hoiray.predictors.load import CROP_NOTE, crop_note, crop_spec_of
from hoiray.training.assemble import (
    crop_spec,
    make_optimiser,
    make_state,
    prepare,
    require_backbone_weights,
    require_divisible_batch,
)
from hoiray.training.data_plan import plan_data
from hoiray.training.here import train_here
from hoiray.training.job import Prepared, TrainJob
from hoiray.training.reports import EpochReport, Event
from hoiray.training.world import World

"""A network of a few thousand weights, on 8 images to train on and 4 held out: two steps an epoch."""

WORKERS = TrainWorkers(loader_threads=0, report_every_steps=1, checkpoint_every_steps=1)
CPU = torch.device("cpu")


def make_run(data: Path, out: Path, *changes: str) -> TrainRun:
    annotated = {"format": "ho3d_v2", "uri": str(data)}
    values = {"output_uri": str(out), "training": {"annotated": annotated, **training_preset("nano")}}
    return parse_training(json.dumps(values), [*SMALLER, "training.validation_fraction=0.3", *changes])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("crops"))


def make_job(data: Path, out: Path, cache: str, *changes: str, max_minutes: float | None = None) -> TrainJob:
    run = make_run(data, out, *changes)
    plan = plan_data(run.training, load_hand_arrays(), seed=run.seed)
    parts = partial(prepare, run=run, plan=plan, workers=WORKERS, cache=cache)
    return TrainJob(str(out), parts, max_minutes=max_minutes)


def train(job: TrainJob, *, resume: bool = False) -> list[Event]:
    events: list[Event] = []
    train_here(job, World(), resume=resume, tell=events.append)
    return events


def prepared(data: Path, out: Path, cache: str, *changes: str) -> Prepared:
    return make_job(data, out, cache, *changes).prepare(World())


def test_a_network_is_trained_scored_and_written(training_data: Path, tmp_path: Path, cache: str) -> None:
    events = train(make_job(training_data, tmp_path / "out", cache))
    scores = [event.scores for event in events if isinstance(event, EpochReport)]
    assert len(scores) == 2
    assert set(scores[1]) == {
        "pa_mpjpe_mm", "mpjpe_mm", "joints_2d_percent", "constant_pa_mpjpe_mm", "constant_mpjpe_mm"
    }  # fmt: skip
    rows = losses_of(tmp_path / "out")
    assert [row["num_steps"] for row in rows if row["kind"] == "step"] == [1, 2, 3, 4]
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    network, info = read_checkpoint(str(tmp_path / "out" / "model.safetensors"), hand)
    assert network.config.input_px == 64
    assert (info.notes["steps"], info.notes["epochs"], info.notes["seed"]) == (4, 2, 0)
    assert info.notes["validation"] == scores[1]
    assert info.notes["data"] == ["ho3d_v2/train"]
    spec, interpolation = crop_spec_of(network.config, info.notes, source="model")
    assert (spec.size_px, interpolation) == (64, "linear")
    assert info.notes[CROP_NOTE] == crop_note(spec, interpolation)


def test_a_stopped_training_resumes_to_the_losses_of_one_that_was_not(
    training_data: Path, tmp_path: Path, cache: str
) -> None:
    for limit in (0.0, 0.0, None):
        train(make_job(training_data, tmp_path / "parts", cache, max_minutes=limit), resume=True)
    train(make_job(training_data, tmp_path / "whole", cache))
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("parts", "whole"))
    assert first == second


def test_two_workers_see_the_batches_of_one(training_data: Path, tmp_path: Path, cache: str) -> None:
    """The same samples in every step: the losses differ only by batch statistics, which each worker has of its own."""
    job = make_job(training_data, tmp_path / "two", cache)
    train_on_two_forks(job, tmp_path / "meetings")
    train(make_job(training_data, tmp_path / "one", cache))
    two, one = (losses_of(tmp_path / name) for name in ("two", "one"))
    # before the first step the weights are equal; the confidence and the location do not pass through the hand's norm
    assert [row["num_steps"] for row in two] == [row["num_steps"] for row in one]
    assert two[-1]["val_constant_pa_mpjpe_mm"] == one[-1]["val_constant_pa_mpjpe_mm"]
    workers = [job.prepare(World(rank, 2)).data for rank in range(2)]
    alone = job.prepare(World()).data
    for batches in zip(*(data.batches(0, 0) for data in (*workers, alone)), strict=True):
        ids = [set(batch.sample_ids) for batch in batches]
        assert ids[0] | ids[1] == ids[2]
        assert not ids[0] & ids[1]


def test_the_seed_decides_the_weights(training_data: Path, tmp_path: Path) -> None:
    states = [
        make_state(make_run(training_data, tmp_path, f"seed={n}"), Precision("cpu", None), CPU) for n in (0, 0, 1)
    ]
    weights = [torch.cat([w.detach().flatten() for w in state.model.parameters()]) for state in states]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def landmark_run(data: Path, out: Path, *changes: str) -> TrainRun:
    backbone = "training.network.backbone={kind: landmark, image_normalisation: none, pyramid_channels: 16}"
    return make_run(data, out, backbone, *changes)


def test_a_training_begins_from_the_landmark_networks_trunk_and_from_a_checkpoint_without_its_file(
    training_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    run = landmark_run(training_data, tmp_path)
    for begin in (lambda: require_backbone_weights(run.training), lambda: make_state(run, Precision("cpu", None), CPU)):
        with pytest.raises(InputError, match="hoiray assets fetch landmarks"):
            begin()
    torch.manual_seed(7)
    trunk, weights = LandmarkTrunk().state_dict(), tmp_path / "trunk.pth"
    torch.save(trunk, weights)
    begun = make_state(
        landmark_run(training_data, tmp_path, f"training.network.backbone.weights_uri={weights}"),
        Precision("cpu", None),
        CPU,
    )
    found = begun.model.network.backbone.trunk.state_dict()
    assert all(torch.equal(found[name], value) for name, value in trunk.items())
    write_checkpoint(str(tmp_path / "begun.safetensors"), begun.model.network)
    goes_on = landmark_run(training_data, tmp_path, f"training.init_uri={tmp_path / 'begun.safetensors'}")
    require_backbone_weights(goes_on.training)
    again = make_state(goes_on, Precision("cpu", None), CPU).model.network.backbone.trunk.state_dict()
    assert all(torch.equal(again[name], value) for name, value in trunk.items())


def test_without_held_out_samples_nothing_is_scored(training_data: Path, tmp_path: Path, cache: str) -> None:
    parts = prepared(training_data, tmp_path, cache, "training.validation_fraction=0")
    assert dict(parts.validate(parts.state.model)) == {}
    assert parts.data.steps_per_epoch == 3


def test_what_losses_depend_on_is_the_identity_and_nothing_else(
    training_data: Path, tmp_path: Path, cache: str
) -> None:
    base = prepared(training_data, tmp_path / "a", cache).identity
    assert prepared(training_data, tmp_path / "b", cache).identity == base
    for change in ("seed=1", "training.batch_size=2", "training.optimiser.learning_rate=0.5", "training.epochs=9",
                   "training.network.hand.joint_features=8", "training.augmentation.max_blur_px=1",
                   "training.validation_fraction=0.4"):  # fmt: skip
        other = prepared(training_data, tmp_path / "c", cache, change).identity
        assert (other == base) == (change == "training.validation_fraction=0.4"), change  # 4 of 12 are held out by both
    stairs = "training.optimiser.schedule=step"
    ids = [prepared(training_data, tmp_path, cache, stairs, f"training.epochs={n}").identity for n in (2, 9)]
    assert ids[0] == ids[1]


def test_the_crop_is_what_the_network_was_configured_for(training_data: Path, tmp_path: Path) -> None:
    spec = crop_spec(make_run(training_data, tmp_path, "training.network.regions.hand_box_factor=1.25").training)
    assert (spec.size_px, spec.roi_cells, spec.hand_box_factor) == (64, 16, 1.25)
    assert not spec.integer_centers


def test_the_optimiser_is_the_configured_one() -> None:
    model = torch.nn.Linear(2, 2)
    adam = make_optimiser(model, Optimiser(learning_rate=0.5, weight_decay=0.25))
    assert type(adam) is torch.optim.Adam
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["weight_decay"]) == (0.5, 0.25)
    assert type(make_optimiser(model, Optimiser(method="adamw"))) is torch.optim.AdamW


def test_a_batch_that_cannot_be_dealt_out_is_refused(training_data: Path, tmp_path: Path) -> None:
    training = make_run(training_data, tmp_path).training
    require_divisible_batch(training, 2)
    with pytest.raises(ConfigError, match=r"training\.batch_size: expected a multiple of the 3 workers, found 4"):
        require_divisible_batch(training, 3)


def test_a_training_may_start_from_a_checkpoint_of_the_same_network(
    training_data: Path, tmp_path: Path, cache: str
) -> None:
    train(make_job(training_data, tmp_path / "teacher", cache, "training.epochs=1"))
    teacher = tmp_path / "teacher" / "model.safetensors"
    change = f"training.init_uri={teacher}"
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    expected, info = read_checkpoint(str(teacher), hand)
    parts = prepared(training_data, tmp_path / "student", cache, change, "seed=7")
    assert isinstance(parts.state.model, TrainedNetwork)
    for name, value in parts.state.model.network.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name
    assert parts.identity["init"] == info.digest
    other = "training.network.hand.joint_features=8"
    with pytest.raises(ConfigError, match=r"found one with other settings of hand \(preset nano\)"):
        prepared(training_data, tmp_path / "other", cache, change, other)
    backbone = (change, "training.init_parts=backbone", "seed=7")
    parts = prepared(training_data, tmp_path / "other", cache, *backbone, other)
    assert isinstance(parts.state.model, TrainedNetwork)
    for name, value in parts.state.model.network.backbone.state_dict().items():
        assert torch.equal(value, expected.backbone.state_dict()[name]), name
    assert parts.identity["init_parts"] == "backbone"
    rest = (change, "training.init_parts=all_but_reasoning", "training.network.reasoning.queries=none")
    parts = prepared(training_data, tmp_path / "rest", cache, *rest)
    assert isinstance(parts.state.model, TrainedNetwork)
    loaded = parts.state.model.network.state_dict()
    reasoning = {name for name in expected.state_dict() if name.startswith(("hand_reasoning", "object_reasoning"))}
    assert reasoning
    assert loaded.keys() == expected.state_dict().keys() - reasoning
    for name, value in loaded.items():
        assert torch.equal(value, expected.state_dict()[name]), name
    with pytest.raises(ConfigError, match="found one with other settings of backbone"):
        prepared(training_data, tmp_path / "third", cache, *backbone, "training.network.backbone.pyramid_channels=32")
