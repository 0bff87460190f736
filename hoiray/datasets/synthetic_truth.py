"""A synthetic set of videos, read with its whole truth: what the format it plays the part of cannot say.

`hoiray synth wild` writes videos and boxes, as Something-Something has them, and the truth of every hand beside them.
This reader gives each frame with the hands that can be seen in it, so that a network can be scored on such videos, or
trained on them to learn how much better any label could have made it. Real sets have no such thing.
"""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hoiray.datasets.formats.something import video_key
from hoiray.datasets.formats.truth import DATASET_KEY, TRUTH_FOLDER, TRUTH_TIP_SET, read_truth
from hoiray.datasets.opening import require_split
from hoiray.datasets.sample import (
    HandAnnotation,
    ManoParameters,
    Masks,
    ObjectAnnotation,
    ObjectModel,
    Sample,
)
from hoiray.datasets.video_frames import read_frames
from hoiray.errors import ContractError, InputError, describe
from hoiray.io.store import Store
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import TRUTH_HANDS, TRUTH_OBJECTS

SPLITS: Final = ("train", "validation", "test")

MIN_VISIBLE_FRACTION: Final = 0.25
"""A hand of which less is seen is not scored: nothing in the image tells its pose."""

MIN_VISIBLE_PX: Final = 64
"""Pixels that show a hand, at least: a far hand of eight by eight pixels."""

NUM_VIDEOS_KEPT: Final = 2
"""Videos whose decoded frames are kept: neighbouring samples are of one video, and a shuffled order reads through a
cache of crops anyway."""

_FIX: Final = "Make the set again: hoiray synth."


@dataclass(frozen=True, eq=False)
class SyntheticTruth:
    """An opened split of a synthetic set of videos. Samples are the frames in which a hand is seen well enough.

    Attributes:
        store: the root.
        domain: of the synthetic world, `wild` or another.
        format: in which the videos were written.
        split: `train`, `validation` or `test`.
        samples: in the order of recordings, cameras and frames.
    """

    store: Store
    domain: str
    format: str
    split: str
    samples: tuple[Sample, ...]
    _frames: "OrderedDict[str, dict[int, NDArray[np.uint8]]]" = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def open(cls, uri: str, split: str = "test") -> "SyntheticTruth":
        """Read the truth of a split.

        Raises:
            InputError: the set has no truth.
            ContractError: it is not complete, is no set of videos, has no such split, or a table is damaged.
        """
        require_split(split, SPLITS, name="a synthetic set's truth")
        store = Store.open(uri)
        about = _about(store)
        samples: list[Sample] = []
        for key in sorted(store.list(f"{TRUTH_FOLDER}/hands")):
            hands = read_truth(store, key, TRUTH_HANDS)
            if hands.num_rows and hands["split"][0].as_py() == split:
                objects = read_truth(store, key.replace("/hands/", "/objects/"), TRUTH_OBJECTS)
                samples += _samples(hands, objects, about["format"], store)
        if not samples:
            fix = "Choose another split, or make a larger set."
            what = f"{split} split of {store.uri}"
            raise ContractError(describe(what=what, expected="frames with a visible hand", found="none", fix=fix))
        return cls(store, about["domain"], about["format"], split, tuple(samples))

    @property
    def name(self) -> str:
        """`synthetic_wild`, after the domain."""
        return f"synthetic_{self.domain}"

    def __len__(self) -> int:
        """Frames with a visible hand."""
        return len(self.samples)

    def sample(self, index: int) -> Sample:
        """The truth of a frame."""
        return self.samples[index]

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Return the frame, (H, W, 3) RGB. All samples of its video are decoded with it, in one go.

        Raises:
            InputError: the video is missing or damaged.
        """
        key = sample.image_key
        if key not in self._frames:
            wanted = sorted({each.frame_index for each in self.samples if each.image_key == key})
            frames = read_frames(self.store, key, wanted)
            self._frames[key] = dict(zip(wanted, frames, strict=True))
            while len(self._frames) > NUM_VIDEOS_KEPT:
                self._frames.popitem(last=False)
        return self._frames[key][sample.frame_index]

    def masks(self, sample: Sample) -> Masks | None:  # noqa: ARG002 - the protocol's signature
        """None: several hands of one frame would need a mask each."""
        return None

    def object_model(self, name: str) -> ObjectModel | None:  # noqa: ARG002 - the protocol's signature
        """None: the videos' format ships no models."""
        return None


