"""Small sets of every format, and ways to damage each kind of their files."""

import io
import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataset_files as files
import numpy as np
import yaml
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats import fpha as fpha_facts
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.dexycb import DEXYCB
from hoiray.synthetic.writers.fpha import FPHA
from hoiray.synthetic.writers.freihand import FREIHAND
from hoiray.synthetic.writers.ho3d import HO3D_PROCESSED, HO3D_V2, HO3D_V3
from hoiray.synthetic.writers.something import SOMETHING
from hoiray.synthetic.writers.videos import VIDEOS

NUM_FRAMES = 4
Damage = Callable[[bytes], bytes | None]
"""Bytes of a file to those of the damaged one; None removes it."""


# --- sound sets -------------------------------------------------------------------------------------------------------


def write_sound_set(root: Path, name: str) -> None:
    """Write the set that is damaged; nothing of our own truth is left in it."""
    store = Store.open(root)
    if name == "images":
        for index in range(NUM_FRAMES):
            files.put_image(root / f"room/{index}.{'png' if index % 2 else 'jpg'}", files.picture(64, 48, index))
        return
    options: dict[str, Any] = {"num_frames": NUM_FRAMES, "num_cameras": 1}
    layout, splits = {
        "ho3d_v2": (HO3D_V2, ("train", "test")),
        "ho3d_v3": (HO3D_V3, ("train", "test")),
        "ho3d_processed": (HO3D_PROCESSED, ("train",)),
        "freihand": (FREIHAND, ("train",)),
        "fpha": (FPHA, ("train", "test")),
        "dexycb": (DEXYCB, ("train",)),
        "something": (SOMETHING, ("train", "train")),
        "videos": (VIDEOS, ("train",)),
    }[name]
    if name == "freihand":
        options |= {"size": (224, 224), "focal": 380.0}
    if name == "fpha":
        options |= {"size": (1080, 1920), "K": fpha_facts.intrinsics(), "object_names": ("salt",)}
    if name in ("something", "videos"):
        options |= {"size": (240, 320), "focal": 300.0, "object_names": ("mug",), "num_frames": 8}
    if name == "videos":
        options |= {"num_cameras": 4, "fps": 30.0}
    parts = []
    for index, split in enumerate(splits):
        recording = _with_bent_fingers(make_recording(recording_id=f"toy-{index}", seed=1 + index, **options))
        place = slot(index, split, total=options["num_frames"], subject=index)
        part, _ = write_recording(layout.begin(store, recording, place), store, recording, place)
        parts.append(part)
    layout.finish(store, parts)
    for path in sorted((root / "hoiray_truth").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "hoiray_truth").rmdir()


def _with_bent_fingers(recording: Recording) -> Recording:
    """Bend the target's fingers as hands at rest have them: of flat hands nobody can tell the side."""
    first, *others = recording.hands
    bent = replace(first, hand_pose=first.hand_pose + 1.5 * files.arrays().hands_mean)
    return replace(recording, hands=(bent, *others))


def copy_set(source: Path, target: Path) -> None:
    """Copy a set by links; damage replaces files and never writes into them."""
    for path in source.rglob("*"):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target / path.relative_to(source))


# --- damage -----------------------------------------------------------------------------------------------------------


BYTES: dict[str, Damage] = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "half of it": lambda data: data[: len(data) // 2],
    "junk": lambda data: b"\x00\xffjunk" * 20,
}


def edited_json(edit: Callable[[Any], Any]) -> Damage:
    return lambda data: json.dumps(edit(json.loads(data))).encode()


def first_entry(edit: Callable[[Any], Any]) -> Damage:
    return edited_json(lambda entries: [*entries[:1], edit(entries[1]), *entries[2:]])


def first_number(value: Any) -> Callable[[Any], Any]:
    """Replace the first number of nested lists."""

    def edit(entry: Any) -> Any:
        return [edit(entry[0]), *entry[1:]] if isinstance(entry, list) else value

    return edit


JSON_NUMBERS: dict[str, Damage] = {
    "NaN": first_entry(first_number(float("nan"))),
    "infinity": first_entry(first_number(float("inf"))),
    "a text for a number": first_entry(first_number("none")),
    "null for a number": first_entry(first_number(None)),
    "null for an entry": first_entry(lambda _: None),
    "an entry too few": edited_json(lambda entries: entries[:-1]),
    "an entry too many": edited_json(lambda entries: [*entries, entries[0]]),
    "an object": edited_json(lambda entries: {str(i): entry for i, entry in enumerate(entries)}),
    "no list": edited_json(lambda entries: 3),
    "empty list": edited_json(lambda entries: []),
}


def _value_edits(value: Any) -> dict[str, Any]:
    """Ways to spoil one value of a meta."""
    edits: dict[str, Any] = {"None": None, "a dictionary": {}}
    if not isinstance(value, str):
        edits["a text"] = "none"
    if isinstance(value, np.ndarray) and value.size > 1:
        spoiled = value.astype(np.float64)
        spoiled.flat[0] = np.nan
        beyond = value.astype(np.float64)
        beyond.flat[-1] = np.inf
        edits |= {"NaN": spoiled, "infinity": beyond, "another shape": value.ravel()[:-1]}
    return edits


def meta_cases(data: bytes, keys: tuple[str, ...]) -> Iterator[tuple[str, Damage]]:
    """Yield every spoiled value and missing key of a pickled meta."""
    meta = pickle.loads(data)
    for key in keys:
        yield f"no {key}", _pickled({k: v for k, v in meta.items() if k != key})
        for title, value in _value_edits(meta[key]).items():
            yield f"{key} {title}", _pickled(meta | {key: value})
    yield "a list", _pickled([1])


def _pickled(content: Any) -> Damage:
    return lambda data: pickle.dumps(content, protocol=2)


