from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hoiray.config.what import Ensemble
from hoiray.datasets.augment import plain_views
from hoiray.errors import ContractError
from hoiray.hand.model import HandModel
from hoiray.predictors.ensemble import (
    COST_OF_LOG_ODDS,
    NO_CONSENSUS,
    concatenate_predictions,
    draw_ensemble_views,
    fuse,
    predict_ensemble,
    side_cost,
)
from hoiray.predictors.protocol import HandPredictions, HandRequest

Array = NDArray[np.floating[Any]]
HAND = HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64)
RIGHT = np.array([True, False, True])


def _members(num_hands: int, num_views: int, *, angle_rad: float = 0.2, seed: int = 0) -> HandPredictions:
    """Scatter members about a pose of each hand."""
    rng = np.random.default_rng(seed)
    base = Rotation.random(num_hands * 16, random_state=seed)
    turns = [base * Rotation.from_rotvec(rng.normal(size=(num_hands * 16, 3)) * angle_rad) for _ in range(num_views)]
    rotations = np.stack([t.as_matrix().reshape(num_hands, 16, 3, 3) for t in turns], axis=1)
    rows = num_hands * num_views
    joints = rng.normal(size=(rows, 21, 3)) * 0.05
    poses = np.tile(np.eye(4), (rows, 1, 1))
    poses[:, :3, 3] = rng.normal(size=(rows, 3))
    return HandPredictions(
        joints,
        rng.normal(size=(rows, 21, 2)) * 10 + 100,
        rotations.reshape(rows, 16, 3, 3),
        rng.normal(size=(rows, 10)),
        rng.uniform(size=(rows, 21)),
        poses,
        rng.normal(size=(rows, 21, 2)),
        object_failures=(None,) * rows,
    )


def _without(members: HandPredictions, rows: list[int], reason: str = "blurred") -> HandPredictions:
    arrays = {}
    for name in ("joints_3d_m", "joints_2d_px", "rotations", "betas", "joint_confidence"):
        values = getattr(members, name).copy()
        values[rows] = np.nan
        arrays[name] = values
    failures = tuple(reason if row in rows else None for row in range(len(members)))
    return replace(members, **arrays, failures=failures)


class _Echo:
    """Answers every row by the number that its hand's box begins with."""

    name, digest, tip_set, hand = "echo", "0", "ho3d", None

    def __init__(self, *, forgets_rows: bool = False) -> None:
        self.calls: list[HandRequest] = []
        self.forgets_rows = forgets_rows

    def predict(self, request: HandRequest) -> HandPredictions:
        self.calls.append(request)
        count = len(request) - self.forgets_rows
        value = request.hand_boxes_xyxy[:count, :1, None]
        return HandPredictions(np.broadcast_to(value, (count, 21, 3)), np.broadcast_to(value, (count, 21, 2)))


def _request(num_hands: int) -> HandRequest:
    boxes = np.array([[float(row), 0.0, row + 10.0, 10.0] for row in range(num_hands)])
    return HandRequest.make(np.zeros((1, 32, 32, 3), np.uint8), [0] * num_hands, boxes, True)


class TestViews:
    ENSEMBLE = Ensemble(num_views=4, seed=3)

    def test_the_first_view_changes_nothing(self) -> None:
        views = draw_ensemble_views(self.ENSEMBLE, ["a", "b"])
        plain = plain_views(1)
        for row in (0, 4):
            assert views.side_factors[row] == plain.side_factors[0]
            np.testing.assert_array_equal(views.shifts_sides[row], 0.0)
            assert views.rotations_rad[row] == 0.0
            np.testing.assert_array_equal(views.colour_factors[row], 1.0)

    def test_a_key_has_the_same_views_in_any_company(self) -> None:
        alone = draw_ensemble_views(self.ENSEMBLE, ["b"])
        among = draw_ensemble_views(self.ENSEMBLE, ["a", "b", "c"])
        np.testing.assert_array_equal(alone.rotations_rad, among.rotations_rad[4:8])
        np.testing.assert_array_equal(alone.colour_order, among.colour_order[4:8])

    def test_views_keys_and_seeds_differ(self) -> None:
        views = draw_ensemble_views(self.ENSEMBLE, ["a", "b"])
        assert len(set(views.rotations_rad.tolist())) == 7, "two plain ones are equal"
        other = draw_ensemble_views(Ensemble(num_views=4, seed=4), ["a", "b"])
        assert not np.isin(views.rotations_rad[1:4], other.rotations_rad).any()

    def test_the_ranges_are_the_ensemble_s(self) -> None:
        views = draw_ensemble_views(Ensemble(num_views=9, max_rotation_deg=10.0), [str(i) for i in range(40)])
        assert np.degrees(np.abs(views.rotations_rad)).max() <= 10.0
        assert np.degrees(np.abs(views.rotations_rad)).max() > 9.0
        assert np.ptp(views.side_factors) > 0.35


