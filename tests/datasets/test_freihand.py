import json
import pickle
from pathlib import Path

import cv2
import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError
from hoiray.hand.joints import TIP_SETS

N = 5
K = np.array([[480.0, 0, 112], [0, 480.0, 112], [0, 0, 1]])
TIPS = [744, 320, 443, 555, 672]


def truth() -> files.Hands:
    """Closed hands: there regressed joints differ most from those of the chain."""
    return files.hands(N, tip_set="freihand", seed=3, depth_m=0.7, curl=2.5)


def stored_joints() -> np.ndarray:
    """FreiHAND's joints: the regressor on the posed vertices, thumb last in MANO, first in the file."""
    vertices = truth().vertices
    in_mano_order = np.concatenate([files.arrays().J_regressor @ vertices, vertices[:, TIPS]], axis=1)
    return in_mano_order[:, [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]]


def write(root: Path, variants: int = 4, **changed: np.ndarray) -> Path:
    hands, joints = truth(), stored_joints()
    scale = K[0, 0] / joints[:, 9, 2]
    uv = joints[:, 9, :2] * scale[:, None] + 112
    relative = hands.hand_pose - files.arrays().hands_mean
    mano = np.concatenate([hands.global_orient, relative, hands.betas, uv, scale[:, None]], axis=1)
    labels = {
        "K": np.tile(K, (N, 1, 1)),
        "scale": np.linalg.norm(joints[:, 9] - joints[:, 10], axis=1),
        "xyz": joints,
        "verts": hands.vertices,
        "mano": mano[:, None],
    } | changed
    for kind, values in labels.items():
        files.put_json(root / f"training_{kind}.json", values.tolist())
    for image in range(N * variants):
        files.put_image(root / f"training/rgb/{image:08d}.jpg", files.picture(224, 224, image))
    return root


def test_a_pose_relative_to_the_mean_becomes_absolute(tmp_path: Path) -> None:
    dataset = FreiHandDataset.open(str(write(tmp_path)), hand=files.arrays())
    hands = truth()
    for i in range(N):
        (hand,) = dataset.sample(i).hands
        assert hand.mano is not None
        np.testing.assert_allclose(hand.mano.hand_pose, hands.hand_pose[i], atol=1e-9)
        np.testing.assert_allclose(hand.mano.global_orient, hands.global_orient[i], atol=1e-12)
        np.testing.assert_allclose(hand.mano.transl, hands.transl[i], atol=1e-7)
        np.testing.assert_allclose(hand.joints_3d, stored_joints()[i], atol=1e-12)
        np.testing.assert_allclose(hand.vertices, hands.vertices[i], atol=1e-6)
        assert (hand.is_right, hand.tip_set) == (True, "freihand")


def test_regressed_joints_are_no_error_though_they_differ_from_the_chain() -> None:
    difference = np.linalg.norm(stored_joints() - truth().joints, axis=-1)
    assert difference.mean() > 0.004


def test_every_photograph_gives_four_images_with_one_set_of_labels(tmp_path: Path) -> None:
    dataset = FreiHandDataset.open(str(write(tmp_path)))
    assert len(dataset) == 4 * N
    first, fourth = dataset.sample(2), dataset.sample(2 + 3 * N)
    assert (first.image_key, fourth.image_key) == ("training/rgb/00000002.jpg", f"training/rgb/{2 + 3 * N:08d}.jpg")
    assert first.recording_id == fourth.recording_id
    assert (first.camera_id, fourth.camera_id) == ("gs", "auto")
    np.testing.assert_array_equal(first.hands[0].joints_3d, fourth.hands[0].joints_3d)
    assert len({dataset.sample(i).sample_id for i in range(4 * N)}) == 4 * N


def test_only_unpacked_variants_are_samples(tmp_path: Path) -> None:
    assert len(FreiHandDataset.open(str(write(tmp_path, variants=2)))) == 2 * N


