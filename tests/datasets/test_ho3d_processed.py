import json
import pickle
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.ho3d_processed import Ho3dProcessedDataset
from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError

N = 4
LINES = ["ABF10/0000", "ABF11/0000", "SM2/0031", "MC4/0100"]
K = np.array([[614.6, 0, 320.3], [0, 614.6, 241.7], [0, 0, 1]])


def truth() -> files.Hands:
    return files.hands(N, tip_set="ho3d", seed=5)


def write(root: Path, **changed: object) -> Path:
    hands = truth()
    flipped = np.stack([files.axis_angle(files.FLIP @ files.rotation(one)) for one in hands.global_orient])
    labels = {
        "K": np.tile(K, (N, 1, 1)),
        "joint": hands.joints,
        "mano": np.concatenate([flipped, hands.hand_pose, hands.betas], axis=1),
        "obj": np.full((N, 21, 2), 200.0),
    } | changed
    files.put(root / "train.txt", "\n".join(LINES))
    for kind, values in labels.items():
        files.put_json(root / f"train_{kind}.json", np.asarray(values).tolist())
    for line in LINES:
        sequence, frame = line.split("/")
        files.put_image(root / f"train/{sequence}/rgb/{frame}.png", files.picture(640, 480))
        mask = np.zeros((480, 640), dtype=np.uint8)
        mask[100:200, 300:310] = 255
        files.put_image(root / f"train_segLabel/{sequence}/{frame}.png", mask)
    return root


def test_joints_stay_and_the_orientation_is_turned(tmp_path: Path) -> None:
    dataset = Ho3dProcessedDataset.open(str(write(tmp_path)), hand=files.arrays())
    hands = truth()
    assert (dataset.name, dataset.split, len(dataset)) == ("ho3d_processed", "train", N)
    for i in range(N):
        sample = dataset.sample(i)
        (hand,) = sample.hands
        assert hand.mano is not None
        np.testing.assert_allclose(hand.joints_3d, hands.joints[i], atol=1e-12)
        np.testing.assert_allclose(
            files.rotation(hand.mano.global_orient), files.rotation(hands.global_orient[i]), atol=1e-9
        )
        np.testing.assert_allclose(hand.mano.transl, hands.transl[i], atol=1e-9)
        assert sample.objects[0].control_points_2d_px is not None
        assert sample.objects[0].control_points_2d_px.shape == (21, 2)


def test_sequences_are_named_as_in_ho3d(tmp_path: Path) -> None:
    dataset = Ho3dProcessedDataset.open(str(write(tmp_path)), check=False)
    first, sister = dataset.sample(0), dataset.sample(1)
    assert (first.recording_id, sister.recording_id, sister.camera_id) == ("ABF1", "ABF1", "1")
    assert first.subject_id == "A"
    masks = dataset.masks(first)
    assert masks is not None
    assert masks.hand is None
    assert masks.objects["unnamed"].sum() == 1000
    assert dataset.image(first).shape == (480, 640, 3)


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "labels")
    (tmp_path / "labels/train").rename(tmp_path / "images_train")
    (tmp_path / "images").mkdir()
    (tmp_path / "images_train").rename(tmp_path / "images/train")
    with pytest.raises(ContractError, match="expected images, found none of 4"):
        Ho3dProcessedDataset.open(str(tmp_path / "labels"))
    dataset = Ho3dProcessedDataset.open(str(tmp_path / "labels"), images=str(tmp_path / "images"))
    assert dataset.image(dataset.sample(3)).shape == (480, 640, 3)


def test_without_a_hand_model_there_are_no_parameters(tmp_path: Path) -> None:
    assert Ho3dProcessedDataset.open(str(write(tmp_path))).sample(0).hands[0].mano is None


def test_an_orientation_that_was_turned_already_is_named(tmp_path: Path) -> None:
    hands = truth()
    mano = np.concatenate([hands.global_orient, hands.hand_pose, hands.betas], axis=1)
    with pytest.raises(ContractError, match=r"expected OpenGL axes.*looks like an orientation in OpenCV axes"):
        Ho3dProcessedDataset.open(str(write(tmp_path, mano=mano)), hand=files.arrays())


def test_opengl_joints_and_mano_order_are_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"expected OpenCV camera axes.*looks like OpenGL"):
        Ho3dProcessedDataset.open(str(write(tmp_path, joint=truth().joints @ files.FLIP)))
    with pytest.raises(ContractError, match=r"the simple order.*looks like the mano order"):
        Ho3dProcessedDataset.open(str(write(tmp_path, joint=truth().joints[:, files.MANO_OF_SIMPLE])))


def test_counts_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"train_K\.json: expected 4 entries, as train\.txt has, found 3"):
        Ho3dProcessedDataset.open(str(write(tmp_path, K=np.tile(K, (3, 1, 1)))))
    with pytest.raises(ContractError, match=r"train_mano\.json, entry 0: expected numbers of shape \(58,\)"):
        Ho3dProcessedDataset.open(str(write(tmp_path, mano=np.zeros((N, 61)))))


def test_numbers_that_are_none_and_missing_files_are_named(tmp_path: Path) -> None:
    joints = truth().joints.copy()
    joints[2, 0, 0] = np.nan
    dataset = Ho3dProcessedDataset.open(str(write(tmp_path, joint=joints)))
    letters = [x for x in iterate(dataset) if isinstance(x, DeadLetter)]
    assert len(letters) == 1
    assert "entry 2 (SM2/0031), 'train_joint.json'" in letters[0].reason
    (tmp_path / "train_obj.json").unlink()
    with pytest.raises(InputError, match=r"train_obj\.json"):
        Ho3dProcessedDataset.open(str(tmp_path))


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = Ho3dProcessedDataset.open(str(write(tmp_path)), hand=files.arrays())
    expected = dataset.sample(1)
    assert pickle.loads(pickle.dumps(dataset)).sample(1).sample_id == expected.sample_id


@pytest.mark.parametrize("kind", ["joint", "mano"])
def test_joints_and_poses_that_moved_against_each_other_are_named(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path) / f"train_{kind}.json"
    files.put_json(path, np.roll(json.loads(path.read_text()), 1, axis=0).tolist())
    message = r"train_mano\.json: expected entries in the order of train_joint\.json, found entries.*shifted by 1 file"
    with pytest.raises(ContractError, match=message):
        Ho3dProcessedDataset.open(str(tmp_path), hand=files.arrays())


def test_masks_of_hands_beside_the_images_are_read(tmp_path: Path) -> None:
    dataset = Ho3dProcessedDataset.open(str(write(tmp_path)), check=False)
    painted = np.zeros((480, 640, 3), dtype=np.uint8)
    painted[10:20, 30:40] = (0, 0, 255)
    files.put_image(tmp_path / "train/ABF10/seg/0000.png", painted)
    masks = dataset.masks(dataset.sample(0))
    assert masks is not None
    assert masks.hand is not None
    assert (masks.hand.sum(), masks.objects["unnamed"].sum()) == (100, 1000)
