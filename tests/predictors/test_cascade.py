from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hoiray.benchmarks.free_predictor import stretched_hand_m
from hoiray.config.what import Cascade, Ensemble, PaperLimits
from hoiray.errors import ContractError
from hoiray.geometry.boxes import expand
from hoiray.hand.model import HandModel
from hoiray.predictors.cascade import NOT_ASKED, PORTIONS, Cascaded, is_hopeless, predict_cascade, predict_views
from hoiray.predictors.ensemble import predict_ensemble
from hoiray.predictors.meshes import mesh_about_wrist
from hoiray.predictors.protocol import HandPredictions, HandRequest

CASCADE = Cascade(probe_views=3)
ENSEMBLE = Ensemble(num_views=8)
CALM, TORN, HOPELESS, SILENT, LATE = "calm", "torn", "hopeless", "silent", "late"


class Moody:
    """Answers by the width of a hand's box, and by the view: calm, torn, hopeless, never, or not at first."""

    name, digest, tip_set, hand = "moody", "1", "ho3d", None

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def predict(self, request: HandRequest) -> HandPredictions:
        assert request.views is not None
        self.lengths.append(len(request))
        kind = [list(WIDTHS)[list(WIDTHS.values()).index(round(box[2] - box[0]))] for box in request.hand_boxes_xyxy]
        turn = np.asarray(request.views.rotations_rad)
        joints = np.repeat(stretched_hand_m()[None], len(request), axis=0)
        points = 300.0 * joints[..., :2] + request.hand_boxes_xyxy[:, None, :2]
        for row, mood in enumerate(kind):
            points[row] += {TORN: 20.0, CALM: 0.1}.get(mood, 0.0) * turn[row]
            if mood == HOPELESS:
                points[row, 1:9] -= 60.0
        mute = [mood == SILENT or (mood == LATE and angle == 0.0) for mood, angle in zip(kind, turn, strict=True)]
        joints[mute], points[mute] = np.nan, np.nan
        return HandPredictions(joints, points, failures=tuple("mute" if it else None for it in mute))


WIDTHS = {CALM: 50, TORN: 51, HOPELESS: 52, SILENT: 53, LATE: 54}


def request_of(moods: list[str]) -> HandRequest:
    boxes = [[10.0, 20.0, 10.0 + WIDTHS[mood], 70.0] for mood in moods]
    return HandRequest.make(np.zeros((1, 100, 100, 3), np.uint8), [0] * len(moods), boxes, [True] * len(moods))


def cascaded(moods: list[str], first: int = 0) -> Cascaded:
    keys = [f"v/{first + number}/0" for number in range(len(moods))]
    return predict_cascade(Moody(), request_of(moods), keys, ENSEMBLE, CASCADE)


def test_a_hand_has_the_views_that_could_change_its_verdict() -> None:
    found = cascaded([CALM, TORN, HOPELESS, SILENT, LATE])
    assert found.num_views.tolist() == [3, 8, 1, 8, 3]
    assert found.fused.num_members.tolist() == [3, 8, 1, 0, 2]
    assert found.fused.mean.failures == (None, None, None, "mute", None)
    assert NOT_ASKED not in found.fused.mean.failures


def test_a_hand_that_goes_to_the_end_has_the_members_of_the_whole_ensemble() -> None:
    moods, keys = [TORN, CALM], ["a", "b"]
    whole = predict_ensemble(Moody(), request_of(moods), keys, ENSEMBLE)
    part = predict_cascade(Moody(), request_of(moods), keys, ENSEMBLE, CASCADE).fused
    for name in ("joints_3d_m", "joints_2d_px"):
        assert np.array_equal(getattr(part.mean, name)[0], getattr(whole.mean, name)[0])
    assert part.spread_joints_2d_px[0].tolist() == whole.spread_joints_2d_px[0].tolist()
    # three members instead of eight: another mean, though not by much
    assert 0.0 < np.abs(part.mean.joints_2d_px[1] - whole.mean.joints_2d_px[1]).max() < 0.1


