"""Reader of FPHA, as published; the facts of the format are in :mod:`hoiray.datasets.formats.fpha`."""

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions, Problem, refuse
from hoiray.datasets.formats import fpha as facts
from hoiray.datasets.frame_numbers import numbering_problem
from hoiray.datasets.image_files import read_levels, read_rgb
from hoiray.datasets.meshes import read_object_model
from hoiray.datasets.opening import check_opened, require_split
from hoiray.datasets.sample import DepthView, FloatArray, HandAnnotation, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.cameras import project_points
from hoiray.geometry.rotations import is_rotation
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store

CONVENTIONS: Final = Conventions(
    joint_order=facts.JOINT_ORDER,
    axes="opencv",
    orientation_axes="opencv",
    flat_hand_mean=None,
    tip_set=facts.TIP_SET,
    unit="millimetres",
)
MAX_TAIL_SHARE: Final = 0.5
"""Frames after the last line of a skeleton, over all of its sequence: lines are missing in between, here and there.
More is a file that was cut off."""

MAX_TAIL_SHARE_IN_VIEW: Final = 0.1
MIN_TAIL_IN_VIEW: Final = 3
"""The same, and a count, where the last line has the hand in the middle of things: there was more to annotate."""

MIN_SHARE_IN_VIEW: Final = 0.5
"""Of the last line's joints; a hand that leaves the picture is outside of it with most of them."""

MAX_WITHOUT_JOINTS: Final = 0.2
"""Frames with an object pose and without joints, over those with an object pose: the same."""

_ROTATION_TOLERANCE: Final = 1e-3
"""The poses are written with six digits."""

_IMAGE_NUMBER = re.compile(r"color_(\d+)\.jpeg")


@dataclass(frozen=True, eq=False)
class SequenceFiles:
    """What is written about a sequence.

    Attributes:
        sequence: which.
        key, joints: its skeleton, frame number to 63 numbers.
        pose_key, poses: its object poses, frame number to 16 numbers; None and empty where it has none.
    """

    sequence: facts.Sequence
    key: str
    joints: Mapping[int, FloatArray]
    pose_key: str | None
    poses: Mapping[int, FloatArray]


