"""A small HO-3D set of two held-out recordings and an untrained network: what the commands are tried on."""

from pathlib import Path

import torch
from toy_world import make_recording, slot, write_recording

from hoiray.config.network import network_preset
from hoiray.datasets.formats.truth import TRUTH_FOLDER
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.models.checkpoint import write_checkpoint
from hoiray.models.network import HandObjectNetwork
from hoiray.synthetic.writers import freihand, ho3d
from hoiray.synthetic.writers.shot import Format

LAYOUTS = {"ho3d_v2": ho3d.HO3D_V2, "ho3d_v3": ho3d.HO3D_V3, "freihand": freihand.FREIHAND}


def write_evaluated_set(folder: Path, layout: Format, num_frames: int = 2) -> None:
    options = {"size": (224, 224), "focal": 480.0} if layout.name == "freihand" else {}
    objects = ("021_bleach_cleanser", "006_mustard_bottle", "021_bleach_cleanser")
    store, parts = Store.open(folder), []
    for index, split in enumerate(("train", "test", "test")):
        recording = make_recording(
            recording_id=f"toy-{index}",
            seed=1 + index,
            num_frames=num_frames,
            num_cameras=1,
            with_second_hand=False,
            object_names=(objects[index],),
            **options,
        )
        first = num_frames if index == 2 else 0
        place = slot(index, split, first=first, total=2 * num_frames if split == "test" else num_frames)
        part, _ = write_recording(layout.begin(store, recording, place), store, recording, place)
        parts.append(part)
    layout.finish(store, parts)
    # by a file there, a set is known to be of our making, with labels of the open hand
    store.write(f"{TRUTH_FOLDER}/card.json", b"{}")


def write_network(path: Path, seed: int = 0) -> str:
    torch.manual_seed(seed)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    return write_checkpoint(str(path), HandObjectNetwork(network_preset("nano", input_px=64), hand).eval())
