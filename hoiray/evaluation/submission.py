"""Submission files of HO-3D and FreiHAND: made, checked before they are written, and read back.

Both benchmarks take one JSON text of two lists, N x 21 x 3 joints and N x 778 x 3 vertices: absolute camera
coordinates, metres, in the order of the evaluation split. They differ in what a reader cannot see:

=========== ============ ======================= ==============================
benchmark   joint order  axes                    order of the samples
=========== ============ ======================= ==============================
HO-3D       MANO         OpenGL (z negative)     lines of `evaluation.txt`
FreiHAND    simple       OpenCV (z positive)     image number, 0 to 3959
=========== ============ ======================= ==============================

The official scripts check the two lengths and nothing else (HO-3D also that not all z are positive), and a
wrong order or axis scores a plausible, bad number. So what is written is read through the same checks as data sets are
(:mod:`hoiray.datasets.annotation_checks`): units, axes, joint order; and where the place of the wrists or the truth
is known, against those.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.annotation_checks import axes_problem, order_problem, units_problem
from hoiray.datasets.conventions import Conventions
from hoiray.datasets.formats import freihand, ho3d
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.transforms import points_opencv_to_opengl, points_opengl_to_opencv
from hoiray.hand.joints import NUM_JOINTS, TIP_JOINTS

Floats = npt.NDArray[np.float64]

NUM_VERTICES: Final = 778
FILE_NAME: Final = "pred.json"
DECIMALS: Final = 7
"""Of metres: a tenth of a micrometre, a thousand times finer than any score."""

MAX_TIP_TO_MESH_M: Final = 0.03
"""Tips of any published set are vertices; a network's joints may leave its mesh by a few millimetres, not by this."""

MAX_WRIST_ERROR_M: Final = 0.3
"""From the wrists the benchmark gives, at the median. A wrong axis is off by twice the hand's distance."""

_BRACKETS_AND_SPACE: Final = b"[] \t\r\n"
_NUMBERS_AND_SPACE: Final = b"0123456789.eE+-NaInfity \t\r\n"
_BRACKETS_PER_SAMPLE: Final = 2 + NUM_JOINTS + NUM_VERTICES
_OUTER_BRACKETS: Final = 3
_FIX: Final = "Write it with hoiray submission make."


@dataclass(frozen=True)
class SubmissionFormat:
    """What a benchmark's file holds.

    Attributes:
        name: as a data set's reader calls it.
        conventions: of the file.
        joints_to_file, joints_from_file: (..., 21, 3) from hoiray's order and axes to the file's, and back.
        points_to_file, points_from_file: (..., 3) axes only.
    """

    name: str
    conventions: Conventions
    joints_to_file: Callable[[Floats], npt.NDArray[np.floating]]
    joints_from_file: Callable[[Floats], npt.NDArray[np.floating]]
    points_to_file: Callable[[Floats], npt.NDArray[np.floating]]
    points_from_file: Callable[[Floats], npt.NDArray[np.floating]]


def _unchanged(points: Floats) -> npt.NDArray[np.floating]:
    return points


_HO3D_CONVENTIONS: Final = Conventions(ho3d.JOINT_ORDER, "opengl", "opengl", ho3d.FLAT_HAND_MEAN, ho3d.TIP_SET)
_HO3D: Final = (ho3d.joints_to_file, ho3d.joints_from_file, points_opencv_to_opengl, points_opengl_to_opencv)
_FREIHAND_CONVENTIONS: Final = Conventions("simple", "opencv", "opencv", freihand.FLAT_HAND_MEAN, freihand.TIP_SET)

SUBMISSION_FORMATS: Final[Mapping[str, SubmissionFormat]] = MappingProxyType(
    {
        "ho3d_v2": SubmissionFormat("ho3d_v2", _HO3D_CONVENTIONS, *_HO3D),
        "ho3d_v3": SubmissionFormat("ho3d_v3", _HO3D_CONVENTIONS, *_HO3D),
        "freihand": SubmissionFormat("freihand", _FREIHAND_CONVENTIONS, *(_unchanged,) * 4),
    }
)


@dataclass(frozen=True, eq=False)
class Submission:
    """The two lists, in the file's order and axes.

    Attributes:
        format: whose file it is.
        xyz: (N, 21, 3).
        verts: (N, 778, 3).
    """

    format: SubmissionFormat
    xyz: Floats
    verts: Floats

    @classmethod
    def make(cls, name: str, joints_3d: Floats, vertices: Floats) -> "Submission":
        """Bring predictions of all samples into the file's conventions.

        Args:
            name: key of :data:`SUBMISSION_FORMATS`.
            joints_3d: (N, 21, 3) absolute, simple order, OpenCV axes, metres.
            vertices: (N, 778, 3).

        Raises:
            ContractError: the benchmark has no such file.
        """
        if name not in SUBMISSION_FORMATS:
            expected = f"one of {', '.join(SUBMISSION_FORMATS)}"
            fix = "Other data sets have no server to submit to: their scores are those of hoiray evaluate."
            raise ContractError(describe(what="submission", expected=expected, found=repr(name), fix=fix))
        chosen = SUBMISSION_FORMATS[name]
        xyz, verts = chosen.joints_to_file(joints_3d), chosen.points_to_file(vertices)
        return cls(chosen, np.asarray(xyz, dtype=np.float64), np.asarray(verts, dtype=np.float64))

    def joints_3d(self) -> Floats:
        """(N, 21, 3) simple order, OpenCV axes."""
        return np.asarray(self.format.joints_from_file(self.xyz), dtype=np.float64)

    def vertices(self) -> Floats:
        """(N, 778, 3) OpenCV axes."""
        return np.asarray(self.format.points_from_file(self.verts), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.xyz)


