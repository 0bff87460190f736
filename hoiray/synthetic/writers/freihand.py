"""Write recordings as FreiHAND v2: every view is a photograph, training photographs have four backgrounds.

The number of photographs is the data set's own: image `photo + N * variant`, with N in place of the published 32 560.
The published variants are a green screen and three ways of replacing it; here the background (whatever lies behind the
hand, the forearm and the object) is painted green in `gs` and replaced by three kinds of cloudy pictures, with a
change of the foreground's colours as harmonisation makes it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.formats import freihand as facts
from hoiray.hand.joints import reorder, tip_vertices
from hoiray.io.encode import encode_jpeg
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.ho3d import join_json_list, json_array
from hoiray.synthetic.writers.shot import (
    FloatArray,
    Format,
    Part,
    Placement,
    RecordingWriter,
    Shot,
    Slot,
    require_image_size,
    require_right_target,
    truth_model,
)
from hoiray.synthetic.writers.truth import PosedTargets, posed_targets

GREEN_SCREEN_RGB: Final = (62, 158, 84)
"""A studio green as a camera sees it, not the pure colour."""

GREEN_NOISE_LEVELS: Final = 6.0
CLOUD_CELLS: Final = {"hom": 3, "sample": 7, "auto": 15}
"""Cells a side of the random field a background is blown up from: from soft light to a busy room."""

MAX_GAIN_CHANGE: Final = {"gs": 0.0, "hom": 0.10, "sample": 0.05, "auto": 0.15}
"""Largest change of a colour channel of the foreground."""


class FreiHandWriter:
    """One recording in FreiHAND's layout."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin.

        Raises:
            ContractError: another image size, or a left target hand.
        """
        require_image_size(recording, "FreiHAND", facts.IMAGE_SIZE_WH)
        require_right_target(recording, "FreiHAND")
        self._store, self._slot = store, slot
        self._recording_id = recording.recording_id
        self._split: facts.Split = "training" if slot.split == "train" else "evaluation"
        self._next_photo = slot.first_view_index

    def add(self, shot: Shot) -> Placement:
        """Write the images and the mask of a photograph."""
        photo, self._next_photo = self._next_photo, self._next_photo + 1
        if self._split == "evaluation":
            self._store.write(
                facts.image_key("evaluation", photo), encode_jpeg(shot.pixels.image, quality=self._slot.jpeg_quality)
            )
            return Placement(f"{photo:08d}")
        is_foreground = np.isfinite(shot.pixels.depth_m)
        for index, variant in enumerate(facts.VARIANTS):
            rng = self._slot.rng(f"{variant} {photo}")
            image = replace_background(shot.pixels.image, is_foreground, variant, rng)
            number = photo + self._slot.num_side_views * index
            self._store.write(facts.image_key("training", number), encode_jpeg(image, quality=self._slot.jpeg_quality))
        mask = shot.hand_mask(shot.target_hand_index).astype(np.uint8) * 255
        self._store.write(facts.mask_key(photo), encode_jpeg(mask))
        return Placement(f"{photo:08d}")

    def close(self) -> Part:
        """Return where the recording's labels lie; the lists are made from the truth."""
        return {"recording_id": self._recording_id, "split": self._split}


def replace_background(
    image: NDArray[np.uint8], is_foreground: NDArray[np.bool_], variant: str, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Paint another background, and move the colours of what is in front.

    Args:
        image: (H, W, 3) RGB.
        is_foreground: (H, W) pixels to keep.
        variant: one of `facts.VARIANTS`.
        rng: background and colours.

    Returns:
        (H, W, 3).
    """
    gain = 1.0 + MAX_GAIN_CHANGE[variant] * rng.uniform(-1.0, 1.0, size=3)
    background: FloatArray
    if variant == "gs":
        background = np.array(GREEN_SCREEN_RGB) + rng.normal(scale=GREEN_NOISE_LEVELS, size=(*image.shape[:2], 1))
    else:
        background = _clouds((image.shape[0], image.shape[1]), CLOUD_CELLS[variant], rng)
    composed = np.where(is_foreground[..., None], image * gain, background)
    return np.clip(np.rint(composed), 0, 255).astype(np.uint8)


def _clouds(size: tuple[int, int], num_cells: int, rng: np.random.Generator) -> FloatArray:
    """Blow a coarse random field up to (H, W, 3) levels."""
    coarse = rng.uniform(20.0, 235.0, size=(num_cells + 1, num_cells + 1, 3))
    row, row_part = _cells(size[0], num_cells)
    column, column_part = _cells(size[1], num_cells)
    row_part, column_part = row_part[:, None, None], column_part[None, :, None]
    upper, lower = coarse[row], coarse[row + 1]
    left = upper[:, column] * (1 - row_part) + lower[:, column] * row_part
    right = upper[:, column + 1] * (1 - row_part) + lower[:, column + 1] * row_part
    return np.asarray(left * (1 - column_part) + right * column_part)


def _cells(length: int, num_cells: int) -> tuple[NDArray[np.intp], FloatArray]:
    position = np.linspace(0.0, num_cells, length, endpoint=False)
    cell = np.floor(position).astype(np.intp)
    return cell, position - cell


# --- lists of the whole set -------------------------------------------------------------------------------------------


def freihand_joints(posed: PosedTargets) -> FloatArray:
    """Return the joints (N, 21, 3) as FreiHAND defines them, simple order; see `facts.joints_from_vertices`."""
    tips = tip_vertices(facts.TIP_SET, is_right=True)
    joints = facts.joints_from_vertices(posed.vertices, truth_model().arrays.J_regressor, tips)
    return reorder(joints, "mano", facts.JOINT_ORDER)


def mano_vectors(posed: PosedTargets, joints: FloatArray) -> FloatArray:
    """Return the (N, 1, 61) vectors of `training_mano.json`."""
    hands_mean = truth_model().arrays.hands_mean
    rows = []
    for index, root in enumerate(joints[:, facts.ROOT_JOINT]):
        uv_root_px, scale = facts.root_to_file(root, posed.K[index])
        pose = facts.pose_to_file(posed.hand_pose[index], hands_mean)
        parts = facts.ManoVector(posed.global_orient[index], pose, posed.betas[index], uv_root_px, scale)
        rows.append(facts.join_mano(parts)[None])
    return np.stack(rows)


def _finish(store: Store, parts: Sequence[Part]) -> None:
    for split in facts.SPLITS:
        lists: dict[str, list[bytes]] = {"K": [], "scale": [], "xyz": [], "verts": [], "mano": []}
        for part in (part for part in parts if part["split"] == split):
            posed = posed_targets(store, part["recording_id"])
            joints = freihand_joints(posed)
            first, second = facts.SCALE_BONE
            lists["K"] += json_array(posed.K)
            lists["scale"] += json_array(np.linalg.norm(joints[:, first] - joints[:, second], axis=-1))
            lists["xyz"] += json_array(joints)
            lists["verts"] += json_array(posed.vertices)
            lists["mano"] += json_array(mano_vectors(posed, joints))
        for kind in ("K", "scale", "xyz", "verts") if split == "evaluation" else ("K", "scale", "xyz", "verts", "mano"):
            store.write(facts.labels_key(split, kind), join_json_list(lists[kind]))


def _begin(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return FreiHandWriter(store, recording, slot)


FREIHAND: Final = Format("freihand", "FreiHAND v2: 224 x 224 JPEG, four backgrounds, JSON labels", _begin, _finish)
