"""The ids under which results are kept: equal where results must be equal, different otherwise.

The videos are not in them: a shard's own id says which versions of which videos it holds
(:func:`hoiray.stages.packing.shard_id`), so a plan that grew finds the results of the shards it kept.
"""

from hoiray.config.fingerprint import fingerprint
from hoiray.config.what import CalibratedLimits, PaperLimits, RunConfig
from hoiray.errors import ContractError, describe
from hoiray.filters.sides import SIDE_RULE
from hoiray.predictors.versions import ANSWER_VERSIONS
from hoiray.schema.tables import BOXES, LABELS, PREDICTIONS
from hoiray.stages.packing import id_of


def make_predict_id(
    run: RunConfig,
    *,
    weights_sha256: str | None,
    hand_model_sha256: str | None = None,
    detector_sha256: str | None = None,
) -> str:
    """Return the id of a run's predictions: who predicts, with which weights, ensemble and hand, into which schema.

    Args:
        run: the configuration.
        weights_sha256: digest of what `teacher.checkpoint_uri` points at; None where it is null.
        hand_model_sha256: digest of what `hand.model_uri` points at; None where it is null.
        detector_sha256: digest of what `detector.checkpoint_uri` points at; None where there is no detector.

    Raises:
        ContractError: a digest is missing, or given for nothing.
    """
    detector = run.detector
    _require_digest(None if detector is None else detector.checkpoint_uri, detector_sha256, "detector.checkpoint_uri")
    _require_digest(run.teacher.checkpoint_uri, weights_sha256, "teacher.checkpoint_uri")
    _require_digest(run.hand.model_uri, hand_model_sha256, "hand.model_uri")
    teacher = run.teacher.model_copy(update={"checkpoint_uri": None})
    hand = run.hand.model_copy(update={"model_uri": None})
    is_guessed = run.videos.hand_side in {"both", "boxes"}
    more: dict[str, object] = {}
    if run.teacher.predictor in ANSWER_VERSIONS:
        more["answers"] = ANSWER_VERSIONS[run.teacher.predictor]
    if detector is not None:
        settings = detector.model_copy(update={"checkpoint_uri": "-"})
        more |= {"detector": fingerprint(settings), "detector_weights": detector_sha256}
    return id_of(
        {
            **more,
            "teacher": fingerprint(teacher),
            "weights": weights_sha256,
            "ensemble": fingerprint(run.ensemble),
            "hand": fingerprint(hand),
            "hand_model": hand_model_sha256,
            "hand_side": run.videos.hand_side,
            "side_rule": f"{SIDE_RULE}; persons: {run.videos.persons}" if is_guessed else None,
            "schema": [PREDICTIONS.version, BOXES.version],
        }
    )


def make_judge_id(predict_id: str, limits: PaperLimits | CalibratedLimits, *, limits_sha256: str | None = None) -> str:
    """Return the id of labels: which predictions, judged by which limits, into which schema.

    Args:
        predict_id: of the predictions.
        limits: the configuration.
        limits_sha256: digest of a calibrated limits file; None for the paper's.

    Raises:
        ContractError: the digest is missing, or given for nothing.
    """
    uri = limits.uri if isinstance(limits, CalibratedLimits) else None
    _require_digest(uri, limits_sha256, "limits.uri")
    limits = limits.model_copy(update={"uri": "-"}) if isinstance(limits, CalibratedLimits) else limits
    content = {"predict_id": predict_id, "limits": fingerprint(limits), "file": limits_sha256}
    return id_of(content | {"schema": LABELS.version})


def _require_digest(uri: str | None, sha256: str | None, field: str) -> None:
    if (uri is None) != (sha256 is None):
        expected = "a digest of the file it names" if uri is not None else "no digest, as it names no file"
        fix = "Hash the file when the run is planned: its place is no part of an id."
        raise ContractError(describe(what=field, expected=expected, found=str(sha256), fix=fix))
