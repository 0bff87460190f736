import io
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.dexycb import DexYcbDataset
from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError
from hoiray.hand.load import mirror_hand_arrays

SUBJECT = "20200709-subject-01"
SERIALS = ["836212060125", "932122062010"]
NUM_SEQUENCES, NUM_FRAMES = 6, 3
NO_HAND_FRAME = 0
POSE_Y = np.zeros((2, 3, 4), dtype=np.float32)
POSE_Y[1, :, :3] = files.rotation(np.array([0.1, 0.7, -1.0]))
POSE_Y[1, :, 3] = [0.0, 0.05, 0.8]

Labels = dict[str, np.ndarray]


def is_right(sequence: int) -> bool:
    return sequence != 1


def truth(sequence: int) -> files.Hands:
    return files.hands(NUM_FRAMES, tip_set="manopth", is_right=is_right(sequence), seed=11, depth_m=0.7)


def labels(sequence: int, frame: int) -> Labels:
    hands = truth(sequence)
    arrays = files.arrays() if is_right(sequence) else mirror_hand_arrays(files.arrays())
    # least squares, not the product with the transpose the reader's inverse is
    pca = np.linalg.lstsq(arrays.hands_components.T, hands.hand_pose[frame] - arrays.hands_mean, rcond=None)[0]
    row = np.concatenate([hands.global_orient[frame], pca, hands.transl[frame]])
    joints = hands.joints[frame]
    seg = np.zeros((480, 640), dtype=np.uint8)
    seg[10:20, 10:30] = 255
    seg[30:40, 10:20] = 5
    seg[50:60, 10:20] = 2
    found: Labels = {
        "seg": seg,
        "pose_y": POSE_Y,
        "pose_m": row[None].astype(np.float32),
        "joint_3d": joints[None].astype(np.float32),
        "joint_2d": (joints[:, :2] / joints[:, 2:] * 610 + [320, 240])[None].astype(np.float32),
    }
    if frame == NO_HAND_FRAME:
        found["pose_m"][:] = 0
        found["joint_3d"][:] = -1
        found["joint_2d"][:] = -1
    return found


def write(root: Path, change: Callable[[Labels], Labels] = lambda x: x, **meta: Any) -> Path:
    for serial in SERIALS:
        text = "color:\n  fx: 610.0\n  fy: 610.0\n  ppx: 320.0\n  ppy: 240.0\ndepth:\n  fx: 380.0\n"
        files.put(root / f"calibration/intrinsics/{serial}_640x480.yml", text)
    for sequence in range(NUM_SEQUENCES):
        folder = root / SUBJECT / f"20200709_{141754 + sequence}"
        side = "right" if is_right(sequence) else "left"
        entries = {
            "serials": SERIALS,
            "num_frames": NUM_FRAMES,
            "ycb_ids": "[2, 5]",
            "ycb_grasp_ind": 1,
            "mano_sides": f"[{side}]",
            "mano_calib": f"[20200709-subject-01_{sequence}_{side}]",
        } | meta
        files.put(folder / "meta.yml", "".join(f"{key}: {value}\n" for key, value in entries.items()))
        for serial in SERIALS:
            for frame in range(NUM_FRAMES):
                data = io.BytesIO()
                np.savez_compressed(data, **change(labels(sequence, frame)))
                files.put(folder / serial / f"labels_{frame:06d}.npz", data.getvalue())
                files.put(folder / serial / f"color_{frame:06d}.jpg", b"")
        files.put(
            root / f"calibration/mano_20200709-subject-01_{sequence}_{side}/mano.yml",
            # one shape a recording: frame by frame betas differ in the fixture, so its first hand's are used
            f"betas: {truth(sequence).betas[1].tolist()}\n",
        )
    return root


@pytest.fixture(autouse=True)
def _one_shape_per_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    original = files.hands

    def hands(count: int, **options: Any) -> files.Hands:
        return _with_one_shape(original, count, options)

    monkeypatch.setattr(files, "hands", hands)


