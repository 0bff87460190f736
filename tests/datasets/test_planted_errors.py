"""Every format with every error of convention, one planted at a time: each is refused and called by its name."""

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damaged_sets as sets
import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.open import open_dataset
from hoiray.errors import ContractError

Joints = np.ndarray
SIMPLE_OF_MANO = np.argsort(files.MANO_OF_SIMPLE)
SIMPLE_OF_FPHA = np.argsort(files.FPHA_OF_SIMPLE)
MIRROR = np.array([-1.0, 1.0, 1.0])
FPHA_SKELETON = "Hand_pose_annotation_v1/*/*/*/skeleton.txt"


def rewrite(root: Path, pattern: str, edit: Callable[[bytes], bytes]) -> None:
    found = [path for path in sorted(root.rglob("*")) if path.match(pattern)]
    assert found
    for path in found:
        data = edit(path.read_bytes())
        path.unlink()
        path.write_bytes(data)


def metas(edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        meta = pickle.loads(data)
        return pickle.dumps(meta | edit(meta), protocol=2)

    return lambda root: rewrite(root, "train/*/meta/*.pkl", change)


def lists(edit: Callable[[np.ndarray], np.ndarray], *kinds: str) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        return json.dumps(edit(np.array(json.loads(data))).tolist()).encode()

    def plant(root: Path) -> None:
        for kind in kinds:
            rewrite(root, f"train*_{kind}.json", change)

    return plant


def labels(edit: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as archive:
            content = dict(archive)
        file = io.BytesIO()
        np.savez(file, **(content | edit(content)))
        return file.getvalue()

    return lambda root: rewrite(root, "labels_*.npz", change)


def skeletons(edit: Callable[[Joints], Joints]) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        rows = [line.split(maxsplit=1) for line in data.decode().splitlines()]
        joints = edit(np.array([[float(x) for x in row[1].split()] for row in rows]).reshape(-1, 21, 3))
        pairs = zip(rows, joints.reshape(len(rows), 63).tolist(), strict=True)
        return "".join(f"{row[0]} {' '.join(map(str, values))}\n" for row, values in pairs).encode()

    return lambda root: rewrite(root, FPHA_SKELETON, change)


def renumbered(root: Path) -> None:
    """Take one frame away with its line, and number the lines that are left by their place."""

    def change(data: bytes) -> bytes:
        lines = [line.split(" ", 1)[1] for line in data.decode().splitlines()]
        del lines[1]
        return "".join(f"{number} {line}\n" for number, line in enumerate(lines)).encode()

    for path in root.rglob("color_0001.jpeg"):
        path.unlink()
    rewrite(root, FPHA_SKELETON, change)


def mean_of(vector: np.ndarray, sign: float) -> np.ndarray:
    """Add the mean pose, sign times, to the 45 numbers from the fourth on of (..., N) vectors."""
    changed = vector.copy()
    changed[..., 3:48] += sign * files.arrays().hands_mean
    return changed


def absolute_pca(pose_m: np.ndarray) -> np.ndarray:
    """Coefficients of the absolute pose in place of those of its difference from the mean."""
    arrays = files.arrays()
    changed = pose_m.copy()
    changed[:, 3:48] += np.linalg.lstsq(arrays.hands_components.T, arrays.hands_mean, rcond=None)[0]
    return changed


ORDER, UNITS, SIDE = "joint order: .*looks like the {} order", "looks? like {}", "side: .*mirrored"
HO3D: dict[str, tuple[Callable[[Path], None], str]] = {
    "joint order": (
        metas(lambda m: {"handJoints3D": m["handJoints3D"][SIMPLE_OF_MANO]}),
        ORDER.format("simple"),
    ),
    "OpenGL sign": (metas(lambda m: {"handJoints3D": m["handJoints3D"] @ files.FLIP}), "axes: .*looks like OpenCV"),
    "mm for m": (metas(lambda m: {"handJoints3D": m["handJoints3D"] * 1e3}), UNITS.format("millimetres")),
    "mirrored hand": (metas(lambda m: {"handJoints3D": m["handJoints3D"] * MIRROR}), SIDE),
    "flat_hand_mean": (
        metas(lambda m: {"handPose": mean_of(m["handPose"], -1.0)}),
        "hand pose: .*flat_hand_mean=False",
    ),
}
PLANTED: dict[str, dict[str, tuple[Callable[[Path], None], str]]] = {
    "ho3d_v2": HO3D,
    "ho3d_v3": HO3D,
    "ho3d_processed": {
        "joint order": (lists(lambda j: j[:, files.MANO_OF_SIMPLE], "joint"), ORDER.format("mano")),
        "OpenGL sign": (lists(lambda j: j @ files.FLIP, "joint"), "axes: .*looks like OpenGL"),
        "mm for m": (lists(lambda j: j * 1e3, "joint"), UNITS.format("millimetres")),
        "mirrored hand": (lists(lambda j: j * MIRROR, "joint"), SIDE),
        "flat_hand_mean": (lists(lambda m: mean_of(m, -1.0), "mano"), "hand pose: .*flat_hand_mean=False"),
    },
    "freihand": {
        "joint order": (lists(lambda j: j[:, files.MANO_OF_SIMPLE], "xyz"), "joint order"),
        "OpenGL sign": (lists(lambda j: j @ files.FLIP, "xyz", "verts"), "axes: .*looks like OpenGL"),
        "mm for m": (lists(lambda j: j * 1e3, "xyz"), UNITS.format("millimetres")),
        "mirrored hand": (lists(lambda j: j * MIRROR, "xyz", "verts"), SIDE),
        "flat_hand_mean": (lists(lambda m: mean_of(m, 1.0), "mano"), "hand pose: .*flat_hand_mean=True"),
    },
    "fpha": {
        "joint order": (skeletons(lambda j: j[:, SIMPLE_OF_FPHA]), ORDER.format("simple")),
        "OpenGL sign": (skeletons(lambda j: j @ files.FLIP), "axes: .*looks like OpenGL"),
        "m for mm": (skeletons(lambda j: j / 1e3), UNITS.format("metres")),
        "mirrored hand": (skeletons(lambda j: j * MIRROR), SIDE),
        "list index for frame number": (renumbered, "frame numbers: .*looks like line numbers"),
    },
    "dexycb": {
        "joint order": (labels(lambda x: {"joint_3d": x["joint_3d"][:, files.MANO_OF_SIMPLE]}), ORDER.format("mano")),
        "OpenGL sign": (labels(lambda x: {"joint_3d": x["joint_3d"] @ files.FLIP}), "axes: .*looks like OpenGL"),
        "mm for m": (labels(lambda x: {"joint_3d": x["joint_3d"] * 1e3}), UNITS.format("millimetres")),
        "mirrored hand": (labels(lambda x: {"joint_3d": x["joint_3d"] * MIRROR}), SIDE),
        "flat_hand_mean": (
            labels(lambda x: {"pose_m": absolute_pca(x["pose_m"])}),
            "hand pose: .*flat_hand_mean=True",
        ),
    },
}


@pytest.fixture(scope="module")
def sound_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    roots = {name: tmp_path_factory.mktemp(name) for name in PLANTED}
    for name, root in roots.items():
        sets.write_sound_set(root, name)
        open_dataset(str(root), "ho3d" if name in ("ho3d_v2", "ho3d_v3") else name, None, files.arrays())
    return roots


@pytest.mark.parametrize(("name", "error"), [(name, error) for name, errors in PLANTED.items() for error in errors])
def test_a_planted_error_is_refused_by_its_name(
    sound_sets: dict[str, Path], tmp_path: Path, name: str, error: str
) -> None:
    plant, message = PLANTED[name][error]
    sets.copy_set(sound_sets[name], tmp_path)
    plant(tmp_path)
    with pytest.raises(ContractError, match=message):
        open_dataset(str(tmp_path), "ho3d" if name in ("ho3d_v2", "ho3d_v3") else name, None, files.arrays())
