"""Reader of Something-Something v2 with Something-Else's boxes; the facts of the formats are in `formats.something`.

The published box files hold gigabytes. They are walked once when the set is opened, one video at a time in memory, and
what is kept is where each video's boxes lie; they are parsed when asked for.
"""

import bisect
import functools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.formats import something as facts
from hoiray.datasets.frame_numbers import numbering_problem
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.json_files import iterate_items, read_json, read_range
from hoiray.datasets.opening import require_split
from hoiray.datasets.sample import HandAnnotation, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.datasets.video_frames import read_frames, video_facts
from hoiray.datasets.videos import VideoRecord
from hoiray.errors import ContractError, InputError, describe
from hoiray.io.decoding.choose import Decoder
from hoiray.io.decoding.container import ContainerFacts
from hoiray.io.decoding.sampling import sampled_sources
from hoiray.io.store import Store

NUM_VIDEOS_CHECKED: Final = 4
MAX_OUTSIDE_SHARE: Final = 0.1
"""Of the video's side: published boxes reach its border and, by rounding, a hair beyond it."""

_FIX: Final = "Restore the file from the published archive."


@dataclass(frozen=True, eq=False)
class FrameBoxes:
    """The annotated boxes of one frame of one video.

    Attributes:
        video_id: the video.
        frame_number: from 1, as in the frame's name. Its place in the file's list means nothing.
        hands: boxes of hands, (4,) px each, without side or identity; not cut to the image.
        objects: boxes of objects with their category.
    """

    video_id: str
    frame_number: int
    hands: tuple[NDArray[np.floating[Any]], ...]
    objects: tuple[facts.LabelledBox, ...]

    @property
    def frame_index(self) -> int:
        """The frame's 0-based index in a video of 12 frames a second."""
        return self.frame_number - 1


@dataclass(frozen=True)
class BoxEntry:
    """Where the boxes of a video lie: bytes [start, end) of a file, and how many frames they are of."""

    key: str
    start: int
    end: int
    num_frames: int