def test_what_a_hand_gets_does_not_depend_on_its_company() -> None:
    moods = [CALM, TORN, HOPELESS, TORN, SILENT, LATE, CALM] * 3
    together = cascaded(moods)
    for row, mood in enumerate(moods):
        alone = cascaded([mood], first=row)
        assert alone.num_views[0] == together.num_views[row]
        assert np.array_equal(alone.fused.mean.joints_2d_px[0], together.fused.mean.joints_2d_px[row], equal_nan=True)


def test_a_predictor_sees_portions_of_one_size_whoever_goes_on() -> None:
    size = 2
    for num_torn, num_calm in ((8, 0), (3, 0), (1, 7), (0, 5)):
        moods = [TORN] * num_torn + [CALM] * num_calm
        moods += [HOPELESS] * (size * PORTIONS - len(moods))
        predictor = Moody()
        keys = [f"{number}" for number in range(len(moods))]
        found = predict_cascade(predictor, request_of(moods), keys, ENSEMBLE, CASCADE)
        probes, rests = (-(-count // size) for count in (num_torn + num_calm, num_torn))
        assert predictor.lengths == [len(moods), *[size * 2] * probes, *[size * 5] * rests]
        assert found.num_passes == sum(predictor.lengths)


def test_where_all_is_hopeless_one_pass_is_all() -> None:
    found = cascaded([HOPELESS] * 5)
    assert found.num_passes == 5
    assert np.isnan(found.fused.spread_joints_2d_px).all()


def test_without_a_cascade_it_is_the_ensemble() -> None:
    request, keys = request_of([CALM, HOPELESS]), ["a", "b"]
    assert predict_views(Moody(), request, keys, ENSEMBLE).num_members.tolist() == [8, 8]
    early = ENSEMBLE.model_copy(update={"cascade": CASCADE})
    assert predict_views(Moody(), request, keys, early).num_members.tolist() == [3, 1]


def test_answers_in_other_fields_than_before_are_refused() -> None:
    class Fickle(Moody):
        def predict(self, request: HandRequest) -> HandPredictions:
            answer = super().predict(request)
            more: dict[str, Any] = {} if len(self.lengths) == 1 else {"joint_confidence": np.ones((len(request), 21))}
            return replace(answer, **more)

    with pytest.raises(ContractError, match="same fields"):
        predict_cascade(Fickle(), request_of([TORN]), ["a"], ENSEMBLE, CASCADE)


def flat_hands(factors: list[float]) -> tuple[HandPredictions, HandRequest, HandModel]:
    """Flat hands at 400 px a metre, each in a box so many times as large as its mesh."""
    hand, count = HandModel.load(None, flat_hand_mean=True, tip_set="ho3d"), len(factors)
    rotations, betas = np.tile(np.eye(3), (count, 16, 1, 1)), np.zeros((count, 10))
    vertices, _ = mesh_about_wrist(hand, rotations, betas, np.ones(count, np.bool_))
    joints = np.repeat(stretched_hand_m()[None], count, axis=0)
    points = 400.0 * joints[..., :2] + 200.0
    seen = 400.0 * vertices[..., :2] + 200.0
    tight = np.concatenate([seen.min(axis=1), seen.max(axis=1)], axis=1)
    boxes = expand(tight, np.array(factors))
    request = HandRequest.make(np.zeros((1, 400, 400, 3), np.uint8), [0] * count, boxes, [True] * count)
    return HandPredictions(joints, points, rotations=rotations, betas=betas), request, hand


def test_a_hand_that_does_not_fill_its_box_is_hopeless_where_boxes_are_judged() -> None:
    single, request, hand = flat_hands([1.0, 1.3, 1.6])
    # overlaps of 1, 1 / 1.69 and 1 / 2.56
    assert is_hopeless(single, request, CASCADE, hand).tolist() == [False, False, True]
    nothing_said = CASCADE.model_copy(update={"min_box_iou": None})
    assert not is_hopeless(single, request, nothing_said, hand).any()
    assert not is_hopeless(single, request, CASCADE).any()


def test_what_the_paper_accepts_in_a_single_view_is_never_hopeless() -> None:
    limits, bounds = PaperLimits().model_dump(), Cascade().model_dump()
    assert bounds["min_box_iou"] < limits["min_box_iou"]
    assert bounds["max_reprojection_box_sides"] > limits["max_reprojection_box_sides"]
