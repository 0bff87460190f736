"""Labels of videos as training samples: the same record as an annotated hand with the same numbers gives.

A row tells joints about the wrist, in OpenCV camera axes, of a hand of its own side; nothing is flipped here, and left
hands are mirrored once, by :mod:`hoiray.datasets.label_records`, as those of annotated sets are. Its 2D joints are the
teacher's own, not the image of the 3D ones: they place the crop and teach the 2D, with a camera or without. Where the
camera is not known, nor is the wrist's place, and nothing that is trained needs it.

The object is not supervised (mask B of the paper's Eq. 8 is 0), but its box belongs to the crop and to RoIAlign. A row
without one is cropped around its hand, and the hand's box stands in for the object's, as when the teacher labelled it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hoiray.datasets.label_run import LabelRun
from hoiray.datasets.label_source import LabelledHand
from hoiray.datasets.rest_wrist import of_side, rest_wrist
from hoiray.datasets.sample import FloatArray, HandAnnotation, ManoParameters, ObjectAnnotation
from hoiray.datasets.video_frames import StoredVideo, numbered_frames
from hoiray.errors import InputError, describe
from hoiray.hand.load import HandArrays
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

_NUMBERS: Final = (
    "K", "is_right", "bbox_xyxy", "betas", "global_orient", "hand_pose", "transl", "joints_3d", "joints_2d",
    "object_bbox_xyxy", "frame_index", "hand_index", "image_width_px", "image_height_px",
)  # fmt: skip

_UNNAMED_OBJECT: Final = "object"


@dataclass(frozen=True, eq=False)
class AcceptedLabels:
    """A source of training samples: frames of videos with labelled hands. An entry is a frame.

    Attributes:
        run: where the labels come from.
        table: rows, sorted by their key, with the columns of :data:`hoiray.datasets.label_rows.COLUMNS`.
        weights: (N,) factor on each row's losses; one of 0 is known, and may be cut out, but is not trained on.
        videos: where the frames are.
        arrays: the hand model, for the wrist's place where the camera is known.
    """

    run: LabelRun
    table: pa.Table
    weights: NDArray[np.float64]
    videos: Mapping[str, StoredVideo]
    arrays: HandArrays

    @property
    def name(self) -> str:
        """The labels' predictions: who judged them does not name a sample."""
        return self.run.name

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._starts) - 1

    def identity(self) -> str:
        """Digest what the samples are made of: rows and videos; not the verdicts, nor the weights."""
        digest = hashlib.sha256(json.dumps([self.name, len(self), self.run.sample_rate_hz]).encode())
        for name in _NUMBERS:
            digest.update(np.ascontiguousarray(self._numbers[name]).tobytes())
        for video_id in self._video_ids:
            digest.update(video_id.encode() + b"\0")
        return digest.hexdigest()

    def pixel_digest(self) -> str:
        """Digest which version of each video is meant; no frame is read."""
        versions = [
            (name, video.size_bytes, video.etag)
            for name in sorted(set(self._video_ids))
            if (video := self.videos.get(name)) is not None
        ]
        return hashlib.sha256(json.dumps(versions).encode()).hexdigest()

    def hands(self, entry: int) -> tuple[LabelledHand, ...]:
        """Return the labelled hands of a frame."""
        return tuple(self._labelled(row) for row in self._rows_of(entry))

    def factors(self, entries: NDArray[np.int64], hand_indices: NDArray[np.int64]) -> FloatArray:
        """Return the weights of hands; 0 for those that are not trained on."""
        return np.asarray(self.weights[self._starts[entries] + hand_indices])

    def image_size_wh(self, entry: int) -> tuple[int, int]:
        """Width and height of a frame in px, as it was labelled."""
        row = int(self._starts[entry])
        return int(self._numbers["image_width_px"][row]), int(self._numbers["image_height_px"][row])

    def image(self, entry: int) -> NDArray[np.uint8]:
        """Decode one frame, (H, W, 3) RGB; many are had faster by :meth:`images`.

        Raises:
            InputError: the video is missing, damaged, or not the one that was labelled.
        """
        _, found = next(self.images([entry]))
        if isinstance(found, InputError):
            raise found
        return found

    def images(self, entries: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8] | InputError]]:
        """Decode frames in order, each video once, from the key frame before its first.

        Args:
            entries: growing.

        Yields:
            Each entry with its image, (H, W, 3) RGB, or with what is wrong with its video.
        """
        for _, group in groupby(entries, key=self._video_of):
            yield from self._images_of(list(group))

    def object_mask(self, entry: int, object_name: str) -> None:  # noqa: ARG002 - the protocol's signature
        """Nobody knows which pixels show the object."""
        return

    def video_of(self, entry: int) -> StoredVideo:
        """Return the video of a frame.

        Raises:
            InputError: the plan does not know it.
        """
        video_id = self._video_of(entry)
        video = self.videos.get(video_id)
        if video is None:
            fix = "Restore the plan that was labelled."
            what = f"video {video_id} of {self.run.uri}"
            raise InputError(describe(what=what, expected="a row in the plan", found="none", fix=fix))
        return video

    def _images_of(self, entries: list[int]) -> Iterator[tuple[int, NDArray[np.uint8] | InputError]]:
        numbers = [int(self._numbers["frame_index"][self._starts[entry]]) for entry in entries]
        num_done = 0
        try:
            for image in numbered_frames(self.video_of(entries[0]), numbers, self.run.sample_rate_hz):
                yield entries[num_done], image
                num_done += 1
        except InputError as error:
            for entry in entries[num_done:]:
                yield entry, error

    def _labelled(self, row: int) -> LabelledHand:
        values = {name: column[row] for name, column in self._numbers.items()}
        is_right = bool(values["is_right"])
        K = _known(values["K"])
        wrist = self._wrist(values, is_right=is_right)
        joints = values["joints_3d"].astype(np.float64)
        hand = HandAnnotation(
            is_right=is_right,
            mano=_mano(values),
            joints_3d=joints if wrist is None else joints + wrist,
            wrist_3d=wrist,
            joints_2d_px=values["joints_2d"].astype(np.float64),
            bbox_xyxy=values["bbox_xyxy"].astype(np.float64),
            tip_set=self.run.hand.tip_set,
        )
        return LabelledHand(
            sample_id=f"{self._video_ids[row]}/{values['frame_index']:06d}#{values['hand_index']}",
            K=K,
            hand=hand,
            obj=self._object(row, values),
            control_points_px=None,
            is_object_supervised=False,
            weight=1.0,
            kind="pseudo",
        )

    def _wrist(self, values: Mapping[str, NDArray[np.generic]], *, is_right: bool) -> FloatArray | None:
        """Return the wrist's place (3,) in the camera, None where it is not known."""
        transl, betas = _known(values["transl"]), _known(values["betas"])
        return None if transl is None or betas is None else transl + rest_wrist(self._sides[is_right], betas)

    def _object(self, row: int, values: Mapping[str, NDArray[np.generic]]) -> ObjectAnnotation | None:
        box = _known(values["object_bbox_xyxy"])
        return None if box is None else ObjectAnnotation(self._object_names[row] or _UNNAMED_OBJECT, bbox_xyxy=box)

    def _rows_of(self, entry: int) -> range:
        return range(int(self._starts[entry]), int(self._starts[entry + 1]))

    def _video_of(self, entry: int) -> str:
        return self._video_ids[int(self._starts[entry])]

    @cached_property
    def _numbers(self) -> dict[str, NDArray[np.generic]]:
        return {name: unpack_column(self.table, LABELS[name]) for name in _NUMBERS}

    @cached_property
    def _video_ids(self) -> list[str]:
        names: list[str] = self.table["video_id"].to_pylist()
        return names

    @cached_property
    def _object_names(self) -> list[str | None]:
        names: list[str | None] = self.table["object_id"].to_pylist()
        return names

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """(E + 1,) first row of each frame, and the number of rows."""
        if self.table.num_rows == 0:
            return np.zeros(1, dtype=np.int64)
        codes = self.table["video_id"].combine_chunks().dictionary_encode().indices.to_numpy()
        frames = self._numbers["frame_index"]
        is_first = np.concatenate([[True], (codes[1:] != codes[:-1]) | (frames[1:] != frames[:-1])])
        return np.concatenate([np.flatnonzero(is_first), [self.table.num_rows]]).astype(np.int64)

    @cached_property
    def _sides(self) -> dict[bool, HandArrays]:
        return {is_right: of_side(self.arrays, is_right=is_right) for is_right in (True, False)}


def _known(values: NDArray[np.generic]) -> FloatArray | None:
    """Return numbers as float64, None where they were null."""
    floats = values.astype(np.float64)
    return floats if bool(np.isfinite(floats).all()) else None


def _mano(values: Mapping[str, NDArray[np.generic]]) -> ManoParameters | None:
    parts = [_known(values[name]) for name in ("global_orient", "hand_pose", "betas")]
    orient, pose, betas = parts
    if orient is None or pose is None or betas is None:
        return None
    transl = _known(values["transl"])
    return ManoParameters(orient, pose, betas, np.full(3, np.nan) if transl is None else transl)
