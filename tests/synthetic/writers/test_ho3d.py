from pathlib import Path

import numpy as np
import pytest
from toy_world import draw_flat, make_recording, slot, view_of, write_recording

from hoiray.datasets.formats import ho3d as facts
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.ho3d_processed import Ho3dProcessedDataset
from hoiray.datasets.image_files import decode_rgb
from hoiray.errors import ContractError
from hoiray.geometry.cameras import project_points
from hoiray.hand.load import load_hand_arrays
from hoiray.hand.unpickle import parse_pickle
from hoiray.io.store import Store
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.subjects import subject_id
from hoiray.synthetic.writers import ho3d
from hoiray.synthetic.writers.shot import Format, Shot, object_truths, pose_views

NUM_FRAMES = 6
NUM_CAMERAS = 2
MAX_ERROR_M = 1e-5
MAX_ERROR_PX = 0.05


def write_set(folder: Path, layout: Format) -> list[list[Shot]]:
    store, parts, shots = Store.open(folder), [], []
    for index, split in enumerate(("train", "test")):
        recording = make_recording(recording_id=f"toy-{index}", seed=1 + index, num_frames=NUM_FRAMES)
        place = slot(index, split)
        part, taken = write_recording(layout.begin(store, recording, place), store, recording, place)
        parts.append(part)
        shots.append(taken)
    layout.finish(store, parts)
    return shots


@pytest.fixture(scope="module", params=["ho3d_v2", "ho3d_v3"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[Shot]]]:
    folder = tmp_path_factory.mktemp(request.param)
    return str(folder), write_set(folder, {"ho3d_v2": ho3d.HO3D_V2, "ho3d_v3": ho3d.HO3D_V3}[request.param])


def shot_of(shots: list[Shot], camera_id: str | None, frame: int) -> Shot:
    return next(shot for shot in shots if (shot.view.camera_id, shot.view.frame_index) == (camera_id, frame))


def test_training_labels_come_back_through_the_files_axes(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = Ho3dDataset.open(written[0], "train", hand=load_hand_arrays())
    assert len(dataset) == (NUM_FRAMES - 1) * NUM_CAMERAS
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        shot = shot_of(written[1][0], sample.camera_id, sample.frame_index)
        (hand,), truth = sample.hands, shot.hands[0]
        assert hand.mano is not None
        assert hand.joints_3d is not None
        assert sample.K is not None
        joints = truth.joints_3d("ho3d")
        np.testing.assert_allclose(hand.joints_3d, joints, atol=MAX_ERROR_M)
        np.testing.assert_allclose(
            project_points(hand.joints_3d, sample.K), project_points(joints, shot.view.K), atol=MAX_ERROR_PX
        )
        for name in ("global_orient", "hand_pose", "betas", "transl"):
            np.testing.assert_allclose(getattr(hand.mano, name), getattr(truth.view.mano, name), atol=1e-6)
        np.testing.assert_allclose(sample.objects[0].T_cam_obj, shot.objects[0].view.T_cam_obj, atol=MAX_ERROR_M)


def test_sister_cameras_share_a_recording_and_miss_the_same_instants(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = Ho3dDataset.open(written[0], "train")
    samples = [dataset.sample(index) for index in range(len(dataset))]
    recording = make_recording(recording_id="toy-0", seed=1, num_frames=NUM_FRAMES)
    person = ho3d.synthetic_family(recording.hands[0].subject_id)
    assert {sample.recording_id for sample in samples} == {f"{person}0000"}
    assert {sample.subject_id for sample in samples} == {person}
    frames = {camera: {s.frame_index for s in samples if s.camera_id == camera} for camera in ("0", "1")}
    assert frames["0"] == frames["1"]
    assert len(frames["0"]) == NUM_FRAMES - 1


def test_people_of_other_seeds_and_domains_have_other_letters() -> None:
    people = [subject_id(domain, seed, index) for domain in ("lab", "wild") for seed in range(5) for index in range(50)]
    assert len({ho3d.synthetic_family(person) for person in people}) == len(people)


def test_an_unannotated_frame_has_a_meta_of_none_and_no_line(written: tuple[str, list[list[Shot]]]) -> None:
    store = Store.open(written[0])
    listed = set(store.read("train.txt").decode().split())
    sequence = min(listed).partition("/")[0]
    hidden = [f"{sequence}/{frame:04d}" for frame in range(NUM_FRAMES) if f"{sequence}/{frame:04d}" not in listed]
    assert len(hidden) == 1
    meta = parse_pickle(store.read(facts.meta_key("train", *hidden[0].split("/"))), name="meta")
    assert meta["objRot"] is None
    assert meta["handPose"] is None
    assert meta["objName"] == "021_bleach_cleanser"
    assert np.asarray(meta["camMat"]).shape == (3, 3)


def test_evaluation_metas_hold_the_wrist_only_and_the_lists_hold_the_rest(
    written: tuple[str, list[list[Shot]]],
) -> None:
    dataset = Ho3dDataset.open(written[0], "evaluation")
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        shot = shot_of(written[1][1], sample.camera_id, sample.frame_index)
        (hand,), truth = sample.hands, shot.hands[0]
        assert hand.mano is None
        np.testing.assert_allclose(hand.wrist_3d, truth.joints_3d("ho3d")[0], atol=MAX_ERROR_M)
        np.testing.assert_allclose(hand.joints_3d, truth.joints_3d("ho3d"), atol=MAX_ERROR_M)
        np.testing.assert_allclose(hand.vertices, truth.vertices, atol=MAX_ERROR_M)
        assert hand.bbox_xyxy is not None
        pixels = project_points(truth.vertices, shot.view.K)
        np.testing.assert_allclose(hand.bbox_xyxy, np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]), atol=1e-6)
    frame = dataset.frames[0]
    meta = parse_pickle(dataset.store.read(facts.meta_key("evaluation", *frame)), name="meta")
    assert not {"handPose", "handBeta", "handTrans"} & set(meta)
    assert np.asarray(meta["handJoints3D"]).shape == (3,)