def _with_one_shape(original: Callable[..., files.Hands], count: int, options: dict[str, Any]) -> files.Hands:
    import torch

    first = original(count, **options)
    betas = np.repeat(first.betas[1:2], count, axis=0)
    right = torch.full((count,), options["is_right"])
    layer = files.model(options["tip_set"])
    parts = (torch.tensor(x) for x in (first.global_orient, first.hand_pose, betas, first.transl))
    posed = layer(*parts, is_right=right)
    root = layer.rest_root(torch.tensor(betas), is_right=right).numpy()
    joints, vertices = posed.joints.numpy(), posed.vertices.numpy()
    return files.Hands(first.global_orient, first.hand_pose, betas, first.transl, joints, vertices, root)


def test_pca_coefficients_become_absolute_poses_of_both_sides(tmp_path: Path) -> None:
    dataset = DexYcbDataset.open(str(write(tmp_path)), hand=files.arrays())
    seen = set()
    for i in range(len(dataset)):
        sample = dataset.sample(i)
        if not sample.hands:
            continue
        (hand,) = sample.hands
        sequence = int(sample.recording_id[-6:]) - 141754
        hands = truth(sequence)
        assert hand.mano is not None
        assert hand.is_right == is_right(sequence)
        seen.add(hand.is_right)
        np.testing.assert_allclose(hand.mano.hand_pose, hands.hand_pose[sample.frame_index], atol=1e-5)
        np.testing.assert_allclose(hand.mano.transl, hands.transl[sample.frame_index], atol=1e-6)
        np.testing.assert_allclose(hand.mano.betas, hands.betas[sample.frame_index], atol=1e-9)
        np.testing.assert_allclose(hand.joints_3d, hands.joints[sample.frame_index], atol=1e-6)
        assert hand.tip_set == "manopth"
    assert seen == {True, False}


def test_no_hand_is_no_hand_and_not_minus_one(tmp_path: Path) -> None:
    dataset = DexYcbDataset.open(str(write(tmp_path)), check=False)
    assert dataset.sample(NO_HAND_FRAME).hands == ()
    only_joints = write(tmp_path, lambda x: x | {"pose_m": np.zeros((1, 51), dtype=np.float32)})
    (hand,) = DexYcbDataset.open(str(only_joints), check=False, hand=files.arrays()).sample(1).hands
    assert hand.mano is None
    assert hand.joints_3d is not None


def test_the_split_takes_every_fifth_sequence_out(tmp_path: Path) -> None:
    root = str(write(tmp_path))
    train, val = DexYcbDataset.open(root, "train"), DexYcbDataset.open(root, "val")
    assert len(train) == 5 * 2 * NUM_FRAMES
    assert [one.sequence for one in val.recordings] == ["20200709_141758"]
    assert "20200709_141758" not in [one.sequence for one in train.recordings]
    with pytest.raises(ContractError, match="expected samples, found none"):
        DexYcbDataset.open(root, "test")


def test_cameras_share_a_recording(tmp_path: Path) -> None:
    dataset = DexYcbDataset.open(str(write(tmp_path)), check=False)
    first, other = dataset.sample(1), dataset.sample(1 + NUM_FRAMES)
    assert (first.recording_id, first.frame_index) == (other.recording_id, other.frame_index)
    assert (first.camera_id, other.camera_id) == tuple(SERIALS)
    assert first.subject_id == SUBJECT
    assert first.image_key == f"{SUBJECT}/20200709_141754/836212060125/color_000001.jpg"
    np.testing.assert_allclose(first.K, [[610, 0, 320], [0, 610, 240], [0, 0, 1]])


def test_objects_and_masks_are_read_and_unannotated_objects_left_out(tmp_path: Path) -> None:
    dataset = DexYcbDataset.open(str(write(tmp_path)), check=False)
    sample = dataset.sample(1)
    (target,) = sample.objects
    assert target.name == "006_mustard_bottle"
    np.testing.assert_allclose(target.T_cam_obj, np.vstack([POSE_Y[1], [0, 0, 0, 1]]), atol=1e-6)
    masks = dataset.masks(sample)
    assert masks is not None
    assert masks.hand is not None
    assert (masks.hand.sum(), masks.objects["006_mustard_bottle"].sum()) == (200, 100)
    depth = np.zeros((480, 640), dtype=np.uint16)
    depth[5, 6] = 1234
    files.put_image(tmp_path / SUBJECT / "20200709_141754/836212060125/aligned_depth_to_color_000001.png", depth)
    metres = dataset.depth_m(sample)
    assert metres[5, 6] == pytest.approx(1.234)
    assert np.isnan(metres[0, 0])


