"""A trained network as one file: weights, configuration, and what they depend on, all under one digest.

The format is safetensors, which holds tensors and text and can execute nothing. Its text says which network this is
(:class:`~hoiray.config.network.NetworkConfig`), which hand model and finger tips it was trained with, which version of
hoiray wrote it, and a SHA-256 over all of that and every tensor. A file that was changed, cut short or written by
something else is refused, never loaded in part.

The hand model's arrays are not in the file, since a user's MANO may not be passed on; its digest is.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

import numpy as np
import torch
from pydantic import JsonValue, ValidationError
from torch import Tensor

import hoiray
from hoiray.config.network import NetworkConfig
from hoiray.errors import ContractError, describe
from hoiray.hand.load import HandArrays
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.models.network import HandObjectNetwork

FORMAT: Final = "hoiray-network"
FORMAT_VERSION: Final = 1

Storage = Literal["float32", "float16"]

_TEXT_KEY: Final = "hoiray"
"""The one entry of safetensors' metadata, JSON with sorted keys: several entries would be written in random order."""

_DIGEST: Final = "sha256"
_KEYS: Final = ("format", "format_version", "hoiray_version", "network", "hand_digest", "tip_set", "notes", _DIGEST)
_HAND_ARRAYS: Final = (
    "v_template",
    "shapedirs",
    "posedirs",
    "weights",
    "J_regressor",
    "parents",
    "faces",
    "hands_mean",
)


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    Attributes:
        config: of the network.
        hoiray_version: that wrote it.
        hand_digest: of the hand model it was trained with, see :func:`hand_digest`.
        tip_set: of that hand model.
        notes: whatever the writer added: data, steps, seeds, scores.
        digest: SHA-256 of the content, as hex; names this network wherever its file lies.
        source: where it was read.
    """

    config: NetworkConfig
    hoiray_version: str
    hand_digest: str
    tip_set: str
    notes: Mapping[str, JsonValue]
    digest: str
    source: str


def hand_digest(arrays: HandArrays) -> str:
    """Return the SHA-256 of what decides a hand model's shapes, as hex; the file's name and packing do not."""
    digest = hashlib.sha256()
    for name in _HAND_ARRAYS:
        values = np.ascontiguousarray(getattr(arrays, name))
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def pack_checkpoint(
    network: HandObjectNetwork, *, storage: Storage = "float32", notes: Mapping[str, JsonValue] | None = None
) -> bytes:
    """Turn a network into the bytes of a file; the same network and notes give the same bytes.

    Args:
        network: on any device.
        storage: float16 halves the file. Running statistics stay float32: a variance leaves half precision's range.
        notes: anything worth knowing, as JSON.

    Raises:
        ContractError: a weight is not finite, or not in the range of `storage`.
    """
    from safetensors.torch import save

    tensors = {name: _stored(name, value, storage) for name, value in network.state_dict().items()}
    text = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "hoiray_version": hoiray.__version__,
        "network": network.config.model_dump_json(),
        "hand_digest": hand_digest(network.hand.arrays),
        "tip_set": network.hand.tip_set,
        "notes": json.dumps(dict(notes or {}), sort_keys=True, allow_nan=False),
    }
    signed = {**text, _DIGEST: _content_digest(tensors, text)}
    return bytes(save(tensors, metadata={_TEXT_KEY: json.dumps(signed, sort_keys=True)}))


def unpack_checkpoint(data: bytes, hand: HandModel, *, source: str) -> tuple[HandObjectNetwork, CheckpointInfo]:
    """Rebuild the network of a file, float32, on the CPU, in evaluation mode.

    Args:
        data: bytes of the file.
        hand: the hand model it was trained with.
        source: name of the file, for messages.

    Raises:
        ContractError: the file is no checkpoint, of another format version, damaged or changed; or it was trained with
            another hand model or other finger tips. The message names the file and both values.
    """
    tensors, text = _parsed(data, source)
    info = _info(tensors, text, source)
    _require_hand(info, hand)
    network = HandObjectNetwork(info.config, hand, loads_weights=False)
    wanted = network.state_dict()
    wrong = sorted(name for name in wanted.keys() | tensors.keys() if not _fits(name, wanted, tensors))
    if wrong:
        expected = "the weights of the network it describes"
        found = f"{len(wrong)} missing, foreign or of another shape ({', '.join(wrong[:5])})"
        fix = f"It was written by hoiray {info.hoiray_version}: use that version, or train anew."
        raise ContractError(describe(what=source, expected=expected, found=found, fix=fix))
    network.load_state_dict(tensors)  # casts to float32
    return network.eval(), info


def inspect_checkpoint(data: bytes, *, source: str) -> CheckpointInfo:
    """Say what a file holds, after checking its digest, without building a network.

    Raises:
        ContractError: as :func:`unpack_checkpoint`, the hand model apart.
    """
    return _info(*_parsed(data, source), source)


def write_checkpoint(
    uri: str,
    network: HandObjectNetwork,
    *,
    storage: Storage = "float32",
    notes: Mapping[str, JsonValue] | None = None,
) -> str:
    """Write a network to a local path or `s3://` URI and return the digest that names it.

    Raises:
        ContractError: see :func:`pack_checkpoint`.
    """
    data = pack_checkpoint(network, storage=storage, notes=notes)
    folder, name = _split(uri)
    Store.open(folder).write(name, data, durable=True)
    return inspect_checkpoint(data, source=uri).digest


def read_checkpoint(uri: str, hand: HandModel) -> tuple[HandObjectNetwork, CheckpointInfo]:
    """Read a network from a local path or `s3://` URI; see :func:`unpack_checkpoint`.

    Raises:
        InputError: the file is not there or cannot be read.
        ContractError: it is not a whole, unchanged checkpoint of this hand model.
    """
    folder, name = _split(uri)
    return unpack_checkpoint(Store.open(folder).read(name), hand, source=uri)


def _split(uri: str) -> tuple[str, str]:
    head, separator, name = uri.rpartition("/")
    return (f"{head}{separator}".rstrip("/") or "/", name) if separator else (".", PurePosixPath(uri).name)


def _stored(name: str, value: Tensor, storage: Storage) -> Tensor:
    stored = value.detach().cpu()
    if storage == "float16" and stored.is_floating_point() and "running_" not in name:
        stored = stored.half()
    if stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
        fix = "A training that diverged cannot be saved as a network; in float16, store it as float32."
        raise ContractError(describe(what=f"weight {name}", expected="finite values", found="others", fix=fix))
    return stored.contiguous()


def _content_digest(tensors: Mapping[str, Tensor], text: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(text), sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].contiguous().numpy()
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _parsed(data: bytes, source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        text = json.loads(metadata.get(_TEXT_KEY, "{}"))
    except (SafetensorError, ValueError, KeyError) as error:
        found = f"{len(data)} bytes that are none ({type(error).__name__}: {error})"
        fix = "It is cut short or of another program: copy it again, or name a file that hoiray train wrote."
        raise ContractError(describe(what=source, expected="a checkpoint", found=found, fix=fix)) from error
    is_text = isinstance(text, dict) and all(isinstance(value, str) for value in text.values())
    return tensors, text if is_text else {}


def _info(tensors: Mapping[str, Tensor], text: Mapping[str, str], source: str) -> CheckpointInfo:
    """Check who wrote a file and that nothing in it was changed since, before anything in it is believed."""
    if text.get("format") != FORMAT or set(text) != set(_KEYS):
        found = f"format {text.get('format', 'not stated')!r} with {', '.join(sorted(text)) or 'no text'}"
        fix = "These are another program's weights: name a file that hoiray train wrote."
        raise ContractError(describe(what=source, expected=f"format {FORMAT!r}", found=found, fix=fix))
    if text["format_version"] != str(FORMAT_VERSION):
        expected, found = f"format version {FORMAT_VERSION}", text["format_version"]
        fix = f"It was written by hoiray {text['hoiray_version']}: use that version."
        raise ContractError(describe(what=source, expected=expected, found=found, fix=fix))
    stated = text[_DIGEST]
    digest = _content_digest(tensors, {key: value for key, value in text.items() if key != _DIGEST})
    if digest != stated:
        fix = "The file was changed or damaged after it was written: copy it again."
        raise ContractError(describe(what=source, expected=f"content {stated}", found=digest, fix=fix))
    try:
        config = NetworkConfig.model_validate_json(text["network"])
        notes = json.loads(text["notes"])
    except (ValidationError, ValueError) as error:
        fix = f"It was written by hoiray {text['hoiray_version']}: use that version."
        expected = "a network this version knows"
        raise ContractError(describe(what=source, expected=expected, found=str(error), fix=fix)) from error
    return CheckpointInfo(config, text["hoiray_version"], text["hand_digest"], text["tip_set"], notes, digest, source)


def _require_hand(info: CheckpointInfo, hand: HandModel) -> None:
    digest = hand_digest(hand.arrays)
    if digest != info.hand_digest:
        expected, found = f"the hand model {info.hand_digest[:12]} it was trained with", f"{digest[:12]}"
        fix = f"{hand.arrays.source} is another one: give the hand model of the training."
        raise ContractError(describe(what=info.source, expected=expected, found=found, fix=fix))
    if hand.tip_set != info.tip_set:
        expected, found = f"finger tips {info.tip_set!r}, as it was trained with", repr(hand.tip_set)
        fix = f"Load the hand model with tip_set {info.tip_set!r}."
        raise ContractError(describe(what=info.source, expected=expected, found=found, fix=fix))


def _fits(name: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    return name in wanted and name in found and wanted[name].shape == found[name].shape
