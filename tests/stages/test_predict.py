from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from labelling import is_same
from labelling_predictor import BoxPredictor, make

from hoiray.config.network import network_preset
from hoiray.config.what import Ensemble
from hoiray.datasets.crop_plan import CropSpec
from hoiray.errors import ConfigError
from hoiray.hand.model import HandModel
from hoiray.models.network import HandObjectNetwork
from hoiray.predictors.network import NetworkPredictor
from hoiray.predictors.protocol import HandPredictions, HandRequest, Predictor
from hoiray.schema.columns import unpack_column
from hoiray.stages.measure import FUSED
from hoiray.stages.predict import HandBatches, crop_change
from hoiray.stages.wanted import WantedVideo

K = np.array([[300.0, 0, 40], [0, 300, 30], [0, 0, 1]], dtype=np.float32)


def video_of(name: str, num_frames: int, *, side: str = "given", K: np.ndarray = K) -> WantedVideo:
    x = np.arange(num_frames, dtype=np.float32)
    return WantedVideo(
        video_id=name,
        uri=name,
        etag=None,
        first_frame_index=0,
        frame_index=np.arange(num_frames, dtype=np.int32),
        hand_index=np.zeros(num_frames, dtype=np.int16),
        bbox_xyxy=np.stack([10 + x, 8 + x, 40 + x, 44 + x], axis=1),
        object_bbox_xyxy=np.stack([30 + x, 8 + x, 60 + x, 44 + x], axis=1),
        is_right=np.ones(num_frames, dtype=np.bool_),
        side_source=(side,) * num_frames,  # type: ignore[arg-type]
        K=K,
    )


def frames_of(name: str, num_frames: int, size_wh: tuple[int, int] = (96, 72)) -> np.ndarray:
    rng = np.random.default_rng(list(name.encode()))
    return rng.integers(0, 255, (num_frames, size_wh[1], size_wh[0], 3), dtype=np.uint8)


def batches_of(predictor: Predictor, *, batch_size: int = 4, **settings: Any) -> HandBatches:
    ensemble = Ensemble(num_views=2)
    return HandBatches(
        predictor, ensemble, batch_size=batch_size, shard_id="s", predict_id="p", **({"is_one_person": True} | settings)
    )


def feed(batches: HandBatches, video: WantedVideo, frames: np.ndarray) -> None:
    images = list(frames)
    for index, image in enumerate(images):
        batches.add(video, index, index / 12.0, image, images[index - 1] if index else None)


def predict(predictor: Predictor, videos: dict[str, tuple[WantedVideo, np.ndarray]], **settings: Any) -> pa.Table:
    batches = batches_of(predictor, **settings)
    for video, frames in videos.values():
        feed(batches, video, frames)
    batches.flush()
    return batches.table()


def two_videos(**settings: Any) -> dict[str, tuple[WantedVideo, np.ndarray]]:
    return {name: (video_of(name, count, **settings), frames_of(name, count)) for name, count in (("a", 5), ("b", 3))}


def of_video(table: pa.Table, name: str) -> pa.Table:
    return table.filter(pa.compute.equal(table["video_id"], name))


@pytest.fixture(scope="module")
def network() -> NetworkPredictor:
    torch.manual_seed(3)
    config = network_preset("nano")
    model = HandObjectNetwork(config, HandModel.load(flat_hand_mean=True, tip_set="ho3d")).eval()
    spec = CropSpec(size_px=config.input_px, roi_cells=config.regions.cells)
    return NetworkPredictor(model, spec, digest="0", name="nano", max_crops=8)


def test_a_hand_has_the_same_numbers_alone_and_in_company(network: NetworkPredictor) -> None:
    videos = two_videos(side="guessed")
    together = predict(network, videos)
    for name, pair in videos.items():
        alone = predict(network, {name: pair})
        assert is_same(alone, of_video(together, name))
    assert together.num_rows == 8
    assert np.isfinite(unpack_column(together, FUSED["transl"])).any()


def test_the_predictor_sees_one_shape_only() -> None:
    predictor = make(checkpoint_uri=None, hand_path=None, device="cpu")
    predict(predictor, two_videos())
    assert predictor.shapes_seen == {8}


def test_frames_of_another_size_are_another_batch() -> None:
    predictor = make(checkpoint_uri=None, hand_path=None, device="cpu")
    videos = {"a": (video_of("a", 3), frames_of("a", 3)), "b": (video_of("b", 3), frames_of("b", 3, (72, 96)))}
    table = predict(predictor, videos)
    assert unpack_column(table, FUSED["image_width_px"]).tolist() == [96] * 3 + [72] * 3
    assert predictor.shapes_seen == {8}


def test_pixels_that_wait_are_bounded_and_change_nothing() -> None:
    predictor = make(checkpoint_uri=None, hand_path=None, device="cpu", with_hand=True)
    videos = two_videos()
    assert is_same(predict(predictor, videos, max_waiting_bytes=1), predict(predictor, videos))