class TestFuse:
    def test_means_are_those_of_a_loop(self) -> None:
        members = _members(3, 5)
        fused = fuse(members, 5, hand=None, is_right=RIGHT)
        for h in range(3):
            rows = slice(5 * h, 5 * h + 5)
            assert members.rotations is not None
            assert fused.mean.rotations is not None
            np.testing.assert_allclose(fused.mean.joints_2d_px[h], members.joints_2d_px[rows].mean(0))
            for joint in range(16):
                expected = Rotation.from_matrix(members.rotations[rows, joint]).mean().as_matrix()
                np.testing.assert_allclose(fused.mean.rotations[h, joint], expected, atol=1e-9)
            np.testing.assert_allclose(fused.mean.joints_3d_m[h], members.joints_3d_m[rows].mean(0))
            assert fused.mean.T_cam_obj is not None
            assert members.T_cam_obj is not None
            np.testing.assert_allclose(fused.mean.T_cam_obj[h, :3, 3], members.T_cam_obj[rows, :3, 3].mean(0))

    def test_spreads_are_those_of_a_loop(self) -> None:
        members = _members(2, 4)
        fused = fuse(members, 4, hand=None, is_right=RIGHT[:2])
        assert members.rotations is not None
        assert fused.mean.rotations is not None
        for h in range(2):
            rows = range(4 * h, 4 * h + 4)
            centre = members.joints_2d_px[4 * h : 4 * h + 4].mean(0)
            for joint in range(21):
                distances = [np.linalg.norm(members.joints_2d_px[row, joint] - centre[joint]) for row in rows]
                assert fused.spread_joints_2d_px[h, joint] == pytest.approx(np.sqrt(np.mean(np.square(distances))))
            angles = [
                (Rotation.from_matrix(fused.mean.rotations[h, j]).inv() * Rotation.from_matrix(members.rotations[r, j]))
                for r in rows
                for j in range(16)
            ]
            expected = np.sqrt(np.mean([turn.magnitude() ** 2 for turn in angles]))
            assert fused.spread_rotation_rad[h] == pytest.approx(expected)

    def test_joints_are_those_of_the_mean_hand_and_of_its_side(self) -> None:
        members = _members(3, 4)
        fused = fuse(members, 4, hand=HAND, is_right=RIGHT)
        assert fused.mean.rotations is not None
        assert fused.mean.betas is not None
        for h in range(3):
            turns, betas = torch.from_numpy(fused.mean.rotations[h]), torch.from_numpy(fused.mean.betas[h])
            out = HAND.from_matrices(turns[0], turns[1:], betas, is_right=bool(RIGHT[h]))
            np.testing.assert_allclose(fused.mean.joints_3d_m[h], (out.joints - out.joints[:1]).numpy(), atol=1e-12)

    def test_equal_members_have_no_spread_and_full_consensus(self) -> None:
        one = _members(2, 1)
        rows = np.repeat([0, 1], 3)
        arrays = {
            name: getattr(one, name)[rows]
            for name in ("joints_3d_m", "joints_2d_px", "rotations", "betas", "joint_confidence")
        }
        fused = fuse(HandPredictions(**arrays), 3, hand=None, is_right=RIGHT[:2])
        np.testing.assert_allclose(fused.spread_joints_2d_px, 0.0, atol=1e-12)
        np.testing.assert_allclose(fused.spread_rotation_rad, 0.0, atol=1e-7)
        np.testing.assert_allclose(fused.rotation_consensus, 1.0)

    def test_a_member_that_failed_is_left_out(self) -> None:
        members = _members(2, 4)
        fused = fuse(_without(members, [1]), 4, hand=None, is_right=RIGHT[:2])
        np.testing.assert_array_equal(fused.num_members, [3, 4])
        np.testing.assert_allclose(fused.mean.joints_2d_px[0], members.joints_2d_px[[0, 2, 3]].mean(0))

    def test_one_member_has_no_spread(self) -> None:
        fused = fuse(_without(_members(1, 3), [0, 2]), 3, hand=None, is_right=RIGHT[:1])
        assert fused.num_members[0] == 1
        assert np.isnan(fused.spread_joints_2d_px).all()
        assert np.isnan(fused.spread_rotation_rad).all()
        assert np.isnan(fused.rotation_consensus).all()
        assert np.isfinite(fused.mean.joints_2d_px).all()

    def test_no_member_is_a_failure_with_the_first_reason_and_no_numbers(self) -> None:
        fused = fuse(_without(_members(2, 2), [0, 1], "too dark"), 2, hand=HAND, is_right=RIGHT[:2])
        assert fused.mean.failures == ("too dark", None)
        assert np.isnan(fused.mean.joints_3d_m[0]).all()
        assert np.isfinite(fused.mean.joints_3d_m[1]).all()

    def test_opposite_rotations_have_no_mean(self) -> None:
        members = _members(1, 2, angle_rad=0.0)
        assert members.rotations is not None
        turned = members.rotations.copy()
        turned[1, 0] = turned[0, 0] @ Rotation.from_rotvec([np.pi, 0, 0]).as_matrix()
        fused = fuse(replace(members, rotations=turned), 2, hand=HAND, is_right=RIGHT[:1])
        assert fused.mean.failures == (NO_CONSENSUS,)
        assert np.isnan(fused.mean.joints_3d_m).all()

    def test_an_object_is_averaged_over_the_members_that_solved_it(self) -> None:
        members = _members(2, 2)
        assert members.T_cam_obj is not None
        poses = members.T_cam_obj.copy()
        poses[[0, 2, 3]] = np.nan
        failures = ("no_pose", None, "no_pose", "few_points")
        fused = fuse(replace(members, T_cam_obj=poses, object_failures=failures), 2, hand=None, is_right=RIGHT[:2])
        assert fused.mean.object_failures == (None, "no_pose")
        assert fused.mean.T_cam_obj is not None
        np.testing.assert_allclose(fused.mean.T_cam_obj[0], poses[1])

    def test_rows_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ContractError, match="2 a hand"):
            fuse(_members(1, 3), 2, hand=None, is_right=RIGHT[:1])


