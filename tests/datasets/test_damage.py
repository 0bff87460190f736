"""Every format with every kind of its files damaged: a refusal or a dead letter that names it, and nothing invented."""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import damaged_sets as sets
import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.iterate import iterate
from hoiray.datasets.open import open_dataset
from hoiray.datasets.reading import read_through
from hoiray.datasets.sample import DeadLetter, Sample
from hoiray.errors import ContractError, InputError

Damages = dict[str, sets.Damage]
HO3D_IMAGES: tuple[tuple[str, Damages, bool], ...] = (
    ("{split}/*/depth/0001.png", sets.PNG, False),
    ("{split}/*/seg/0001.png", sets.PNG, True),
    ("models/*/points.xyz", sets.BYTES, True),
    ("models/*/textured_simple.obj", sets.BYTES, True),
)
TABLE: dict[str, tuple[tuple[str, Damages, bool], ...]] = {
    "ho3d_v2 train": (
        ("train.txt", sets.LIST, False),
        ("train/*/rgb/0001.png", sets.PNG, False),
        ("train/*/meta/0001.pkl", sets.BYTES, False),
        *HO3D_IMAGES,
    ),
    "ho3d_v2 evaluation": (
        ("evaluation.txt", sets.LIST, False),
        ("evaluation/*/meta/0001.pkl", sets.BYTES, False),
        ("evaluation_xyz.json", sets.BYTES | sets.JSON_NUMBERS, True),
        ("evaluation_verts.json", sets.BYTES | sets.JSON_NUMBERS, True),
    ),
    "ho3d_v3 train": (("train/*/rgb/0001.jpg", sets.IMAGE, False), ("train/*/meta/0001.pkl", sets.BYTES, False)),
    "ho3d_processed train": (
        ("train.txt", sets.LIST, False),
        *((f"train_{kind}.json", sets.BYTES | sets.JSON_NUMBERS, False) for kind in ("K", "joint", "mano", "obj")),
        ("train/*/rgb/0001.png", sets.PNG, False),
        ("train_segLabel/*/0001.png", sets.PNG, True),
    ),
    "freihand training": (
        *(
            (f"training_{kind}.json", sets.BYTES | sets.JSON_NUMBERS, False)
            for kind in ("K", "xyz", "verts", "mano", "scale")
        ),
        ("training/rgb/00000001.jpg", sets.IMAGE, False),
        ("training/mask/00000001.jpg", sets.IMAGE, True),
    ),
    "fpha train": (
        ("data_split_action_recognition.txt", sets.BYTES, False),
        ("Hand_pose_annotation_v1/Subject_1/*/skeleton.txt", sets.SKELETON, False),
        ("Object_6D_pose_annotation_v1/Subject_1/*/object_pose.txt", sets.SKELETON, True),
        ("Video_files/Subject_1/*/color/color_0001.jpeg", sets.IMAGE, False),
        ("Video_files/Subject_1/*/depth/depth_0001.png", sets.PNG, True),
        ("Object_models/*.ply", sets.BYTES, True),
    ),
    "dexycb train": (
        ("*/labels_000001.npz", sets.BYTES, False),
        ("*/color_000001.jpg", sets.IMAGE, False),
        ("*/aligned_depth_to_color_000001.png", sets.PNG, False),
        ("*/meta.yml", sets.BYTES, False),
        ("calibration/intrinsics/*.yml", sets.BYTES, False),
        ("calibration/mano_*/mano.yml", sets.BYTES, False),
        ("models/*/points.xyz", sets.BYTES, True),
    ),
    "something train": (
        ("20bn-something-something-v2/*.webm", sets.VIDEO, False),
        ("labels/train.json", {"half of it": sets.BYTES["half of it"], "empty": sets.BYTES["empty"]}, False),
        ("labels/train.json", {"junk": sets.BYTES["junk"], "missing": sets.BYTES["missing"]}, False),
        ("annotations/*.json", sets.BOXES, False),
    ),
    "videos all": tuple((f"*.{suffix}", sets.VIDEO, False) for suffix in ("mp4", "webm", "mkv", "avi")),
    "images all": (("room/0.jpg", sets.FREE_IMAGE, False), ("room/1.png", sets.FREE_IMAGE, False)),
}
"""By format and split: pattern of a file, its damages, and whether the format may lack the file."""

KEYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ho3d_v2 train": ("train/*/meta/0001.pkl", (*sets.HO3D_KEYS, "handPose", "handTrans", "handBeta")),
    "ho3d_v2 evaluation": ("evaluation/*/meta/0001.pkl", (*sets.HO3D_KEYS, "handBoundingBox")),
    "dexycb train": ("*/labels_000001.npz", ()),
    "dexycb train meta": (
        "*/meta.yml",
        ("num_frames", "ycb_ids", "ycb_grasp_ind", "mano_sides", "mano_calib"),
    ),
    "dexycb train camera": ("calibration/intrinsics/*.yml", ("color",)),
    "dexycb train shape": ("calibration/mano_*/mano.yml", ("betas",)),
}
"""Files of named values, of which each is spoiled."""

