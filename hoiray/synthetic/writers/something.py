"""Write recordings as Something-Something v2 videos with Something-Else boxes, with the faults those have.

Boxes are drawn around what is visible, as annotators do, a little off, and cut at the border of the image or a hair
over it. They tell no side and no identity, distractors have boxes like targets, and small or few visible hands are
overlooked. Some videos have a hole in the middle of their list, some lack its end. Videos of the test split have
neither label nor boxes.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.formats import something as facts
from hoiray.io.encode import VP9_WEBM, VideoEncoder, at_quality, encode_json
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.shot import (
    FloatArray,
    Format,
    Part,
    Placement,
    RecordingWriter,
    Shot,
    Slot,
    box_of_mask,
    refuse_recording,
)

MAX_CAMERAS: Final = 10
MIN_BOX_PX: Final = 40
"""Visible pixels below which nobody draws a box."""

BOX_ERROR_PX: Final = 1.0
"""Standard deviation of an edge drawn by hand; those on the border of the image are exact."""

OVERLOOKED_SHARE: Final = 0.03
"""Share of boxes nobody drew."""

HOLE_SHARE: Final = 0.3
TAIL_SHARE: Final = 0.3
MAX_LOST_SHARE: Final = 0.3
"""A hole or a missing tail is at most this share of the video. Of 13 published samples 2 lack their tails."""

OVERSHOOT_PX: Final = 5.7e-14
"""Published boxes end at 427.00000000000006 in a video 427 px wide."""

NUM_BOX_FILES: Final = 4
TEMPLATES: Final = (
    "Holding [something]",
    "Moving [something] up",
    "Picking [something] up",
    "Turning [something] upside down",
)
"""Published templates that say what the recordings show."""


class SomethingWriter:
    """One recording: a video of each camera."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin.

        Raises:
            ContractError: images that are not 240 px high, another rate than 12 frames a second, or too many cameras.
        """
        _check_recording(recording)
        self._store, self._slot, self._recording = store, slot, recording
        self._ids = {camera.camera_id: video_id(slot, index) for index, camera in enumerate(recording.cameras)}
        self._encoders: dict[str, VideoEncoder] = {}
        self._frames: dict[str, list[dict[str, Any]]] = {identity: [] for identity in self._ids.values()}
        self._lost = {
            camera.camera_id: lost_frames(slot, camera.camera_id, recording.num_frames) for camera in recording.cameras
        }
        self._rng = slot.rng("boxes")

    def add(self, shot: Shot) -> Placement:
        """Append a frame to its camera's video and note its boxes."""
        identity = self._ids[shot.view.camera_id]
        if identity not in self._encoders:
            height, width = shot.view.image_size
            codec = at_quality(VP9_WEBM, self._slot.compression_quality)
            self._encoders[identity] = VideoEncoder(codec, fps=facts.FRAMES_PER_SECOND, size_wh=(width, height))
        self._encoders[identity].add(shot.pixels.image)
        boxes = list(drawn_boxes(shot, self._rng))
        is_lost = shot.view.frame_index in self._lost[shot.view.camera_id] or self._slot.split == "test"
        if is_lost or not boxes:
            return Placement(None, identity)
        number = shot.view.frame_index + 1
        self._frames[identity].append(facts.frame_to_file(identity, number, boxes))
        return Placement(facts.frame_name(identity, number).removesuffix(".jpg"), identity)

    def close(self) -> Part:
        """Write the videos; return their entries in the lists and their boxes."""
        for identity, encoder in self._encoders.items():
            self._store.write(facts.video_key(identity), encoder.finish())
        template = str(self._slot.rng("template").choice(TEMPLATES))
        target = next((o for o in self._recording.objects if o.is_target), None)
        placeholders = [] if target is None else [category_of(target.name)]
        named = placeholders[0] if placeholders else "nothing"
        entry = {
            "label": template.replace("[something]", named).lower(),
            "template": template,
            "placeholders": placeholders,
        }
        return {
            "split": self._slot.split,
            "entries": [{"id": identity, **entry} for identity in self._ids.values()],
            "frames": {identity: frames for identity, frames in self._frames.items() if frames},
        }


def drawn_boxes(shot: Shot, rng: np.random.Generator) -> Iterator[facts.LabelledBox]:
    """Yield the boxes an annotator draws: objects, the handled one first, then hands from left to right.

    Args:
        shot: the frame.
        rng: unsteadiness and oversight.
    """
    order = sorted(range(len(shot.objects)), key=lambda index: not shot.objects[index].view.is_target)
    for number, index in enumerate(order):
        box = _drawn(shot, box_of_visible(shot.object_mask(index)), rng)
        if box is not None:
            yield facts.LabelledBox(category_of(shot.objects[index].view.name), f"{number:04d}", box)
    hands = [_drawn(shot, box_of_visible(shot.hand_mask(index)), rng) for index in range(len(shot.hands))]
    for box in sorted((box for box in hands if box is not None), key=lambda box: float(box[0])):
        yield facts.LabelledBox(facts.HAND_CATEGORY, facts.HAND_CATEGORY, box)