class TestPredict:
    def test_calls_are_cut_to_size_and_put_together_in_order(self) -> None:
        echo = _Echo()
        fused = predict_ensemble(echo, _request(3), ["a", "b", "c"], Ensemble(num_views=4), rows_per_call=5)
        assert [len(call) for call in echo.calls] == [5, 5, 2]
        np.testing.assert_array_equal(fused.mean.joints_2d_px[:, 0, 0], [0.0, 1.0, 2.0])
        np.testing.assert_array_equal(fused.num_members, 4)

    def test_one_view_is_the_plain_prediction(self) -> None:
        echo = _Echo()
        fused = predict_ensemble(echo, _request(2), ["a", "b"], Ensemble(num_views=1))
        assert echo.calls[0].views is None
        assert np.isnan(fused.spread_joints_3d_m).all()

    def test_a_predictor_that_leaves_rows_out_is_refused_by_name(self) -> None:
        with pytest.raises(ContractError, match="predictor echo"):
            predict_ensemble(_Echo(forgets_rows=True), _request(2), ["a", "b"], Ensemble(num_views=2))

    def test_keys_must_fit(self) -> None:
        with pytest.raises(ContractError, match="keys"):
            predict_ensemble(_Echo(), _request(2), ["a"], Ensemble(num_views=2))

    def test_parts_that_know_different_things_are_refused(self) -> None:
        members = _members(1, 2)
        with pytest.raises(ContractError, match="betas"):
            concatenate_predictions([members, replace(members, betas=None)])


class TestSides:
    def test_an_answer_whose_views_or_joints_disagree_costs_more(self) -> None:
        steady, shaky = (
            fuse(_members(3, 4, angle_rad=angle), 4, hand=None, is_right=np.ones(3, bool)) for angle in (0.05, 0.5)
        )
        residual = np.array([0.3, 0.3, 0.3])
        assert (side_cost(steady, residual) < side_cost(shaky, residual)).all()
        costs = side_cost(steady, np.array([0.2, 0.3, np.nan]))
        assert costs[0] < side_cost(steady, residual)[0]
        assert costs[1] == side_cost(steady, residual)[1]
        assert costs[2] == np.inf

    def test_a_predictor_that_tells_sides_is_believed_whatever_its_spread(self) -> None:
        residual = np.full(3, 0.3)
        steady, shaky = (_members(3, 4, angle_rad=angle) for angle in (0.05, 0.5))
        doubted = replace(steady, side_logit=np.full(12, -2.0))
        # one member is sure of the side, the others are not: the mean counts
        believed = replace(shaky, side_logit=np.tile([5.0, 0.0, 0.0, -1.0], 3))
        against, for_it = (fuse(members, 4, hand=None, is_right=np.ones(3, bool)) for members in (doubted, believed))
        assert for_it.mean.side_logit == pytest.approx(np.ones(3))
        assert side_cost(for_it, residual) == pytest.approx(np.full(3, -COST_OF_LOG_ODDS))
        assert side_cost(against, residual) == pytest.approx(np.full(3, 2 * COST_OF_LOG_ODDS))
        assert (side_cost(for_it, np.full(3, np.nan)) == np.inf).all()

    def test_no_answer_costs_more_than_any_other(self) -> None:
        members = _members(1, 2)
        failed = fuse(_without(members, [0, 1]), 2, hand=None, is_right=RIGHT[:1])
        assert side_cost(failed, np.array([0.1])) == [np.inf]
