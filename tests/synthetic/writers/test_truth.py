from pathlib import Path

import numpy as np
import pytest
from toy_world import make_recording, slot, view_of, write_recording

from hoiray.datasets.formats.truth import hands_key, objects_key, read_truth
from hoiray.errors import InputError
from hoiray.geometry.cameras import project_points
from hoiray.io.encode import decode_rle
from hoiray.io.store import Store
from hoiray.render.raster import rasterise
from hoiray.schema.tables import TRUTH_HANDS, TRUTH_OBJECTS
from hoiray.synthetic.writers import truth
from hoiray.synthetic.writers.shot import Placement, Shot, pose_views, truth_model
from hoiray.synthetic.writers.videos import VIDEOS

SIZE = (240, 320)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[Shot]]:
    store = Store.open(tmp_path_factory.mktemp("truth"))
    recording = make_recording(size=SIZE, focal=300.0, num_frames=4, object_names=("mug", "box"))
    place = slot(0, "validation")
    _, shots = write_recording(VIDEOS.begin(store, recording, place), store, recording, place)
    return store, shots


def test_every_hand_of_every_frame_has_a_row(written: tuple[Store, list[Shot]]) -> None:
    table = read_truth(written[0], hands_key("rec-0000"), TRUTH_HANDS)
    assert len(table) == 2 * 2 * 4
    rows = table.to_pylist()
    for index, row in enumerate(rows):
        shot = written[1][index // 2]
        hand = shot.hands[row["hand_index"]]
        assert (row["camera_id"], row["frame_index"]) == (shot.view.camera_id, shot.view.frame_index)
        assert (row["is_right"], row["is_target"]) == (hand.view.is_right, hand.view.is_target)
        assert row["split"] == "validation"
        assert row["video_id"] == f"rec-0000_{shot.view.camera_id}.{('mp4', 'webm')[int(shot.view.camera_id)]}"
        np.testing.assert_array_equal(np.array(row["transl"]), hand.view.mano.transl)
        joints = hand.joints_3d("ho3d")
        np.testing.assert_allclose(np.reshape(row["joints_3d"], (21, 3)), joints, atol=1e-6)
        np.testing.assert_allclose(
            np.reshape(row["joints_2d"], (21, 2)), project_points(joints, shot.view.K), atol=1e-3
        )
        mask = decode_rle(row["mask_rle"], SIZE)
        np.testing.assert_array_equal(mask, shot.hand_mask(row["hand_index"]))
        assert row["visible_px"] == mask.sum()


def test_objects_have_their_poses_and_masks(written: tuple[Store, list[Shot]]) -> None:
    rows = read_truth(written[0], objects_key("rec-0000"), TRUTH_OBJECTS).to_pylist()
    assert [row["name"] for row in rows[:2]] == ["mug", "box"]
    for row, shot in zip(rows[::2], written[1], strict=True):
        np.testing.assert_array_equal(np.reshape(row["T_cam_obj"], (4, 4)), shot.objects[0].view.T_cam_obj)
        np.testing.assert_array_equal(decode_rle(row["mask_rle"], SIZE), shot.object_mask(0))


def test_the_visible_fraction_is_that_of_the_whole_outline(written: tuple[Store, list[Shot]]) -> None:
    shot = written[1][0]
    hand = shot.hands[0]
    faces = truth_model().faces(is_right=True).numpy()
    alone = int(rasterise(hand.vertices, faces, shot.view.K, SIZE).covered.sum())
    assert truth.silhouette_px(hand.vertices, faces, shot.view.K) == pytest.approx(alone, rel=0.01)
    row = truth.measure_truth(shot).hands[0]
    assert row["visible_fraction"] == pytest.approx(shot.hand_mask(0).sum() / alone, abs=0.01)


def test_large_outlines_are_measured_at_a_smaller_scale(written: tuple[Store, list[Shot]]) -> None:
    shot = written[1][0]
    hand = shot.hands[0]
    faces = truth_model().faces(is_right=True).numpy()
    K = shot.view.K * np.array([[8.0], [8.0], [1.0]])
    alone = int(rasterise(hand.vertices, faces, K, (1920, 2560)).covered.sum())
    assert truth.silhouette_px(hand.vertices, faces, K) == pytest.approx(alone, rel=0.02)


def test_a_hand_outside_the_image_is_there_and_not_seen() -> None:
    recording = make_recording(size=SIZE, focal=300.0, num_frames=1, num_cameras=1, object_names=())
    view = view_of(recording, 0, 0)
    (hands,) = pose_views([view])
    from toy_world import draw_flat

    pixels = draw_flat(view)
    empty = type(pixels)(pixels.image, np.zeros_like(pixels.labels), pixels.depth_m)
    row = truth.measure_truth(Shot(view, empty, hands, ())).hands[0]
    assert (row["visible_px"], row["visible_fraction"], row["bbox_xyxy"]) == (0, 0.0, None)
    assert row["mesh_bbox_xyxy"] is not None


def test_a_hand_that_reaches_behind_the_camera_has_no_image(tmp_path: Path) -> None:
    from toy_world import draw_flat

    recording = make_recording(size=SIZE, focal=300.0, num_frames=1, num_cameras=1, object_names=())
    view = view_of(recording, 0, 0)
    (hands,) = pose_views([view])
    near = type(hands[0])(hands[0].view, hands[0].vertices - [0, 0, 0.62], hands[0].chain_joints - [0, 0, 0.62])
    measured = truth.measure_truth(Shot(view, draw_flat(view), (near, hands[1]), ()))
    row = measured.hands[0]
    assert (row["visible_fraction"], row["mesh_bbox_xyxy"], row["joints_2d"]) == (None, None, None)
    recorder = truth.TruthRecorder("train")
    recorder.add(measured, Placement("a/0000"))
    recorder.close(Store.open(tmp_path), "rec")
    assert len(read_truth(Store.open(tmp_path), hands_key("rec"), TRUTH_HANDS)) == 2


def test_a_distractor_is_never_posed_as_the_target(tmp_path: Path) -> None:
    from toy_world import draw_flat

    view = view_of(make_recording(size=SIZE, focal=300.0, num_frames=1, num_cameras=1, object_names=()), 0, 0)
    (hands,) = pose_views([view])
    recorder = truth.TruthRecorder("train")
    recorder.add(truth.measure_truth(Shot(view, draw_flat(view), hands[::-1], ())), Placement("a"))
    recorder.close(Store.open(tmp_path), "rec")
    posed = truth.posed_targets(Store.open(tmp_path), "rec")
    np.testing.assert_allclose(posed.vertices[0], hands[0].vertices, atol=1e-12)


def test_targets_are_posed_again_from_their_parameters(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    recording = make_recording(size=SIZE, focal=300.0, num_frames=3, num_cameras=1, object_names=())
    views = [view_of(recording, 0, frame) for frame in range(3)]
    from toy_world import draw_flat

    recorder = truth.TruthRecorder("train")
    shots = [Shot(view, draw_flat(view), hands, ()) for view, hands in zip(views, pose_views(views), strict=True)]
    for shot, name in zip(shots, ("a", None, "c"), strict=True):
        recorder.add(truth.measure_truth(shot), Placement(name))
    recorder.close(store, "rec")
    posed = truth.posed_targets(store, "rec")
    assert posed.sample_ids == ("a", "c")
    for index, shot in enumerate((shots[0], shots[2])):
        np.testing.assert_allclose(posed.vertices[index], shot.hands[0].vertices, atol=1e-12)
        for tips in ("ho3d", "freihand"):
            np.testing.assert_allclose(posed.joints_3d(tips)[index], shot.hands[0].joints_3d(tips), atol=1e-12)
    with pytest.raises(InputError):
        truth.posed_targets(store, "other")
