from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from landmark_files import FOLDER, needs_landmarks
from landmark_scenes import RenderedHand, rendered_hand

from hoiray.config.what import Ensemble
from hoiray.datasets.augment import plain_views
from hoiray.errors import ConfigError, InputError
from hoiray.geometry.cameras import solve_weak_perspective
from hoiray.predictors.detector import FindsHands
from hoiray.predictors.ensemble import predict_ensemble
from hoiray.predictors.landmarks.networks import Readings
from hoiray.predictors.landmarks.predictor import NO_HAND, OUTSIDE, LandmarkPredictor, make_landmarks
from hoiray.predictors.protocol import HandPredictions, HandRequest, Predictor


@pytest.fixture(scope="module")
def predictor() -> LandmarkPredictor:
    return make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu")


@pytest.fixture(scope="module")
def hands() -> list[RenderedHand]:
    return [rendered_hand(), rendered_hand(is_right=False, turn_rad=2.0, pose="spread")]


def _request(hands: list[RenderedHand], **changes: Any) -> HandRequest:
    values: dict[str, Any] = {
        "hand_boxes_xyxy": np.stack([hand.bbox_xyxy for hand in hands]),
        "is_right": [hand.is_right for hand in hands],
    }
    return HandRequest.make(np.stack([hand.image for hand in hands]), range(len(hands)), **(values | changes))


def _residual_box_sides(answer: HandPredictions, hands: list[RenderedHand]) -> np.ndarray:
    camera = solve_weak_perspective(answer.joints_3d_m, answer.joints_2d_px)
    off = np.linalg.norm(camera.project(answer.joints_3d_m) - answer.joints_2d_px, axis=-1).mean(axis=1)
    return off / [np.sqrt(np.prod(hand.bbox_xyxy[2:] - hand.bbox_xyxy[:2])) for hand in hands]


@needs_landmarks
def test_hands_are_found_in_their_boxes_whichever_way_they_point(
    predictor: LandmarkPredictor, hands: list[RenderedHand]
) -> None:
    answer = predictor.predict(_request(hands))
    assert answer.failures == (None, None)
    assert answer.joint_confidence is not None
    assert (answer.joint_confidence > 0.5).all()
    for row, hand in enumerate(hands):
        side_px = np.sqrt(np.prod(hand.bbox_xyxy[2:] - hand.bbox_xyxy[:2]))
        offsets = np.linalg.norm(answer.joints_2d_px[row] - hand.joints_2d_px, axis=1)
        assert offsets.mean() < 0.06 * side_px
    assert (_residual_box_sides(answer, hands) < 0.04).all()


@needs_landmarks
def test_a_hand_that_the_tracker_found_is_looked_for_no_more(hands: list[RenderedHand]) -> None:
    predictor = make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu")
    image = hands[1].image
    found = predictor.new_tracker().step(0, image)
    assert len(found) == 1
    read, variants = predictor.networks.read, []

    def noting(*given: Any, **settings: Any) -> Readings:
        variants.append(settings.get("variant", "full"))
        return read(*given, **settings)

    predictor.networks.read = noting  # type: ignore[method-assign]
    asked = HandRequest.make(image[None], [0], found.boxes_xyxy, found.is_right, upright_px=found.upright_px)
    told = predictor.predict(asked)
    assert variants == ["full"]
    searched = predictor.predict(replace(asked, upright_px=None))
    assert variants.count("lite") > 0
    for answer in (told, searched):
        assert answer.failures == (None,)
    apart = np.linalg.norm(told.joints_2d_px - searched.joints_2d_px, axis=-1).mean()
    assert apart < 0.02 * np.sqrt(np.prod(found.boxes_xyxy[0, 2:] - found.boxes_xyxy[0, :2]))


@needs_landmarks
def test_the_wrong_side_fits_worse(predictor: LandmarkPredictor, hands: list[RenderedHand]) -> None:
    own = _residual_box_sides(predictor.predict(_request(hands)), hands)
    wrong = predictor.predict(_request(hands, is_right=[not hand.is_right for hand in hands]))
    assert (own < _residual_box_sides(wrong, hands)).all()


@needs_landmarks
def test_a_hand_is_answered_the_same_in_any_company(predictor: LandmarkPredictor, hands: list[RenderedHand]) -> None:
    request = _request(hands)
    together, alone = predictor.predict(request), predictor.predict(request.rows(np.array([1])))
    np.testing.assert_array_equal(together.joints_2d_px[1:], alone.joints_2d_px)
    assert together.rotations is not None
    assert alone.rotations is not None
    np.testing.assert_array_equal(together.rotations[1:], alone.rotations)


@needs_landmarks
def test_a_box_without_a_hand_or_outside_the_picture_is_a_failure(predictor: LandmarkPredictor) -> None:
    hand = rendered_hand()
    request = HandRequest.make(
        hand.image[None], [0, 0], [[2.0, 2.0, 40.0, 40.0], [900.0, 900.0, 990.0, 990.0]], [True, True]
    )
    answer = predictor.predict(request)
    assert answer.failures == (NO_HAND, OUTSIDE)
    assert np.isnan(answer.joints_2d_px).all()


@needs_landmarks
def test_it_is_ensembled_like_any_predictor(predictor: LandmarkPredictor, hands: list[RenderedHand]) -> None:
    ensemble = Ensemble(num_views=3, max_rotation_deg=20.0, max_scale_change=0.1)
    fused = predict_ensemble(predictor, _request(hands), ["a", "b"], ensemble)
    assert fused.num_members.tolist() == [3, 3]
    assert (fused.spread_joints_2d_px > 0).all()
    plain = predictor.predict(_request(hands[:1], views=plain_views(1)))
    np.testing.assert_array_equal(plain.joints_2d_px, predictor.predict(_request(hands[:1])).joints_2d_px)


@needs_landmarks
def test_it_speaks_the_protocol_and_finds_hands(predictor: LandmarkPredictor) -> None:
    assert isinstance(predictor, Predictor)
    assert isinstance(predictor, FindsHands)
    assert predictor.tip_set == "ho3d"
    other = make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu", min_presence=0.7)
    assert predictor.digest != other.digest


def test_a_checkpoint_or_a_wrong_option_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected none for landmarks, found teacher\.safetensors"):
        make_landmarks(checkpoint_uri="teacher.safetensors", hand_path=None, device="cpu")
    with pytest.raises(ConfigError, match="min_presence: expected 0 to 1"):
        make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu", min_presence=1.5)
    with pytest.raises(InputError, match="hoiray assets fetch landmarks"):
        make_landmarks(checkpoint_uri=None, hand_path=None, device="cpu", folder=str(FOLDER / "nowhere"))
