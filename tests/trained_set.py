"""A small HO-3D set to train on: recordings of one camera each whose pictures differ as those of real rooms do."""

from pathlib import Path

import cv2
import numpy as np
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats.truth import TRUTH_FOLDER
from hoiray.io.store import Store
from hoiray.synthetic.writers import ho3d

SMALLER = (
    "training.network={preset: nano, input_px: 64, backbone: {widths: [8, 8, 16, 16], pyramid_channels: 16}}",
    "training.network.hand.hourglass_channels=16",
    "training.network.hand.encoder_widths=[16, 16, 16]",
    "training.network.hand.hidden_widths=[32]",
    "training.network.obj.channels=16",
    "training.batch_size=4",
    "training.epochs=2",
)
"""Changes of a training that make nano smaller still, and its training short."""


def write_trained_set(folder: Path, *, num_recordings: int = 3, num_frames: int = 4) -> None:
    store, parts = Store.open(folder), []
    for index in range(num_recordings):
        recording = make_recording(
            recording_id=f"toy-{index}", seed=1 + index, num_frames=num_frames, num_cameras=1, with_second_hand=False
        )
        place = slot(index, "train", first=index * num_frames, total=num_recordings * num_frames)
        part, _ = write_recording(ho3d.HO3D_V2.begin(store, recording, place), store, recording, place)
        parts.append(part)
    ho3d.HO3D_V2.finish(store, parts)
    store.write(f"{TRUTH_FOLDER}/card.json", b"{}")
    for number, line in enumerate((folder / "train.txt").read_text().split()):
        sequence, frame = line.split("/")
        furnish(folder / "train" / sequence / "rgb" / f"{frame}.png", number // num_frames, number)


def furnish(image_path: Path, recording: int, frame: int) -> None:
    """Blend the picture with a room of its own, and a little noise."""
    image = cv2.imread(str(image_path))
    assert image is not None, image_path
    height, width = image.shape[:2]
    room = np.random.default_rng(recording).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    large = cv2.resize(room, (width, height), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng((recording, frame)).normal(scale=4.0, size=image.shape)
    cv2.imwrite(str(image_path), np.clip(0.5 * image + 0.5 * large + noise, 0, 255).astype(np.uint8))
