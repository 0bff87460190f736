"""Training states on storage: one folder each, whole or not there at all for whoever reads it.

::

    checkpoints/
        step_00000200/
            state.pt      the state; `torch.load(weights_only=True)` reads it
            state.json    its digest, position and settings; what a half-written folder lacks or contradicts
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from pydantic import JsonValue

from hoiray.errors import ContractError, InputError, describe
from hoiray.io.store import Store
from hoiray.training.state import TrainState

CHECKPOINTS: Final = "checkpoints"
"""Folder of the states below a training's output."""

STATE_FILE: Final = "state.pt"
NOTE_FILE: Final = "state.json"
_PREFIX: Final = "step_"


@dataclass(frozen=True)
class StateFiles:
    """A state as the files of one folder.

    Attributes:
        folder: name of the folder; it grows with the steps, so the newest sorts last.
        state: bytes of `state.pt`.
        note: bytes of `state.json`.
    """

    folder: str
    state: bytes
    note: bytes

    def items(self) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
        """Files by name, the note last."""
        return (STATE_FILE, self.state), (NOTE_FILE, self.note)


def pack_state(state: TrainState, settings: Mapping[str, JsonValue]) -> StateFiles:
    """Turn a state into files.

    Args:
        state: of worker 0; the other workers' is the same.
        settings: what the training was asked for, to be compared on resuming.
    """
    stream = io.BytesIO()
    torch.save(state.payload(), stream)
    data = stream.getvalue()
    note = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "epoch": state.epoch,
        "step": state.step,
        "num_steps": state.num_steps,
        "settings": dict(settings),
    }
    return StateFiles(folder_of(state), data, json.dumps(note, indent=2).encode())


def folder_of(state: TrainState) -> str:
    """Name the folder of a state; one that is reached again replaces itself."""
    # an epoch that has ended and one whose last step was taken have as many steps, but not the same state
    return f"{_PREFIX}{state.num_steps:08d}{'' if state.step else '_epoch'}"


@dataclass(frozen=True)
class SavedState:
    """A state that was read and is what was written.

    Attributes:
        source: where it lies, for messages.
        num_steps: steps taken.
        settings: as of :func:`pack_state`.
        payload: for :meth:`~hoiray.training.state.TrainState.load_payload`.
    """

    source: str
    num_steps: int
    settings: dict[str, JsonValue]
    payload: dict[str, Any]


def read_state(store: Store) -> SavedState:
    """Read the state in a folder.

    Args:
        store: the folder itself.

    Raises:
        InputError: a file is missing.
        ContractError: the files are not what was written: cut short, mixed up, or tampered with.
    """
    try:
        note = json.loads(store.read(NOTE_FILE))
        digest, num_steps, settings = str(note["sha256"]), int(note["num_steps"]), dict(note["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(store, NOTE_FILE, f"one that cannot be read ({error})") from error
    data = store.read(STATE_FILE)
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise _damaged(store, STATE_FILE, f"{len(data)} bytes with digest {found[:12]}... instead of {digest[:12]}...")
    payload = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    return SavedState(store.uri, num_steps, settings, payload)


def list_folders(store: Store) -> list[str]:
    """Folders of states below a training's output, the oldest first; some may be half written."""
    return sorted(name for name in store.list_folders(CHECKPOINTS) if name.startswith(_PREFIX))


def newest_state(store: Store) -> SavedState | None:
    """Find the newest state that is whole; None where there is none.

    A folder whose writer was killed is passed over: the one before it is as good a beginning.
    """
    for folder in reversed(list_folders(store)):
        try:
            return read_state(Store.open(f"{store.uri}/{CHECKPOINTS}/{folder}"))
        except (InputError, ContractError):
            continue
    return None


def _damaged(store: Store, name: str, found: str) -> ContractError:
    fix = "Remove this folder; the one before it will be used."
    return ContractError(describe(what=store.url(name), expected="the file that was written", found=found, fix=fix))
