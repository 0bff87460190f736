import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from landmark_files import needs_landmarks

from hoiray.errors import ContractError
from hoiray.geometry.rotations import rotation_z
from hoiray.hand.joints import JointOrder, reorder
from hoiray.predictors.contract import CHECKS, CheckResult, check_predictor, require_contract
from hoiray.predictors.contract_scene import ContractScene, make_scene
from hoiray.predictors.protocol import HandPredictions, HandRequest


@pytest.fixture(scope="module")
def scene() -> ContractScene:
    return make_scene()


@dataclass(eq=False)
class Knowing:
    """Knows the scene's truth by the colours of its frames; `spoil` is what a plug-in gets wrong."""

    scene: ContractScene
    spoil: str = ""
    name: str = "knowing"
    digest: str = "1"
    tip_set: str = "ho3d"
    hand: Any = None
    calls: int = 0

    def predict(self, request: HandRequest) -> HandPredictions:
        self.calls += 1
        rows, mirrored = self._rows(request)
        joints_3d, joints_2d = self.scene.joints_3d_m[rows].copy(), self.scene.joints_2d_px[rows].copy()
        joints_3d[mirrored] *= [-1, 1, 1]
        joints_2d[mirrored, :, 0] = request.image_size_wh[0] - 1 - joints_2d[mirrored, :, 0]
        return self._spoilt(request, joints_3d, joints_2d)

    def _rows(self, request: HandRequest) -> tuple[list[int], np.ndarray]:
        rows, mirrored = [], []
        for index in request.frame_index:
            for row, frame in enumerate(self.scene.request.frames):
                for flips in (False, True):
                    if np.array_equal(request.frames[index], frame[:, ::-1] if flips else frame):
                        rows.append(row)
                        mirrored.append(flips)
        return rows, np.array(mirrored, np.bool_)

    def _spoilt(self, request: HandRequest, joints_3d: np.ndarray, joints_2d: np.ndarray) -> HandPredictions:
        if self.spoil == "random":
            joints_2d = joints_2d + self.calls
        elif self.spoil:
            joints_3d, joints_2d = SPOILS[self.spoil](request, joints_3d, joints_2d)
        return HandPredictions(joints_3d, joints_2d)


Joints = tuple[np.ndarray, np.ndarray]


def _with_nan(joints: np.ndarray) -> np.ndarray:
    joints[0, 3] = np.nan
    return joints


def _in_order(order: JointOrder) -> Callable[[HandRequest, np.ndarray, np.ndarray], Joints]:
    return lambda _request, a, b: (reorder(a, "simple", order), reorder(b, "simple", order))


def _ring_and_pinky(_request: HandRequest, joints_3d: np.ndarray, joints_2d: np.ndarray) -> Joints:
    order = [*range(13), *range(17, 21), *range(13, 17)]
    return joints_3d[:, order], joints_2d[:, order]


def _input(request: HandRequest, joints_3d: np.ndarray, joints_2d: np.ndarray) -> Joints:
    request.hand_boxes_xyxy[:] += 1.0
    return joints_3d, joints_2d


def _views(request: HandRequest, joints_3d: np.ndarray, joints_2d: np.ndarray) -> Joints:
    if request.views is None:
        return joints_3d, joints_2d
    centre = joints_2d.mean(axis=1, keepdims=True)
    turns = rotation_z(request.views.rotations_rad)[:, :2, :2]
    return joints_3d, centre + (joints_2d - centre) @ np.swapaxes(turns, -1, -2) * 1.5


def _always_right(request: HandRequest, joints_3d: np.ndarray, joints_2d: np.ndarray) -> Joints:
    joints_2d[~np.asarray(request.is_right)] += 80.0
    return joints_3d, joints_2d


def _raises(_request: HandRequest, _joints_3d: np.ndarray, _joints_2d: np.ndarray) -> Joints:
    raise KeyError("a layer")


SPOILS: dict[str, Callable[[HandRequest, np.ndarray, np.ndarray], Joints]] = {
    "rows": lambda _request, a, b: (a[:-1], b[:-1]),
    "shape": lambda _request, a, b: (a, b[:, :16]),
    "nan": lambda _request, a, b: (_with_nan(a), b),
    "half nan": lambda _request, a, b: (a, _with_nan(b)),
    "mano": _in_order("mano"),
    "fpha": _in_order("fpha"),
    "ring and pinky": _ring_and_pinky,
    "input": _input,
    "millimetres": lambda _request, a, b: (1000.0 * a, b),
    "not about the wrist": lambda _request, a, b: (a + 0.3, b),
    "crop pixels": lambda request, a, b: (a, b - np.asarray(request.hand_boxes_xyxy)[:, None, :2]),
    "y up": lambda _request, a, b: (a * [1, -1, -1], b),
    "views": _views,
    "always right": _always_right,
    "raises": _raises,
}