@dataclass(frozen=True, eq=False)
class Expected:
    """What is known of the split a submission is for.

    Attributes:
        num_samples: of the evaluation split, in its order.
        counted_in: the file that says so, for messages.
        wrists_3d: (N, 3) OpenCV axes, NaN where not told; None where nothing is.
    """

    num_samples: int
    counted_in: str
    wrists_3d: Floats | None = None


def check_submission(submission: Submission, expected: Expected, *, name: str) -> None:
    """Refuse a submission that a server would score, but not as what it is.

    Args:
        submission: to check.
        expected: what the split has.
        name: what messages call it.

    Raises:
        ContractError: count, shape, a number that is not finite, units, axes, joint order, joints apart from their
            meshes, or wrists elsewhere than the benchmark says; the message says what it looks like instead.
    """
    if len(submission) != expected.num_samples:
        wanted = f"{expected.num_samples} samples, as {expected.counted_in} has"
        fix = "Predict every sample of the evaluation split, in its order; a missing hand needs a substitute."
        _refuse(name, wanted, f"{len(submission)}", fix)
    for part, values, shape in (("joints", submission.xyz, (NUM_JOINTS, 3)), ("vertices", submission.verts, (778, 3))):
        if values.shape != (len(submission), *shape):
            _refuse(f"{name}, {part}", f"shape (N, {shape[0]}, {shape[1]})", f"{values.shape}", _FIX)
        is_bad = ~np.isfinite(values).all(axis=(1, 2))
        if is_bad.any():
            found = f"{int(is_bad.sum())} samples with NaN or infinity, the first is entry {int(np.argmax(is_bad))}"
            _refuse(f"{name}, {part}", "finite numbers", found, "Substitute missing hands before submitting.")
    _check_conventions(submission, name)
    _check_wrists(submission, expected, name)


def _check_conventions(submission: Submission, name: str) -> None:
    joints, conventions = submission.joints_3d(), submission.format.conventions
    for check in (units_problem, axes_problem, order_problem):
        problem = check(joints, conventions)
        if problem is not None:
            found = f"{problem.measured}: looks like {problem.looks_like}"
            _refuse(f"{name}, {problem.subject}", problem.expected, found, _FIX)
    tips, vertices = joints[:, list(TIP_JOINTS)], submission.vertices()
    apart = np.array([_distance_to_mesh(t, v) for t, v in zip(tips, vertices, strict=True)])
    if float(np.median(apart)) > MAX_TIP_TO_MESH_M:
        found = f"a median of {float(np.median(apart)):.3f} m from the nearest vertex"
        wanted = f"finger tips on the hand's mesh, within {MAX_TIP_TO_MESH_M} m"
        _refuse(f"{name}, vertices", wanted, found, "Write joints and vertices of one hand, in one order and axes.")


def _distance_to_mesh(points: Floats, vertices: Floats) -> float:
    """Mean distance of (T, 3) points to their nearest of (V, 3) vertices."""
    return float(np.linalg.norm(points[:, None] - vertices[None], axis=-1).min(axis=1).mean())


def _check_wrists(submission: Submission, expected: Expected, name: str) -> None:
    if expected.wrists_3d is None:
        return
    wrists = submission.joints_3d()[:, 0]
    errors = np.linalg.norm(wrists - expected.wrists_3d, axis=-1)
    errors = errors[np.isfinite(errors)]
    if not errors.size or float(np.median(errors)) <= MAX_WRIST_ERROR_M:
        return
    wanted = f"wrists near those the benchmark gives, within {MAX_WRIST_ERROR_M} m at the median"
    found = f"a median of {float(np.median(errors)):.3f} m: looks like another order of the samples, axes or camera"
    _refuse(f"{name}, wrists", wanted, found, "Keep the order of the evaluation list.")


