import json

import pytest
from pydantic import ValidationError

from hoiray.config.network import (
    NETWORK_PRESETS,
    BackboneConfig,
    HandDecoderConfig,
    LossConfig,
    NetworkConfig,
    ObjectDecoderConfig,
    ReasoningConfig,
    RegionConfig,
    network_preset,
)
from hoiray.errors import ConfigError


@pytest.mark.parametrize("name", list(NETWORK_PRESETS))
def test_a_preset_knows_its_name_and_survives_a_file(name: str) -> None:
    preset = network_preset(name)
    assert preset.preset == name
    assert NetworkConfig.model_validate_json(preset.model_dump_json()) == preset
    assert NetworkConfig.model_validate(json.loads(preset.model_dump_json())) == preset


def test_a_misspelt_preset_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'nano'") as caught:
        network_preset("nanno")
    assert "paper, released, small, nano" in str(caught.value)


def test_a_changed_preset_is_checked_as_a_whole() -> None:
    assert network_preset("nano", input_px=96).input_px == 96
    with pytest.raises(ValidationError, match="multiple of 32"):
        network_preset("nano", input_px=100)


def test_paper_and_released_code_differ_where_text_and_code_do() -> None:
    paper, released = network_preset("paper"), network_preset("released")
    assert (paper.hand.rotation, released.hand.rotation) == ("axis_angle", "six_d")
    assert (paper.losses.joints_2d, released.losses.joints_2d) == ("heatmaps", "coordinates")
    assert (paper.losses.confidence_distance, released.losses.confidence_distance) == ("squared", "absolute")
    assert (paper.losses.object_area, released.losses.object_area) == ("all_cells", "mask_cells")
    assert (paper.obj.head, released.obj.head) == ("streams", "single")
    assert (paper.backbone.activation, released.backbone.activation) == ("relu", "leaky_relu")
    assert (paper.regions.aligned, released.regions.aligned) == (True, False)
    assert paper.hand.encoder_widths[-1] * 4 == 2048
    assert released.hand.encoder_widths[-1] * 4 == 1024
    assert {paper.input_px, released.input_px} == {512}
    assert {paper.regions.cells, released.regions.cells} == {32}


def test_the_weights_are_the_released_codes_and_the_papers_times_a_thousand() -> None:
    weights = network_preset("released").losses.weights
    assert (weights.vertices, weights.joints_3d, weights.pose, weights.shape) == (1e4, 1e4, 10.0, 0.1)
    assert (weights.joints_2d, weights.object_location, weights.object_confidence) == (100.0, 500.0, 100.0)
    assert network_preset("paper").losses.weights.heatmaps == 0.1 * 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hand": HandDecoderConfig(hourglass_depth=6)}, "halvings that divide the 32 cells"),
        ({"hand": HandDecoderConfig(encoder_widths=(8,) * 6)}, "stages that halve"),
        ({"reasoning": ReasoningConfig(heads=3)}, "a divisor of pyramid_channels"),
        (
            {"obj": ObjectDecoderConfig(head="heatmaps"), "losses": LossConfig(object_area="mask_cells")},
            "all_cells where the object's head is heatmaps",
        ),
        ({"regions": RegionConfig(cells=20)}, "halvings that divide the 20 cells"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NetworkConfig(**changes)  # type: ignore[arg-type]


def test_a_palm_frame_needs_depths_and_depths_need_features() -> None:
    with pytest.raises(ValidationError, match="predicts_depth"):
        HandDecoderConfig(palm_frame=True)
    with pytest.raises(ValidationError, match="above 0"):
        HandDecoderConfig(predicts_depth=True)


def test_a_backbone_has_four_levels() -> None:
    with pytest.raises(ValidationError, match="strides 4, 8, 16, 32"):
        BackboneConfig(widths=(8, 8))
