"""`hoiray evaluate`: how good a model is on annotated data, beside the constant hand."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from hoiray import __version__
from hoiray.cli.boxes_file import GivenBox, read_boxes
from hoiray.cli.inspect import hand_of_labels
from hoiray.cli.progress import hands_progress
from hoiray.datasets.formats.truth import TRUTH_FOLDER
from hoiray.datasets.iterate import spread_indices
from hoiray.datasets.open import detect_format, open_dataset
from hoiray.datasets.sample import AnnotatedDataset
from hoiray.errors import ConfigError, InputError, describe
from hoiray.evaluation.bootstrap import CONFIDENCE, FEW_GROUPS, GroupBootstrap
from hoiray.evaluation.constant_hand import ConstantHand, fit_constant_hand
from hoiray.evaluation.hand_metrics import PredictedHands, measure_constant, measure_hands, posed_hands
from hoiray.evaluation.object_metrics import DEFAULT_PROTOCOLS, find_protocols, score_objects
from hoiray.evaluation.tables import (
    MEAN_OVER_OBJECTS,
    Scored,
    Table,
    breakdown_tables,
    hand_table,
    make_bootstrap,
    object_tables,
)
from hoiray.evaluation.truth import ANNOTATED_BOX, Truths, collect_truths
from hoiray.evaluation.write import json_document, markdown, row_texts, row_title
from hoiray.hand.load import HandArrays
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.predictors.load import LoadedNetwork, load_network
from hoiray.predictors.over_dataset import HandQuery, predict_queries
from hoiray.predictors.protocol import HandPredictions, Predictor
from hoiray.synthetic.objects import build_object

if TYPE_CHECKING:
    from hoiray.metrics.symmetry import ObjectSymmetry

HELD_OUT_SPLITS: Final[Mapping[str, str]] = {
    "ho3d": "evaluation",
    "freihand": "evaluation",
    "fpha": "test",
    "dexycb": "test",
    "synthetic_truth": "test",
}
"""The split that is evaluated where none is named: never the one that is trained on."""

MAX_BASELINE_HANDS: Final = 4_000
"""Samples of another set the constant hand is fitted to, spread over it."""

ANNOTATED, TRUE_JOINTS = "given", "joints"


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked for.

    Attributes:
        model: checkpoint, local or `s3://`.
        data: root of the data set.
        out: folder or `s3://` prefix for the tables.
        dataset_format, split: as of `hoiray.datasets.open`; None finds out, None takes the held-out one.
        samples: at most so many, spread over the set; None for all.
        boxes: `given` (annotated ones, else those of the true joints), `joints` (always those), or a boxes file.
        protocols: of the object scores.
        against: another checkpoint, compared pairwise.
        baseline_from, baseline_split: set the constant hand is fitted to; None: the evaluated hands themselves.
        groups: what is resampled, `recordings` or `subjects`.
        seed: of the resampling.
        batch_size: hands a request.
        device: see :func:`hoiray.predictors.load.choose_device`.
        hand_model: of labels and networks; None: the open hand where it is the labels'.
    """

    model: str
    data: str
    out: str | Path
    dataset_format: str | None = None
    split: str | None = None
    samples: int | None = None
    boxes: str = ANNOTATED
    protocols: tuple[str, ...] = DEFAULT_PROTOCOLS
    against: str | None = None
    baseline_from: str | None = None
    baseline_split: str | None = None
    groups: str = "recordings"
    seed: int = 0
    batch_size: int = 64
    device: str = "auto"
    hand_model: Path | None = None


@dataclass(frozen=True, eq=False)
class Opened:
    """The evaluated hands, and where they are from."""

    dataset: AnnotatedDataset
    truths: Truths
    queries: tuple[HandQuery, ...]
    labels_hand: HandArrays | None
    boxes_words: str


