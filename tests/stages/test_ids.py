from typing import Any

import pytest

from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.errors import ContractError
from hoiray.stages import ids
from hoiray.stages.ids import make_judge_id, make_predict_id

RUN = """
output_uri: out
videos: {uri: videos}
hand: {flat_hand_mean: true}
teacher: {predictor: network, checkpoint_uri: teacher.pt}
"""


def run(*overrides: str) -> RunConfig:
    return parse_run(RUN, overrides)


def predict_id(*overrides: str, weights: str | None = "w", **digests: Any) -> str:
    return make_predict_id(run(*overrides), weights_sha256=weights, **digests)


@pytest.mark.parametrize(
    "override",
    [
        "name=other", "output_uri=elsewhere", "videos.uri=moved", "sharding.target_frames=8192",
        "teacher.checkpoint_uri=moved.pt", "limits.min_box_iou=0.5", "seed=3", "videos.sample_rate_hz=12",
    ],
)  # fmt: skip
def test_places_names_and_what_a_shard_says_itself_are_no_part_of_predictions(override: str) -> None:
    assert predict_id(override) == predict_id()


@pytest.mark.parametrize(
    "override",
    ["teacher.predictor=other", "ensemble.num_views=4", "ensemble.seed=1", "hand.flat_hand_mean=false",
     "hand.tip_set=manopth", "videos.hand_side=right", "teacher.options={x: 1}"],
)  # fmt: skip
def test_whatever_changes_predictions_changes_their_id(override: str) -> None:
    assert predict_id(override) != predict_id()


def test_a_detector_counts_with_its_weights_and_no_detector_changes_nothing() -> None:
    asked = "detector={checkpoint_uri: hands.pth}"
    first = predict_id(asked, detector_sha256="d")
    assert first == predict_id("detector={checkpoint_uri: moved.pth}", detector_sha256="d")
    others = {
        predict_id(),
        predict_id(asked, detector_sha256="e"),
        predict_id(asked, "detector.min_score=0.7", detector_sha256="d"),
    }
    assert first not in others
    with pytest.raises(ContractError, match=r"detector\.checkpoint_uri"):
        predict_id(asked)


def test_another_rule_for_guessed_sides_makes_other_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    guessed, told = predict_id(), predict_id("videos.hand_side=left")
    monkeypatch.setattr(ids, "SIDE_RULE", "by lot")
    assert predict_id() != guessed
    assert predict_id("videos.hand_side=left") == told


def test_another_version_of_a_predictors_answers_makes_other_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = ("teacher.predictor=landmarks", "teacher.checkpoint_uri=null")
    before, network = predict_id(*teacher, weights=None), predict_id()
    monkeypatch.setattr(ids, "ANSWER_VERSIONS", {"landmarks": ids.ANSWER_VERSIONS["landmarks"] + 1})
    assert predict_id(*teacher, weights=None) != before
    assert predict_id() == network


def test_the_content_of_files_counts_and_must_be_given() -> None:
    assert predict_id(weights="other") != predict_id()
    hand = "hand.model_uri=MANO.pkl"
    assert predict_id(hand, hand_model_sha256="m") != predict_id(hand, hand_model_sha256="n")
    for call in (
        lambda: predict_id(weights=None),
        lambda: predict_id(hand),
        lambda: predict_id(hand_model_sha256="m"),
        lambda: predict_id("teacher.checkpoint_uri=null"),
    ):
        with pytest.raises(ContractError, match="its place is no part of an id"):
            call()


def test_labels_depend_on_predictions_and_limits() -> None:
    limits = run().limits
    base = make_judge_id("p", limits)
    assert make_judge_id("q", limits) != base
    assert make_judge_id("p", run("limits.min_box_iou=0.5").limits) != base
    assert make_judge_id("p", run("seed=9", "ensemble.num_views=2").limits) == base


def test_calibrated_limits_count_by_their_content() -> None:
    here, there = (run(f"limits={{preset: calibrated, uri: {uri}}}").limits for uri in ("a", "b"))
    assert make_judge_id("p", here, limits_sha256="x") == make_judge_id("p", there, limits_sha256="x")
    assert make_judge_id("p", here, limits_sha256="x") != make_judge_id("p", here, limits_sha256="y")
    with pytest.raises(ContractError, match=r"limits\.uri"):
        make_judge_id("p", here)