def box_of_visible(mask: NDArray[np.bool_]) -> FloatArray | None:
    """Return the box (4,) round a mask's pixels, edges included; None where too little is seen."""
    box = box_of_mask(mask) if np.count_nonzero(mask) >= MIN_BOX_PX else None
    return None if box is None else box + np.array([-0.5, -0.5, 0.5, 0.5])


def category_of(object_name: str) -> str:
    """Say in words what an object is: `006_mustard_bottle` and `bottle_0017` are a mustard bottle and a bottle."""
    return " ".join(word for word in object_name.split("_") if not word.isdigit())


def video_id(slot: Slot, camera_index: int) -> str:
    """Name a camera's video by a number, as the published ones are."""
    return str(slot.recording_index * MAX_CAMERAS + camera_index + 1)


def _drawn(shot: Shot, box: FloatArray | None, rng: np.random.Generator) -> FloatArray | None:
    """Draw a box by an unsteady hand; the numbers drawn do not depend on what is seen."""
    errors, is_overlooked = rng.normal(scale=BOX_ERROR_PX, size=4), bool(rng.random() < OVERLOOKED_SHARE)
    if box is None or is_overlooked:
        return None
    height, width = shot.view.image_size
    limits = np.array([0.0, 0.0, width, height]) - facts.BOX_CORNER_OFFSET_PX
    is_on_border = np.abs(box - limits) < 1.0
    drawn = np.where(is_on_border, limits, box + errors)
    drawn[:2] = np.maximum(drawn[:2], limits[:2])
    drawn[2:] = np.minimum(drawn[2:], limits[2:])
    drawn[2] += OVERSHOOT_PX if is_on_border[2] else 0.0
    return drawn if np.all(drawn[2:] > drawn[:2]) else None


def lost_frames(slot: Slot, camera_id: str, count: int) -> frozenset[int]:
    """Choose which of a video's frames, counted from 0, the list does not hold: a hole, a tail, both or none."""
    rng = slot.rng(f"lost {camera_id}")
    longest = max(1, int(MAX_LOST_SHARE * count))
    lost = set[int]()
    if rng.random() < HOLE_SHARE and count > 3:
        start = int(rng.integers(1, count - 1))
        lost |= set(range(start, min(start + int(rng.integers(1, longest + 1)), count - 1)))
    if rng.random() < TAIL_SHARE and count > 3:
        lost |= set(range(count - int(rng.integers(1, longest + 1)), count))
    return frozenset(lost)


def _check_recording(recording: Recording) -> None:
    heights = {camera.image_size[0] for camera in recording.cameras}
    if heights != {facts.IMAGE_HEIGHT_PX} or len(recording.cameras) > MAX_CAMERAS:
        expected = f"up to {MAX_CAMERAS} cameras of {facts.IMAGE_HEIGHT_PX} px height"
        found = f"{len(recording.cameras)} of {sorted(heights)} px"
        refuse_recording(recording, "Something-Something", expected=expected, found=found, fix="Use the wild domain.")
    if recording.fps != facts.FRAMES_PER_SECOND:
        expected, found = f"{facts.FRAMES_PER_SECOND} frames a second", f"{recording.fps}"
        refuse_recording(recording, "Something-Something", expected=expected, found=found, fix="Use the wild domain.")


def _finish(store: Store, parts: Sequence[Part]) -> None:
    by_split: dict[facts.Split, list[dict[str, Any]]] = {split: [] for split in facts.SPLITS}
    frames: dict[str, Any] = {}
    for part in parts:
        by_split[part["split"]] += part["entries"]
        frames |= part["frames"]
    for split, entries in by_split.items():
        listed = [{"id": entry["id"]} for entry in entries] if split == "test" else entries
        store.write(facts.list_keys(split)[0], encode_json(listed, indent=1))
    classes = {template.replace("[something]", "something"): str(index) for index, template in enumerate(TEMPLATES)}
    store.write("labels/labels.json", encode_json(classes, indent=1))
    for number in range(NUM_BOX_FILES):
        chunk = dict(list(frames.items())[number::NUM_BOX_FILES])
        key = f"{facts.BOX_FOLDER}/{facts.BOX_FILE_PREFIX}_smthsmth_part{number + 1}.json"
        store.write(key, encode_json(chunk))


def _begin(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return SomethingWriter(store, recording, slot)


SOMETHING: Final = Format(
    "something", "Something-Something v2: VP9 webm, JSON lists, Something-Else boxes", _begin, _finish
)