def evaluate(request: EvaluationRequest) -> None:
    """Evaluate, write `evaluation.md`, `evaluation.json` and `per_hand.parquet`, and show the main table.

    Raises:
        ConfigError: the request cannot be met as asked.
        ContractError: data or model are not what they say they are.
    """
    if request.groups not in {"recordings", "subjects"}:
        expected, fix = "recordings or subjects", "Frames are no independent trials: they cannot be resampled."
        raise ConfigError(describe(what="--groups", expected=expected, found=repr(request.groups), fix=fix))
    find_protocols(request.protocols, (), {})
    loaded = load_network(request.model, hand_path=request.hand_model, device=request.device)
    other = None
    if request.against is not None:
        other = load_network(request.against, hand_path=request.hand_model, device=request.device)
        other = _told_apart(loaded, other)
    opened = open_truths(request)
    bootstrap = make_bootstrap(_groups(opened.truths, request.groups), request.seed)  # may refuse: before predicting
    scored, predictions = _score(loaded.predictor, opened, request)
    against = None if other is None else _score(other.predictor, opened, request)[0]
    constant = _constant(opened, request)
    values = measure_constant(constant, opened.truths, with_vertices="mpvpe_mm" in scored.hands)
    tables = [hand_table(scored, values, against, bootstrap), *object_tables(scored, against, bootstrap)]
    tables += breakdown_tables(scored, values, opened.truths, request.groups, bootstrap)
    header = _header(request, [loaded, *([] if other is None else [other])], opened, constant, bootstrap)
    out = Store.open(request.out)
    title = f"Evaluation of {scored.name}"
    out.write("evaluation.md", markdown(title, header, tables).encode())
    out.write("evaluation.json", json_document(title, header, tables).encode())
    out.write("per_hand.parquet", _per_hand(scored, values, opened.truths, predictions))
    _show(header, tables, out)


def open_truths(request: EvaluationRequest) -> Opened:
    """Open the data set and read what is true of its hands."""
    arrays = hand_of_labels(request.data, request.hand_model)
    split = request.split or HELD_OUT_SPLITS.get(request.dataset_format or detect_format(request.data))
    dataset = open_dataset(request.data, request.dataset_format, split, arrays)
    indices = spread_indices(len(dataset), request.samples or len(dataset))
    model = None if arrays is None else HandModel(arrays, flat_hand_mean=True, tip_set="ho3d")
    is_file = request.boxes not in {ANNOTATED, TRUE_JOINTS}
    given = read_boxes(Path(request.boxes)) if is_file else {}
    truths = collect_truths(
        dataset, indices, model, uses_annotated_boxes=request.boxes != TRUE_JOINTS, reads_masks=True
    )
    if is_file:
        truths = _with_given_boxes(truths, given, request.boxes)
    queries = tuple(
        HandQuery(hand.dataset_index, hand.hand_box_xyxy, hand.is_right, hand.object_box_xyxy, hand.K, hand.object_name)
        for hand in truths.hands
    )
    words = f"from {request.boxes}, nothing else known to the model" if is_file else _box_words(truths)
    return Opened(dataset, truths, queries, arrays, words)


def _with_given_boxes(truths: Truths, given: Mapping[str, tuple[GivenBox, ...]], source: str) -> Truths:
    """Replace the boxes of hands by those of a file; every hand must have one."""
    hands = []
    for hand in truths.hands:
        boxes = given.get(hand.sample_id.partition("#")[0], ())
        matching = [box for box in boxes if box.is_right == hand.is_right]
        if not matching:
            expected = f"a {'right' if hand.is_right else 'left'} hand's box for every evaluated hand"
            found, fix = f"none for sample {hand.sample_id}", "Add it: a hand that is left out would go uncounted."
            raise InputError(describe(what=source, expected=expected, found=found, fix=fix))
        hands.append(
            replace(
                hand,
                hand_box_xyxy=matching[0].hand_box_xyxy,
                object_box_xyxy=matching[0].object_box_xyxy,
                box_source="file",
            )
        )
    return replace(truths, hands=tuple(hands))


def _box_words(truths: Truths) -> str:
    sources = [hand.box_source for hand in truths.hands]
    num_annotated = sources.count(ANNOTATED_BOX)
    num_objects = sum(bool(np.isfinite(hand.object_box_xyxy).all()) for hand in truths.hands)
    return (
        f"hands: {num_annotated} annotated, {len(sources) - num_annotated} around the projected true joints; objects:"
        f" {num_objects} around the projected true control points. All are given (oracle): numbers with detected boxes"
        " are lower and not comparable"
    )


def _told_apart(first: LoadedNetwork, second: LoadedNetwork) -> LoadedNetwork:
    if first.predictor.name != second.predictor.name:
        return second
    shown = f"{second.predictor.name} ({second.predictor.digest[:8]})"
    return replace(second, predictor=replace(second.predictor, name=shown))


def _score(predictor: Predictor, opened: Opened, request: EvaluationRequest) -> tuple[Scored, HandPredictions]:
    with hands_progress(predictor.name) as on_progress:
        predictions = predict_queries(
            predictor, opened.dataset, opened.queries, batch_size=request.batch_size, on_progress=on_progress
        )
    return score_predictions(predictor, predictions, opened, request.protocols), predictions