def _about(store: Store) -> dict[str, Any]:
    data = store.read_if_there(DATASET_KEY)
    if data is None:
        fix = "Name the root of a set that hoiray synth has finished; --resume finishes one."
        found = "no such file"
        raise InputError(describe(what=store.url(DATASET_KEY), expected="a synthetic set", found=found, fix=fix))
    try:
        about = json.loads(data)
        return {"domain": str(about["domain"]), "format": str(about["format"])}
    except (ValueError, KeyError, TypeError) as error:
        expected = "a JSON object with domain and format"
        raise ContractError(
            describe(what=store.url(DATASET_KEY), expected=expected, found=repr(error), fix=_FIX)
        ) from error


def _samples(hands: pa.Table, objects: pa.Table, format_name: str, store: Store) -> Iterator[Sample]:
    """Group the rows of a recording by camera and frame, and keep the frames in which a hand is seen."""
    if hands["video_id"].null_count:
        fix = "Open a set of images by its own format."
        raise ContractError(describe(what=store.uri, expected="videos", found=f"images ({format_name})", fix=fix))
    of_objects: dict[tuple[str, int], list[ObjectAnnotation]] = {}
    for place, annotation in _object_rows(objects):
        of_objects.setdefault(place, []).append(annotation)
    columns = {name: hands[name].to_pylist() for name in ("camera_id", "frame_index", "video_id", "recording_id")}
    rows: dict[tuple[str, int], list[int]] = {}
    for row, place in enumerate(zip(columns["camera_id"], columns["frame_index"], strict=True)):
        rows.setdefault(place, []).append(row)
    reader = _HandRows(hands)
    for place in sorted(rows):
        seen = [row for row in rows[place] if reader.is_seen[row]]
        if not seen:
            continue
        video_id = columns["video_id"][seen[0]]
        yield Sample(
            sample_id=f"{video_id}/{place[1] + 1:04d}",
            recording_id=columns["recording_id"][seen[0]],
            subject_id=reader.subjects[seen[0]],
            camera_id=place[0],
            frame_index=place[1],
            image_key=video_key(video_id) if format_name == "something" else video_id,
            K=reader.numbers["K"][seen[0]],
            hands=tuple(reader.annotation(row) for row in seen),
            objects=tuple(of_objects.get(place, ())),
        )


class _HandRows:
    """The hands of a recording as arrays, and which of them are seen well enough to be scored."""

    def __init__(self, table: pa.Table) -> None:
        names = ("K", "betas", "global_orient", "hand_pose", "transl", "joints_3d", "joints_2d", "bbox_xyxy")
        self.numbers = {name: unpack_column(table, TRUTH_HANDS[name]).astype(np.float64) for name in names}
        self.is_right: Sequence[bool] = table["is_right"].to_pylist()
        self.subjects: Sequence[str] = table["subject_id"].to_pylist()
        fraction = unpack_column(table, TRUTH_HANDS["visible_fraction"])
        visible_px = unpack_column(table, TRUTH_HANDS["visible_px"])
        has_image = np.isfinite(self.numbers["joints_2d"]).all(axis=(1, 2))
        has_box = np.isfinite(self.numbers["bbox_xyxy"]).all(axis=1)
        is_large = (fraction >= MIN_VISIBLE_FRACTION) & (visible_px >= MIN_VISIBLE_PX)
        self.is_seen = is_large & has_image & has_box

    def annotation(self, row: int) -> HandAnnotation:
        of_row = {name: values[row] for name, values in self.numbers.items()}
        mano = ManoParameters(**{name: of_row[name] for name in ("global_orient", "hand_pose", "betas", "transl")})
        return HandAnnotation(
            is_right=self.is_right[row],
            mano=mano,
            joints_3d=of_row["joints_3d"],
            joints_2d_px=of_row["joints_2d"],
            bbox_xyxy=of_row["bbox_xyxy"],
            tip_set=TRUTH_TIP_SET,
        )


def _object_rows(table: pa.Table) -> Iterator[tuple[tuple[str, int], ObjectAnnotation]]:
    """Give the objects that are meant, and seen, with their place (camera, frame)."""
    poses = unpack_column(table, TRUTH_OBJECTS["T_cam_obj"]).astype(np.float64)
    boxes = unpack_column(table, TRUTH_OBJECTS["bbox_xyxy"]).astype(np.float64)
    columns = (table[name].to_pylist() for name in ("camera_id", "frame_index", "name", "is_target"))
    for row, (camera_id, frame_index, name, is_target) in enumerate(zip(*columns, strict=True)):
        if is_target and np.isfinite(boxes[row]).all():
            annotation = ObjectAnnotation(name, T_cam_obj=poses[row], bbox_xyxy=boxes[row])
            yield (camera_id, frame_index), annotation