@dataclass(frozen=True, eq=False)
class SomethingDataset:
    """An opened split: its videos, and their annotated frames as samples.

    Attributes:
        store: the root.
        split: `train`, `validation` or `test`.
        videos: of the split, in the order of its list.
        entries: where the boxes of annotated videos of the split lie.
        annotated_ids: those videos, in the order of the list.
        ends: cumulative number of annotated frames.
    """

    store: Store
    split: facts.Split
    videos: tuple[VideoRecord, ...]
    entries: Mapping[str, BoxEntry]
    annotated_ids: tuple[str, ...]
    ends: tuple[int, ...]

    @classmethod
    def open(
        cls,
        uri: str,
        split: facts.Split = "train",
        *,
        box_keys: Iterable[str] | None = None,
        check: bool = True,
    ) -> "SomethingDataset":
        """Open and check a split.

        Args:
            uri: the folder that holds `20bn-something-something-v2`, local or on S3.
            split: which list; where the lists are missing altogether, every video is in `train`.
            box_keys: Something-Else's files; None takes all in `annotations/` and `bounding_box*.json`.
            check: False leaves the checks out.

        Raises:
            ContractError: a list or box file is not of this format, a video is annotated twice, or most of the checked
                videos are missing, damaged or shorter than their annotations.
        """
        require_split(split, facts.SPLITS, name="Something-Something")
        store = Store.open(uri)
        videos = read_videos(store, split)
        entries = index_boxes(store, find_box_files(store) if box_keys is None else tuple(box_keys))
        kept = {video.video_id: entries[video.video_id] for video in videos if video.video_id in entries}
        ends = tuple(np.cumsum([entry.num_frames for entry in kept.values()]).tolist())
        dataset = cls(store, split, videos, kept, tuple(kept), ends)
        if check:
            dataset._check()
        return dataset

    @property
    def name(self) -> str:
        """`something`."""
        return "something"

    def __len__(self) -> int:
        """Annotated frames."""
        return self.ends[-1] if self.ends else 0

    def boxes(self, video_id: str) -> tuple[FrameBoxes, ...]:
        """Return a video's annotated frames, by growing frame number; empty where it is not annotated.

        Raises:
            InputError: the annotation breaks the format.
        """
        entry = self.entries.get(video_id)
        return () if entry is None else _read_boxes(self.store, entry, video_id)

    def frames(self, video: VideoRecord, *, decoder: Decoder = "pyav") -> NDArray[np.uint8]:
        """Decode a whole video, (T, H, W, 3) RGB.

        Raises:
            InputError: it is missing or damaged.
        """
        return read_frames(self.store, video.key, decoder=decoder)

    def sample(self, index: int) -> Sample:
        """Return an annotated frame. Sides are unknown; a hand's identity over time is not annotated.

        Raises:
            InputError: the annotation of its video breaks the format.
        """
        position = bisect.bisect_right(self.ends, index)
        frames = self.boxes(self.annotated_ids[position])
        return frame_sample(frames[index - (self.ends[position] - len(frames))])

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Decode the sample's frame, (H, W, 3).

        Raises:
            InputError: the video is missing, damaged, or shorter than the frame's number, or a box lies outside of it.
        """
        found = video_facts(self.store, sample.image_key)
        entry = self.entries[sample.recording_id]
        _require_inside(sample, found, f"{self.store.url(entry.key)}, video {sample.recording_id}")
        index = _require_frame(found, sample.frame_index + 1, self.store.url(sample.image_key))
        return np.asarray(read_frames(self.store, sample.image_key, [index])[0])

    def masks(self, sample: Sample) -> Masks | None:  # noqa: ARG002 - the protocol's signature
        """Only boxes are annotated."""
        return None

    def object_model(self, name: str) -> ObjectModel | None:  # noqa: ARG002 - the protocol's signature
        """Objects have no models."""
        return None

    def _check(self) -> None:
        name = f"Something-Something ({self.split}) at {self.store.uri}"
        annotated = [video for video in self.videos if video.video_id in self.entries] or list(self.videos)
        reasons: list[str] = []
        chosen = spread_indices(len(annotated), NUM_VIDEOS_CHECKED)
        for position in chosen:
            video = annotated[position]
            try:
                self._check_video(video)
            except InputError as error:
                reasons.append(str(error))
        if 2 * len(reasons) > len(chosen):
            found = f"{len(reasons)} of {len(chosen)} that do not; the first: {reasons[0]}"
            fix = "Check that boxes and videos are of the same set."
            raise ContractError(describe(what=name, expected="videos that fit their boxes", found=found, fix=fix))

    def _check_video(self, video: VideoRecord) -> None:
        found = video_facts(self.store, video.key)
        frames = self.boxes(video.video_id)
        for frame in frames:
            where = f"{self.store.url(self.entries[video.video_id].key)}, video {video.video_id}"
            _require_inside(frame_sample(frame), found, where)
        for frame in frames[-1:]:
            _require_frame(found, frame.frame_number, self.store.url(video.key))


def frame_sample(frame: FrameBoxes) -> Sample:
    """Return an annotated frame as a sample."""
    return Sample(
        sample_id=f"{frame.video_id}/{frame.frame_number:04d}",
        recording_id=frame.video_id,
        subject_id=None,
        camera_id=None,
        frame_index=frame.frame_index,
        image_key=facts.video_key(frame.video_id),
        K=None,
        hands=tuple(HandAnnotation(is_right=None, bbox_xyxy=box) for box in frame.hands),
        objects=tuple(ObjectAnnotation(box.standard_category, bbox_xyxy=box.bbox_xyxy) for box in frame.objects),
    )


def _require_inside(sample: Sample, video: ContainerFacts, name: str) -> None:
    """Refuse boxes that reach far out of the video, as those of another size of it do."""
    size = np.array([video.width_px, video.height_px, video.width_px, video.height_px], dtype=np.float64)
    for box in [*(hand.bbox_xyxy for hand in sample.hands), *(one.bbox_xyxy for one in sample.objects)]:
        if box is None or np.all((box >= -MAX_OUTSIDE_SHARE * size) & (box <= (1.0 + MAX_OUTSIDE_SHARE) * size)):
            continue
        expected = f"boxes in the {video.width_px} x {video.height_px} px of {sample.image_key}"
        found, fix = f"{np.round(box, 1).tolist()}", "The boxes may be of the video in another size. " + _FIX
        what = f"{name}, frame {sample.frame_index + 1}"
        raise InputError(describe(what=what, expected=expected, found=found, fix=fix))


def _require_frame(video: ContainerFacts, frame_number: int, name: str) -> int:
    """Return the decoded frame of a number that annotations name, or raise an InputError that names the video."""
    index = decoded_index(video, frame_number)
    if index < video.num_frames:
        return index
    expected, found = f"at least {frame_number} frames, as annotated", f"{video.num_frames}"
    raise InputError(describe(what=name, expected=expected, found=found, fix=_FIX))


def decoded_index(video: ContainerFacts, frame_number: int) -> int:
    """Return which decoded frame an annotated frame number names.

    The numbered frames were written by `ffmpeg -r 12`, whose rule :mod:`hoiray.io.decoding.sampling` restates: in a
    video of that rate number n is frame n - 1, in any other it may be shown twice or left out. `num_frames` where the
    number lies behind the last frame: then it names nothing in this file.
    """
    sources = sampled_sources(video.timeline, facts.FRAMES_PER_SECOND)
    return int(sources[frame_number - 1]) if frame_number <= len(sources) else video.num_frames


def read_videos(store: Store, split: facts.Split) -> tuple[VideoRecord, ...]:
    """Read a split's list; without any list, list the video files.

    Raises:
        ContractError: the list is none, the split has none while another has, or there are no videos.
    """
    key = next((key for key in facts.list_keys(split) if store.exists(key)), None)
    if key is not None:
        listed = tuple(_record(item, f"{store.url(key)}, entry {i}") for i, item in enumerate(_list(store, key)))
        _refuse_twice(listed, store.url(key))
        return listed
    others = [other for other in facts.SPLITS for other_key in facts.list_keys(other) if store.exists(other_key)]
    files = [] if others else sorted(store.list(facts.VIDEO_FOLDER, recursive=False))
    videos = tuple(
        VideoRecord(file.rpartition("/")[2].removesuffix(".webm"), file) for file in files if file.endswith(".webm")
    )
    if not videos or (split != "train" and not others):
        expected = " or ".join(facts.list_keys(split))
        found = f"lists of {', '.join(others)} only" if others else "no list"
        fix = "Unpack the label files below the same root."
        raise ContractError(describe(what=store.uri, expected=expected, found=found, fix=fix))
    return videos


def _refuse_twice(videos: tuple[VideoRecord, ...], name: str) -> None:
    twice = [video_id for video_id, times in Counter(video.video_id for video in videos).items() if times > 1]
    if twice:
        found = f"{len(twice)} more than once, such as {twice[0]}"
        raise ContractError(describe(what=name, expected="each video once", found=found, fix=_FIX))


def find_box_files(store: Store) -> tuple[str, ...]:
    """Return the box files below the root."""
    inside = [key for key in store.list(facts.BOX_FOLDER, recursive=False) if key.endswith(".json")]
    beside = [
        key for key in store.list(recursive=False) if key.startswith(facts.BOX_FILE_PREFIX) and key.endswith(".json")
    ]
    return tuple(inside + beside)


def index_boxes(store: Store, keys: Iterable[str]) -> dict[str, BoxEntry]:
    """Walk box files and note where each video's boxes lie; one video is in memory at a time.

    Raises:
        InputError: a file is missing.
        ContractError: a file is cut off, is no object of lists, or a video occurs twice.
    """
    entries: dict[str, BoxEntry] = {}
    for key in keys:
        name = store.url(key)
        with store.open_input(key) as file:
            for item in iterate_items(file, name=name):
                if item.key is None or not isinstance(item.value, list):
                    expected, found = "video ids with lists of frames", "a list or another kind of value"
                    raise ContractError(describe(what=name, expected=expected, found=found, fix=_FIX))
                if item.key in entries:
                    found = f"it again after {store.url(entries[item.key].key)}"
                    fix = "Leave one of the files out."
                    what = f"{name}, video {item.key}"
                    raise ContractError(describe(what=what, expected="each video once", found=found, fix=fix))
                entries[item.key] = BoxEntry(key, item.start, item.end, len(item.value))
    return entries


def parse_boxes(video_id: str, frames: object, *, name: str) -> tuple[FrameBoxes, ...]:
    """Read the list of a video.

    Args:
        video_id: its key in the file.
        frames: its value.
        name: the file, for messages.

    Raises:
        InputError: a frame's name is none or of another video, numbers do not grow from 1, a box lacks a corner, is not
            finite or inverted, or the boxes are not as many as the frame says.
    """
    what = f"{name}, video {video_id}"
    if not isinstance(frames, list):
        raise InputError(describe(what=what, expected="a list of frames", found=type(frames).__name__, fix=_FIX))
    parsed = tuple(_frame(video_id, frame, what) for frame in frames)
    problem = numbering_problem([frame.frame_number for frame in parsed], first=1)
    if problem is not None:
        raise InputError(f"{what}: {problem}")
    return parsed


@functools.lru_cache(maxsize=256)
def _read_boxes(store: Store, entry: BoxEntry, video_id: str) -> tuple[FrameBoxes, ...]:
    data = read_range(store, entry.key, entry.start, entry.end)
    return parse_boxes(video_id, json.loads(data), name=store.url(entry.key))


def _frame(video_id: str, frame: object, what: str) -> FrameBoxes:
    if not isinstance(frame, dict) or not isinstance(frame.get("labels"), list):
        raise InputError(describe(what=what, expected="frames with name and labels", found=f"{frame!r:.80}", fix=_FIX))
    named = facts.parse_frame_name(str(frame.get("name")))
    if named is None or named[0] != video_id:
        expected, found = f"a name such as {facts.frame_name(video_id, 1)}", repr(frame.get("name"))
        fix = "Numbers count from 1: a 0 looks like a position in a list. " + _FIX
        raise InputError(describe(what=what, expected=expected, found=found, fix=fix))
    where = f"{what}, frame {named[1]}"
    boxes = [_box(label, where) for label in frame["labels"]]
    if frame.get("nr_instances", len(boxes)) != len(boxes):
        found = f"{len(boxes)}"
        raise InputError(describe(what=where, expected=f"{frame['nr_instances']} boxes", found=found, fix=_FIX))
    hands = tuple(box.bbox_xyxy for box in boxes if box.standard_category == facts.HAND_CATEGORY)
    objects = tuple(box for box in boxes if box.standard_category != facts.HAND_CATEGORY)
    return FrameBoxes(video_id, named[1], hands, objects)


def _box(label: object, where: str) -> facts.LabelledBox:
    try:
        if not isinstance(label, dict):
            raise TypeError("no object")
        box = facts.box_from_file(label["box2d"])
        category, standard = label["category"], label["standard_category"]
        if not isinstance(category, str) or not isinstance(standard, str):
            raise TypeError("a category that is no text")
    except (TypeError, KeyError, ValueError) as error:
        found = f"one without ({type(error).__name__}: {error})"
        expected = "a box with box2d, category and standard_category"
        raise InputError(describe(what=where, expected=expected, found=found, fix=_FIX)) from error
    if not np.all(np.isfinite(box)) or box[2] < box[0] or box[3] < box[1]:
        found = f"{label['box2d']}"
        raise InputError(describe(what=where, expected="a finite box, x1 <= x2, y1 <= y2", found=found, fix=_FIX))
    return facts.LabelledBox(category, standard, box)


def _list(store: Store, key: str) -> list[Any]:
    loaded = read_json(store, key)
    if not isinstance(loaded, list):
        found = f"a {type(loaded).__name__}"
        raise ContractError(describe(what=store.url(key), expected="a list of videos", found=found, fix=_FIX))
    return loaded


def _record(item: object, name: str) -> VideoRecord:
    if not isinstance(item, dict) or "id" not in item:
        raise ContractError(describe(what=name, expected="an entry with an id", found=f"{item!r:.80}", fix=_FIX))
    video_id, placeholders = item["id"], item.get("placeholders")
    is_number = isinstance(video_id, int) and not isinstance(video_id, bool)
    if not is_number and not (isinstance(video_id, str) and facts.is_video_id(video_id)):
        found, expected = f"{video_id!r:.80}", "an id of letters, digits, - and _, which names a file"
        raise ContractError(describe(what=name, expected=expected, found=found, fix=_FIX))
    texts = {entry: item.get(entry) for entry in ("label", "template")}
    are_words = isinstance(placeholders, list | None) and all(isinstance(word, str) for word in placeholders or ())
    if not are_words or not all(isinstance(text, str | None) for text in texts.values()):
        expected, found = "label and template as text, placeholders as a list of them", f"{item!r:.120}"
        raise ContractError(describe(what=name, expected=expected, found=found, fix=_FIX))
    return VideoRecord(
        video_id=str(video_id),
        key=facts.video_key(str(video_id)),
        label=texts["label"],
        template=texts["template"],
        placeholders=tuple(placeholders or ()),
    )