def score_predictions(
    predictor: Predictor, predictions: HandPredictions, opened: Opened, protocols: Sequence[str]
) -> Scored:
    """Measure a predictor's answers to the queries of the evaluated hands."""
    truths = opened.truths
    joints = np.asarray(predictions.joints_3d_m, dtype=np.float64)
    vertices: npt.NDArray[np.float64] | None = None
    if predictor.hand is not None and predictions.rotations is not None and predictions.betas is not None:
        joints, mesh = posed_hands(
            predictions.rotations,
            predictions.betas,
            truths.is_right(),
            predictor.hand,
            tip_set=truths.tip_set,
            regressed=truths.joints_are_regressed,
        )
        vertices = mesh if is_same_hand(predictor.hand.arrays, opened.labels_hand) else None
    predicted = PredictedHands(joints, vertices, np.asarray(predictions.joints_2d_px, dtype=np.float64))
    objects = score_objects(predictions.T_cam_obj, truths, opened.dataset, protocols, _declared_symmetries(opened))
    return Scored(predictor.name, measure_hands(predicted, truths), objects)


def is_same_hand(first: HandArrays, second: HandArrays | None) -> bool:
    """Whether vertex i of both models is the same point of a hand: else errors of meshes mean nothing."""
    return second is not None and np.array_equal(first.v_template, second.v_template)


def _declared_symmetries(opened: Opened) -> "Mapping[str, ObjectSymmetry]":
    """The symmetries of a synthetic set's objects; published sets declare none."""
    store = getattr(opened.dataset, "store", None)
    if not isinstance(store, Store) or not any(True for _ in store.list(TRUTH_FOLDER, recursive=False)):
        return {}
    names = {hand.object_name for hand in opened.truths.hands if hand.object_name is not None}
    return {name: build_object(name).symmetry for name in sorted(names)}


def _constant(opened: Opened, request: EvaluationRequest) -> ConstantHand:
    """Fit the constant hand to the set asked for, or to the evaluated hands themselves."""
    truths, source = opened.truths, "the evaluated hands themselves (as strong as a constant can be)"
    if request.baseline_from is not None:
        arrays = hand_of_labels(request.baseline_from, request.hand_model)
        dataset = open_dataset(request.baseline_from, None, request.baseline_split, arrays)
        model = None if arrays is None else HandModel(arrays, flat_hand_mean=True, tip_set="ho3d")
        indices = spread_indices(len(dataset), MAX_BASELINE_HANDS)
        truths = collect_truths(dataset, indices, model, uses_annotated_boxes=True, reads_masks=False)
        source = f"{dataset.name} / {dataset.split} at {request.baseline_from}, {len(truths)} hands"
    return fit_constant_hand(truths.joints_3d(), truths.vertices(), truths.is_right(), source=source)


def _groups(truths: Truths, unit: str) -> list[str]:
    """Name the group of each hand.

    Raises:
        ConfigError: the set does not tell subjects.
    """
    if unit == "recordings":
        return [hand.recording_id for hand in truths.hands]
    unknown = sum(hand.subject_id is None for hand in truths.hands)
    if unknown:
        expected, found = "a subject for every hand", f"{unknown} of {len(truths)} without"
        fix = "This data set does not tell: use --groups recordings."
        raise ConfigError(describe(what="--groups subjects", expected=expected, found=found, fix=fix))
    return [str(hand.subject_id) for hand in truths.hands]


def _header(
    request: EvaluationRequest,
    models: Sequence[LoadedNetwork],
    opened: Opened,
    constant: ConstantHand,
    bootstrap: GroupBootstrap,
) -> dict[str, object]:
    truths, dataset = opened.truths, opened.dataset
    subjects = {hand.subject_id for hand in truths.hands if hand.subject_id is not None}
    kind = "MANO's regressor on the posed mesh" if truths.joints_are_regressed else "joints of the kinematic chain"
    few = f"; under {FEW_GROUPS} groups such intervals are too narrow" if bootstrap.num_groups < FEW_GROUPS else ""
    header: dict[str, object] = {
        "hoiray": __version__,
        **dict(zip(("model", "against"), map(_model_words, models), strict=False)),
        "hand model": _hand_words(models[0].predictor, opened),
        "data": f"{dataset.name} / {dataset.split} at {request.data}",
        "counts": f"{len(truths)} hands in {len({hand.dataset_index for hand in truths.hands})} of {len(dataset)}"
        f" images, {len({hand.recording_id for hand in truths.hands})} recordings,"
        f" {len(subjects) or 'unknown'} subjects; left out for want of truth: {len(truths.dead_letters)}",
        "boxes": opened.boxes_words,
        "root": "relative to the wrist; the true wrist is added before measuring, so unaligned is root-relative",
        "alignment": "PA: similarity per hand, reflections allowed as the official scripts have it, joints by joints"
        " and vertices by vertices; rows without reflection are marked",
        "joint order": "simple (wrist, thumb to pinky, base to tip); size alignment by wrist and middle knuckle",
        "tips": f"{truths.tip_set}, {kind}; predictions take the same tips from their mesh",
        "axes and units": "OpenCV camera axes; mm in tables, px of the full image; F and AUC are shares of 1",
        "intervals": f"{CONFIDENCE:.0%} percentile bootstrap over {bootstrap.num_groups} {request.groups}, never"
        f" frames; {bootstrap.num_resamples} resamples, seed {bootstrap.seed}{few}",
        "constant hand": f"best single prediction without an image, fitted to {constant.source}: per-joint geometric"
        " median for root-relative rows, generalised Procrustes mean for PA rows",
    }
    return header