@pytest.mark.parametrize("missing", [[0], [N - 1], [4 * N - 1], [3 * N, 3 * N + 2, 4 * N - 1]])
def test_a_missing_image_takes_no_other_with_it(tmp_path: Path, missing: list[int]) -> None:
    write(tmp_path)
    for image in missing:
        (tmp_path / f"training/rgb/{image:08d}.jpg").unlink()
    dataset = FreiHandDataset.open(str(tmp_path))
    assert len(dataset) == 4 * N
    for image in missing:
        with pytest.raises(InputError, match=rf"rgb/{image:08d}\.jpg: expected a file, found nothing there"):
            dataset.image(dataset.sample(image))


def test_a_variant_left_out_moves_no_image_of_a_later_one(tmp_path: Path) -> None:
    write(tmp_path)
    for image in range(N, 3 * N):
        (tmp_path / f"training/rgb/{image:08d}.jpg").unlink()
    dataset = FreiHandDataset.open(str(tmp_path))
    assert (dataset.variants, len(dataset)) == (("gs", "auto"), 2 * N)
    sample = dataset.sample(N + 1)
    assert (sample.camera_id, sample.image_key) == ("auto", f"training/rgb/{3 * N + 1:08d}.jpg")
    np.testing.assert_array_equal(dataset.image(sample), dataset.image(dataset.sample(N + 1)))


def test_masks_of_the_first_variant_serve_all(tmp_path: Path) -> None:
    dataset = FreiHandDataset.open(str(write(tmp_path)), check=False)
    assert dataset.masks(dataset.sample(1)) is None
    mask = np.zeros((224, 224), dtype=np.uint8)
    mask[50:100, 60:120] = 255
    files.put_image(tmp_path / "training/mask/00000001.jpg", mask)
    for index in (1, 1 + 2 * N):
        masks = dataset.masks(dataset.sample(index))
        assert masks is not None
        assert masks.hand is not None
        assert masks.hand.sum() == 50 * 60


def test_without_a_hand_model_there_are_no_parameters(tmp_path: Path) -> None:
    (hand,) = FreiHandDataset.open(str(write(tmp_path))).sample(0).hands
    assert hand.mano is None
    assert hand.joints_3d is not None


def test_the_evaluation_split_is_read_with_and_without_labels(tmp_path: Path) -> None:
    files.put_json(tmp_path / "evaluation_K.json", np.tile(K, (N, 1, 1)).tolist())
    files.put_json(tmp_path / "evaluation_scale.json", [0.03] * N)
    for image in range(N):
        files.put_image(tmp_path / f"evaluation/rgb/{image:08d}.jpg", files.picture(224, 224))
    dataset = FreiHandDataset.open(str(tmp_path), "evaluation")
    assert len(dataset) == N
    assert dataset.sample(0).hands == ()
    scale = np.linalg.norm(stored_joints()[:, 9] - stored_joints()[:, 10], axis=1)
    files.put_json(tmp_path / "evaluation_scale.json", scale.tolist())
    files.put_json(tmp_path / "evaluation_xyz.json", stored_joints().tolist())
    files.put_json(tmp_path / "evaluation_verts.json", truth().vertices.tolist())
    labelled = FreiHandDataset.open(str(tmp_path), "evaluation")
    np.testing.assert_allclose(labelled.sample(1).hands[0].joints_3d, stored_joints()[1])
    assert labelled.image(labelled.sample(1)).shape == (224, 224, 3)


def test_absolute_poses_are_named(tmp_path: Path) -> None:
    hands = truth()
    mano = np.concatenate([hands.global_orient, hands.hand_pose, hands.betas, np.full((N, 3), 100.0)], axis=1)
    write(tmp_path, mano=mano[:, None])
    with pytest.raises(ContractError, match=r"flat_hand_mean=False.*absolute poses \(flat_hand_mean=True\)"):
        FreiHandDataset.open(str(tmp_path), hand=files.arrays())


