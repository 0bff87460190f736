"""`hoiray submission make` and `check`: files for the servers of HO-3D and FreiHAND, and their scores here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import typer

from hoiray.cli.boxes_file import GivenBox, read_boxes
from hoiray.cli.evaluate import is_same_hand
from hoiray.cli.inspect import hand_of_labels
from hoiray.cli.progress import hands_progress
from hoiray.cli.runnable import runnable
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.open import detect_format, open_dataset
from hoiray.datasets.sample import AnnotatedDataset, DeadLetter, FloatArray, Sample
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.evaluation.constant_hand import fit_constant_hand
from hoiray.evaluation.hand_metrics import posed_hands
from hoiray.evaluation.official_scores import expected_of, official_table, published_truth, score_submission
from hoiray.evaluation.placement import wrist_from_image
from hoiray.evaluation.submission import (
    SUBMISSION_FORMATS,
    Submission,
    check_submission,
    read_submission,
    write_submission,
)
from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.predictors.load import load_network
from hoiray.predictors.over_dataset import HandQuery, predict_queries
from hoiray.predictors.protocol import HandPredictions, Predictor

Floats = npt.NDArray[np.float64]

SPLIT: Final = "evaluation"

FALLBACK_DEPTH_M: Final = 0.6
"""Of a hand nothing places: a missing prediction in FreiHAND. Arm's length; it scores as badly as it should."""


@dataclass(frozen=True)
class SubmissionRequest:
    """What is asked for.

    Attributes:
        model: checkpoint.
        data: root of the data set.
        out: file to write, `.zip` (or `.json`).
        dataset_format: as of `hoiray.datasets.open`; None finds out.
        boxes: `given`, or a boxes file.
        batch_size: hands a request.
        device: where to compute.
        hand_model: of the labels and the network.
    """

    model: str
    data: str
    out: Path
    dataset_format: str | None = None
    boxes: str = "given"
    batch_size: int = 64
    device: str = "auto"
    hand_model: Path | None = None


def make_submission(request: SubmissionRequest) -> None:
    """Predict every sample of the evaluation split, check the answer, and write it.

    HO-3D gives the wrists: predictions are placed there, as the paper's evaluation does. FreiHAND gives none that may
    be used: the wrist is where the predicted 2D joints put it. A missing prediction is replaced by the constant hand of
    the other predictions, and counted.

    Raises:
        ConfigError: the output has another suffix.
        ContractError: the data set takes no submission, or the answer does not pass the check; nothing is written.
    """
    if request.out.suffix not in {".zip", ".json"}:
        fix = "Name a .zip: it holds pred.json, as the server wants it."
        found = repr(request.out.suffix)
        raise ConfigError(describe(what=f"--out {request.out}", expected=".zip or .json", found=found, fix=fix))
    dataset = _open(request.data, request.dataset_format, request.hand_model)
    expected = expected_of(dataset)
    predictor = load_network(request.model, hand_path=request.hand_model, device=request.device).predictor
    samples = [dataset.sample(index) for index in range(len(dataset))]
    queries = _queries(dataset, samples, request.boxes)
    with hands_progress(predictor.name) as on_progress:
        answer = predict_queries(predictor, dataset, queries, batch_size=request.batch_size, on_progress=on_progress)
    joints, vertices = _relative(predictor, answer, dataset.name)
    num_missing = _substitute(joints, vertices)
    wrists = np.stack([_wrist(sample, answer, row) for row, sample in enumerate(samples)])
    submission = Submission.make(dataset.name, joints + wrists[:, None], vertices + wrists[:, None])
    write_submission(submission, expected, request.out)
    replaced = f", {num_missing} of them missing and replaced by the mean of the others" if num_missing else ""
    if not is_same_hand(predictor.hand.arrays, hand_of_labels(request.data, request.hand_model)):
        typer.echo(f"note: the mesh is that of {predictor.hand.arrays.source}; the benchmark's vertices are MANO's")
    typer.echo(f"{request.out}: {len(samples)} samples of {dataset.name}{replaced}; checked")
    arguments = ["submission", "check", str(request.out), "--data", request.data]
    typer.echo(f"its scores: {runnable(*arguments)}")


def check_file(path: Path, data: str, *, dataset_format: str | None, hand_model: Path | None) -> None:
    """Check a file as before writing one, and print the official scores where the labels are there.

    Raises:
        ContractError: the file does not hold what the server would take it for.
    """
    dataset = _open(data, dataset_format, hand_model)
    expected = expected_of(dataset)
    submission = read_submission(path, dataset.name)
    check_submission(submission, expected, name=str(path))
    conventions = submission.format.conventions
    typer.echo(
        f"{path}: {len(submission)} samples as {expected.counted_in} has, {conventions.joint_order} joint order,"
        f" {'OpenGL' if conventions.axes == 'opengl' else 'OpenCV'} axes, metres, all finite"
    )
    truth = published_truth(dataset)
    if truth is None:
        typer.echo("no scores: the evaluation labels (evaluation_xyz.json, evaluation_verts.json) are not there")
        return
    typer.echo(f"scores as the official script of {dataset.name} writes them, errors in cm:")
    typer.echo(official_table(dataset.name, score_submission(submission, truth)).rstrip())


