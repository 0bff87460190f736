"""Small data sets in the published formats, written by hand: nothing here uses the product's format modules."""

import functools
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.model import HandModel

FLIP = np.diag([1.0, -1.0, -1.0])

# simple order -> MANO / FPHA order, as published tables of numbers
MANO_OF_SIMPLE = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
FPHA_OF_SIMPLE = [0, 1, 5, 9, 13, 17, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19, 20]


@dataclass(frozen=True)
class Hands:
    """Posed hands in OpenCV camera axes; N of everything."""

    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    vertices: np.ndarray
    rest_root: np.ndarray


@functools.cache
def arrays() -> HandArrays:
    return load_hand_arrays()


@functools.cache
def model(tip_set: str) -> HandModel:
    return HandModel(arrays(), flat_hand_mean=True, tip_set=tip_set, dtype=torch.float64)


@functools.cache
def hands(
    count: int, *, tip_set: str, is_right: bool = True, depth_m: float = 0.6, seed: int = 0, curl: float = 1.0
) -> Hands:
    """Relaxed to closed hands near the middle of the image; `curl` times as bent."""
    rng = np.random.default_rng(seed)
    mirror = np.tile([1.0, 1.0, 1.0] if is_right else [1.0, -1.0, -1.0], 15)
    hand_pose = (
        arrays().hands_mean * curl * rng.uniform(0.5, 1.6, (count, 1)) + rng.normal(0, 0.08, (count, 45))
    ) * mirror
    global_orient = rng.normal(0, 1.0, (count, 3))
    betas = rng.normal(0, 1.0, (count, 10))
    right = torch.full((count,), is_right)
    layer = model(tip_set)
    root = layer.rest_root(torch.tensor(betas), is_right=right).numpy()
    wrist = np.array([0.0, 0.0, depth_m]) + rng.uniform(-0.03, 0.03, (count, 3))
    transl = wrist - root
    posed = layer(*(torch.tensor(x) for x in (global_orient, hand_pose, betas, transl)), is_right=right)
    return Hands(global_orient, hand_pose, betas, transl, posed.joints.numpy(), posed.vertices.numpy(), root)


def rotation(axis_angle: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.Rodrigues(np.asarray(axis_angle, dtype=np.float64))[0])


def axis_angle(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.Rodrigues(matrix)[0])[:, 0]


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def put_json(path: Path, value: Any) -> None:
    put(path, json.dumps(value))


def put_image(path: Path, rgb: np.ndarray) -> None:
    ok, data = cv2.imencode(path.suffix, rgb[..., ::-1] if rgb.ndim == 3 else rgb)
    assert ok
    put(path, data.tobytes())


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth colourful image with a red left and a blue right half, so that swapped channels show."""
    x = np.linspace(0, 255, width)[None].repeat(height, axis=0)
    image = np.stack([255 - x, np.full_like(x, 20 + seed % 200), x], axis=-1)
    return image.astype(np.uint8)


# --- pickles as Python 2 wrote them: protocol 2, byte strings, numpy.core.multiarray ------------------------------


def python2_pickle(entries: dict[str, Any]) -> bytes:
    body = b"".join(_string(key) + _value(value) for key, value in entries.items())
    return b"\x80\x02}(" + body + b"u."


def _string(text: str) -> bytes:
    data = text.encode("latin-1")
    return b"U" + bytes([len(data)]) + data


def _value(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, str):
        return _string(value)
    array = np.ascontiguousarray(value)
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    dtype = (
        b"cnumpy\ndtype\n" + _string(kind) + b"K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"(" + b"".join(b"M" + struct.pack("<H", size) for size in array.shape) + b"t"
    data = array.tobytes()
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return made + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(data)) + data + b"tb"
