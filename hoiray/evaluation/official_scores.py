"""The numbers of a benchmark's own script, from its published ground truth: same names, same order, centimetres."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.sample import AnnotatedDataset
from hoiray.errors import ContractError, describe
from hoiray.evaluation.submission import Expected, Floats, Submission
from hoiray.metrics.hand_scores import HandScores, PointScores, hand_scores, official_ho3d_table
from hoiray.metrics.summary import CM_PER_M, mean_distance, mean_rate

FREIHAND_POINT_ROWS: Final[Mapping[str, str]] = MappingProxyType(
    {"xyz": "joints", "xyz_al": "joints_procrustes", "mesh": "vertices", "mesh_al": "vertices_procrustes"}
)
"""Row prefix in FreiHAND's `scores.txt` -> field of `HandScores`, in the order of the file."""

NUM_CHECKED_WRISTS: Final = 200


@dataclass(frozen=True, eq=False)
class PublishedTruth:
    """The labels of an evaluation split: (N, 21, 3) and (N, 778, 3) metres, simple order, OpenCV axes."""

    joints_3d: Floats
    vertices: Floats


def expected_of(dataset: AnnotatedDataset) -> Expected:
    """Say what a submission for an opened evaluation split must have.

    Raises:
        ContractError: it is no evaluation split of a benchmark that takes submissions.
    """
    if isinstance(dataset, Ho3dDataset) and dataset.split == "evaluation":
        wrists = np.full((len(dataset), 3), np.nan)
        for index in spread_indices(len(dataset), NUM_CHECKED_WRISTS):
            wrist = dataset.sample(index).hands[0].wrist_3d
            wrists[index] = np.nan if wrist is None else wrist
        return Expected(len(dataset), dataset.store.url("evaluation.txt"), wrists)
    if isinstance(dataset, FreiHandDataset) and dataset.split == "evaluation":
        # distances are the model's to say there, and a weak model may well be metres off: no wrist to compare with
        return Expected(len(dataset), dataset.store.url("evaluation_K.json"))
    fix = "Name a root with an evaluation split (--split evaluation)."
    found = f"{dataset.name} / {dataset.split}"
    what = "data set of a submission"
    raise ContractError(describe(what=what, expected="HO-3D or FreiHAND, split evaluation", found=found, fix=fix))


def published_truth(dataset: AnnotatedDataset) -> PublishedTruth | None:
    """Return the evaluation labels where their files lie beside the images; None where they do not."""
    joints, vertices = None, None
    if isinstance(dataset, Ho3dDataset):
        joints, vertices = dataset.evaluation_joints, dataset.evaluation_vertices
    elif isinstance(dataset, FreiHandDataset):
        joints, vertices = dataset.labels.get("xyz"), dataset.labels.get("verts")
    if joints is None or vertices is None:
        return None
    return PublishedTruth(np.asarray(joints, dtype=np.float64), np.asarray(vertices, dtype=np.float64))


def score_submission(submission: Submission, truth: PublishedTruth) -> HandScores:
    """Score a checked submission, sample by sample."""
    return hand_scores(
        predicted_joints_m=submission.joints_3d(),
        true_joints_m=truth.joints_3d,
        predicted_vertices_m=submission.vertices(),
        true_vertices_m=truth.vertices,
    )


def official_table(name: str, scores: HandScores) -> str:
    """Write the `scores.txt` of a benchmark's script.

    Args:
        name: key of `SUBMISSION_FORMATS`.
        scores: of all samples, none missing.
    """
    return official_freihand_table(scores) if name == "freihand" else official_ho3d_table(scores)


def official_freihand_table(scores: HandScores) -> str:
    """Write the scores as FreiHAND's `eval.py` does: errors in centimetres, reflections allowed in the alignment."""
    lines = []
    for prefix, field in FREIHAND_POINT_ROWS.items():
        row: PointScores = getattr(scores, field)
        lines.append(f"{prefix}_mean3d: {mean_distance(row.error_m).mean * CM_PER_M:f}")
        lines.append(f"{prefix}_auc3d: {mean_rate(row.auc).mean:f}")
    for limit_mm, raw, aligned in (
        (5, scores.f.at_5mm, scores.f_procrustes.at_5mm),
        (15, scores.f.at_15mm, scores.f_procrustes.at_15mm),
    ):
        lines.append(f"f_score_{limit_mm}: {mean_rate(raw).mean:f}")
        lines.append(f"f_al_score_{limit_mm}: {mean_rate(aligned).mean:f}")
    return "\n".join(lines) + "\n"
