from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from predictor_scenes import SPEC, scenes

from hoiray.config.network import network_preset
from hoiray.config.what import PrecisionName
from hoiray.datasets.crop_plan import CropSpec
from hoiray.errors import ConfigError, ContractError, InputError
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import write_checkpoint
from hoiray.models.network import HandObjectNetwork
from hoiray.predictors.load import CROP_NOTE, choose_device, crop_note, crop_spec_of, load_network
from hoiray.predictors.network import NetworkPredictor
from hoiray.predictors.protocol import FloatArray


def test_a_checkpoint_predicts_what_its_network_did(tmp_path: Path) -> None:
    torch.manual_seed(1)
    hand = HandModel.load(flat_hand_mean=True, tip_set="freihand")
    network = HandObjectNetwork(network_preset("nano", input_px=SPEC.size_px), hand).eval()
    spec = replace(SPEC, context_factor=1.8, roi_cells=network.config.regions.cells)
    path = tmp_path / "teacher.safetensors"
    digest = write_checkpoint(str(path), network, notes={CROP_NOTE: crop_note(spec, "linear")})
    loaded = load_network(str(path), hand_path=None, device="cpu", precision="float32")
    assert (loaded.predictor.name, loaded.predictor.digest, loaded.predictor.tip_set) == ("teacher", digest, "freihand")
    assert loaded.predictor.spec == spec
    request = scenes().request
    expected = NetworkPredictor(network, spec, "", "").predict(request)
    np.testing.assert_array_equal(loaded.predictor.predict(request).joints_3d_m, expected.joints_3d_m)


def test_half_precision_moves_points_by_less_than_a_pixel_and_not_at_all_where_it_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    network = HandObjectNetwork(network_preset("nano", input_px=SPEC.size_px), hand).eval()
    path = tmp_path / "teacher.safetensors"
    write_checkpoint(str(path), network, storage="float32")
    request = scenes().request

    def points(precision: PrecisionName) -> FloatArray:
        predictor = load_network(str(path), hand_path=None, device="cpu", precision=precision).predictor
        return predictor.predict(request).joints_2d_px

    whole, half = points("float32"), points("bfloat16")
    assert 0.0 < np.nanmax(np.abs(whole - half)) < 1.0
    for has_tiles, same in ((True, half), (False, whole)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=has_tiles: tiles)
        np.testing.assert_array_equal(points("auto"), same)
    with pytest.raises(ConfigError, match=r"teacher\.options\.precision: expected a GPU, found float16 on a CPU"):
        points("float16")


def test_without_a_note_crops_are_those_of_the_preset() -> None:
    spec, interpolation = crop_spec_of(network_preset("nano"), {}, source="x")
    config = network_preset("nano")
    assert (spec.size_px, spec.roi_cells, interpolation) == (config.input_px, config.regions.cells, "linear")
    assert not spec.integer_centers
    released, how = crop_spec_of(network_preset("released"), {}, source="x")
    assert (released.integer_centers, how) == (True, "nearest")


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ({"size": 3}, "notes"),
        ("wide", "notes"),
        ({**crop_note(CropSpec(64), "linear")}, "crops of 64 px"),
        ({**crop_note(SPEC, "linear"), "interpolation": "cubic"}, "'cubic'"),
        ({**crop_note(SPEC, "linear"), "context_factor": -1.0}, "context_factor"),
    ],
)
def test_a_note_on_other_crops_is_refused(note: Any, message: str) -> None:
    config = network_preset("nano", input_px=128)
    own = config.regions.cells
    if isinstance(note, dict) and note.get("roi_cells") == SPEC.roi_cells:
        note = {**note, "roi_cells": own}
    with pytest.raises(ContractError, match=message):
        crop_spec_of(config, {CROP_NOTE: note}, source="x.safetensors")


def test_a_missing_checkpoint_and_a_missing_device_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.safetensors"):
        load_network(str(tmp_path / "none.safetensors"), hand_path=None, device="cpu")
    with pytest.raises(ConfigError, match="--device"):
        choose_device("warp:7")
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in {"cpu", "cuda"}
