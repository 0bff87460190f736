"""Where the pixels of a sample come from: its full image here, or an enlarged crop in a cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.label_records import Records, concatenate_records
from hoiray.datasets.label_scan import ScannedHand
from hoiray.datasets.label_source import Source
from hoiray.datasets.sample import FloatArray
from hoiray.errors import InputError, describe
from hoiray.hand.sides import mirror_image


@dataclass(frozen=True, eq=False)
class StoredImage:
    """Pixels, and how they lie in the full image.

    Attributes:
        pixels: (h, w, 3) uint8, mirrored where the sample is; may be read-only.
        A_image_stored: (3, 3) from px of these to px of the full (mirrored) image.
    """

    pixels: NDArray[np.uint8]
    A_image_stored: FloatArray


@dataclass(frozen=True, eq=False)
class MaskPart:
    """The rectangle of an object mask outside of which the object is nowhere seen.

    Attributes:
        mask: (h, w) bool at the full image's resolution, mirrored where the sample is; may be empty.
        corner_xy: column and row of its first pixel in the full image.
    """

    mask: NDArray[np.bool_]
    corner_xy: tuple[int, int]


class SampleImages(Protocol):
    """The pixels of every sample of a set, by its index."""

    def image(self, index: int) -> StoredImage:
        """Return a sample's pixels.

        Raises:
            InputError: they are missing or damaged.
        """

    def object_mask(self, index: int) -> MaskPart | None:
        """Return the mask of a sample's object, or None where there is none.

        Raises:
            InputError: it is damaged.
        """


@dataclass(frozen=True, eq=False)
class FullImages:
    """Reads and decodes the full image at every call.

    Attributes:
        source: of the samples.
        records: (N,) of the samples.
        sample_ids, object_names: of each sample.
    """

    source: Source
    records: Records
    sample_ids: Sequence[str]
    object_names: Sequence[str | None]

    def image(self, index: int) -> StoredImage:
        """Read and, for a left hand, mirror the image."""
        return self.turned(index, self.source.image(int(self.records[index]["entry"])))

    def turned(self, index: int, pixels: NDArray[np.uint8]) -> StoredImage:
        """Mirror a sample's image, which has been read, where the sample is of a left hand.

        Raises:
            InputError: it is of another size than its labels.
        """
        self._require_size(index, pixels.shape, "image")
        is_mirrored = self.records[index]["is_mirrored"]
        return StoredImage(mirror_image(pixels) if is_mirrored else pixels, np.eye(3))

    def object_mask(self, index: int) -> MaskPart | None:
        """Read, mirror and trim the mask."""
        record, object_name = self.records[index], self.object_names[index]
        if object_name is None:
            return None
        mask = self.source.object_mask(int(record["entry"]), object_name)
        if mask is None:
            return None
        self._require_size(index, mask.shape, "object mask")
        return trimmed_mask(mirror_image(mask) if record["is_mirrored"] else mask)

    def _require_size(self, index: int, shape: tuple[int, ...], thing: str) -> None:
        width, height = self.records[index]["image_size_wh"]
        if shape[:2] != (height, width):
            raise InputError(
                describe(
                    what=f"sample {self.sample_ids[index]}, {thing}",
                    expected=f"{width} x {height} px, as the other images of its data set",
                    found=f"{shape[1]} x {shape[0]} px",
                    fix="Use the images at their published size: K and boxes belong to it.",
                )
            )


@dataclass(frozen=True, eq=False)
class JoinedImages:
    """The pixels of several sets of samples laid behind each other, some samples left out.

    Attributes:
        parts: the sets.
        part_of, row_of: (N,) where each sample's pixels are.
    """

    parts: tuple[SampleImages, ...]
    part_of: NDArray[np.int64]
    row_of: NDArray[np.int64]

    def image(self, index: int) -> StoredImage:
        """Return a sample's pixels."""
        part, row = self._place(index)
        return part.image(row)

    def object_mask(self, index: int) -> MaskPart | None:
        """Return the mask of a sample's object, or None where there is none."""
        part, row = self._place(index)
        return part.object_mask(row)

    def _place(self, index: int) -> tuple[SampleImages, int]:
        return self.parts[int(self.part_of[index])], int(self.row_of[index])


def images_of(source: Source, hands: Sequence[ScannedHand]) -> FullImages:
    """Return the images of scanned hands, with their records."""
    records = concatenate_records([hand.record for hand in hands])
    ids, names = tuple(hand.sample_id for hand in hands), tuple(hand.object_name for hand in hands)
    return FullImages(source, records, ids, names)


def trimmed_mask(mask: NDArray[np.bool_]) -> MaskPart:
    """Cut a mask (H, W) down to the rectangle of what it shows."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) == 0:
        return MaskPart(np.zeros((0, 0), dtype=np.bool_), (0, 0))
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return MaskPart(np.ascontiguousarray(part), (int(columns[0]), int(rows[0])))