def test_other_tips_are_named_from_the_stored_vertices(tmp_path: Path) -> None:
    joints = stored_joints()
    joints[:, [4, 8, 12, 16, 20]] = truth().vertices[:, TIP_SETS["ho3d"].right]
    write(tmp_path, xyz=joints)
    with pytest.raises(ContractError, match=r"'freihand' within 2 mm.*looks like the tip vertices 'ho3d' \(0\.0 mm\)"):
        FreiHandDataset.open(str(tmp_path))


def test_a_scale_that_is_no_bone_is_refused(tmp_path: Path) -> None:
    write(tmp_path, scale=np.linalg.norm(stored_joints()[:, 9] - stored_joints()[:, 10], axis=1) * 1000)
    with pytest.raises(ContractError, match=r"scale to be the length of bone 9-10.*scale looks like millimetres"):
        FreiHandDataset.open(str(tmp_path))
    write(tmp_path, scale=np.full(N, 0.2))
    with pytest.raises(ContractError, match=r"bone 9-10.*another joint order or release"):
        FreiHandDataset.open(str(tmp_path))


def test_labels_in_millimetres_are_named(tmp_path: Path) -> None:
    write(tmp_path, xyz=stored_joints() * 1000)
    with pytest.raises(ContractError, match=r"joints \(xyz\) look like millimetres"):
        FreiHandDataset.open(str(tmp_path))
    for factor, unit in ((1000, "millimetres"), (0.001, "kilometres")):
        write(tmp_path, verts=truth().vertices * factor)
        with pytest.raises(ContractError, match=rf"training_verts\.json: expected vertices in metres.*like {unit}"):
            FreiHandDataset.open(str(tmp_path))


@pytest.mark.parametrize("kind", ["K", "xyz", "scale", "mano", "verts"])
def test_lists_of_different_lengths_are_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path)
    path = tmp_path / f"training_{kind}.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))
    with pytest.raises(ContractError, match=rf"training_{kind}\.json: expected 5 entries.*found 4"):
        FreiHandDataset.open(str(tmp_path))


def test_a_number_that_is_none_spoils_one_photograph(tmp_path: Path) -> None:
    joints = stored_joints()
    joints[3, 2, 1] = np.nan
    bad_K = np.tile(K, (N, 1, 1))
    bad_K[1, 0, 0] = np.inf
    dataset = FreiHandDataset.open(str(write(tmp_path, variants=1, xyz=joints, K=bad_K)))
    letters = {i: x for i, x in enumerate(iterate(dataset)) if isinstance(x, DeadLetter)}
    assert sorted(letters) == [1, 3]
    assert f"{tmp_path}/training_xyz.json, entry 3: expected finite numbers, found 1" in letters[3].reason
    assert f"{tmp_path}/training_K.json, entry 1: expected finite numbers, found 1" in letters[1].reason


@pytest.mark.parametrize("kind", ["scale", "verts", "mano"])
def test_a_number_that_is_none_names_its_file(tmp_path: Path, kind: str) -> None:
    write(tmp_path, variants=1)
    path = tmp_path / f"training_{kind}.json"
    values = np.array(json.loads(path.read_text()))
    values[2] = np.nan
    files.put_json(path, values.tolist())
    dataset = FreiHandDataset.open(str(tmp_path), hand=files.arrays())
    assert [isinstance(result, DeadLetter) for result in iterate(dataset)] == [False, False, True, False, False]
    with pytest.raises(InputError, match=rf"training_{kind}\.json, entry 2: expected finite numbers"):
        dataset.sample(2)


@pytest.mark.parametrize("kind", ["scale", "verts"])
def test_a_file_without_a_number_is_refused(tmp_path: Path, kind: str) -> None:
    shape = {"scale": (N,), "verts": (N, 778, 3)}[kind]
    write(tmp_path, variants=1, **{kind: np.full(shape, np.nan)})
    with pytest.raises(ContractError, match=rf"5 of 5 that cannot be read.*training_{kind}\.json, entry 0"):
        FreiHandDataset.open(str(tmp_path))


