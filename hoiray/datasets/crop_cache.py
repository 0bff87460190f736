"""Enlarged crops on disk, so that a training step never decodes an image.

Decoding a 640 x 480 PNG takes longer than a small network's step. Here every hand is cut out of its image once, in a
square large enough for every augmentation, and stored as uint8; an augmented crop is then one warp of a mapped file,
by the product of two affines. Labels and object masks are stored exactly, so that samples with and without the cache
differ in nothing but pixels, by one resampling.

A cache is a folder whose name is a digest of what is in it: what the source holds, where crops are placed, how large
they are stored. It consists of parts, folders that are written whole under another name and then renamed. Any number of
processes may build the same cache at once, and one that was killed is gone on with; a part that is there is complete.
"""

import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import reach_sides
from hoiray.datasets.crop_images import FullImages, MaskPart, StoredImage, images_of
from hoiray.datasets.crop_pixels import Interpolation, cut_crop
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_records import RECORD, Records, concatenate_records
from hoiray.datasets.label_scan import ScannedHand, scan_entries
from hoiray.datasets.label_source import Source
from hoiray.datasets.sample import DeadLetter, FloatArray
from hoiray.errors import ConfigError, ContractError, InputError, describe
from hoiray.geometry.crops import crop_affine, invert_affine

READ_STAGE: Final = "read pixels"

_LAYOUT: Final = 1
"""Counts changes of what a part holds."""

_PART_BYTES: Final = 64 * 2**20
_MARGIN_PX: Final = 2
_GIB: Final = 1 << 30
_NO_MASK: Final = -1