def test_a_forgotten_video_leaves_no_row_and_takes_none_along() -> None:
    predictor = make(checkpoint_uri=None, hand_path=None, device="cpu")
    (first, frames), (second, others) = two_videos().values()
    batches = batches_of(predictor)
    feed(batches, first, frames)
    feed(batches, second, others)
    batches.forget("a")
    batches.flush()
    assert is_same(batches.table(), predict(predictor, {"b": (second, others)}))


class Small(BoxPredictor):
    """A device that holds two rows."""

    def predict(self, request: HandRequest) -> HandPredictions:
        if len(request) > 4:
            raise torch.OutOfMemoryError("4 rows at most")
        return super().predict(request)


def test_a_device_without_memory_gets_smaller_batches_and_the_same_rows() -> None:
    batches = batches_of(Small())
    for video, frames in two_videos().values():
        feed(batches, video, frames)
    batches.flush()
    assert batches.batch_size == 2
    assert is_same(batches.table(), predict(BoxPredictor(), two_videos()))


def test_a_device_too_small_for_one_hand_is_said_so() -> None:
    class Tiny(Small):
        def predict(self, request: HandRequest) -> HandPredictions:
            raise torch.OutOfMemoryError("none")

    with pytest.raises(ConfigError, match="memory of the device for one hand in 2 views, found none"):
        predict(Tiny(), two_videos())


class Sided(BoxPredictor):
    """Consistent under one hypothesis about the side, not under the other."""

    is_truly_right = False

    def predict(self, request: HandRequest) -> HandPredictions:
        answer = super().predict(request)
        wrong = request.is_right != self.is_truly_right
        answer.joints_2d_px[wrong] += np.random.default_rng(0).normal(scale=3.0, size=(21, 2))
        return answer


@pytest.mark.parametrize("is_right", [True, False])
def test_of_two_hypotheses_about_the_side_the_consistent_one_is_kept(is_right: bool) -> None:
    predictor = Sided()
    predictor.is_truly_right = is_right
    table = predict(predictor, two_videos(side="guessed"))
    assert table["is_right"].to_pylist() == [is_right] * 8
    assert set(table["side_source"].to_pylist()) == {"guessed"}
    right = predict(predictor, two_videos(side="given"))
    assert set(right["is_right"].to_pylist()) == {True}


def test_one_frame_that_tells_otherwise_does_not_turn_its_track() -> None:
    class Blinking(Sided):
        """Consistent as a left hand, but for the second frame of each video, whose box begins at x = 11."""

        def predict(self, request: HandRequest) -> HandPredictions:
            answer = super(Sided, self).predict(request)
            is_second = np.abs(request.hand_boxes_xyxy[:, 0] - 11.0) < 0.5
            wrong = request.is_right != is_second
            answer.joints_2d_px[wrong] += np.random.default_rng(0).normal(scale=3.0, size=(21, 2))
            return answer

    assert predict(Blinking(), two_videos(side="guessed"))["is_right"].to_pylist() == [False] * 8


def test_a_predictor_that_tells_sides_is_believed_before_its_consistency() -> None:
    class Seeing(Sided):
        """Consistent as a left hand; sees a right one."""

        def predict(self, request: HandRequest) -> HandPredictions:
            odds = np.where(request.is_right, 1.5, -1.0)
            return replace(super().predict(request), side_logit=odds)

    assert predict(Seeing(), two_videos(side="guessed"))["is_right"].to_pylist() == [True] * 8


def test_two_sides_without_an_answer_are_the_right_one() -> None:
    class Blind(BoxPredictor):
        def predict(self, request: HandRequest) -> HandPredictions:
            nothing = np.full((len(request), 21, 3), np.nan)
            return HandPredictions(nothing, nothing[..., :2], failures=("too_dark",) * len(request))

    assert predict(Blind(), two_videos(side="guessed"))["is_right"].to_pylist() == [True] * 8


def test_a_hand_without_an_answer_is_a_row_of_nulls_with_its_reason() -> None:
    class Failing(BoxPredictor):
        def predict(self, request: HandRequest) -> HandPredictions:
            nothing = np.full((len(request), 21, 3), np.nan)
            return HandPredictions(nothing, nothing[..., :2], failures=("too_dark",) * len(request))

    table = predict(Failing(), two_videos())
    assert set(table["failure"].to_pylist()) == {"too_dark"}
    assert [table[name].null_count for name in ("joints_3d", "joints_2d", "betas", "hand_pose")] == [8] * 4


def test_the_change_of_a_crop_is_measured_against_the_frame_before() -> None:
    image = frames_of("x", 1)[0]
    box = np.array([10.0, 10, 40, 40])
    assert crop_change(image.copy(), image, box) == 0.0
    assert np.isnan(crop_change(None, image, box))
    assert np.isnan(crop_change(image[:50], image, box))
    assert np.isnan(crop_change(image, image.copy(), np.array([-40.0, 0, -10, 20])))
    dark, bright = np.zeros_like(image), np.full_like(image, 51)
    assert crop_change(dark, bright, box) == pytest.approx(0.2)
    outside = bright.copy()
    outside[:9] = 0
    assert crop_change(outside, bright, box) == 0.0
