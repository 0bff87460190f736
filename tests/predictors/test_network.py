"""The network behind the protocol: what its crops did to the picture is undone, on both sides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from predictor_scenes import SIZE_WH, SPEC, N, scenes, views

from hoiray.config.network import network_preset
from hoiray.datasets.augment import plain_views
from hoiray.datasets.crop_targets import crop_targets
from hoiray.geometry.crops import to_unit_box
from hoiray.geometry.rotations import mirror_rotation
from hoiray.hand.model import HandModel
from hoiray.hand.sides import mirror_boxes_xyxy, mirror_image, mirror_points, mirror_points_2d
from hoiray.models.network import HandObjectNetwork
from hoiray.predictors import network as module
from hoiray.predictors.network import NOT_FINITE, OUTSIDE, NetworkPredictor
from hoiray.predictors.protocol import NO_OBJECT_BOX, HandRequest, Predictor
from hoiray.predictors.request_crops import plan_crops


@pytest.fixture(scope="module")
def predictor() -> NetworkPredictor:
    torch.manual_seed(0)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    network = HandObjectNetwork(network_preset("nano", input_px=SPEC.size_px), hand).eval()
    return NetworkPredictor(network, SPEC, digest="d", name="random nano")


@pytest.mark.parametrize("is_turned", [False, True])
def test_the_labels_of_training_come_back_as_the_labels_of_the_frame(
    predictor: NetworkPredictor, is_turned: bool
) -> None:
    """A network that answers exactly what it is taught must answer, in the frame, exactly what is annotated."""
    scene = scenes(views() if is_turned else None)
    crops = plan_crops(scene.request, SPEC)
    targets = crop_targets(scene.records, crops.A, crops.rotations_rad, SPEC, takes_annotated_box=True)
    taught = module._Arrays(
        joints_2d_unit=to_unit_box(targets.joints_2d_px, crops.hand_boxes_xyxy, expand=1.0),
        rotations=targets.rotations.astype(np.float64),
        betas=scene.records["betas"].astype(np.float64),
        joints_3d_m=targets.joints_3d_m.astype(np.float64),
        object_points_unit=np.full((N, 4, 21, 2), np.nan),
        object_confidences=np.full((N, 4, 21), np.nan),
        side_logits=np.arange(N, dtype=np.float64),
    )
    found = predictor._in_frame(scene.request, crops, taught)
    np.testing.assert_allclose(found.joints_3d_m, scene.joints_3d_m, atol=1e-6)
    np.testing.assert_allclose(found.joints_2d_px, scene.joints_2d_px, atol=1e-4)
    np.testing.assert_allclose(found.rotations, scene.rotations, atol=1e-6)
    np.testing.assert_allclose(found.betas, scene.betas, atol=1e-6)
    assert found.side_logit is not None
    assert found.side_logit.tolist() == list(range(N))


def test_the_mirrored_picture_of_the_other_hand_has_the_mirrored_answer(predictor: NetworkPredictor) -> None:
    request = scenes().request
    frames = np.stack([mirror_image(frame) for frame in request.frames])
    boxes, things = (
        mirror_boxes_xyxy(np.asarray(part), SIZE_WH[0]) for part in (request.hand_boxes_xyxy, request.object_boxes_xyxy)
    )
    seen = HandRequest.make(frames, request.frame_index, boxes, ~request.is_right, object_boxes_xyxy=things)
    there, back = predictor.predict(request), predictor.predict(seen)
    np.testing.assert_allclose(mirror_points(back.joints_3d_m), there.joints_3d_m, atol=1e-5)
    np.testing.assert_allclose(mirror_points_2d(back.joints_2d_px, SIZE_WH[0]), there.joints_2d_px, atol=2e-3)
    assert back.rotations is not None
    np.testing.assert_allclose(mirror_rotation(back.rotations), there.rotations, atol=1e-4)
    np.testing.assert_allclose(back.betas, there.betas, atol=1e-4)
    assert there.side_logit is not None
    np.testing.assert_allclose(back.side_logit, there.side_logit, atol=1e-4)


def test_the_joints_are_those_of_the_parameters(predictor: NetworkPredictor) -> None:
    request = scenes().request
    found = predictor.predict(request)
    assert isinstance(predictor, Predictor)
    assert found.rotations is not None
    assert found.betas is not None
    turns, betas = (torch.tensor(part, dtype=torch.float32) for part in (found.rotations, found.betas))
    with torch.no_grad():
        joints = predictor.hand.joints_only_from_matrices(
            turns[:, 0], turns[:, 1:], betas, is_right=torch.tensor(np.array(request.is_right))
        )
    np.testing.assert_allclose(joints - joints[:, :1], found.joints_3d_m, atol=1e-5)
    assert found.failures == (None,) * N


def test_hands_do_not_depend_on_their_neighbours_or_the_size_of_a_batch(predictor: NetworkPredictor) -> None:
    request = scenes().request
    whole = predictor.predict(request)
    small = replace(predictor, max_crops=2).predict(request)
    one = predictor.predict(request.rows(np.array([4])))
    np.testing.assert_allclose(small.joints_3d_m, whole.joints_3d_m, atol=1e-5)
    np.testing.assert_allclose(one.joints_3d_m[0], whole.joints_3d_m[4], atol=1e-5)


def test_a_plain_view_is_no_view_and_a_turned_one_is_another_crop(predictor: NetworkPredictor) -> None:
    request = scenes().request
    whole = predictor.predict(request)
    plain = predictor.predict(replace(request, views=plain_views(N)))
    np.testing.assert_array_equal(plain.joints_3d_m, whole.joints_3d_m)
    turned = predictor.predict(scenes(views()).request)
    assert np.abs(turned.joints_2d_px - whole.joints_2d_px).max() > 0.1
    # joints stay about the same place of the frame, since the heatmaps of an untrained network are flat
    assert np.abs(turned.joints_2d_px.mean(axis=1) - whole.joints_2d_px.mean(axis=1)).max() < 60.0


def test_a_hand_beyond_the_image_and_broken_weights_are_failures_of_their_rows(predictor: NetworkPredictor) -> None:
    request = scenes().request
    boxes = np.array(request.hand_boxes_xyxy)
    boxes[2] += 9000.0
    things = np.full((N, 4), np.nan)
    asked = replace(request, hand_boxes_xyxy=boxes, object_boxes_xyxy=things)
    found = predictor.predict(asked)
    assert found.failures == (None, None, OUTSIDE, None, None, None)
    assert found.object_failures == (NO_OBJECT_BOX,) * N
    assert np.isnan(found.joints_3d_m[2]).all()
    broken = HandObjectNetwork(predictor.network.config, predictor.hand).eval()
    with torch.no_grad():
        next(broken.hand_decoder.parameters()).fill_(float("nan"))
    assert replace(predictor, network=broken).predict(request).failures == (NOT_FINITE,) * N


def test_attention_comes_with_the_crops_it_is_about(predictor: NetworkPredictor) -> None:
    request = scenes().request
    answer, attention = predictor.predict_with_attention(request)
    assert attention is not None
    assert attention.query == "object"
    assert attention.images.shape == (N, SPEC.size_px, SPEC.size_px, 3)
    cells = predictor.network.config.num_cells
    assert attention.maps.shape[0::2] == (N, cells)
    np.testing.assert_allclose(attention.maps.sum(axis=-1), 1.0, atol=1e-4)
    np.testing.assert_allclose(answer.joints_3d_m, predictor.predict(request).joints_3d_m, atol=1e-6)
