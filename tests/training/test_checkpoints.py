import json
from pathlib import Path

import pytest
import torch
from s3_server import S3Server
from toy_training import toy_state

from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.training.checkpoints import CHECKPOINTS, list_folders, newest_state, pack_state, read_state


def write(store: Store, *, num_steps: int, step: int = 1) -> str:
    state = toy_state(num_steps)
    state.num_steps, state.step = num_steps, step
    files = pack_state(state, {"epochs": 3})
    for name, data in files.items():
        store.write(f"{CHECKPOINTS}/{files.folder}/{name}", data)
    return files.folder


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = write(Store.open(tmp_path), num_steps=7)
    saved = read_state(Store.open(tmp_path / CHECKPOINTS / folder))
    assert (saved.num_steps, saved.settings) == (7, {"epochs": 3})
    again = toy_state()
    again.load_payload(saved.payload, source=saved.source)
    for name, tensor in toy_state(7).model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)


def test_folders_sort_by_step_and_an_ended_epoch_comes_behind_its_last_step(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    written = [write(store, num_steps=n, step=s) for n, s in ((9, 1), (10, 2), (10, 0), (11, 1), (100, 0))]
    assert list_folders(store) == written == sorted(written)
    saved = newest_state(store)
    assert saved is not None
    assert saved.num_steps == 100


def test_without_checkpoints_there_is_no_newest_one(tmp_path: Path) -> None:
    assert newest_state(Store.open(tmp_path)) is None
    assert list_folders(Store.open(tmp_path)) == []


@pytest.mark.parametrize("damage", ["no note", "no state", "cut state", "cut note", "other state"])
def test_a_folder_that_is_not_whole_is_passed_over_and_refused_when_named(damage: str, tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    older = write(store, num_steps=4)
    folder = tmp_path / CHECKPOINTS / write(store, num_steps=8)
    state, note = folder / "state.pt", folder / "state.json"
    if damage == "no note":
        note.unlink()
    elif damage == "no state":
        state.unlink()
    elif damage == "cut state":
        state.write_bytes(state.read_bytes()[:-100])
    elif damage == "cut note":
        note.write_bytes(note.read_bytes()[:40])
    else:
        state.write_bytes((tmp_path / CHECKPOINTS / older / "state.pt").read_bytes())
    saved = newest_state(store)
    assert saved is not None
    assert saved.num_steps == 4
    with pytest.raises((InputError, ContractError), match=str(folder)):
        read_state(Store.open(folder))


def test_a_state_that_was_tampered_with_is_named(tmp_path: Path) -> None:
    folder = tmp_path / CHECKPOINTS / write(Store.open(tmp_path), num_steps=8)
    data = bytearray((folder / "state.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "state.pt").write_bytes(data)
    with pytest.raises(ContractError, match=r"state\.pt: expected the file that was written, found .* digest"):
        read_state(Store.open(folder))


def test_the_note_can_be_read_by_people(tmp_path: Path) -> None:
    folder = write(Store.open(tmp_path), num_steps=8)
    note = json.loads((tmp_path / CHECKPOINTS / folder / "state.json").read_text())
    assert (note["epoch"], note["step"], note["num_steps"]) == (0, 1, 8)
    assert len(note["sha256"]) == 64


@pytest.mark.s3
def test_s3_keeps_states_as_a_folder_does(s3_environment: S3Server) -> None:
    store = Store.open(f"{s3_environment.uri}/states")
    assert newest_state(store) is None
    for num_steps in (3, 12):
        write(store, num_steps=num_steps)
    saved = newest_state(store)
    assert saved is not None
    assert saved.num_steps == 12
