"""Boxes of hands and objects, from the formats they come in to the table `boxes`: in a stream, one bad box at a time.

Three formats: Something-Else's JSON (gigabytes; one video in memory at a time), COCO with videos (one annotation at a
time; 24 bytes a picture are kept), and Parquet files of the table itself (one row group at a time). A box that cannot
be used is refused alone, with its reason; its frame keeps its other boxes.
"""

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hoiray.datasets.formats import something as facts
from hoiray.datasets.json_files import iterate_items, iterate_lists
from hoiray.errors import ContractError, describe
from hoiray.io.store import Store
from hoiray.schema.tables import BOXES

BoxFormat: TypeAlias = Literal["something_else", "coco", "parquet"]
OnRefused: TypeAlias = Callable[[str, str, str], None]
"""Told of a box that is not used: its video and frame, a reason of `REFUSAL_REASONS`, what was found."""

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]

BATCH_ROWS: Final = 16384
IMAGE_BORDER_PX: Final = 0.5
"""Pixel centres lie at integers: an image of width W reaches from -0.5 to W - 0.5."""

SUFFIXES: Final[dict[BoxFormat, str]] = {"something_else": ".json", "coco": ".json", "parquet": ".parquet"}
_DIGESTED: Final = np.dtype(
    [("frame_index", "<i4"), ("box_index", "<i2"), ("bbox_xyxy", "<f4", (4,)), ("is_right", "<i1"), ("score", "<f4")]
)
_HAND_NAME: Final = re.compile(r"(?:(left|right)[ _-]?)?hand(?:[ _-]?(left|right))?", re.IGNORECASE)


def iterate_boxes(uri: str, box_format: BoxFormat, on_refused: OnRefused) -> Iterator[pa.Table]:
    """Read boxes as tables of some thousand rows that fit the columns of `boxes`; keys may repeat between them.

    Args:
        uri: a file, or a folder whose files of the format's suffix are all read, by name.
        box_format: how to read them.
        on_refused: told of every box that is left out.

    Raises:
        ContractError: there is no such file, or one is not of the format as a whole.
    """
    read = {"something_else": _something_else, "coco": _coco, "parquet": _parquet}[box_format]
    for store, key in _files(uri, SUFFIXES[box_format]):
        yield from read(store, key, on_refused)


def clip_boxes(boxes_xyxy: FloatArray, width_px: FloatArray, height_px: FloatArray) -> FloatArray:
    """Clip boxes (N, 4) to their images; a size (N,) of NaN is unknown, and there the box keeps its far side."""
    width, height = (np.where(np.isnan(size), np.inf, size) - IMAGE_BORDER_PX for size in (width_px, height_px))
    upper = np.stack([width, height, width, height], axis=-1)
    return np.minimum(np.maximum(boxes_xyxy, -IMAGE_BORDER_PX), upper)


def box_problems(boxes_xyxy: FloatArray, clipped_xyxy: FloatArray) -> list[tuple[int, str]]:
    """Say which boxes (N, 4) cannot be used, by index, and why: `not_finite`, `inverted` or `outside`."""
    is_finite = np.isfinite(boxes_xyxy).all(axis=-1)
    has_inside = is_finite & (boxes_xyxy[:, 2] > boxes_xyxy[:, 0]) & (boxes_xyxy[:, 3] > boxes_xyxy[:, 1])
    is_seen = (clipped_xyxy[:, 2] > clipped_xyxy[:, 0]) & (clipped_xyxy[:, 3] > clipped_xyxy[:, 1])
    reasons = np.where(~is_finite, "not_finite", np.where(~has_inside, "inverted", "outside"))
    return [(int(i), str(reasons[i])) for i in np.flatnonzero(~(has_inside & is_seen))]


