"""How each preset of the network is trained, where that is not the paper's way."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from hoiray.config.what import Augmentation
from hoiray.errors import ConfigError, describe

_LIGHT: Final[dict[str, JsonValue]] = {
    "precision": "auto",
    # all round, as in the paper, nothing tells up from down, and no object pose was right after 77,000 crops; within 45
    # degrees the proposals' error fell twice as fast; videos are blurred and badly lit, laboratories are not
    "augmentation": {"max_rotation_deg": 45.0, "max_blur_px": 3.0, "max_colour_change": 0.5, "max_hue_change": 0.08},
    "batch_size": 32,
    "epochs": 60,
    # from random weights, the paper's 1e-4 would take ten times as many steps; the norm is a guard that rarely acts
    "optimiser": {
        "method": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "schedule": "cosine",
        "warmup_steps": 100,
        "max_grad_norm": 10.0,
        "average_decay": 0.998,
    },
}

TRAINING_PRESETS: Final[Mapping[str, Mapping[str, JsonValue]]] = MappingProxyType(
    {
        "paper": {"network": {"preset": "paper"}},
        "released": {
            "network": {"preset": "released"},
            "augmentation": Augmentation.released().model_dump(),
            "integer_crop_centers": True,
        },
        "small": {"network": {"preset": "small"}, **_LIGHT},
        "nano": {"network": {"preset": "nano"}, **_LIGHT},
        "landmark": {"network": {"preset": "landmark"}, **_LIGHT},
    }
)
"""Fields of :class:`~hoiray.config.what.Training` by the network's preset; what is left out is the paper's."""


def training_preset(name: str) -> Mapping[str, JsonValue]:
    """Return the fields of a preset.

    Raises:
        ConfigError: no preset has that name; the message names the nearest one.
    """
    if name not in TRAINING_PRESETS:
        nearest = difflib.get_close_matches(name, TRAINING_PRESETS, n=1, cutoff=0.5)
        fix = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of them."
        expected = f"one of {', '.join(TRAINING_PRESETS)}"
        raise ConfigError(describe(what="--preset", expected=expected, found=repr(name), fix=fix))
    return TRAINING_PRESETS[name]
