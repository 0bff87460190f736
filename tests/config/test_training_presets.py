import json

import pytest

from hoiray.config.load import parse_training
from hoiray.config.network import NETWORK_PRESETS, network_preset
from hoiray.config.training_presets import TRAINING_PRESETS, training_preset
from hoiray.config.what import Augmentation, Optimiser
from hoiray.errors import ConfigError


def test_every_network_has_a_way_to_be_trained() -> None:
    assert set(TRAINING_PRESETS) == set(NETWORK_PRESETS)


@pytest.mark.parametrize("name", list(TRAINING_PRESETS))
def test_a_preset_is_valid_in_a_file(name: str) -> None:
    annotated = {"format": "ho3d_v2", "uri": "d"}
    text = json.dumps({"output_uri": "o", "training": {"annotated": annotated, **training_preset(name)}})
    assert parse_training(text).training.network == network_preset(name)


def test_the_papers_training_is_the_papers() -> None:
    text = "output_uri: o\ntraining: {annotated: {format: ho3d_v2, uri: d}}"
    training = parse_training(text).training
    assert (training.epochs, training.batch_size, training.optimiser) == (60, 24, Optimiser())
    optimiser = training.optimiser
    assert (optimiser.learning_rate, optimiser.step_epochs, optimiser.step_factor) == (1e-4, 10, 0.7)
    assert training.augmentation == Augmentation()
    assert (training.precision, optimiser.max_grad_norm, optimiser.average_decay) == ("float32", None, None)


def test_a_misspelt_preset_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"--preset: expected one of paper, .* found 'nanno'\. Did you mean 'nano'"):
        training_preset("nanno")