def _outcomes(results: list[CheckResult]) -> dict[str, str]:
    return {result.name: result.outcome for result in results}


def test_a_predictor_that_keeps_its_contract_passes_every_check(scene: ContractScene) -> None:
    results = _outcomes(check_predictor(Knowing(scene), scene))
    assert results == dict.fromkeys(CHECKS, "passed") | {"parameters": "skipped"}


@pytest.mark.parametrize(
    ("spoil", "check", "message"),
    [
        ("rows", "shapes", "4 rows, one a hand"),
        ("shape", "shapes", r"joints_2d_px: expected shape \(4, 21, 2\), found \(4, 16, 2\)"),
        ("nan", "finite", "a reason exactly where the values are NaN"),
        ("half nan", "finite", r"joints_2d_px, row 0: expected NaN exactly where failures has a reason"),
        ("mano", "joint_order", "in the order 'mano'"),
        ("fpha", "joint_order", "in the order 'fpha'"),
        ("ring and pinky", "joint_order", "neighbours as in thumb, index, middle, pinky, ring"),
        ("input", "unchanged_input", r"request\.hand_boxes_xyxy"),
        ("millimetres", "wrist_and_metres", "metres"),
        ("not about the wrist", "wrist_and_metres", "relative to the wrist"),
        ("crop pixels", "full_frame_pixels", "pixels of the full frame"),
        ("y up", "projection", "x right, y down"),
        ("views", "views_undone", "all views undone"),
        ("random", "repeatable", "the same numbers for the same request"),
        ("raises", "shapes", "raised KeyError: 'a layer'"),
    ],
)
def test_what_is_broken_is_caught_by_name(scene: ContractScene, spoil: str, check: str, message: str) -> None:
    results = {result.name: result for result in check_predictor(Knowing(scene, spoil), scene)}
    assert results[check].outcome == "failed"
    assert re.search(message, results[check].message), results[check].message


def test_a_side_that_is_ignored_is_caught(scene: ContractScene) -> None:
    results = _outcomes(check_predictor(Knowing(scene, "always right"), scene))
    assert results["mirrored"] == "failed"


def test_an_unknown_tip_set_is_caught(scene: ContractScene) -> None:
    predictor = replace(Knowing(scene), tip_set="nails")
    assert _outcomes(check_predictor(predictor, scene))["identity"] == "failed"


def test_a_predictor_that_answers_nothing_is_told_that_little_was_checked(scene: ContractScene) -> None:
    class Silent(Knowing):
        def predict(self, request: HandRequest) -> HandPredictions:
            absent = np.full((len(request), 21, 3), np.nan)
            return HandPredictions(absent, absent[..., :2], failures=("no_hand",) * len(request))

    results = _outcomes(check_predictor(Silent(scene), scene))
    assert results["joint_order"] == "skipped"
    assert "failed" not in results.values()


def test_every_failure_is_named_in_one_error(scene: ContractScene) -> None:
    require_contract(Knowing(scene))
    with pytest.raises(ContractError, match=r"(?s)joint_order: .*'mano'"):
        require_contract(Knowing(scene, "mano"))


def test_parameters_that_do_not_give_the_joints_are_caught(scene: ContractScene) -> None:
    from hoiray.hand.model import HandModel

    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d", dtype=torch.float64)

    class Flat(Knowing):
        def predict(self, request: HandRequest) -> HandPredictions:
            answer = super().predict(request)
            eye = np.broadcast_to(np.eye(3), (len(request), 16, 3, 3))
            return replace(answer, rotations=eye, betas=np.zeros((len(request), 10)))

    results = _outcomes(check_predictor(Flat(scene, hand=hand), scene))
    assert results["parameters"] == "failed"


@needs_landmarks
def test_the_landmark_teacher_keeps_the_contract() -> None:
    from hoiray.predictors.landmarks.predictor import make_landmarks

    require_contract(make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu"))
