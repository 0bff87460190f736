from pathlib import Path

import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.dexycb import DexYcbDataset
from hoiray.datasets.formats import dexycb as facts
from hoiray.errors import ContractError
from hoiray.geometry.cameras import project_points
from hoiray.hand.load import load_hand_arrays
from hoiray.io.store import Store
from hoiray.synthetic.writers import dexycb
from hoiray.synthetic.writers.shot import Shot

NUM_FRAMES = 3
NAMES = ("025_mug", "003_cracker_box")


@pytest.fixture(scope="module", params=[True, False], ids=["right", "left"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bool, list[Shot]]:
    folder = tmp_path_factory.mktemp("dexycb")
    store = Store.open(folder)
    recording = make_recording(num_frames=NUM_FRAMES, object_names=NAMES, target_is_right=request.param, fps=30.0)
    place = slot(4, "train", subject=1)
    part, shots = write_recording(dexycb.DEXYCB.begin(store, recording, place), store, recording, place)
    dexycb.DEXYCB.finish(store, [part])
    return str(folder), request.param, shots


def test_labels_come_back_with_pca_poses_of_either_side(written: tuple[str, bool, list[Shot]]) -> None:
    dataset = DexYcbDataset.open(written[0], "train", hand=load_hand_arrays())
    assert len(dataset) == 2 * NUM_FRAMES
    for index, shot in enumerate(written[2]):
        sample = dataset.sample(index)
        (hand,), truth = sample.hands, shot.hands[0]
        joints = truth.joints_3d("manopth")
        assert hand.is_right is written[1]
        np.testing.assert_allclose(hand.joints_3d, joints, atol=1e-6)
        np.testing.assert_allclose(hand.joints_2d_px, project_points(joints, shot.view.K), atol=1e-3)
        assert hand.mano is not None
        for name in ("global_orient", "hand_pose", "transl"):
            np.testing.assert_allclose(getattr(hand.mano, name), getattr(truth.view.mano, name), atol=2e-5)
        np.testing.assert_allclose(hand.mano.betas, truth.view.mano.betas)
        np.testing.assert_allclose(sample.K, shot.view.K)
        for found, target in zip(sample.objects, shot.objects, strict=True):
            assert found.name == target.view.name
            np.testing.assert_allclose(found.T_cam_obj, target.view.T_cam_obj, atol=1e-6)


def test_masks_and_depth_come_back(written: tuple[str, bool, list[Shot]]) -> None:
    dataset = DexYcbDataset.open(written[0], "train", check=False)
    sample, shot = dataset.sample(4), written[2][4]
    masks = dataset.masks(sample)
    assert masks is not None
    np.testing.assert_array_equal(masks.hand, shot.hand_mask(0))
    for index, name in enumerate(NAMES):
        np.testing.assert_array_equal(masks.objects[name], shot.object_mask(index))
    seen = np.isfinite(shot.pixels.depth_m)
    depth = dataset.depth_m(sample)
    np.testing.assert_array_equal(np.isfinite(depth), seen)
    np.testing.assert_allclose(depth[seen], shot.pixels.depth_m[seen], atol=0.00051)


def test_a_hand_that_cannot_be_seen_is_no_hand(written: tuple[str, bool, list[Shot]]) -> None:
    shot = written[2][0]
    hidden = shot.pixels.labels.copy()
    hidden[hidden == 1] = 0
    pixels = type(shot.pixels)(shot.pixels.image, hidden, shot.pixels.depth_m)
    labels = dexycb.make_labels(Shot(shot.view, pixels, shot.hands, shot.objects))
    assert not labels["pose_m"].any()
    assert np.all(labels["joint_3d"] == facts.NO_JOINT)
    assert facts.HAND_LABEL not in labels["seg"]


def test_a_camera_has_one_calibration(tmp_path: Path) -> None:
    part = {"calibration": "a", "betas": [0.0] * 10, "intrinsics": {"1": np.eye(3).tolist()}, "objects": []}
    other = part | {"intrinsics": {"1": (2 * np.eye(3)).tolist()}}
    with pytest.raises(ContractError, match="camera 1"):
        dexycb.DEXYCB.finish(Store.open(tmp_path), [part, other])


def test_what_the_format_cannot_tell_is_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(ContractError, match="bottle_0001"):
        dexycb.DEXYCB.begin(store, make_recording(object_names=("bottle_0001",), num_frames=1), slot())
    with pytest.raises(ContractError, match="10 people"):
        dexycb.DEXYCB.begin(store, make_recording(num_frames=1), slot(subject=10))
    with pytest.raises(ContractError, match="8 cameras"):
        dexycb.DEXYCB.begin(store, make_recording(num_frames=1, num_cameras=9), slot())
