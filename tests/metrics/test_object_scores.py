"""Accuracies under named protocols."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from hoiray.errors import ConfigError, ContractError
from hoiray.metrics.object_model import aabb_diagonal_m, true_diameter_m
from hoiray.metrics.object_scores import (
    HO3D_SCORED_OBJECTS,
    OBJECT_PROTOCOLS,
    ObjectFrames,
    ObjectProtocol,
    accuracy_auc_per_frame,
    object_scores,
    official_object_table,
)
from hoiray.metrics.symmetry import HO3D_HALF_TURN_SYMMETRIES

HO3D = OBJECT_PROTOCOLS["ho3d-add-aabb"]
ANY_OBJECTS = ObjectProtocol(name="any", error="add", diameter="true_diameter")
# Half a unit to each side, exact in binary: true diameter 0.5, box diagonal sqrt(0.5).
CROSS = np.array([[0.25, 0, 0], [-0.25, 0, 0], [0, 0.25, 0], [0, -0.25, 0]])


def _shifted(shifts_m: list[float]) -> ObjectFrames:
    """Frames of CROSS whose prediction is off by a known distance; NaN is a failed estimate."""
    truth = np.tile(np.eye(4), (len(shifts_m), 1, 1))
    predicted = truth.copy()
    predicted[:, 0, 3] = shifts_m
    return ObjectFrames(points_m=CROSS, T_predicted=predicted, T_truth=truth)


def _ho3d_frames() -> dict[str, ObjectFrames]:
    return {
        "021_bleach_cleanser": _shifted([0.0] * 9 + [1.0]),
        "006_mustard_bottle": _shifted([0.0, 1.0]),
        "010_potted_meat_can": _shifted([1.0] * 4),
        "019_pitcher_base": _shifted([0.0] * 30),
    }


def test_a_pose_off_by_exactly_the_limit_is_correct() -> None:
    limit = 0.125 * 0.5
    protocol = replace(ANY_OBJECTS, diameter_fraction=0.125)
    score = object_scores({"cross": _shifted([limit, np.nextafter(limit, 1.0)])}, protocol).per_object["cross"]
    assert score.limit_m == limit
    assert score.error_m[0] == limit
    assert score.is_correct.tolist() == [True, False]


def test_a_failed_estimate_is_wrong_and_stays_in_the_denominator() -> None:
    score = object_scores({"cross": _shifted([0.0, np.nan, 0.0, np.nan])}, ANY_OBJECTS).per_object["cross"]
    assert score.accuracy == 0.5
    assert score.is_correct.tolist() == [True, False, True, False]
    assert score.mean_error_m().num_missing == 2
    assert score.mean_error_m().mean == 0.0


def test_the_area_is_that_of_the_curve_of_what_is_correct_over_the_limit() -> None:
    errors_m = np.array([0.0, 0.013, 0.013, 0.06, 0.099, 0.1, 0.4, np.nan])
    limits_m = (np.arange(100_000) + 0.5) / 1e6  # the middles of as many slices of 0 to 0.1 m
    curve = (errors_m[:, None] <= limits_m).mean(axis=0)
    assert accuracy_auc_per_frame(errors_m).mean() == pytest.approx(curve.mean(), abs=1e-9)
    assert accuracy_auc_per_frame(errors_m)[[0, 5, 6, 7]].tolist() == [1.0, 0.0, 0.0, 0.0]
    score = object_scores({"cross": _shifted([0.0, 0.025, np.nan, 1.0])}, ANY_OBJECTS).per_object["cross"]
    assert accuracy_auc_per_frame(score.error_m).mean() == pytest.approx((1.0 + 0.75) / 4)


def test_the_mean_over_objects_is_unweighted_and_leaves_the_pitcher_out() -> None:
    scores = object_scores(_ho3d_frames(), HO3D)
    assert [scores.per_object[name].accuracy for name in HO3D_SCORED_OBJECTS] == [0.9, 0.5, 0.0]
    assert scores.per_object["019_pitcher_base"].accuracy == 1.0
    assert scores.mean_accuracy == pytest.approx((0.9 + 0.5 + 0.0) / 3)


def test_without_named_objects_all_are_averaged() -> None:
    scores = object_scores(_ho3d_frames(), replace(HO3D, averaged_objects=None))
    assert scores.mean_accuracy == pytest.approx((0.9 + 0.5 + 0.0 + 1.0) / 4)


def test_an_average_over_other_objects_than_the_protocols_is_refused() -> None:
    frames = _ho3d_frames()
    del frames["006_mustard_bottle"]
    with pytest.raises(ContractError, match="006_mustard_bottle"):
        object_scores(frames, HO3D)


def test_the_box_diagonal_accepts_what_the_true_diameter_refuses() -> None:
    between = 0.5 * 0.1 * (aabb_diagonal_m(CROSS) + true_diameter_m(CROSS))
    frames = {name: _shifted([between]) for name in HO3D_SCORED_OBJECTS}
    assert object_scores(frames, HO3D).mean_accuracy == 1.0
    assert object_scores(frames, OBJECT_PROTOCOLS["ho3d-add-true-diameter"]).mean_accuracy == 0.0


def test_the_declared_symmetry_reaches_the_error() -> None:
    half_turn = _shifted([0.0])
    half_turn = replace(half_turn, T_predicted=np.diag([-1.0, -1.0, 1.0, 1.0])[None])
    frames = dict.fromkeys(HO3D_SCORED_OBJECTS, half_turn)
    assert object_scores(frames, OBJECT_PROTOCOLS["ho3d-mssd-half-turn"]).mean_accuracy == 1.0
    assert object_scores(frames, HO3D).mean_accuracy == 0.0


def test_add_s_is_used_for_the_listed_objects_only() -> None:
    protocol = OBJECT_PROTOCOLS["dexycb-add-symmetric-add-s"]
    half_turn = replace(_shifted([0.0]), T_predicted=np.diag([-1.0, -1.0, 1.0, 1.0])[None])
    scores = object_scores({"024_bowl": half_turn, "051_large_clamp": half_turn}, protocol)
    assert scores.per_object["024_bowl"].error_name == "add_s"
    assert scores.per_object["024_bowl"].accuracy == 1.0
    assert scores.per_object["051_large_clamp"].error_name == "add"
    assert scores.per_object["051_large_clamp"].accuracy == 0.0


def test_the_published_protocols_differ_as_published() -> None:
    assert (HO3D.error, HO3D.diameter, HO3D.diameter_fraction) == ("add", "aabb_diagonal", 0.1)
    assert HO3D.averaged_objects == ("021_bleach_cleanser", "006_mustard_bottle", "010_potted_meat_can")
    assert OBJECT_PROTOCOLS["ho3d-mssd-half-turn"].symmetries == HO3D_HALF_TURN_SYMMETRIES
    assert OBJECT_PROTOCOLS["add-s-aabb"].error == "add_s"
    assert all(name == protocol.name and protocol.source for name, protocol in OBJECT_PROTOCOLS.items())


def test_the_table_names_protocol_errors_and_failures() -> None:
    frames = _ho3d_frames() | {"006_mustard_bottle": _shifted([0.0, np.nan])}
    table = official_object_table(object_scores(frames, HO3D))
    lines = table.splitlines()
    assert lines[0] == "ho3d-add-aabb (at most 0.1 x aabb_diagonal)"
    assert lines[2] == "006_mustard_bottle: 50.0 % of 2 frames (add, limit 70.7 mm, 1 without estimate)"
    assert lines[4].endswith("0 without estimate, not averaged)")
    assert lines[5] == "mean over objects: 46.7 %"


@pytest.mark.parametrize("name", OBJECT_PROTOCOLS)
def test_scores_travel_between_processes(name: str) -> None:
    protocol = replace(OBJECT_PROTOCOLS[name], averaged_objects=None)
    scores = object_scores({"006_mustard_bottle": _shifted([0.0, 1.0])}, protocol)
    copy = pickle.loads(pickle.dumps(scores))
    assert copy.protocol == protocol
    assert copy.mean_accuracy == scores.mean_accuracy == 0.5


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ContractError, match="no object"):
        object_scores({}, ANY_OBJECTS)
    with pytest.raises(ContractError, match="one frame or more"):
        object_scores({"cross": _shifted([])}, ANY_OBJECTS)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 10.0])
def test_a_limit_in_per_cent_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="diameter_fraction"):
        replace(HO3D, diameter_fraction=fraction)