def test_pixels_masks_and_depth_come_back(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = Ho3dDataset.open(written[0], "train")
    sample = dataset.sample(3)
    shot = shot_of(written[1][0], sample.camera_id, sample.frame_index)
    error = np.abs(dataset.image(sample).astype(int) - shot.pixels.image)
    assert error.max() == 0 if dataset.name == "ho3d_v2" else error.mean() < 3.0
    masks = dataset.masks(sample)
    assert masks is not None
    np.testing.assert_array_equal(masks.hand, shot.hand_mask(0))
    np.testing.assert_array_equal(masks.objects["021_bleach_cleanser"], shot.object_mask(0))
    depth = dataset.depth_m(sample)
    seen = np.isfinite(shot.pixels.depth_m)
    np.testing.assert_array_equal(np.isfinite(depth), seen)
    np.testing.assert_allclose(depth[seen], shot.pixels.depth_m[seen], atol=facts.DEPTH_SCALE_M)


def test_the_model_of_an_object_comes_back(written: tuple[str, list[list[Shot]]]) -> None:
    model = Ho3dDataset.open(written[0], "train").object_model("021_bleach_cleanser")
    mesh = build_object("021_bleach_cleanser")
    assert model is not None
    assert model.vertices is not None
    np.testing.assert_allclose(model.points, mesh.points, atol=1e-6)
    np.testing.assert_allclose(model.vertices, mesh.vertices, atol=1e-6)
    np.testing.assert_array_equal(model.faces, mesh.faces)


def test_metas_are_written_in_opengl_axes(written: tuple[str, list[list[Shot]]]) -> None:
    dataset = Ho3dDataset.open(written[0], "train")
    meta = parse_pickle(dataset.store.read(facts.meta_key("train", *dataset.frames[0])), name="meta")
    assert np.all(np.asarray(meta["handJoints3D"])[:, 2] < 0)
    assert np.asarray(meta["objTrans"])[2] < 0
    corners = np.asarray(meta["objCorners3D"])
    rest = np.asarray(meta["objCorners3DRest"])
    rotated = rest @ facts.axis_angle_to_matrix(np.ravel(meta["objRot"])).T + np.asarray(meta["objTrans"])
    np.testing.assert_allclose(corners, rotated, atol=1e-9)


def test_preprocessed_labels_come_back(tmp_path: Path) -> None:
    shots = write_set(tmp_path, ho3d.HO3D_PROCESSED)[0]
    dataset = Ho3dProcessedDataset.open(str(tmp_path), hand=load_hand_arrays())
    assert len(dataset) == (NUM_FRAMES - 1) * NUM_CAMERAS
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        shot = shot_of(shots, sample.camera_id, sample.frame_index)
        (hand,), truth = sample.hands, shot.hands[0]
        np.testing.assert_allclose(hand.joints_3d, truth.joints_3d("ho3d"), atol=MAX_ERROR_M)
        assert hand.mano is not None
        np.testing.assert_allclose(hand.mano.global_orient, truth.view.mano.global_orient, atol=1e-6)
        np.testing.assert_allclose(hand.mano.transl, truth.view.mano.transl, atol=MAX_ERROR_M)
        target = shot.objects[0]
        pose = target.view.T_cam_obj
        points = project_points(target.mesh.control_points @ pose[:3, :3].T + pose[:3, 3], shot.view.K)
        np.testing.assert_allclose(sample.objects[0].control_points_2d_px, points, atol=MAX_ERROR_PX)
        masks = dataset.masks(sample)
        assert masks is not None
        np.testing.assert_array_equal(masks.objects["unnamed"], shot.object_mask(0))


def test_what_the_format_cannot_tell_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for recording, words in (
        (make_recording(size=(240, 427), num_frames=1), "427 x 240"),
        (make_recording(target_is_right=False, num_frames=1), "left"),
        (make_recording(num_cameras=11, num_frames=1), "cameras 0 to 9"),
    ):
        with pytest.raises(ContractError, match=words):
            ho3d.HO3D_V2.begin(store, recording, slot())
    recording = make_recording(object_names=(), num_frames=1)
    writer = ho3d.HO3D_V2.begin(store, recording, slot())
    view = view_of(recording, 0, 0)
    (hands,) = pose_views([view])
    with pytest.raises(ContractError, match="target object"):
        writer.add(Shot(view, draw_flat(view), hands, object_truths(view)))


def test_a_hand_out_of_view_is_in_no_list(tmp_path: Path) -> None:
    recording = make_recording(num_frames=1, num_cameras=1)
    view = view_of(recording, 0, 0)
    (hands,) = pose_views([view])
    pixels = draw_flat(view)
    pixels.labels[pixels.labels == 1] = 0
    writer = ho3d.HO3D_V2.begin(Store.open(tmp_path), recording, slot())
    assert writer.add(Shot(view, pixels, hands, object_truths(view))).sample_id is None
    assert writer.close()["lines"] == []
    (image,) = tmp_path.glob("train/*/rgb/0000.png")
    decode_rgb(image.read_bytes(), name="image")
