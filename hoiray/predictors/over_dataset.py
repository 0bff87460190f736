"""Running a predictor over hands of a data set, in batches of frames of one size."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import AnnotatedDataset, FloatArray
from hoiray.errors import ContractError, InputError, describe
from hoiray.geometry.control_points import control_points
from hoiray.hand.joints import NUM_JOINTS
from hoiray.predictors.protocol import HandPredictions, HandRequest, Predictor

IMAGE_FAILURE: Final = "image could not be read"

Progress = Callable[[int, int], None]
"""Called with the hands done and all hands."""


@dataclass(frozen=True, eq=False)
class HandQuery:
    """One hand to predict.

    Attributes:
        dataset_index: sample it is in.
        hand_box_xyxy: (4,) tight, px.
        is_right: side.
        object_box_xyxy: (4,); NaN where there is none.
        K: (3, 3); NaN where not known.
        object_name: whose model's control points a pose needs; None without.
    """

    dataset_index: int
    hand_box_xyxy: FloatArray
    is_right: bool
    object_box_xyxy: FloatArray
    K: FloatArray
    object_name: str | None


def predict_queries(
    predictor: Predictor,
    dataset: AnnotatedDataset,
    queries: Sequence[HandQuery],
    *,
    batch_size: int,
    on_progress: Progress | None = None,
) -> HandPredictions:
    """Predict hands, in their order.

    Images are read as they are needed, each once where its hands are neighbours. One that cannot be read fails its
    hands, with the reason, and no others.

    Args:
        predictor: any.
        dataset: read for images and object models.
        queries: at least one.
        batch_size: hands a request, at most.
        on_progress: told after each request.

    Raises:
        ContractError: there is no query.
    """
    if not queries:
        fix = "Choose samples with a hand."
        raise ContractError(describe(what="hands to predict", expected="one or more", found="none", fix=fix))
    models: dict[str, FloatArray] = {}
    parts = []
    done = 0
    for batch in _batches(dataset, queries, batch_size):
        parts.append(_predict_batch(predictor, dataset, batch, models))
        done += len(batch.queries)
        if on_progress is not None:
            on_progress(done, len(queries))
    return concatenate(parts)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Queries whose frames have one size, or one query whose frame cannot be read."""

    queries: list[HandQuery]
    frames: list[npt.NDArray[np.uint8]]
    frame_index: list[int]
    failure: str | None = None


def _batches(dataset: AnnotatedDataset, queries: Sequence[HandQuery], batch_size: int) -> Iterator[_Batch]:
    current = _Batch([], [], [])
    last_index, last_frame = -1, np.zeros((0, 0, 3), np.uint8)
    for query in queries:
        if query.dataset_index != last_index:
            try:
                last_frame = dataset.image(dataset.sample(query.dataset_index))
            except InputError as error:
                if current.queries:
                    yield current
                yield _Batch([query], [], [], f"{IMAGE_FAILURE}: {error}")
                current, last_index = _Batch([], [], []), -1
                continue
        has_other_size = bool(current.frames) and current.frames[0].shape != last_frame.shape
        if len(current.queries) == batch_size or has_other_size:
            yield current
            current, last_index = _Batch([], [], []), -1
        if query.dataset_index != last_index:
            current.frames.append(last_frame)
            last_index = query.dataset_index
        current.queries.append(query)
        current.frame_index.append(len(current.frames) - 1)
    if current.queries:
        yield current


def _predict_batch(
    predictor: Predictor, dataset: AnnotatedDataset, batch: _Batch, models: dict[str, FloatArray]
) -> HandPredictions:
    if batch.failure is not None:
        return failed(len(batch.queries), batch.failure)
    queries = batch.queries
    request = HandRequest.make(
        np.stack(batch.frames),
        batch.frame_index,
        np.stack([query.hand_box_xyxy for query in queries]),
        [query.is_right for query in queries],
        object_boxes_xyxy=np.stack([query.object_box_xyxy for query in queries]),
        K=np.stack([query.K for query in queries]),
        control_points_m=np.stack([_control_points(dataset, query.object_name, models) for query in queries]),
    )
    return predictor.predict(request)


def _control_points(dataset: AnnotatedDataset, name: str | None, models: dict[str, FloatArray]) -> FloatArray:
    if name is None:
        return np.full((NUM_JOINTS, 3), np.nan)
    if name not in models:
        model = dataset.object_model(name)
        models[name] = np.full((NUM_JOINTS, 3), np.nan) if model is None else control_points(model.points)
    return models[name]


def failed(count: int, reason: str) -> HandPredictions:
    """Return the answer to hands that could not even be asked for."""
    return HandPredictions(
        joints_3d_m=np.full((count, NUM_JOINTS, 3), np.nan),
        joints_2d_px=np.full((count, NUM_JOINTS, 2), np.nan),
        failures=(reason,) * count,
    )


def concatenate(parts: Sequence[HandPredictions]) -> HandPredictions:
    """Join answers; a field that only some of them have is NaN in the others (a reason says why: the hand failed)."""
    values: dict[str, Any] = {}
    for spec in fields(HandPredictions):
        columns = [getattr(part, spec.name) for part in parts]
        if spec.name == "failures":
            values[spec.name] = tuple(reason for column in columns for reason in column)
        elif spec.name == "object_failures":
            values[spec.name] = _object_failures(parts)
        elif any(column is not None for column in columns):
            shape = next(column.shape[1:] for column in columns if column is not None)
            values[spec.name] = np.concatenate(
                [
                    np.full((len(part), *shape), np.nan) if column is None else column
                    for part, column in zip(parts, columns, strict=True)
                ]
            )
    return HandPredictions(**values)


def _object_failures(parts: Sequence[HandPredictions]) -> tuple[str | None, ...]:
    if all(part.T_cam_obj is None for part in parts):
        return ()
    reasons: list[str | None] = []
    for part in parts:
        reasons += part.failures if part.T_cam_obj is None else part.object_failures
    return tuple(reasons)
