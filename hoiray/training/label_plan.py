"""Which labels a training takes, checked before any worker starts, and their way into the training set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import JsonValue

from hoiray.config.what import Hand, Training, TrainRun
from hoiray.config.where import TrainWorkers
from hoiray.datasets.accepted_labels import AcceptedLabels
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.label_rows import LabelChoice, RowPool, choose_labels, list_digest, read_label_rows, read_videos
from hoiray.datasets.label_run import LabelRun
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.hand.load import HandArrays, load_hand_arrays
from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import hand_digest
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS

Floats: TypeAlias = NDArray[np.float64]

MAX_PROBED: Final = 64
"""Rows whose joints are posed anew, spread over all."""

MAX_JOINT_ERROR_M: Final = 2e-4
"""Of a joint posed anew from stored numbers: they are float32; the published sets of finger tips are 2 mm apart."""

_LABEL_FIELDS: Final = ("pseudo_label_list_uri", "max_pseudo_labels", "pseudo_label_fraction")
"""Fields that mean nothing without labels."""


@dataclass(frozen=True)
class LabelPlan:
    """The labels of a training.

    Attributes:
        run: the snapshot they are of.
        choice: which of them.
        num_chosen, num_frames, num_videos: what that comes to.
    """

    run: LabelRun
    choice: LabelChoice
    num_chosen: int
    num_frames: int
    num_videos: int

    def notes(self) -> dict[str, JsonValue]:
        """Say where the labels come from: what a checkpoint tells of its teacher."""
        weight: JsonValue = self.choice.weight
        return {
            "snapshot_id": self.run.snapshot_id,
            "judge_id": self.run.judge_id,
            "predict_id": self.run.predict_id,
            "plan_id": self.run.plan_id,
            "rows": self.choice.rows,
            "list_sha256": list_digest(self.choice.list_uri),
            "weight": weight,
            "seed": self.choice.seed,
            "num_rows": self.run.num_rows,
            "num_accepted": self.run.num_accepted,
            "num_chosen": self.num_chosen,
            "num_frames": self.num_frames,
            "num_videos": self.num_videos,
        }


def plan_labels(run: TrainRun, labels: LabelRun | None, arrays: HandArrays) -> LabelPlan | None:
    """Choose the labels of a training, and refuse those that were made for another one.

    Args:
        run: what is trained.
        labels: what `run.training.labels_uri` names, opened.
        arrays: the training's hand model.

    Raises:
        ConfigError: labels are asked for and not given; none is left to train on; or their hand is another.
        InputError, ContractError: they cannot be read.
    """
    training = run.training
    if labels is None:
        _refuse_without_labels(training)
        return None
    _refuse_other_hand(labels, run.hand, arrays)
    choice = LabelChoice.of(training, run.seed)
    table = read_label_rows(labels, choice.rows)
    weights = choose_labels(table, choice, source=labels.uri)
    chosen = table.filter(pa.array(weights > 0.0))
    _refuse_other_joints(chosen, labels, run.hand, arrays)
    frames = chosen.select(["video_id", "frame_index"]).group_by(["video_id", "frame_index"]).aggregate([])
    num_videos = len(frames["video_id"].unique())
    return LabelPlan(labels, choice, chosen.num_rows, frames.num_rows, num_videos)


def open_labels(plan: LabelPlan, arrays: HandArrays, workers: TrainWorkers) -> AcceptedLabels:
    """Open the labels as a source of samples.

    Args:
        plan: which.
        arrays: the training's hand model.
        workers: says of which labels crops are cut, which changes no sample.

    Raises:
        InputError, ContractError: they cannot be read.
    """
    reads_all = "all" in (plan.choice.rows, workers.cut_labels)
    pool: RowPool = "all" if reads_all else "accepted"
    table = read_label_rows(plan.run, pool)
    weights = choose_labels(table, plan.choice, source=plan.run.uri)
    is_cut = weights > 0.0
    if workers.cut_labels == "accepted":
        is_cut |= table["accepted"].to_numpy()
    if workers.cut_labels != "all":
        table, weights = table.filter(pa.array(is_cut)).combine_chunks(), weights[is_cut]
    return AcceptedLabels(plan.run, table, weights, read_videos(plan.run, table["video_id"]), arrays)


def _refuse_without_labels(training: Training) -> None:
    """A training that reads no labels must not be believed to have.

    Raises:
        ConfigError: it asks for some.
    """
    asked: Mapping[str, Any] = {name: getattr(training, name) for name in ("labels_uri", *_LABEL_FIELDS)}
    for name, value in asked.items():
        if value is not None:
            fix = "Name labels with --labels, or leave this out."
            expected = "labels beside it" if name != "labels_uri" else "labels that were opened"
            raise ConfigError(describe(what=f"training.{name} = {value!r}", expected=expected, found="none", fix=fix))


def _refuse_other_hand(labels: LabelRun, hand: Hand, arrays: HandArrays) -> None:
    """Refuse labels of another hand, by name.

    Raises:
        ConfigError: naming each convention with both values.
    """
    names = [name for name in ("flat_hand_mean", "tip_set") if getattr(labels.hand, name) != getattr(hand, name)]
    wanted = {name: repr(getattr(hand, name)) for name in names}
    found = {name: repr(getattr(labels.hand, name)) for name in names}
    if labels.hand.model_uri != hand.model_uri:
        digests = (hand_digest(arrays)[:12], hand_digest(load_hand_arrays(labels.hand.model_uri))[:12])
        if digests[0] != digests[1]:
            wanted["model"], found["model"] = digests
    if found:
        fix = "Label the videos again under the training's conventions, or train under those of the labels."
        text = [", ".join(f"hand.{name} {value}" for name, value in side.items()) for side in (wanted, found)]
        raise ConfigError(describe(what=labels.uri, expected=text[0], found=text[1], fix=fix))


def _refuse_other_joints(table: pa.Table, labels: LabelRun, hand: Hand, arrays: HandArrays) -> None:
    """Pose some rows anew: whatever a run's configuration says, its joints must be those of the training's hand.

    Raises:
        ContractError: they are not.
    """
    rows = table.take(pa.array(spread_indices(table.num_rows, MAX_PROBED)))
    numbers = {
        name: unpack_column(rows, LABELS[name]).astype(np.float64)
        for name in ("global_orient", "hand_pose", "betas", "joints_3d")
    }
    is_posed = np.asarray(np.isfinite(np.concatenate([numbers["hand_pose"], numbers["betas"]], axis=1)).all(axis=1))
    if not is_posed.any():
        return
    posed = _posed({name: values[is_posed] for name, values in numbers.items()}, rows["is_right"], is_posed, hand)
    error_m = float(np.abs(posed - numbers["joints_3d"][is_posed]).max())
    if error_m > MAX_JOINT_ERROR_M:
        expected = f"joints that the hand model {arrays.source} has in the stored poses"
        found = f"joints up to {1000.0 * error_m:.1f} mm from them"
        fix = "Give the hand model and finger tips that the teacher has: hand.model_uri, hand.tip_set."
        raise ContractError(describe(what=labels.uri, expected=expected, found=found, fix=fix))


def _posed(numbers: Mapping[str, Floats], is_right: pa.ChunkedArray, is_posed: NDArray[np.bool_], hand: Hand) -> Floats:
    """Return the joints (N, 21, 3) of stored poses about their wrists."""
    import torch

    from hoiray.geometry.rotations import axis_angle_to_matrix

    model = HandModel.load(hand.model_uri, flat_hand_mean=True, tip_set=hand.tip_set, dtype=torch.float64)
    pose = np.concatenate([numbers["global_orient"], numbers["hand_pose"]], axis=1).reshape(-1, 16, 3)
    turns = torch.from_numpy(axis_angle_to_matrix(pose))
    sides = torch.from_numpy(is_right.to_numpy()[is_posed])
    joints = model.joints_only_from_matrices(
        turns[:, 0], turns[:, 1:], torch.from_numpy(numbers["betas"]), is_right=sides
    )
    return np.asarray((joints - joints[:, :1]).numpy())