PLANTED: dict[str, tuple[Callable[[Labels], Labels], str]] = {
    "millimetres": (lambda x: x | {"joint_3d": np.where(x["joint_3d"] == -1, -1, x["joint_3d"] * 1000)}, "millimetres"),
    "mano order": (lambda x: x | {"joint_3d": x["joint_3d"][:, files.MANO_OF_SIMPLE]}, "looks like the mano order"),
    "2d order": (lambda x: x | {"joint_2d": x["joint_2d"][:, files.MANO_OF_SIMPLE]}, "different orders"),
    "wrist": (
        lambda x: x | {"pose_m": np.concatenate([x["pose_m"][:, :48], x["joint_3d"][:, 0]], axis=1)},
        "the wrist itself",
    ),
    "axis-angle": (
        lambda x: (
            x
            if not x["pose_m"].any()
            else x
            | {
                "pose_m": np.concatenate(
                    [x["pose_m"][:, :3], x["pose_m"][:, 3:48] @ files.arrays().hands_components, x["pose_m"][:, 48:]],
                    axis=1,
                )
            }
        ),
        "hand pose: ",
    ),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_convention_error_is_named(tmp_path: Path, error: str) -> None:
    change, message = PLANTED[error]
    with pytest.raises(ContractError, match=message):
        DexYcbDataset.open(str(write(tmp_path, change)), hand=files.arrays())


def test_a_wrong_side_is_named(tmp_path: Path) -> None:
    write(tmp_path, mano_sides="[left]")
    with pytest.raises(ContractError, match=r"side: expected left hands.*mirrored \(right\)"):
        DexYcbDataset.open(str(tmp_path))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda x: {k: v for k, v in x.items() if k != "seg"}, "no seg among"),
        (lambda x: x | {"joint_3d": np.full((1, 21, 3), np.nan)}, "'joint_3d'.*63 that are"),
        (lambda x: x | {"pose_m": np.zeros((1, 48))}, r"'pose_m'.*found shape \(1, 48\)"),
        (lambda x: x | {"pose_y": np.ones((2, 3, 4))}, "'pose_y' of 003_cracker_box: expected a rotation"),
    ],
)
def test_a_damaged_label_is_a_dead_letter(tmp_path: Path, damage: Callable[[Labels], Labels], message: str) -> None:
    write(tmp_path)
    data = io.BytesIO()
    np.savez(data, **damage(labels(0, 1)))
    files.put(tmp_path / SUBJECT / "20200709_141754/836212060125/labels_000001.npz", data.getvalue())
    dataset = DexYcbDataset.open(str(tmp_path))
    letters = {i: x for i, x in enumerate(iterate(dataset)) if isinstance(x, DeadLetter)}
    assert list(letters) == [1]
    assert "836212060125/labels_000001.npz" in letters[1].reason
    with pytest.raises(InputError, match=message):
        dataset.sample(1)