def test_missing_files_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "training_mano.json").unlink()
    with pytest.raises(InputError, match=r"training_mano\.json: expected a file"):
        FreiHandDataset.open(str(tmp_path))
    write(tmp_path)
    (tmp_path / "training_xyz.json").write_bytes((tmp_path / "training_xyz.json").read_bytes()[:-30])
    with pytest.raises(ContractError, match=r"training_xyz\.json, byte \d+: expected a complete value"):
        FreiHandDataset.open(str(tmp_path))


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = FreiHandDataset.open(str(write(tmp_path)), hand=files.arrays())
    expected = dataset.sample(1)
    assert pickle.loads(pickle.dumps(dataset)).sample(1).sample_id == expected.sample_id


@pytest.mark.parametrize("kind", ["K", "xyz", "scale", "verts", "mano"])
@pytest.mark.parametrize("shift", [1, -2])
def test_a_file_whose_entries_moved_is_named(tmp_path: Path, kind: str, shift: int) -> None:
    write(tmp_path, variants=1, K=np.stack([K + np.diag([30.0 * i, 30.0 * i, 0]) for i in range(N)]))
    rewrite_mano_roots(tmp_path)
    FreiHandDataset.open(str(tmp_path))
    path = tmp_path / f"training_{kind}.json"
    files.put_json(path, np.roll(json.loads(path.read_text()), shift, axis=0).tolist())
    number = "1 file" if shift == 1 else "2 files"
    with pytest.raises(ContractError, match=rf"training_{kind}\.json: .*entries that look shifted by {number}\."):
        FreiHandDataset.open(str(tmp_path))


def rewrite_mano_roots(root: Path) -> None:
    """Store where each middle knuckle is seen by its own camera."""
    cameras, joints = (np.array(json.loads((root / f"training_{kind}.json").read_text())) for kind in ("K", "xyz"))
    mano = np.array(json.loads((root / "training_mano.json").read_text()))
    scale = cameras[:, 0, 0] / joints[:, 9, 2]
    mano[:, 0, 58:60], mano[:, 0, 60] = joints[:, 9, :2] * scale[:, None] + 112, scale
    files.put_json(root / "training_mano.json", mano.tolist())


def test_labels_that_moved_against_the_masks_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    count = 10
    hands = files.hands(count, tip_set="freihand", seed=6, depth_m=0.7)
    in_mano_order = np.concatenate([files.arrays().J_regressor @ hands.vertices, hands.vertices[:, TIPS]], axis=1)
    joints = in_mano_order[:, [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]]
    faces = files.model("freihand").faces(is_right=True).numpy()
    for photo in range(count):
        pixels = hands.vertices[photo] @ K.T
        mask = np.zeros((224, 224), dtype=np.uint8)
        for corners in np.rint(pixels[:, :2] / pixels[:, 2:]).astype(np.int32)[faces]:
            cv2.fillConvexPoly(mask, corners, 255)
        files.put_image(tmp_path / f"training/mask/{photo:08d}.jpg", mask)
        files.put_image(tmp_path / f"training/rgb/{photo:08d}.jpg", files.picture(224, 224))
    scale = K[0, 0] / joints[:, 9, 2]
    uv = joints[:, 9, :2] * scale[:, None] + 112
    relative = hands.hand_pose - files.arrays().hands_mean
    labels = {
        "K": np.tile(K, (count, 1, 1)),
        "scale": np.linalg.norm(joints[:, 9] - joints[:, 10], axis=1),
        "xyz": joints,
        "verts": hands.vertices,
        "mano": np.concatenate([hands.global_orient, relative, hands.betas, uv, scale[:, None]], axis=1)[:, None],
    }
    for shift in (0, 1):
        for kind, values in labels.items():
            files.put_json(tmp_path / f"training_{kind}.json", np.roll(values, shift, axis=0).tolist())
        if shift == 0:
            FreiHandDataset.open(str(tmp_path))
    with pytest.raises(ContractError, match=r"order of labels: .*looks like hand labels shifted by 1 file"):
        FreiHandDataset.open(str(tmp_path))
