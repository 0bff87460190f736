import numpy as np
import pytest
import torch
from toy_world import draw_flat, make_recording, slot, view_of, views_of

from hoiray.errors import ContractError
from hoiray.hand.model import HandModel
from hoiray.synthetic.writers.shot import Shot, box_of_mask, box_of_points, film, object_truths, pose_views


def test_hands_of_both_sides_are_posed_as_the_model_poses_one_alone() -> None:
    recording = make_recording(num_frames=2, num_cameras=1)
    views = [view_of(recording, 0, frame) for frame in range(2)]
    for tips in ("ho3d", "manopth"):
        model = HandModel.load(flat_hand_mean=True, tip_set=tips, dtype=torch.float64)
        for view, hands in zip(views, pose_views(views), strict=True):
            for hand in hands:
                mano = hand.view.mano
                parts = (mano.global_orient, mano.hand_pose, mano.betas, mano.transl)
                alone = model(*(torch.tensor(part) for part in parts), is_right=torch.tensor(hand.view.is_right))
                np.testing.assert_allclose(hand.vertices, alone.vertices.numpy(), atol=1e-12)
                np.testing.assert_allclose(hand.joints_3d(tips), alone.joints.numpy(), atol=1e-12)
            assert len(hands) == len(view.hands)


def test_a_film_goes_camera_by_camera_and_tells_what_comes_next() -> None:
    recording = make_recording(num_frames=3, num_cameras=2, size=(60, 80), focal=70.0)
    seen = []

    def render(view, after):  # noqa: ANN001, ANN202
        seen.append((view.camera_id, view.frame_index, None if after is None else after.frame_index))
        return draw_flat(view)

    shots = list(film(views_of(recording), render))
    assert seen == [("0", 0, 1), ("0", 1, 2), ("0", 2, None), ("1", 0, 1), ("1", 1, 2), ("1", 2, None)]
    assert [shot.view.frame_index for shot in shots] == [0, 1, 2, 0, 1, 2]


def test_masks_count_hands_first_and_the_target_is_no_distractor() -> None:
    recording = make_recording(num_frames=1, num_cameras=1, object_names=("mug", "box"))
    view = view_of(recording, 0, 0)
    (hands,) = pose_views([view])
    shot = Shot(view, draw_flat(view), hands, object_truths(view))
    assert (shot.target_hand_index, shot.target_object_index) == (0, 0)
    np.testing.assert_array_equal(shot.object_mask(1), shot.pixels.labels == 4)
    distractors = Shot(view, shot.pixels, hands[1:], ())
    assert distractors.target_object_index is None
    with pytest.raises(ContractError, match="only distractors"):
        _ = distractors.target_hand_index


def test_each_purpose_has_numbers_of_its_own() -> None:
    place = slot(0)
    assert place.rng("holes").random() == place.rng("holes").random()
    assert place.rng("holes").random() != place.rng("tails").random()
    assert place.rng("holes").random() != slot(1).rng("holes").random()


def test_boxes_go_through_the_centres_of_the_outermost_pixels() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert box_of_mask(mask) is not None
    np.testing.assert_array_equal(box_of_mask(mask), [3, 2, 8, 4])
    assert box_of_mask(np.zeros((4, 4), bool)) is None
    np.testing.assert_array_equal(box_of_points(np.array([[-5.0, 2], [20, 4]]), (10, 12)), [0, 2, 11, 4])
    assert box_of_points(np.array([[-5.0, 2], [-1, 4]]), (10, 12)) is None
