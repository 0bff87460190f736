import dataset_files as files
import memory_dataset as memory
import numpy as np
import pytest
import torch

from hoiray.config.what import Augmentation
from hoiray.datasets.augment import draw_views
from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.crop_targets import CropTargets, cell_places, crop_targets, shown_cells
from hoiray.datasets.label_records import Records, concatenate_records, measure_record
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.geometry.control_points import control_points

SPEC = CropSpec(size_px=96, roi_cells=8)
COUNT = 4


def turned(**options: bool) -> tuple[Records, CropTargets, np.ndarray, np.ndarray]:
    source = AnnotatedSource(memory.make_dataset(COUNT, **options))
    hands = [source.hands(entry) for entry in range(COUNT)]
    records = concatenate_records(
        [measure_record(hand[0], memory.SIZE_WH, SPEC, needs_joints=True) for hand in hands if isinstance(hand, tuple)]
    )
    views = draw_views(Augmentation(), seed=1, epochs=[0] * COUNT, indices=range(COUNT))
    A = views.affines(records["crop_center_px"], records["crop_side_px"], out_size_px=SPEC.size_px)
    targets = crop_targets(records, A, views.rotations_rad, SPEC, takes_annotated_box=False)
    return records, targets, A, views.rotations_rad


@pytest.mark.parametrize("is_right", [True, False])
def test_turned_3d_joints_are_seen_where_the_turned_2d_joints_are(is_right: bool) -> None:
    _, targets, _, _ = turned(is_right=is_right)
    for i in range(COUNT):
        joints = targets.joints_3d_m[i].astype(float) + targets.wrist_3d_m[i]
        np.testing.assert_allclose(memory.project(joints, targets.K[i]), targets.joints_2d_px[i], atol=1e-3)


def test_the_turned_object_is_seen_where_its_control_points_are() -> None:
    _, targets, _, _ = turned()
    model = control_points(memory.BOX_POINTS)
    for i in range(COUNT):
        T, box = targets.T_cam_obj[i], targets.object_boxes_xyxy[i]
        seen = memory.project(model @ T[:3, :3].T + T[:3, 3], targets.K[i])
        expected = box[:2] + targets.control_points_unit[i] * (box[2:] - box[:2])
        np.testing.assert_allclose(seen, expected, atol=1e-6)
        np.testing.assert_allclose(box, [*seen.min(axis=0), *seen.max(axis=0)], atol=1e-6)


def test_the_hands_box_is_that_of_the_turned_joints_expanded() -> None:
    _, targets, _, _ = turned()
    for i in range(COUNT):
        low, high = targets.joints_2d_px[i].min(axis=0), targets.joints_2d_px[i].max(axis=0)
        middle, half = (low + high) / 2, 1.1 * (high - low) / 2
        np.testing.assert_allclose(targets.hand_boxes_xyxy[i], [*(middle - half), *(middle + half)], atol=1e-9)
        unit = targets.joints_2d_unit[i]
        np.testing.assert_allclose([unit.min(), unit.max()], [0.05 / 1.1, 1 - 0.05 / 1.1], atol=1e-9)


def test_turned_rotations_pose_the_turned_joints() -> None:
    _, targets, _, _ = turned()
    records, *_ = turned()
    for i in range(COUNT):
        rotations = torch.tensor(targets.rotations[i].astype(np.float64))
        betas = torch.tensor(records["betas"][i].astype(np.float64))
        posed = files.model("ho3d").from_matrices(rotations[0], rotations[1:], betas).joints.numpy()
        np.testing.assert_allclose(posed - posed[0], targets.joints_3d_m[i], atol=1e-6)


def test_without_an_object_the_hands_box_is_given_and_nothing_is_told_of_it() -> None:
    _, targets, _, _ = turned(with_object=False)
    np.testing.assert_array_equal(targets.object_boxes_xyxy, targets.hand_boxes_xyxy)
    assert np.isnan(targets.control_points_unit).all()
    assert np.isnan(targets.T_cam_obj).all()


def test_records_are_not_changed() -> None:
    records, *_ = turned()
    again, *_ = turned()
    assert records.tobytes() == again.tobytes()


def test_an_annotated_box_is_the_hands_in_an_evaluation_only() -> None:
    records, _, A, _ = turned()
    boxed = records.copy()
    boxed["annotated_hand_box_xyxy"][0] = (100.0, 80.0, 160.0, 150.0)
    upright = A.copy()
    upright[:] = np.diag([0.5, 0.5, 1.0])
    training = crop_targets(boxed, upright, np.zeros(COUNT), SPEC, takes_annotated_box=False)
    evaluation = crop_targets(boxed, upright, np.zeros(COUNT), SPEC, takes_annotated_box=True)
    np.testing.assert_allclose(evaluation.hand_boxes_xyxy[0], [65 - 16.5, 57.5 - 19.25, 65 + 16.5, 57.5 + 19.25])
    assert np.abs(training.hand_boxes_xyxy[0] - evaluation.hand_boxes_xyxy[0]).max() > 1.0
    np.testing.assert_array_equal(training.hand_boxes_xyxy[1:], evaluation.hand_boxes_xyxy[1:])


def test_a_cell_shows_the_object_where_the_mask_has_its_centre() -> None:
    _, targets, A, _ = turned()
    dataset = memory.make_dataset(COUNT)
    places = cell_places(A, targets.object_boxes_xyxy, SPEC.roi_cells)
    for i in range(COUNT):
        mask = dataset.object_masks[i]
        assert mask is not None
        cells = shown_cells(mask[20:], (0, 20), places[i])
        whole = shown_cells(mask, (0, 0), places[i])
        assert whole.any()
        assert not whole.all()
        inverse, box = np.linalg.inv(A[i]), targets.object_boxes_xyxy[i]
        for row in range(SPEC.roi_cells):
            for column in range(SPEC.roi_cells):
                unit = (np.array([column, row]) + 0.5) / SPEC.roi_cells
                x, y, _ = inverse @ [*(box[:2] + unit * (box[2:] - box[:2])), 1.0]
                x, y = round(x), round(y)
                inside = 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]
                assert whole[row, column] == (inside and mask[y, x])
                assert cells[row, column] == (inside and y >= 20 and mask[y, x])
