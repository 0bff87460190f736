import numpy as np

from hoiray.geometry.boxes import from_points
from hoiray.predictors.contract_scene import POSES, SIZE_WH, make_scene


def test_every_hand_is_in_its_box_in_its_frame_and_twice_rendered_alike() -> None:
    scene, again = make_scene(), make_scene()
    assert scene.request.image_size_wh == SIZE_WH
    assert scene.request.is_right.tolist() == [is_right for _, is_right, _ in POSES]
    np.testing.assert_array_equal(scene.request.frames, again.request.frames)
    np.testing.assert_allclose(scene.joints_3d_m[:, 0], 0.0, atol=1e-12)
    for row in range(len(POSES)):
        box = scene.request.hand_boxes_xyxy[row]
        assert (box[:2] > 0).all()
        assert (box[2:] < SIZE_WH).all()
        inner = from_points(scene.joints_2d_px[row])
        assert (inner[:2] > box[:2] - 2).all()
        assert (inner[2:] < box[2:] + 2).all()
        x, y = np.round(scene.joints_2d_px[row, 9]).astype(int)
        red, _, blue = scene.request.frames[row, y, x].astype(int)
        assert red > blue + 20  # skin, not ground