class _Rows:
    """Boxes on their way into a table."""

    def __init__(self, on_refused: OnRefused) -> None:
        self.on_refused = on_refused
        self._clear()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, size_wh: tuple[float, float], **values: Any) -> None:  # noqa: ANN401 - one value a column
        """Add a box of an image of that size in px, NaN where unknown."""
        for name, column in self._columns.items():
            column.append(values.get(name))
        self._sizes.append(size_wh)

    def take(self) -> pa.Table:
        """Return the usable boxes, clipped, and begin anew."""
        columns, sizes = self._columns, np.asarray(self._sizes, dtype=np.float64).reshape(-1, 2)
        boxes = np.asarray(columns.pop("bbox_xyxy"), dtype=np.float64).reshape(-1, 4)
        rest = pa.table({name: pa.array(values, BOXES[name].arrow_type) for name, values in columns.items()})
        self._clear()
        return usable(rest, boxes, sizes[:, 0], sizes[:, 1], self.on_refused)

    def _clear(self) -> None:
        self._columns: dict[str, list[Any]] = {name: [] for name in BOXES.names}
        self._sizes: list[tuple[float, float]] = []


def usable(
    rest: pa.Table,
    boxes_xyxy: FloatArray,
    width_px: FloatArray,
    height_px: FloatArray,
    on_refused: OnRefused,
    *,
    extra: tuple[str, ...] = (),
) -> pa.Table:
    """Clip boxes (N, 4) to images of size (N,), leave out those that cannot be used.

    Args:
        rest: the other columns of the boxes' table.
        boxes_xyxy: px.
        width_px: NaN where unknown.
        height_px: NaN where unknown.
        on_refused: told of those that are left out.
        extra: columns of `rest` that are kept though the table has none such.
    """
    clipped = clip_boxes(boxes_xyxy, width_px, height_px)
    problems = box_problems(boxes_xyxy, clipped)
    for index, reason in problems:
        row = rest.slice(index, 1).to_pylist()[0]
        on_refused(f"{row['video_id']}, frame {row['frame_index']}", reason, str(boxes_xyxy[index].tolist()))
    keep = np.delete(np.arange(len(boxes_xyxy)), [index for index, _ in problems])
    flat = pa.array(clipped[keep].astype(np.float32).reshape(-1), pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=BOXES["bbox_xyxy"].arrow_type)
    kept = rest.take(pa.array(keep)) if problems else rest
    return kept.append_column("bbox_xyxy", column).select([*BOXES.names, *extra])


def _files(uri: str, suffix: str) -> Iterator[tuple[Store, str]]:
    folder, _, name = uri.rpartition("/")
    if uri.endswith(suffix):
        yield Store.open(folder or "."), name
        return
    store = Store.open(uri)
    keys = [key for key in store.list() if key.endswith(suffix)]
    if not keys:
        fix = "Name a file, or a folder that holds some."
        raise ContractError(describe(what=f"boxes at {uri}", expected=f"*{suffix}", found="none", fix=fix))
    yield from ((store, key) for key in keys)


def _something_else(store: Store, key: str, on_refused: OnRefused) -> Iterator[pa.Table]:
    name = store.url(key)
    rows = _Rows(on_refused)
    with store.open_input(key) as file:
        for item in iterate_items(file, name=name):
            if item.key is None or not isinstance(item.value, list):
                expected, found = "video ids with lists of frames", "a list, or another kind of value"
                fix = "Is it Something-Else's file of boxes?"
                raise ContractError(describe(what=name, expected=expected, found=found, fix=fix))
            _add_video(rows, item.key, item.value)
            if len(rows) >= BATCH_ROWS:
                yield rows.take()
    yield rows.take()


def _add_video(rows: _Rows, video_id: str, frames: list[Any]) -> None:
    """Add the boxes of a video. The frame's **name** says which it is, not its place: frames are missing in between."""
    seen: set[int] = set()
    for frame in frames:
        named = facts.parse_frame_name(str(frame.get("name"))) if isinstance(frame, dict) else None
        labels = frame.get("labels") if isinstance(frame, dict) else None
        if named is None or named[0] != video_id or not isinstance(labels, list):
            rows.on_refused(video_id, "malformed", f"a frame without a name such as {video_id}/0001.jpg: {frame!r:.80}")
            continue
        where = f"{video_id}, frame {named[1] - 1}"
        if named[1] in seen:
            rows.on_refused(where, "duplicate", "the frame a second time")
            continue
        seen.add(named[1])
        _add_labels(rows, video_id, named[1] - 1, labels)


