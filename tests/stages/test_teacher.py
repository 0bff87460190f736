import hashlib
from pathlib import Path

import pytest
import torch
from labelling import run_of
from labelling_predictor import BoxPredictor, FindingPredictor

from hoiray.config.network import network_preset
from hoiray.errors import ConfigError, ContractError
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import write_checkpoint
from hoiray.models.network import HandObjectNetwork
from hoiray.models.precision import Precision
from hoiray.predictors.network import NetworkPredictor
from hoiray.stages.teacher import digest_of, finder_of, open_detector, open_teacher, run_digests


def test_a_plug_in_is_found_by_its_dotted_path_and_given_its_options() -> None:
    run = run_of("data", "out", "teacher.options.slow_while=x")
    predictor = open_teacher(run, device="cpu", batch_size=4)
    assert isinstance(predictor, BoxPredictor)
    assert predictor.slow_while == "x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.predictor=nowhere.make", "No module named 'nowhere'"),
        ("teacher.predictor=labelling_predictor.mkae", "no attribute 'mkae'"),
        ("teacher.predictor=netwrok", "expected network, an installed plug-in .*, found only landmarks, network"),
        ("teacher.predictor=labelling.clips", "expected options it takes, not none, found"),
        ("teacher.options.depth=3", "expected options it takes, not depth, found"),
        ("hand.tip_set=manopth", "expected 'ho3d', as boxes was trained, found 'manopth'"),
        ("teacher.predictor=network", "teacher.checkpoint_uri: expected a checkpoint, found null"),
        (
            "teacher={predictor: landmarks, checkpoint_uri: weights.safetensors}",
            "teacher.checkpoint_uri: expected none for landmarks",
        ),
    ],
)
def test_a_teacher_that_cannot_be_is_said_so(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_teacher(run_of("data", "out", override), device="cpu", batch_size=4)


def test_a_network_takes_a_batch_with_all_its_views_at_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    path = tmp_path / "nano.safetensors"
    write_checkpoint(str(path), HandObjectNetwork(network_preset("nano"), hand), storage="float32")
    network = ("teacher.predictor=network", f"teacher.checkpoint_uri={path}")
    run = run_of("data", "out", *network)
    predictor = open_teacher(run, device="cpu", batch_size=4)
    assert isinstance(predictor, NetworkPredictor)
    assert predictor.max_crops == 8
    exact = run_of("data", "out", *network, "teacher.options.precision=float32")
    assert open_teacher(exact, device="cpu", batch_size=4).precision == Precision("cpu", None)
    for wrong, message in (
        ("precision=int8", r"teacher\.options\.precision: expected float32, auto, bfloat16, float16, found 'int8'"),
        ("depth=3", r"teacher\.options of network: expected precision, found depth"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_teacher(run_of("data", "out", *network, f"teacher.options.{wrong}"), device="cpu", batch_size=4)
    assert digest_of(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    relative = run_of("data", "out", *network, "hand.flat_hand_mean=false")
    with pytest.raises(ConfigError, match=r"hand\.flat_hand_mean: expected true"):
        open_teacher(relative, device="cpu", batch_size=4)


def test_a_detector_is_loaded_where_a_run_names_one_and_its_weights_are_part_of_the_digests(tmp_path: Path) -> None:
    free = ("videos.box_format=none", "videos.boxes_uri=null", "videos.hand_side=both")
    assert open_detector(run_of("data", "out", *free), device="cpu") is None
    path = tmp_path / "hands.pth"
    path.write_bytes(b"none")
    run = run_of("data", "out", *free, f"detector={{checkpoint_uri: {path}}}")
    assert run_digests(run)["detector_sha256"] == hashlib.sha256(b"none").hexdigest()
    with pytest.raises(ContractError, match=r"hands\.pth: expected a state dict"):
        open_detector(run, device="cpu")


def test_only_a_predictor_that_finds_hands_does_without_boxes() -> None:
    boxed = run_of("data", "out")
    free = run_of("data", "out", "videos.box_format=none", "videos.boxes_uri=null")
    finding = FindingPredictor()
    assert finder_of(boxed, finding) is None
    assert finder_of(free, finding) is finding
    with pytest.raises(ConfigError, match="boxes of the hands, which boxes does not find by itself"):
        finder_of(free, BoxPredictor())