def npz_cases(data: bytes) -> Iterator[tuple[str, Damage]]:
    """Yield every spoiled array and missing key of the labels of a frame."""
    with np.load(io.BytesIO(data)) as archive:
        labels = {key: archive[key] for key in archive.files}
    for key, value in labels.items():
        yield f"no {key}", _npz({k: v for k, v in labels.items() if k != key})
        for title, edit in _value_edits(value).items():
            if isinstance(edit, np.ndarray) and not (key == "seg" and title in ("NaN", "infinity")):
                yield f"{key} {title}", _npz(labels | {key: edit})
        yield f"{key} text", _npz(labels | {key: np.array("none")})


def _npz(content: dict[str, Any]) -> Damage:
    file = io.BytesIO()
    np.savez(file, **content)
    return lambda data: file.getvalue()


def yaml_cases(data: bytes, keys: tuple[str, ...]) -> Iterator[tuple[str, Damage]]:
    """Yield every spoiled value and missing key of a YAML file."""
    content = yaml.safe_load(data)
    for key in keys:
        yield f"no {key}", _yaml({k: v for k, v in content.items() if k != key})
        for title, value in {"null": None, "text": "none", "NaN": float("nan"), "object": {"a": 1}}.items():
            yield f"{key} {title}", _yaml(content | {key: value})
    yield "a list", _yaml([1])


def _yaml(content: Any) -> Damage:
    return lambda data: yaml.safe_dump(content).encode()


def replaced(pattern: bytes, by: bytes) -> Damage:
    """Replace the first match."""

    def damage(data: bytes) -> bytes:
        changed, count = re.subn(pattern, by, data, count=1)
        assert count == 1
        return changed

    return damage


def without_last(num_bytes: int) -> Damage:
    return lambda data: data[:-num_bytes]


def flipped_png_byte(data: bytes) -> bytes:
    position = data.index(b"IDAT") + 8
    return data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]


def smaller_image(data: bytes) -> bytes:
    """The same picture at half its size."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    suffix = ".png" if data.startswith(b"\x89PNG") else ".jpg"
    ok, encoded = cv2.imencode(suffix, pixels[::4, ::4])
    assert ok
    return encoded.tobytes()


IMAGE: dict[str, Damage] = BYTES | {"cut by 20 bytes": without_last(20), "a quarter of the size": smaller_image}
PNG: dict[str, Damage] = IMAGE | {"a flipped byte": flipped_png_byte}
FREE_IMAGE = {title: damage for title, damage in IMAGE.items() if title != "a quarter of the size"}
LIST: dict[str, Damage] = BYTES | {
    "a line of another kind": lambda data: data + b"nonsense line here\n",
    "a line twice": lambda data: data + data.splitlines(keepends=True)[0],
    "a frame that is not there": lambda data: data + b"ABF10/0099\n",
}
SKELETON: dict[str, Damage] = BYTES | {
    "NaN": replaced(rb"^(\d+) \S+", rb"\1 nan"),
    "infinity": replaced(rb"^(\d+) \S+", rb"\1 inf"),
    "a number too few": replaced(rb" \S+\n", b"\n"),
    "a text": replaced(rb"^(\d+) \S+", rb"\1 none"),
    "a line twice": lambda data: data + data.splitlines(keepends=True)[0],
    "no frame number": replaced(rb"^\d+ ", b""),
    "lines in another order": lambda data: b"".join(reversed(data.splitlines(keepends=True))),
    "a frame beyond the images": lambda data: data + b"0099" + data.splitlines(keepends=True)[0][4:],
}
VIDEO: dict[str, Damage] = BYTES | {"cut by 5 bytes in 6": lambda data: data[: len(data) // 6]}


def _boxes(edit: Callable[[dict[str, Any]], Any]) -> Damage:
    """Edit the first frame of the first video of a box file."""

    def change(videos: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
        video_id = next(key for key, frames in videos.items() if len(frames) > 2 and frames[0]["labels"])
        return videos | {video_id: [edit(videos[video_id][0]), *videos[video_id][1:]]}

    return edited_json(change)


def _first_box(edit: Callable[[dict[str, Any]], Any]) -> Damage:
    return _boxes(lambda frame: frame | {"labels": [edit(frame["labels"][0]), *frame["labels"][1:]]})


BOXES: dict[str, Damage] = {title: damage for title, damage in BYTES.items() if title != "missing"} | {
    "NaN": _first_box(lambda label: label | {"box2d": label["box2d"] | {"x1": float("nan")}}),
    "infinity": _first_box(lambda label: label | {"box2d": label["box2d"] | {"y2": float("inf")}}),
    "no corner": _first_box(lambda label: label | {"box2d": {"x1": 1}}),
    "a text": _first_box(lambda label: label | {"box2d": label["box2d"] | {"x1": "none"}}),
    "no box": _first_box(lambda label: {"category": "hand", "standard_category": "hand"}),
    "null": _boxes(lambda frame: None),
    "no name": _boxes(lambda frame: {k: v for k, v in frame.items() if k != "name"}),
    "a number for a name": _boxes(lambda frame: frame | {"name": 3}),
    "another count": _boxes(lambda frame: frame | {"nr_instances": 99}),
    "numbers from zero": _boxes(lambda frame: frame | {"name": re.sub(r"\d+\.jpg", "0000.jpg", frame["name"])}),
    "a frame again": edited_json(lambda videos: {key: frames + frames[:1] for key, frames in videos.items()}),
    "numbers for lists": edited_json(lambda videos: dict.fromkeys(videos, 3)),
    "a list": edited_json(lambda videos: [1]),
}


HO3D_KEYS = ("camMat", "handJoints3D", "objName", "objRot", "objTrans")