@dataclass(frozen=True)
class CacheOptions:
    """Where a cache lies and how fine it is.

    Attributes:
        folder: that holds one folder per cache, on this machine.
        resolution: stored px per px of the network's crop, at the unaugmented scale. Against crops cut from the full
            images of the synthetic world at 128 px: 39.4 dB at 1 and 183 KB a sample, 41.8 dB at 1.25 and 285 KB.
        num_threads: that build it.
        max_gib: of one cache; None for what the disk has left.
    """

    folder: Path
    resolution: float = 1.0
    num_threads: int = 2
    max_gib: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that store nothing.

        Raises:
            ConfigError: the resolution or the number of threads is not positive.
        """
        if not 0.0 < self.resolution <= 8.0 or self.num_threads < 1:
            found = f"resolution {self.resolution}, {self.num_threads} threads"
            fix = "1 and 2 are good ones."
            raise ConfigError(
                describe(what="crop cache", expected="a resolution up to 8, 1 thread", found=found, fix=fix)
            )


@dataclass(frozen=True, eq=False)
class CropCache:
    """A complete cache, opened. Implements `hoiray.datasets.crop_images.SampleImages`.

    Attributes:
        folder: of this cache.
        side_px: of a stored crop.
        reach: side of the stored square, in sides of the training crop, at least.
        records: (N,) read-only.
        sample_ids, object_names: of each sample.
        dead_letters: of what was left out, damaged images included.
        starts: (P + 1,) first sample of every part, and their number.
        mask_places: (N, 5) offset in the part's mask file, and column, row, width, height; width -1 without a mask.
    """

    folder: Path
    side_px: int
    reach: float
    records: Records
    sample_ids: tuple[str, ...]
    object_names: tuple[str | None, ...]
    dead_letters: tuple[DeadLetter, ...]
    starts: NDArray[np.int64]
    mask_places: NDArray[np.int64]

    def image(self, index: int) -> StoredImage:
        """Return a sample's enlarged crop, mapped from its file."""
        part, row = self._locate(index)
        return StoredImage(self._crops[part][row], self._stored_to_image[index])

    def object_mask(self, index: int) -> MaskPart | None:
        """Return the stored mask of a sample's object, or None where there is none."""
        offset, column, row, width, height = self.mask_places[index].tolist()
        if width == _NO_MASK:
            return None
        bits = self._masks[self._locate(index)[0]][offset : offset + (width * height + 7) // 8]
        mask = np.unpackbits(bits, count=width * height).view(np.bool_).reshape(height, width)
        return MaskPart(mask, (column, row))

    def _locate(self, index: int) -> tuple[int, int]:
        part = int(np.searchsorted(self.starts, index, side="right")) - 1
        return part, index - int(self.starts[part])

    @cached_property
    def _stored_to_image(self) -> FloatArray:
        return invert_affine(stored_affines(self.records, self.reach, self.side_px))

    @cached_property
    def _crops(self) -> list[NDArray[np.uint8]]:
        counts = np.diff(self.starts).tolist()
        shape = (self.side_px, self.side_px, 3)
        return [_mapped(self.folder / _part_name(part) / _CROPS, (count, *shape)) for part, count in enumerate(counts)]

    @cached_property
    def _masks(self) -> list[NDArray[np.uint8]]:
        names = [self.folder / _part_name(part) / _MASKS for part in range(len(self.starts) - 1)]
        return [_mapped(name, (name.stat().st_size,)) for name in names]

    def __getstate__(self) -> dict[str, Any]:
        """Leave mapped files out, so that a cache travels to a worker as its labels and its folder."""
        return {
            name: value for name, value in vars(self).items() if name not in {"_crops", "_masks", "_stored_to_image"}
        }


_CROPS, _MASKS, _RECORDS, _PLACES, _TEXTS = "crops.u8", "masks.bits", "records.npy", "mask_places.npy", "texts.json"


def open_crop_cache(
    source: Source,
    spec: CropSpec,
    augmentation: Augmentation,
    options: CacheOptions,
    *,
    needs_joints: bool = True,
    on_part: Callable[[int, int], None] | None = None,
) -> CropCache:
    """Open the cache of a source's samples; what is missing of it is built first.

    Args:
        source: of labels and images.
        spec: where crops are placed, and the network's crop size.
        augmentation: whose largest crop must fit, and whose interpolation is used.
        options: where and how fine.
        needs_joints: see :meth:`hoiray.datasets.training_set.TrainingSet.open`.
        on_part: told (parts done, parts) after each part, from the building threads.

    Raises:
        ConfigError: it would be larger than allowed, or than the disk.
        ContractError: a part is not what was written; the message names it.
    """
    builder = _Builder.plan(source, spec, augmentation, needs_joints=needs_joints, options=options)
    builder.refuse_too_large(options.max_gib)
    builder.build(options.num_threads, on_part)
    return builder.open()


def forget_unread(cache: CropCache) -> None:
    """Delete the parts that lack pixels which could not be read, so that the next opening looks for them again."""
    for part in range(len(cache.starts) - 1):
        folder = cache.folder / _part_name(part)
        letters = json.loads((folder / _TEXTS).read_text())["dead_letters"]
        if any(stage == READ_STAGE for _, stage, _ in letters):
            shutil.rmtree(folder, ignore_errors=True)


def stored_affines(records: Records, reach: float, side_px: int) -> FloatArray:
    """Return the affines (N, 3, 3) from full images to the stored squares of records (N,).

    A square is centred where the training crop is; it holds every augmentation of that one, the evaluation crop, and a
    margin for interpolation.
    """
    centers = records["crop_center_px"]
    away = np.abs(records["evaluation_center_px"] - centers).max(axis=-1)
    sides = np.maximum(reach * records["crop_side_px"], 2.0 * away + records["evaluation_side_px"])
    return crop_affine(centers, sides * side_px / (side_px - 2 * _MARGIN_PX), 0.0, out_size_px=side_px)


@dataclass(frozen=True, eq=False)
class _Builder:
    """Builds the parts of one cache."""

    source: Source
    spec: CropSpec
    needs_joints: bool
    interpolation: Interpolation
    reach: float
    side_px: int
    folder: Path

    @classmethod
    def plan(
        cls,
        source: Source,
        spec: CropSpec,
        augmentation: Augmentation,
        *,
        needs_joints: bool,
        options: CacheOptions,
    ) -> "_Builder":
        reach = reach_sides(augmentation)
        side_px = int(np.ceil(reach * spec.size_px * options.resolution)) + 2 * _MARGIN_PX
        facts = {
            "layout": _LAYOUT,
            "record": [(name, str(RECORD[name])) for name in RECORD.names or ()],
            "sources": [source.identity()],
            "pixels": [source.pixel_digest()],
            "placement": [spec.context_factor, spec.clip_to_image, spec.integer_centers],
            "needs_joints": needs_joints,
            "interpolation": augmentation.interpolation,
            "reach": round(reach, 6),
            "side_px": side_px,
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
        folder = options.folder / f"crops-{digest}"
        return cls(source, spec, needs_joints, augmentation.interpolation, reach, side_px, folder)

    @property
    def entries_per_part(self) -> int:
        return max(16, _PART_BYTES // (self.side_px**2 * 3))

    @property
    def num_parts(self) -> int:
        return -(-len(self.source) // self.entries_per_part)

    def refuse_too_large(self, max_gib: float | None) -> None:
        """Refuse what would fill the disk, before the first crop is cut; an image is reckoned as one hand.

        Raises:
            ConfigError: it is too much.
        """
        sample_gib = self.side_px**2 * 3 / _GIB
        whole_gib = len(self.source) * sample_gib
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = sum(not (self.folder / _part_name(part)).exists() for part in range(self.num_parts))
        missing_gib = min(missing * self.entries_per_part, len(self.source)) * sample_gib
        free_gib = shutil.disk_usage(self.folder).free / _GIB
        for needed_gib, room_gib, whose in ((whole_gib, max_gib, "allowed"), (missing_gib, free_gib, "free")):
            if room_gib is not None and needed_gib > room_gib:
                each = f"{len(self.source):,} images in squares of {self.side_px} px"
                expected, found = f"at most {room_gib:.3g} GiB, as {whose}", f"{needed_gib:.3g} GiB for {each}"
                fix = "Name a larger disk (--cache), raise train.max_cache_gib, or train on fewer labels."
                raise ConfigError(describe(what=f"crops in {self.folder}", expected=expected, found=found, fix=fix))

    def build(self, num_threads: int, on_part: Callable[[int, int], None] | None) -> None:
        _remove_abandoned(self.folder)
        missing = [part for part in range(self.num_parts) if not (self.folder / _part_name(part)).exists()]
        # another process may be at work on the same cache: each begins somewhere else and leaves out what is done
        first = os.getpid() % len(missing) if missing else 0
        done = self.num_parts - len(missing)
        with ThreadPoolExecutor(num_threads, thread_name_prefix="crops") as pool:
            for _ in pool.map(self._build_part, missing[first:] + missing[:first]):
                done += 1
                if on_part is not None:
                    on_part(done, self.num_parts)

    def _build_part(self, part: int) -> None:
        final = self.folder / _part_name(part)
        if final.exists():
            return
        partial = self.folder / f".{final.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        partial.mkdir()
        try:
            self._write_part(part, partial)
            partial.rename(final)
        except OSError:
            if not final.exists():  # otherwise another process was faster: its part is as good as this one
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write_part(self, part: int, folder: Path) -> None:
        kept: list[ScannedHand] = []
        dead: list[DeadLetter] = []
        mask_places: list[tuple[int, ...]] = []
        with (folder / _CROPS).open("wb") as crops, (folder / _MASKS).open("wb") as masks:
            for hand, images, position, pixels in self._hands_of(part, dead):
                try:
                    crop, mask = self._cut(images, position, pixels), _mask_of(images, position)
                except InputError as error:
                    dead.append(DeadLetter(hand.sample_id, READ_STAGE, str(error)))
                    continue
                hand.record["is_object_supervised"] &= mask is not None
                bits = b"" if mask is None else np.packbits(mask.mask).tobytes()
                place = (0, 0, _NO_MASK, 0) if mask is None else (*mask.corner_xy, *mask.mask.shape[::-1])
                mask_places.append((masks.tell(), *place))
                masks.write(bits)
                crops.write(crop.tobytes())
                kept.append(hand)
        np.save(folder / _RECORDS, concatenate_records([hand.record for hand in kept]))
        np.save(folder / _PLACES, np.array(mask_places, dtype=np.int64).reshape(-1, 5))
        texts = {
            "sample_ids": [hand.sample_id for hand in kept],
            "object_names": [hand.object_name for hand in kept],
            "dead_letters": [[letter.key, letter.stage, letter.reason] for letter in dead],
        }
        (folder / _TEXTS).write_text(json.dumps(texts))

    def _hands_of(
        self, part: int, dead: list[DeadLetter]
    ) -> Iterator[tuple[ScannedHand, FullImages, int, NDArray[np.uint8] | InputError]]:
        """Yield a part's usable hands with their images; `dead` grows by what cannot be used.

        Images are asked for in their order and read once each, so that a video is decoded in one pass.
        """
        scanned = {}
        for entry in range(len(self.source))[part * self.entries_per_part : (part + 1) * self.entries_per_part]:
            hands, unusable = scan_entries(self.source, [entry], self.spec, needs_joints=self.needs_joints)
            dead.extend(unusable)
            if hands:
                scanned[entry] = hands
        for entry, pixels in self.source.images(list(scanned)):
            images = images_of(self.source, scanned[entry])
            for position, hand in enumerate(scanned[entry]):
                yield hand, images, position, pixels

    def _cut(self, images: FullImages, position: int, pixels: NDArray[np.uint8] | InputError) -> NDArray[np.uint8]:
        if isinstance(pixels, InputError):
            raise pixels
        A = stored_affines(images.records[position], self.reach, self.side_px)
        return cut_crop(images.turned(position, pixels).pixels, A, self.side_px, self.interpolation)

    def open(self) -> CropCache:
        parts = [_read_part(self.folder / _part_name(part), self.side_px) for part in range(self.num_parts)]
        return CropCache(
            folder=self.folder,
            side_px=self.side_px,
            reach=self.reach,
            records=concatenate_records([part.records for part in parts]),
            sample_ids=tuple(one for part in parts for one in part.texts["sample_ids"]),
            object_names=tuple(one for part in parts for one in part.texts["object_names"]),
            dead_letters=tuple(DeadLetter(*one) for part in parts for one in part.texts["dead_letters"]),
            starts=np.cumsum([0, *(len(part.records) for part in parts)], dtype=np.int64),
            mask_places=np.concatenate([np.zeros((0, 5), np.int64), *(part.mask_places for part in parts)]),
        )


@dataclass(frozen=True, eq=False)
class _Part:
    records: Records
    mask_places: NDArray[np.int64]
    texts: dict[str, list[Any]]


def _read_part(folder: Path, side_px: int) -> _Part:
    try:
        part = _Part(
            np.load(folder / _RECORDS, allow_pickle=False),
            np.load(folder / _PLACES, allow_pickle=False),
            json.loads((folder / _TEXTS).read_text()),
        )
        sizes = ((folder / _CROPS).stat().st_size, (folder / _MASKS).stat().st_size)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, f"one that cannot be read ({error})") from error
    count = len(part.records)
    lengths = {len(part.mask_places), len(part.texts["sample_ids"]), sizes[0] // (side_px**2 * 3)}
    if part.records.dtype != RECORD or lengths != {count} or sizes[0] != count * side_px**2 * 3:
        raise _damaged(folder, f"{count} records, {sizes[0]} bytes of crops")
    return part


def _damaged(folder: Path, found: str) -> ContractError:
    fix = "Delete this folder: it is made again."
    return ContractError(describe(what=str(folder), expected="a complete part of a crop cache", found=found, fix=fix))


def _mask_of(images: FullImages, position: int) -> MaskPart | None:
    return images.object_mask(position) if images.records[position]["is_object_supervised"] else None


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if 0 in shape:
        return np.zeros(shape, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


def _part_name(part: int) -> str:
    return f"part-{part:05d}"


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes of this machine were writing when they were killed."""
    for partial in folder.glob(".part-*"):
        host, pid = partial.name.rsplit(".", 3)[1:3] if partial.name.count(".") >= 4 else ("", "")
        if host == socket.gethostname() and pid.isdecimal() and not _is_alive(int(pid)):
            shutil.rmtree(partial, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
