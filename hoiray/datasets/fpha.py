"""Reader of FPHA, as published; the facts of the format are in :mod:`hoiray.datasets.formats.fpha`."""

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.conventions import Conventions, refuse
from hoiray.datasets.formats import fpha as facts
from hoiray.datasets.frame_numbers import numbering_problem
from hoiray.datasets.image_files import read_rgb
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.meshes import read_object_model
from hoiray.datasets.opening import check_opened, require_split
from hoiray.datasets.sample import FloatArray, HandAnnotation, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import ContractError, InputError, describe
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
NUM_SEQUENCES_CHECKED: Final = 8
_ROTATION_TOLERANCE: Final = 1e-3
"""The poses are written with six digits."""

_IMAGE_NUMBER = re.compile(r"color_(\d+)\.jpeg")


@dataclass(frozen=True, eq=False)
class FphaDataset:
    """An opened FPHA split: every annotated frame of its sequences.

    Attributes:
        store: the root.
        split: `train` or `test` of the action split.
        sequences: those of the split that have a skeleton file and are not on the list of bad ones.
        rows: per sequence, frame number to its 63 numbers.
        poses: per sequence, frame number to the object's 16 numbers; empty where it has no object pose.
        ends: cumulative number of samples, for looking one up.
        absent: sequences of the split without a skeleton file.
    """

    store: Store
    split: facts.Split
    sequences: tuple[facts.Sequence, ...]
    rows: tuple[Mapping[int, FloatArray], ...]
    poses: tuple[Mapping[int, FloatArray], ...]
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
        listed = facts.parse_split(store.read(facts.SPLIT_KEY).decode("utf-8", errors="replace"))[split]
        if not listed:
            found, fix = "none", "Use the published file."
            what = store.url(facts.SPLIT_KEY)
            raise ContractError(describe(what=what, expected=f"{split} sequences", found=found, fix=fix))
        sequences, rows, poses, absent = [], [], [], []
        for sequence in listed:
            if (sequence.subject, sequence.action, sequence.repetition) in facts.IGNORED_SEQUENCES:
                continue
            key = _first_present(store, [facts.skeleton_key(sequence, folder) for folder in facts.HAND_FOLDERS])
            if key is None:
                absent.append(sequence.name)
                continue
            joints = read_rows(store, key, 63)
            pose_key = _first_present(store, [facts.object_pose_key(sequence, f) for f in facts.OBJECT_FOLDERS])
            pose = {} if pose_key is None else read_rows(store, pose_key, 16)
            sequences.append(sequence)
            poses.append(pose)
            rows.append({n: row for n, row in joints.items() if n in pose} if only_with_object else joints)
        ends = tuple(np.cumsum([len(sequence_rows) for sequence_rows in rows]).tolist())
        dataset = cls(store, split, tuple(sequences), tuple(rows), tuple(poses), ends, tuple(absent))
        if check:
            dataset._check_numbers()
            check_opened(dataset, store, CONVENTIONS, hand=hand, image_size_wh=facts.IMAGE_SIZE_WH)
        return dataset

    @property
    def name(self) -> str:
        """`fpha`."""
        return "fpha"

    def __len__(self) -> int:
        """Annotated frames."""
        return self.ends[-1] if self.ends else 0

    def sample(self, index: int) -> Sample:
        """Return a frame's annotation.

        Raises:
            InputError: a number of it is not finite, or an object pose is no rigid one.
        """
        position = bisect.bisect_right(self.ends, index)
        sequence, rows = self.sequences[position], self.rows[position]
        number = list(rows)[index - (self.ends[position] - len(rows))]
        name = f"{self.store.url(facts.skeleton_key(sequence))}, frame {number}"
        row = rows[number]
        if not np.all(np.isfinite(row)):
            fix = "Leave this frame out or restore the file."
            raise InputError(describe(what=name, expected="finite joints", found="NaN or infinity", fix=fix))
        hand = HandAnnotation(is_right=True, joints_3d=facts.joints_from_file(row), tip_set=facts.TIP_SET)
        pose = self.poses[position].get(number)
        return Sample(
            sample_id=f"{sequence.name}/{number:04d}",
            recording_id=sequence.name,
            subject_id=sequence.subject,
            camera_id=None,
            frame_index=number,
            image_key=facts.image_key(sequence, number),
            K=facts.intrinsics(),
            hands=(hand,),
            objects=() if pose is None else (_object(sequence.object_name, pose, name),),
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

    def object_model(self, name: str) -> ObjectModel | None:
        """Read the mesh of an object, metres; four objects have one."""
        return read_object_model(self.store, name, points_key=None, mesh_keys=facts.object_model_keys(name))

    def _check_numbers(self) -> None:
        for position in spread_indices(len(self.sequences), NUM_SEQUENCES_CHECKED):
            sequence = self.sequences[position]
            folder = facts.image_key(sequence, 0).rpartition("/")[0]
            found = (_IMAGE_NUMBER.fullmatch(key.rpartition("/")[2]) for key in self.store.list(folder))
            available = [int(match.group(1)) for match in found if match is not None]
            if available:
                problem = numbering_problem(list(self.rows[position]), first=0, available=available)
                refuse(problem, name=self.store.url(facts.skeleton_key(sequence)))


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
        ContractError: a line has another number of values, no whole frame number, or one that occurred before.
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
    return rows


def _first_present(store: Store, keys: list[str]) -> str | None:
    return next((key for key in keys if store.exists(key)), None)


def _object(object_name: str, numbers: FloatArray, name: str) -> ObjectAnnotation:
    pose = facts.object_pose_from_file(numbers)
    if not np.all(np.isfinite(pose)) or not is_rotation(pose[:3, :3], _ROTATION_TOLERANCE):
        found = "rows and columns swapped" if is_rigid_transposed(numbers) else "another matrix"
        expected, fix = "a rigid object pose, column by column", "Restore the file."
        raise InputError(describe(what=f"{name}, object", expected=expected, found=found, fix=fix))
    return ObjectAnnotation(name=object_name, T_cam_obj=pose)


def is_rigid_transposed(numbers: FloatArray) -> bool:
    """Say whether 16 numbers are a rigid pose only if read row by row."""
    by_rows = numbers.reshape(4, 4)
    by_columns = numbers.reshape(4, 4, order="F")
    return bool(np.any(by_columns[3, :3] != 0.0)) and bool(np.all(by_rows[3] == [0.0, 0.0, 0.0, 1.0]))