def write_submission(submission: Submission, expected: Expected, path: Path) -> None:
    """Check, then write a zip that holds `pred.json` at its top, as the servers want it; or a plain `.json`.

    Raises:
        ContractError: the check fails; nothing is written.
    """
    check_submission(submission, expected, name=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    if path.suffix == ".json":
        with partial.open("wb") as file:
            file.writelines(_json_parts(submission))
    else:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(FILE_NAME, "w") as file:
            file.writelines(_json_parts(submission))
    partial.replace(path)


def _json_parts(submission: Submission) -> Iterator[bytes]:
    for opening, values in ((b"[[", submission.xyz), (b"], [", submission.verts)):
        yield opening
        for index, entry in enumerate(values):
            # adding zero turns -0.0 into 0.0
            yield (b", " if index else b"") + json.dumps((np.round(entry, DECIMALS) + 0.0).tolist()).encode()
    yield b"]]"


def read_submission(path: Path, name: str) -> Submission:
    """Read a `pred.json`, in a zip or plain.

    Args:
        path: the file.
        name: key of :data:`SUBMISSION_FORMATS`.

    Raises:
        InputError: it is missing, or a zip without `pred.json`.
        ContractError: it is not two lists of N x 21 x 3 and N x 778 x 3 numbers.
    """
    text = _json_text(path)
    num_samples = (text.count(b"[") - _OUTER_BRACKETS) // _BRACKETS_PER_SAMPLE
    # Brackets and numbers apart take a hundred times less memory than json.loads, whose every number is an object:
    # HO-3D v3 has 48 million of them
    if num_samples < 1 or text.translate(None, _NUMBERS_AND_SPACE) != _structure(num_samples):
        raise _not_two_lists(path, text)
    try:
        values = _parse_numbers(text.translate(None, _BRACKETS_AND_SPACE))
    except ValueError as error:
        raise _not_two_lists(path, text) from error
    xyz = values[: num_samples * NUM_JOINTS * 3].reshape(num_samples, NUM_JOINTS, 3)
    verts = values[num_samples * NUM_JOINTS * 3 :].reshape(num_samples, NUM_VERTICES, 3)
    return Submission(SUBMISSION_FORMATS[name], xyz, verts)


def _structure(num_samples: int) -> bytes:
    """Return the brackets and commas of the two lists."""
    entries = (b"[" + b",".join([b"[,,]"] * num_points) + b"]" for num_points in (NUM_JOINTS, NUM_VERTICES))
    joints, vertices = (b",".join([entry] * num_samples) for entry in entries)
    return b"[[" + joints + b"],[" + vertices + b"]]"


def _parse_numbers(numbers: bytes) -> Floats:
    """Parse comma-separated numbers a megabyte at a time."""
    parts, start, step = [], 0, 1 << 20
    while start < len(numbers):
        end = numbers.find(b",", start + step)
        end = len(numbers) if end < 0 else end
        parts.append(np.array(numbers[start:end].split(b","), dtype=np.float64))
        start = end + 1
    return np.concatenate(parts)


def _json_text(path: Path) -> bytes:
    if not path.is_file():
        fix = "Name the .zip or .json that was submitted."
        raise InputError(describe(what=str(path), expected="a submission file", found="nothing there", fix=fix))
    data = path.read_bytes()
    if not data.startswith(b"PK"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if FILE_NAME in archive.namelist():
                return archive.read(FILE_NAME)
            found = f"a zip of {', '.join(archive.namelist()[:5]) or 'nothing'}"
    except zipfile.BadZipFile as error:
        found = f"a damaged zip ({error})"
    fix = f"Put {FILE_NAME} at the top of the zip (zip -j)."
    raise InputError(describe(what=str(path), expected=f"a zip that holds {FILE_NAME}", found=found, fix=fix))


def _not_two_lists(path: Path, text: bytes) -> ContractError:
    """Say what a text is that is not the two lists: parsed whole, since speed no longer matters."""
    expected = "two lists, N x 21 x 3 joints and N x 778 x 3 vertices"
    try:
        parsed = json.loads(text)
    except ValueError as error:
        found = f"no JSON ({error})"
        return ContractError(describe(what=str(path), expected=expected, found=found, fix=_FIX))
    if not isinstance(parsed, list) or len(parsed) != 2 or not all(isinstance(part, list) for part in parsed):
        found = f"a {type(parsed).__name__} of {len(parsed) if isinstance(parsed, list) else 1}"
        return ContractError(describe(what=str(path), expected=expected, found=found, fix=_FIX))
    sizes = [f"{len(part)} entries, the first of {_shape_of(part[0]) if part else 'nothing'}" for part in parsed]
    uneven = next(
        (
            f"; entry {index} of list {place} is {_shape_of(entry)}"
            for place, (part, points) in enumerate(zip(parsed, (NUM_JOINTS, NUM_VERTICES), strict=True))
            for index, entry in enumerate(part)
            if _shape_of(entry) != f"shape {(points, 3)}"
        ),
        "",
    )
    found = f"lists of {' and '.join(sizes)}{uneven}"
    return ContractError(describe(what=str(path), expected=expected, found=found, fix=_FIX))


def _shape_of(entry: object) -> str:
    try:
        return f"shape {np.asarray(entry, dtype=np.float64).shape}"
    except (TypeError, ValueError):
        return "rows of different lengths, or no numbers"


def _refuse(what: str, expected: str, found: str, fix: str) -> None:
    raise ContractError(describe(what=what, expected=expected, found=found, fix=fix))