def test_a_truncated_or_missing_label_is_a_dead_letter(tmp_path: Path) -> None:
    path = write(tmp_path) / SUBJECT / "20200709_141754/836212060125/labels_000002.npz"
    path.write_bytes(path.read_bytes()[:-200])
    dataset = DexYcbDataset.open(str(tmp_path))
    with pytest.raises(InputError, match=r"labels_000002\.npz: expected a complete \.npz"):
        dataset.sample(2)
    path.unlink()
    with pytest.raises(InputError, match="nothing there"):
        dataset.sample(2)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"ycb_ids": "[2, 99]"}, r"'ycb_ids'.*found \[2, 99\]"),
        ({"ycb_ids": "null"}, r"'ycb_ids'.*found None"),
        ({"ycb_ids": "[2, 2]"}, r"'ycb_ids': expected different object ids"),
        ({"ycb_ids": "[two]"}, "'ycb_ids'"),
        ({"mano_sides": "[right, left]"}, "'mano_sides'"),
        ({"num_frames": 0}, "'num_frames'.*found 0"),
        ({"num_frames": "null"}, "'num_frames'.*found None"),
        ({"num_frames": "true"}, "'num_frames'.*found True"),
        ({"num_frames": ".inf"}, "'num_frames'.*found inf"),
        ({"num_frames": "many"}, "'num_frames'"),
        ({"num_frames": NUM_FRAMES - 1}, "'num_frames'.*found 2, though .*labels_000002.npz is there"),
        ({"ycb_grasp_ind": "null"}, "'ycb_grasp_ind'"),
        ({"ycb_grasp_ind": 2}, r"'ycb_grasp_ind': expected a place in ycb_ids \[2, 5\]"),
        ({"mano_calib": "null"}, "'mano_calib'"),
        ({"mano_calib": "[]"}, "'mano_calib'"),
        ({"serials": "null"}, "'serials'.*found None"),
        ({"serials": "['1']"}, r"'serials': expected cameras among 836212060125"),
    ],
)
def test_a_meta_that_is_none_is_refused(tmp_path: Path, meta: dict[str, Any], message: str) -> None:
    folder = SUBJECT + "/20200709_141754"
    entries = {"num_frames": NUM_FRAMES, "ycb_ids": "[2, 5]", "ycb_grasp_ind": 1} | {
        "serials": SERIALS, "mano_sides": "[right]", "mano_calib": "[one]"
    } | meta  # fmt: skip
    files.put(tmp_path / folder / "meta.yml", "".join(f"{key}: {value}\n" for key, value in entries.items()))
    files.put(tmp_path / "calibration/mano_one/mano.yml", f"betas: {[0.0] * 10}\n")
    for serial in SERIALS:
        text = "color: {fx: 610.0, fy: 610.0, ppx: 320.0, ppy: 240.0}\n"
        files.put(tmp_path / f"calibration/intrinsics/{serial}_640x480.yml", text)
        for frame in range(NUM_FRAMES):
            files.put(tmp_path / folder / serial / f"labels_{frame:06d}.npz", b"")
    with pytest.raises(ContractError, match=rf"{folder}/meta\.yml, {message}"):
        DexYcbDataset.open(str(tmp_path))


def test_frames_of_a_camera_whose_folder_is_missing_are_dead_letters(tmp_path: Path) -> None:
    folder = write(tmp_path) / SUBJECT / "20200709_141754/932122062010"
    shutil.rmtree(folder)
    dataset = DexYcbDataset.open(str(tmp_path))
    letters = [x for x in iterate(dataset) if isinstance(x, DeadLetter)]
    assert len(dataset) == 5 * 2 * NUM_FRAMES
    assert [f"932122062010/labels_{n:06d}.npz" in x.reason for n, x in enumerate(letters)] == [True] * NUM_FRAMES


def test_serials_may_lack_quotes_or_not_be_told(tmp_path: Path) -> None:
    unquoted = DexYcbDataset.open(str(write(tmp_path, serials="[836212060125]")), check=False)
    assert unquoted.recordings[0].serials == ("836212060125",)
    for path in tmp_path.rglob("meta.yml"):
        path.write_text("".join(x for x in path.read_text().splitlines(keepends=True) if "serials" not in x))
    assert list(DexYcbDataset.open(str(tmp_path), check=False).recordings[0].serials) == SERIALS


def test_a_calibration_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path) / "calibration/intrinsics/836212060125_640x480.yml"
    for text, message in (
        ("color:\n  fx: .nan\n  fy: 1\n  ppx: 1\n  ppy: 1\n", "finite entries"),
        ("depth: {}\n", r"expected color: \{fx, fy, ppx, ppy\}, found None"),
        ("a: [", "a YAML file"),
        ("[1]", "named values"),
    ):
        path.write_text(text)
        with pytest.raises(ContractError, match=message):
            DexYcbDataset.open(str(tmp_path))


def test_a_folder_without_subjects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calibration").mkdir()
    with pytest.raises(ContractError, match="folders such as 20200709-subject-01"):
        DexYcbDataset.open(str(tmp_path))


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = DexYcbDataset.open(str(write(tmp_path)), hand=files.arrays())
    expected = dataset.sample(1)
    assert pickle.loads(pickle.dumps(dataset)).sample(1).sample_id == expected.sample_id