@dataclass(frozen=True, eq=False)
class FphaDataset:
    """An opened FPHA split: every annotated frame of its sequences, and an entry for each file that should be there.

    Such an entry, after all others, cannot be read and so is a dead letter that names the file.

    Attributes:
        store: the root.
        split: `train` or `test` of the action split.
        files: of the sequences of the split that have a skeleton file and are not on the list of bad ones.
        rows: per sequence, frame number to its 63 numbers, of the frames that are samples.
        ends: cumulative number of samples, for looking one up.
        absent: files that are not there: skeletons of listed sequences, and object poses of actions whose other
            sequences have them.
    """

    store: Store
    split: facts.Split
    files: tuple[SequenceFiles, ...]
    rows: tuple[Mapping[int, FloatArray], ...]
    ends: tuple[int, ...]
    absent: tuple[str, ...]

    @classmethod
    def open(
        cls,
        uri: str,
        split: facts.Split = "train",
        *,
        only_with_object: bool = False,
        hand: HandArrays | None = None,
        check: bool = True,
    ) -> "FphaDataset":
        """Open and check a split.

        Args:
            uri: the folder that holds `Video_files`, local or on S3.
            split: `train` or `test`.
            only_with_object: leave out frames without an object pose (what hand-object papers report on).
            hand: not needed; FPHA has no MANO parameters.
            check: False leaves the checks out.

        Raises:
            ContractError: the split file or a skeleton is not of this format, or conventions are broken.
            InputError: the split file is missing.
        """
        require_split(split, facts.SPLITS, name="FPHA")
        store = Store.open(uri)
        listed = _read_split(store)[split]
        if not listed:
            found, fix = "none", "Use the published file."
            what = store.url(facts.SPLIT_KEY)
            raise ContractError(describe(what=what, expected=f"{split} sequences", found=found, fix=fix))
        kept = [one for one in listed if (one.subject, one.action, one.repetition) not in facts.IGNORED_SEQUENCES]
        files, absent = _read_files(store, kept)
        rows = tuple(
            {n: row for n, row in one.joints.items() if n in one.poses} if only_with_object else one.joints
            for one in files
        )
        ends = tuple(np.cumsum([len(sequence_rows) for sequence_rows in rows]).tolist())
        dataset = cls(store, split, files, rows, ends, absent)
        if check:
            dataset._check_numbers()
            for one in files:
                _refuse_unlike_numbers(store, one)
            check_opened(dataset, store, CONVENTIONS, hand=hand, image_size_wh=facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`fpha`."""
        return "fpha"

    def __len__(self) -> int:
        """Annotated frames, and files that are not there."""
        return self._num_frames + len(self.absent)

    @property
    def _num_frames(self) -> int:
        return self.ends[-1] if self.ends else 0

    def sample(self, index: int) -> Sample:
        """Return a frame's annotation.

        Raises:
            InputError: a number of it is not finite, an object pose is no rigid one, or the whole file is missing.
        """
        if index >= self._num_frames:
            what, fix = self.store.url(self.absent[index - self._num_frames]), "Restore the file."
            raise InputError(describe(what=what, expected="a file", found="nothing there", fix=fix))
        position = bisect.bisect_right(self.ends, index)
        files, rows = self.files[position], self.rows[position]
        sequence = files.sequence
        number = list(rows)[index - (self.ends[position] - len(rows))]
        name = f"{self.store.url(files.key)}, frame {number}"
        row = rows[number]
        if not np.all(np.isfinite(row)):
            fix = "Leave this frame out or restore the file."
            raise InputError(describe(what=name, expected="finite joints", found="NaN or infinity", fix=fix))
        hand = HandAnnotation(is_right=True, joints_3d=facts.joints_from_file(row), tip_set=facts.TIP_SET)
        pose = files.poses.get(number)
        pose_name = "" if files.pose_key is None else f"{self.store.url(files.pose_key)}, frame {number}"
        return Sample(
            sample_id=f"{sequence.name}/{number:04d}",
            recording_id=sequence.name,
            subject_id=sequence.subject,
            camera_id=None,
            frame_index=number,
            image_key=facts.image_key(sequence, number),
            K=facts.intrinsics(),
            hands=(hand,),
            objects=() if pose is None else (_object(sequence.object_name, pose, pose_name),),
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the colour image, (1080, 1920, 3).

        Raises:
            InputError: it is missing, truncated or of another size.
        """
        return read_rgb(self.store, sample.image_key, size_wh=facts.IMAGE_SIZE_WH)

    def masks(self, sample: Sample) -> Masks | None:  # noqa: ARG002 - the protocol's signature
        """FPHA has no segmentation."""
        return None

    def depth_view(self, sample: Sample) -> DepthView | None:
        """Read what the depth camera saw at the same instant, (480, 640); None where the depth was not unpacked.

        Raises:
            InputError: the file is truncated or of another size.
        """
        sequence = facts.Sequence(*sample.recording_id.split("/"))
        key = facts.depth_key(sequence, sample.frame_index)
        if not self.store.exists(key):
            return None
        levels = read_levels(self.store, key, size_wh=facts.DEPTH_SIZE_WH)
        depth_m = np.where(levels == 0, np.nan, levels / facts.MM_PER_M)
        return DepthView(depth_m, np.array(facts.K_DEPTH), facts.T_world_cam())

    def object_model(self, name: str) -> ObjectModel | None:
        """Read the mesh of an object, metres; four objects have one."""
        return read_object_model(self.store, name, points_key=None, mesh_keys=facts.object_model_keys(name))

    def _check_numbers(self) -> None:
        """Compare the numbers of skeletons and object poses with those of the images, where there are any."""
        for one in self.files:
            folder = facts.image_key(one.sequence, 0).rpartition("/")[0]
            found = (_IMAGE_NUMBER.fullmatch(image.rpartition("/")[2]) for image in self.store.list(folder))
            available = sorted(int(match.group(1)) for match in found if match is not None)
            if available and one.joints:
                numbers = list(one.joints)
                ends_in_view = _is_in_view(one.joints[numbers[-1]])
                problem = numbering_problem(numbers, first=0, available=available) or range_problem(
                    numbers, available, ends_in_view=ends_in_view
                )
                refuse(problem, name=self.store.url(one.key))
            if one.pose_key is not None:
                beyond = [number for number in one.poses if available and number > available[-1]]
                problem = numbering_problem(list(one.poses), first=0)
                if beyond and problem is None:
                    expected, measured = (
                        f"none beyond the last image, {available[-1]}",
                        f"{len(beyond)}, up to {max(beyond)}",
                    )
                    problem = Problem("frame numbers", expected, measured, "object poses of another recording")
                refuse(problem, name=self.store.url(one.pose_key))


def _read_files(store: Store, sequences: Sequence[facts.Sequence]) -> tuple[tuple[SequenceFiles, ...], tuple[str, ...]]:
    """Read skeletons and object poses; return also the files that should be there and are not."""
    files, absent = [], []
    for sequence in sequences:
        key = _first_present(store, [facts.skeleton_key(sequence, folder) for folder in facts.HAND_FOLDERS])
        if key is None:
            absent.append(facts.skeleton_key(sequence))
            continue
        pose_key = _first_present(store, [facts.object_pose_key(sequence, f) for f in facts.OBJECT_FOLDERS])
        poses = {} if pose_key is None else read_rows(store, pose_key, 16)
        files.append(SequenceFiles(sequence, key, read_rows(store, key, 63), pose_key, poses))
    posed_actions = {one.sequence.action for one in files if one.pose_key is not None}
    posed = [one.sequence for one in files if one.pose_key is None and one.sequence.action in posed_actions]
    absent += map(facts.object_pose_key, posed)
    return tuple(files), tuple(absent)


def _read_split(store: Store) -> dict[facts.Split, tuple[facts.Sequence, ...]]:
    text = store.read(facts.SPLIT_KEY).decode("utf-8", errors="replace")
    try:
        return facts.parse_split(text)
    except ValueError as error:
        expected = "`Training 600`, sequences with their class, `Test 575`, and again sequences"
        what, fix = store.url(facts.SPLIT_KEY), "Use the published file."
        raise ContractError(describe(what=what, expected=expected, found=str(error), fix=fix)) from error


def range_problem(numbers: Sequence[int], available: Sequence[int], *, ends_in_view: bool = False) -> Problem | None:
    """Ask whether annotated frames end where the images do.

    Args:
        numbers: of annotated frames, growing.
        available: of images, growing.
        ends_in_view: whether the last annotated hand is inside its image, so that nothing explains why none follows.

    Returns:
        A problem where numbers go beyond the last image, as they do when they are one too high, or where images go on
        long after the last number, as they do when lines were cut off. One or two frames less are no problem: they
        may be missing, so numbers that are one too low are found by depth and by object poses, not by their range.
    """
    if numbers[-1] > available[-1]:
        beyond = sum(number > available[-1] for number in numbers)
        looks_like = f"numbers {beyond} too high, or images missing at the end"
        measured = f"{beyond} of {len(numbers)} beyond it, up to {numbers[-1]}"
        return Problem("frame numbers", f"none beyond the last image, {available[-1]}", measured, looks_like)
    tail = sum(number > numbers[-1] for number in available)
    is_long = tail >= MIN_TAIL_IN_VIEW and tail > MAX_TAIL_SHARE_IN_VIEW * len(available)
    if tail > MAX_TAIL_SHARE * len(available) or (ends_in_view and is_long):
        measured = f"{tail} of {len(available)} images after the last line, frame {numbers[-1]}"
        looks_like = "a file that was cut off (without the file its sequence is left out)"
        return Problem("frame numbers", "lines to the end of the sequence", measured, looks_like)
    return None


def _is_in_view(row: FloatArray) -> bool:
    """Tell whether a line's joints lie in the image, most of them."""
    joints = facts.joints_from_file(row)
    if not np.all(np.isfinite(joints)) or np.any(joints[:, 2] <= 0.0):
        return False
    pixels = project_points(joints, facts.intrinsics())
    return bool(np.mean(np.all((pixels >= 0.0) & (pixels < facts.IMAGE_SIZE_WH), axis=-1)) >= MIN_SHARE_IN_VIEW)


def _refuse_unlike_numbers(store: Store, files: SequenceFiles) -> None:
    """Refuse a skeleton and object poses of other frames; numbers one too high or low leave one pose without joints."""
    numbers, posed_numbers = set(files.joints), set(files.poses)
    alone = posed_numbers - numbers
    if not alone:
        return
    expected, fix = f"a line for each frame of {files.pose_key}", "Restore both files from the same release."
    for shift, looks_like in ((-1, "numbers one too high"), (1, "numbers one too low")):
        if posed_numbers <= {number + shift for number in numbers}:
            found = f"{len(alone)} without, the first {min(alone)}: looks like {looks_like} in one of the two files"
            raise ContractError(describe(what=store.url(files.key), expected=expected, found=found, fix=fix))
    if len(alone) > MAX_WITHOUT_JOINTS * len(posed_numbers):
        found = (
            f"{len(alone)} of {len(posed_numbers)} without, the first {min(alone)}: looks like a file that was cut off"
        )
        raise ContractError(describe(what=store.url(files.key), expected=expected, found=found, fix=fix))


def read_rows(store: Store, key: str, num_values: int) -> dict[int, FloatArray]:
    """Read lines `frame number, values ...`.

    Args:
        store: the root.
        key: a skeleton or object pose file.
        num_values: 63 or 16.

    Returns:
        Frame number to values, in the file's order. Values may be NaN: they spoil one frame.

    Raises:
        InputError: the file is missing.
        ContractError: there are no lines, or one has another number of values, no whole frame number, or one that
            occurred before.
    """
    rows: dict[int, FloatArray] = {}
    for line_number, line in enumerate(store.read(key).decode("ascii", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        what, fix = f"{store.url(key)}, line {line_number}", "The file is cut off or of another format."
        try:
            number, values = int(words[0]), np.array(words[1:], dtype=np.float64)
        except ValueError as error:
            expected = f"a frame number and {num_values} numbers"
            raise ContractError(describe(what=what, expected=expected, found=str(error), fix=fix)) from error
        if len(values) != num_values or number in rows or number < 0:
            expected = f"a new frame number and {num_values} numbers"
            found = f"frame {number} and {len(values)} numbers"
            raise ContractError(describe(what=what, expected=expected, found=found, fix=fix))
        rows[number] = values
    if not rows:
        expected, fix = f"lines of a frame number and {num_values} numbers", "Restore the file, or leave it out."
        raise ContractError(describe(what=store.url(key), expected=expected, found="an empty file", fix=fix))
    return rows


def _first_present(store: Store, keys: list[str]) -> str | None:
    return next((key for key in keys if store.exists(key)), None)


def _object(object_name: str, numbers: FloatArray, name: str) -> ObjectAnnotation:
    pose = facts.object_pose_from_file(numbers)
    if not np.all(np.isfinite(pose)) or not is_rotation(pose[:3, :3], _ROTATION_TOLERANCE):
        found = "rows and columns swapped" if is_rigid_transposed(numbers) else "another matrix"
        expected, fix = "a rigid object pose, column by column", "Restore the file."
        raise InputError(describe(what=name, expected=expected, found=found, fix=fix))
    return ObjectAnnotation(name=object_name, T_cam_obj=pose)


def is_rigid_transposed(numbers: FloatArray) -> bool:
    """Say whether 16 numbers are a rigid pose only if read row by row."""
    by_rows = numbers.reshape(4, 4)
    by_columns = numbers.reshape(4, 4, order="F")
    return bool(np.any(by_columns[3, :3] != 0.0)) and bool(np.all(by_rows[3] == [0.0, 0.0, 0.0, 1.0]))