def _hand_words(predictor: Predictor, opened: Opened) -> str:
    assert predictor.hand is not None
    arrays = predictor.hand.arrays
    words = f"{arrays.source} ({arrays.licence.name})"
    if is_same_hand(arrays, opened.labels_hand):
        return words
    return f"{words}; the labels are not known to be of the same model, so there are no mesh rows (see --hand-model)"


def _model_words(loaded: LoadedNetwork) -> str:
    info = loaded.info
    return (
        f"{loaded.predictor.name}, sha256 {info.digest}, preset {info.config.preset}, written by hoiray"
        f" {info.hoiray_version}, crops of {loaded.predictor.spec.size_px} px"
    )


def _per_hand(
    scored: Scored, constant: Mapping[str, npt.NDArray[np.float64]], truths: Truths, found: HandPredictions
) -> bytes:
    """Make a Parquet file of one row a hand: what it is, why it failed, and every metric; NaN is written as null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "sample_id": [hand.sample_id for hand in truths.hands],
        "hand_index": [hand.hand_index for hand in truths.hands],
        "recording_id": [hand.recording_id for hand in truths.hands],
        "subject_id": [hand.subject_id for hand in truths.hands],
        "is_right": [hand.is_right for hand in truths.hands],
        "object_name": [hand.object_name for hand in truths.hands],
        "failure": list(found.failures),
        "object_failure": list(found.object_failures) or [None] * len(truths),
        "visible_fraction": [hand.visible_fraction for hand in truths.hands],
        "box_side_px": truths.box_sides_px(),
        "viewpoint_deg": [hand.viewpoint_deg for hand in truths.hands],
    }
    columns |= dict(scored.hands) | {f"constant_{name}": values for name, values in constant.items()}
    for result in scored.objects.results if scored.objects is not None else ():
        columns[f"{result.protocol.name} error_mm"] = result.error_mm
        columns[f"{result.protocol.name} is_correct"] = result.is_correct
    arrays = {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()


def _show(header: Mapping[str, object], tables: Sequence[Table], out: Store) -> None:
    """Show what the numbers are, the table of hands, and each protocol's mean over objects; the files have the rest."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for name in ("model", "against", "data", "counts", "boxes", "intervals", "constant hand"):
        if name in header:
            console.print(f"[bold]{name}[/bold]: {escape(str(header[name]))}", highlight=False)
    hands, *others = tables
    console.print(_shown(hands, "metric", {row_title(hands, name): row_texts(hands, name) for name in hands.rows}))
    protocols = [table for table in others if table.key.startswith("objects")]
    if protocols:
        rows = {
            table.key.removeprefix("objects "): dict(
                zip(table.columns, row_texts(table, MEAN_OVER_OBJECTS), strict=True)
            )
            for table in protocols
        }
        # of two models a terminal has room for one share only
        shares = ("accuracy", "against", "difference") if "against" in protocols[0].columns else ("accuracy", "auc")
        keys = [*shares, "num_frames", "num_failed"]
        kept = replace(
            protocols[0],
            title="Objects, mean over objects",
            note="A pose that could not be estimated is wrong. Every object has its row in the files.",
            columns={key: protocols[0].columns[key] for key in keys},
        )
        console.print(_shown(kept, "protocol", {name: [row[key] for key in keys] for name, row in rows.items()}))
    written = ", ".join(out.url(name) for name in ("evaluation.md", "evaluation.json", "per_hand.parquet"))
    typer.echo(f"written, with rows per object, recording, subject and difficulty: {written}")


def _shown(table: Table, first: str, rows: Mapping[str, Sequence[str]]) -> RichTable:
    shown = RichTable(title=table.title, caption=table.note, title_justify="left", caption_justify="left")
    shown.add_column(first, no_wrap=True)
    for column in table.columns.values():
        shown.add_column(f"{column.title}, {column.unit}" if column.unit else column.title, justify="right")
    for name, texts in rows.items():
        shown.add_row(name, *(escape(text) for text in texts))
    return shown