def _add_labels(rows: _Rows, video_id: str, frame_index: int, labels: list[Any]) -> None:
    counts = {"hand": 0, "object": 0}
    for label in labels:
        try:
            box = facts.box_from_file(label["box2d"])
            standard, category = str(label["standard_category"]), str(label["category"])
        except (TypeError, KeyError, ValueError) as error:
            found = f"{type(error).__name__}: {error} in {label!r:.80}"
            rows.on_refused(f"{video_id}, frame {frame_index}", "malformed", found)
            continue
        kind = "hand" if standard == facts.HAND_CATEGORY else "object"
        is_object = kind == "object"
        rows.add(
            (float("nan"), float(facts.IMAGE_HEIGHT_PX)),
            video_id=video_id, frame_index=frame_index, kind=kind, box_index=counts[kind], bbox_xyxy=box,
            category=category if is_object else None, track_id=standard if is_object else None,
        )  # fmt: skip
        counts[kind] += 1


@dataclass(frozen=True)
class _CocoImages:
    """Where COCO's pictures belong: 24 bytes each, sorted by id."""

    ids: npt.NDArray[np.int64]
    videos: npt.NDArray[np.int32]
    frames: npt.NDArray[np.int32]
    widths: npt.NDArray[np.float32]
    heights: npt.NDArray[np.float32]
    names: list[str]

    def find(self, image_id: object) -> int | None:
        """Row of a picture, None where there is none."""
        if not isinstance(image_id, int) or len(self.ids) == 0:
            return None
        row = int(np.searchsorted(self.ids, image_id))
        return row if row < len(self.ids) and self.ids[row] == image_id else None


def _coco(store: Store, key: str, on_refused: OnRefused) -> Iterator[pa.Table]:
    name = store.url(key)
    categories, images = _coco_heads(store, key, name)
    counts: dict[tuple[int, str], int] = {}
    rows = _Rows(on_refused)
    with store.open_input(key) as file:
        for _, annotation in iterate_lists(file, ("annotations",), name=name):
            row = images.find(annotation.get("image_id")) if isinstance(annotation, dict) else None
            category = categories.get(annotation.get("category_id")) if row is not None else None
            box = _coco_box(annotation) if category is not None else None
            if row is None or category is None or box is None:
                on_refused(name, "malformed", f"image_id, category_id or bbox of {annotation!r:.120}")
                continue
            kind, is_right = _kind_of(category)
            index = counts[(row, kind)] = counts.get((row, kind), -1) + 1
            track = annotation.get("track_id", annotation.get("instance_id"))
            rows.add(
                (float(images.widths[row]), float(images.heights[row])),
                video_id=images.names[images.videos[row]], frame_index=int(images.frames[row]), kind=kind,
                box_index=index, bbox_xyxy=box, is_right=is_right, category=category if kind == "object" else None,
                track_id=None if track is None else str(track), score=annotation.get("score"),
            )  # fmt: skip
            if len(rows) >= BATCH_ROWS:
                yield rows.take()
    yield rows.take()