def _open(data: str, dataset_format: str | None, hand_model: Path | None) -> AnnotatedDataset:
    name = dataset_format or detect_format(data)
    if name not in {"ho3d", "freihand"}:
        expected, fix = f"a data set of {', '.join(SUBMISSION_FORMATS)}", "Others have no server to submit to."
        raise ContractError(describe(what=data, expected=expected, found=name, fix=fix))
    return open_dataset(data, name, SPLIT, hand_of_labels(data, hand_model))


def _queries(dataset: AnnotatedDataset, samples: Sequence[Sample], boxes: str) -> list[HandQuery]:
    """Ask for every sample's hand, with the boxes of a file, or the annotated ones as in the paper's evaluation."""
    source, given = AnnotatedSource(dataset), {} if boxes == "given" else read_boxes(Path(boxes))
    queries = []
    for index, sample in enumerate(samples):
        K = np.full((3, 3), np.nan) if sample.K is None else sample.K
        named = given.get(sample.sample_id)
        box, thing = _boxes_of(named[0]) if named else _annotated_boxes(source, index, sample)
        queries.append(HandQuery(index, box, True, thing, K, None))  # both benchmarks show right hands only
    return queries


def _boxes_of(given: GivenBox) -> tuple[FloatArray, FloatArray]:
    return given.hand_box_xyxy, given.object_box_xyxy


def _annotated_boxes(source: AnnotatedSource, index: int, sample: Sample) -> tuple[FloatArray, FloatArray]:
    labelled = source.hands(index)
    thing: FloatArray = np.full(4, np.nan)
    if not isinstance(labelled, DeadLetter) and labelled:
        hand, points = labelled[0].hand, labelled[0].control_points_px
        if points is not None:
            thing = np.asarray(from_points(points))
        if hand.bbox_xyxy is not None:
            return hand.bbox_xyxy, thing
        if hand.joints_3d is not None and sample.K is not None:
            return from_points(project_points(hand.joints_3d, sample.K)), thing
    found = labelled.reason if isinstance(labelled, DeadLetter) else "none"
    fix = "Unpack evaluation_xyz.json beside the images, or give --boxes FILE."
    what = f"sample {sample.sample_id}"
    raise ContractError(describe(what=what, expected="a hand's box", found=found, fix=fix))


def _relative(predictor: Predictor, found: HandPredictions, name: str) -> tuple[Floats, Floats]:
    """Return joints (N, 21, 3) and vertices (N, 778, 3) about the wrist, with the benchmark's joints and tips."""
    if predictor.hand is None or found.rotations is None or found.betas is None:
        fix = "Servers want meshes: submit with a predictor of MANO parameters."
        raise ContractError(describe(what=predictor.name, expected="hand parameters", found="joints only", fix=fix))
    tip_set = SUBMISSION_FORMATS[name].conventions.tip_set
    assert tip_set is not None
    is_right = np.ones(len(found), dtype=np.bool_)
    regressed = name == "freihand"
    return posed_hands(found.rotations, found.betas, is_right, predictor.hand, tip_set=tip_set, regressed=regressed)


def _substitute(joints: Floats, vertices: Floats) -> int:
    """Replace missing hands in place by the constant hand of the others; return how many there were.

    Raises:
        ContractError: every hand is missing.
    """
    is_missing = ~np.isfinite(joints).all(axis=(1, 2))
    if is_missing.all():
        fix = "Look at the model: it answers nothing."
        raise ContractError(describe(what="predictions", expected="one hand or more", found="none", fix=fix))
    if is_missing.any():
        present = np.flatnonzero(~is_missing)
        is_right = np.ones(len(present), dtype=np.bool_)
        constant = fit_constant_hand(joints[present], vertices[present], is_right, source="predictions")
        assert constant.vertices is not None
        joints[is_missing], vertices[is_missing] = constant.joints.pose, constant.vertices.pose
    return int(is_missing.sum())


def _wrist(sample: Sample, found: HandPredictions, row: int) -> Floats:
    hand = sample.hands[0] if sample.hands else None
    if hand is not None and hand.wrist_3d is not None:
        return np.asarray(hand.wrist_3d, dtype=np.float64)
    K = np.full((3, 3), np.nan) if sample.K is None else sample.K
    wrist = wrist_from_image(found.joints_3d_m[row], found.joints_2d_px[row], K)
    return np.asarray(wrist) if np.isfinite(wrist).all() else np.array([0.0, 0.0, FALLBACK_DEPTH_M])