UNNOTICED: set[tuple[str, str]] = {
    # a list that is shorter is a smaller set; what the lines mean is not told by the file
    ("train.txt", "half of it"),
    ("evaluation.txt", "half of it"),
    # as many numbers as before: the file says nothing else of itself
    ("points.xyz", "half of it"),
    ("textured_simple.obj", "half of it"),
    # without lists every video is in the training split, as documented
    ("train.json", "missing"),
    # frames without an object pose are part of the published set
    ("object_pose.txt", "half of it"),
}

PIXEL_FILES = (".npz", ".png", ".jpg", ".jpeg", ".obj", ".ply", ".xyz", ".webm", ".mp4", ".mkv", ".avi")


@pytest.fixture(scope="module")
def sound_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    roots = {}
    for place in TABLE:
        name = place.split()[0]
        if name not in roots:
            roots[name] = tmp_path_factory.mktemp(name)
            sets.write_sound_set(roots[name], name)
    return roots


def cases_of(place: str, root: Path) -> Iterator[tuple[Path, str, sets.Damage, bool]]:
    """Yield file, title, damage, and whether silence is right."""
    for pattern, damages, is_optional in TABLE[place]:
        path = find(root, pattern.format(split=place.split()[1]))
        for title, damage in damages.items():
            is_silent = (is_optional and title == "missing") or (path.name, title) in UNNOTICED
            is_silent |= title == "missing" and place in ("images all", "videos all")
            yield path, title, damage, is_silent
    for name, (pattern, keys) in KEYS.items():
        if not name.startswith(place):
            continue
        path = find(root, pattern)
        data = path.read_bytes()
        readers: dict[str, Any] = {".pkl": sets.meta_cases, ".yml": sets.yaml_cases}
        reader = readers.get(path.suffix)
        found = sets.npz_cases(data) if reader is None else reader(data, keys)
        yield from ((path, title, damage, False) for title, damage in found)


def find(root: Path, pattern: str) -> Path:
    return next(
        path for path in sorted(root.rglob("*")) if path.is_file() and fnmatch(str(path.relative_to(root)), pattern)
    )


def read(root: Path, place: str, *, with_pixels: bool) -> tuple[list[str], dict[str, Sample]]:
    """Return the reasons of a refusal or of dead letters, and the samples that were read."""
    name, split = place.split()
    data_format = "ho3d" if name in ("ho3d_v2", "ho3d_v3") else name
    try:
        dataset = open_dataset(str(root), data_format, split, files.arrays())
    except (ContractError, InputError) as error:
        return [str(error)], {}
    entries = iterate(dataset)
    results = list(read_through(dataset, entries) if with_pixels else entries)
    reasons = [result.reason for result in results if isinstance(result, DeadLetter)]
    return reasons, {result.sample_id: result for result in results if isinstance(result, Sample)}


def labels_of(sample: Sample) -> list[np.ndarray]:
    """Every number a sample is annotated with."""
    numbers = [sample.K]
    for hand in sample.hands:
        numbers += [hand.joints_3d, hand.wrist_3d, hand.joints_2d_px, hand.vertices, hand.bbox_xyxy]
        if hand.mano is not None:
            numbers += [hand.mano.global_orient, hand.mano.hand_pose, hand.mano.betas, hand.mano.transl]
    for one in sample.objects:
        numbers += [one.T_cam_obj, one.control_points_2d_px, one.bbox_xyxy]
    return [np.asarray(one) for one in numbers if one is not None]


def is_invented(sample: Sample, sound: dict[str, Sample]) -> bool:
    """Say whether a sample says anything that the sound set does not."""
    if sample.sample_id not in sound:
        return True
    told = [one.tobytes() for one in labels_of(sound[sample.sample_id])]
    return any(one.tobytes() not in told for one in labels_of(sample))


@pytest.mark.parametrize("place", TABLE)
def test_a_damaged_file_is_named_and_nothing_is_invented(
    sound_sets: dict[str, Path], tmp_path: Path, place: str
) -> None:
    root = sound_sets[place.split(maxsplit=1)[0]]
    reasons, sound = read(root, place, with_pixels=True)
    assert not reasons
    assert sound
    failures = []
    for number, (path, title, damage, is_silent) in enumerate(cases_of(place, root)):
        copy = tmp_path / str(number)
        sets.copy_set(root, copy)
        target = copy / path.relative_to(root)
        data = damage(path.read_bytes())
        target.unlink()
        if data is not None:
            target.write_bytes(data)
        where = f"{path.relative_to(root)}, {title}"
        try:
            reasons, found = read(copy, place, with_pixels=path.suffix in PIXEL_FILES)
        except Exception as error:  # noqa: BLE001 - any class but the two is the finding
            failures.append(f"{where}: {type(error).__name__}: {error}")
            continue
        if not reasons and not is_silent:
            failures.append(f"{where}: nobody noticed")
        if reasons and not any(path.name in reason or path.stem in reason for reason in reasons):
            failures.append(f"{where}: not named in {reasons[0]!r}")
        if any(is_invented(sample, sound) for sample in found.values()):
            failures.append(f"{where}: a sample says what the sound set does not")
    assert not failures, "\n".join(failures)