def _coco_heads(store: Store, key: str, name: str) -> tuple[dict[Any, str], _CocoImages]:
    """Read videos, pictures and categories: a pass of its own, as annotations may come before them."""
    categories, places, names = dict[Any, str](), dict[Any, int](), dict[int, str]()
    ids, integers, sizes = array("q"), array("i"), array("f")
    with store.open_input(key) as file:
        try:
            for kind, item in iterate_lists(file, ("videos", "images", "categories"), name=name):
                if kind == "categories":
                    categories[item["id"]] = str(item["name"])
                elif kind == "videos":
                    place = places.setdefault(item["id"], len(places))
                    names[place] = str(item["name"] if "name" in item else item["file_name"])
                else:
                    frame = item["frame_index"] if "frame_index" in item else item["frame_id"]
                    ids.append(int(item["id"]))
                    integers.extend((places.setdefault(item["video_id"], len(places)), int(frame)))
                    sizes.extend((item.get("width", float("nan")), item.get("height", float("nan"))))
            listed = [names[place] for place in range(len(places))]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            expected = "videos {id, name}, images {id, video_id, frame_id from 0}, categories {id, name}"
            found = f"an entry without ({type(error).__name__}: {error})"
            fix = "COCO without videos does not say which frames its pictures are: add them, or write Parquet."
            raise ContractError(describe(what=name, expected=expected, found=found, fix=fix)) from error
    image_ids = np.asarray(ids, dtype=np.int64)
    order = np.argsort(image_ids, kind="stable")
    owners, frames = np.asarray(integers, dtype=np.int32).reshape(-1, 2)[order].T
    widths, heights = np.asarray(sizes, dtype=np.float32).reshape(-1, 2)[order].T
    return categories, _CocoImages(image_ids[order], owners, frames, widths, heights, listed)


def _coco_box(annotation: dict[str, Any]) -> list[float] | None:
    """Return `[x, y, width, height]`, whose 0 is the edge of the first pixel, as corners from its centre."""
    try:
        x, y, width, height = (float(value) for value in annotation["bbox"])
    except (KeyError, TypeError, ValueError):
        return None
    x, y = x - IMAGE_BORDER_PX, y - IMAGE_BORDER_PX
    return [x, y, x + width, y + height]


def _kind_of(category: str) -> tuple[str, bool | None]:
    match = _HAND_NAME.fullmatch(category.strip())
    if match is None:
        return "object", None
    side = (match.group(1) or match.group(2) or "").lower()
    return "hand", None if not side else side == "right"


def _parquet(store: Store, key: str, on_refused: OnRefused) -> Iterator[pa.Table]:
    name = store.url(key)
    with store.open_input(key) as source:
        try:
            file = pq.ParquetFile(pa.PythonFile(source, mode="r"))
            for batch in file.iter_batches(BATCH_ROWS, columns=BOXES.names):
                yield _as_boxes(pa.Table.from_batches([batch]), on_refused)
        except (pa.ArrowException, KeyError) as error:
            expected, fix = "Parquet with the columns of schemas/boxes.json", "Write it as the schema says."
            raise ContractError(describe(what=name, expected=expected, found=str(error), fix=fix)) from error


def _as_boxes(table: pa.Table, on_refused: OnRefused) -> pa.Table:
    missing = [name for name in BOXES.names if name not in table.column_names]
    if missing:
        raise KeyError(f"no column {', '.join(missing)}")
    table = table.cast(BOXES.to_arrow().with_metadata(None)).combine_chunks()
    flat = table["bbox_xyxy"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    unknown = np.full(table.num_rows, np.nan)
    return usable(
        table.drop_columns(["bbox_xyxy"]), flat.reshape(-1, 4).astype(np.float64), unknown, unknown, on_refused
    )


def box_digests(table: pa.Table, starts: npt.NDArray[np.int64]) -> list[str]:
    """Return the SHA-256 of each video's boxes, in a form of its own, so that no library's version changes it.

    Args:
        table: boxes, sorted by the table's key, without nulls where the schema has none.
        starts: (V,) first row of each video.
    """
    numbers = np.zeros(table.num_rows, dtype=_DIGESTED)
    numbers["frame_index"], numbers["box_index"] = table["frame_index"].to_numpy(), table["box_index"].to_numpy()
    numbers["bbox_xyxy"] = table["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
    # 2 and -1 stand for null: no side and no score have them
    numbers["is_right"] = pc.fill_null(table["is_right"].cast(pa.int8()), 2).to_numpy()
    numbers["score"] = pc.fill_null(table["score"], -1.0).to_numpy()
    texts = [table[name].to_pylist() for name in ("kind", "category", "track_id")]
    ends = np.append(starts[1:], table.num_rows)[: len(starts)]
    digests = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        words = json.dumps([column[start:end] for column in texts], separators=(",", ":"))
        digests.append(hashlib.sha256(numbers[start:end].tobytes() + words.encode("ascii")).hexdigest())
    return digests
