import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dataset_files as files
import numpy as np
import pytest
from s3_server import S3Server

from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.iterate import iterate
from hoiray.datasets.sample import DeadLetter
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store

N = 6
LINES = ["ABF10/0000", "ABF10/0003", "ABF14/0000", "SMu1/0007", "QQ1/0001", "QQ1/0002"]
K = np.array([[614.6, 0, 320.3], [0, 614.6, 241.7], [0, 0, 1]])
OBJECT_ROTATION = np.array([0.3, -2.0, 1.1])
OBJECT_TRANSLATION = np.array([0.02, -0.03, 0.55])
SCALE = 0.00012498664727900177

Meta = dict[str, Any]


def truth() -> files.Hands:
    return files.hands(N, tip_set="ho3d")


def train_meta(i: int) -> Meta:
    """What HOnnotate stored: OpenGL axes, MANO order; the wrist, not the translation, is what turns with the axes."""
    hands = truth()
    wrist = FLIP @ hands.joints[i, 0]
    return {
        "camMat": K,
        "handPose": np.concatenate(
            [files.axis_angle(FLIP @ files.rotation(hands.global_orient[i])), hands.hand_pose[i]]
        ),
        "handTrans": wrist - hands.rest_root[i],
        "handBeta": hands.betas[i],
        "handJoints3D": hands.joints[i][files.MANO_OF_SIMPLE] @ FLIP,
        "objName": "006_mustard_bottle",
        "objLabel": np.array(3),
        "objRot": files.axis_angle(FLIP @ files.rotation(OBJECT_ROTATION))[:, None],
        "objTrans": FLIP @ OBJECT_TRANSLATION,
    }


def evaluation_meta(i: int) -> Meta:
    meta = train_meta(i)
    del meta["handPose"], meta["handTrans"], meta["handBeta"]
    return meta | {"handJoints3D": meta["handJoints3D"][0], "handBoundingBox": np.array([200, 120, 420, 360])}


FLIP = files.FLIP


def write(
    root: Path,
    split: str = "train",
    suffix: str = "png",
    change: Callable[[int, Meta], Meta] = lambda _, meta: meta,
    lines: list[str] = LINES,
) -> Path:
    files.put(root / f"{split}.txt", "\n".join(lines) + "\n")
    for i, line in enumerate(lines):
        sequence, frame = line.split("/")
        meta = train_meta(i) if split == "train" else evaluation_meta(i)
        files.put(root / split / sequence / "meta" / f"{frame}.pkl", files.python2_pickle(change(i, meta)))
        files.put_image(root / split / sequence / "rgb" / f"{frame}.{suffix}", files.picture(640, 480, i))
    return root


def test_a_training_set_is_read_in_opencv_axes(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path)), hand=files.arrays())
    hands = truth()
    assert (dataset.name, dataset.split, len(dataset)) == ("ho3d_v2", "train", N)
    for i in range(N):
        sample = dataset.sample(i)
        (hand,) = sample.hands
        assert hand.mano is not None
        assert (sample.sample_id, hand.is_right, hand.tip_set) == (LINES[i], True, "ho3d")
        np.testing.assert_allclose(hand.joints_3d, hands.joints[i], atol=1e-9)
        np.testing.assert_allclose(hand.mano.transl, hands.transl[i], atol=1e-9)
        np.testing.assert_allclose(
            files.rotation(hand.mano.global_orient), files.rotation(hands.global_orient[i]), atol=1e-9
        )
        np.testing.assert_allclose(hand.mano.hand_pose, hands.hand_pose[i], atol=1e-12)
        np.testing.assert_allclose(sample.K, K)


@pytest.mark.s3
def test_it_is_read_from_s3_as_from_a_folder(s3_environment: S3Server, tmp_path: Path) -> None:
    local, remote = Store.open(write(tmp_path)), Store.open(f"{s3_environment.uri}/ho3d")
    for key in local.list():
        remote.write(key, local.read(key))
    dataset = Ho3dDataset.open(remote.uri, hand=files.arrays())
    assert len(dataset) == N
    np.testing.assert_allclose(dataset.sample(5).hands[0].joints_3d, truth().joints[5], atol=1e-9)
    assert dataset.image(dataset.sample(5)).shape == (480, 640, 3)


def test_an_opened_set_travels_to_a_worker(tmp_path: Path) -> None:
    dataset = pickle.loads(pickle.dumps(Ho3dDataset.open(str(write(tmp_path)))))
    assert dataset.sample(3).sample_id == LINES[3]


def test_the_object_keeps_its_own_frame(tmp_path: Path) -> None:
    (target,) = Ho3dDataset.open(str(write(tmp_path)), check=False).sample(0).objects
    assert target.name == "006_mustard_bottle"
    assert target.T_cam_obj is not None
    np.testing.assert_allclose(target.T_cam_obj[:3, :3], files.rotation(OBJECT_ROTATION), atol=1e-9)
    np.testing.assert_allclose(target.T_cam_obj[:3, 3], OBJECT_TRANSLATION, atol=1e-12)


def test_sister_cameras_share_a_recording(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path)), check=False)
    first, _, sister, mug, unknown, _ = (dataset.sample(i) for i in range(N))
    assert (first.recording_id, first.camera_id, first.subject_id) == ("ABF1", "0", "A")
    assert (sister.recording_id, sister.camera_id, sister.frame_index) == ("ABF1", "4", 0)
    assert (mug.recording_id, mug.subject_id, mug.frame_index) == ("SMu", "S", 7)
    assert unknown.subject_id is None


def test_the_list_and_not_the_folder_is_iterated(tmp_path: Path) -> None:
    write(tmp_path)
    never = train_meta(0) | {"objRot": None, "objTrans": None}
    files.put(tmp_path / "train/ABF10/meta/0001.pkl", files.python2_pickle(never))
    assert len(Ho3dDataset.open(str(tmp_path))) == N
    files.put(tmp_path / "train/ABF10/meta/0003.pkl", files.python2_pickle(never))
    letters = [x for x in iterate(Ho3dDataset.open(str(tmp_path))) if isinstance(x, DeadLetter)]
    assert len(letters) == 1
    assert "0003.pkl" in letters[0].reason
    assert "never annotated" in letters[0].reason


def test_a_meta_that_names_no_object_shows_a_bare_hand(tmp_path: Path) -> None:
    write(tmp_path)
    bare = train_meta(0) | {"objRot": None, "objTrans": None, "objName": None}
    files.put(tmp_path / "train/ABF10/meta/0003.pkl", files.python2_pickle(bare))
    dataset = Ho3dDataset.open(str(tmp_path), check=False)
    sample = dataset.sample(dataset.frames.index(("ABF10", "0003")))
    assert sample.objects == ()
    assert len(sample.hands) == 1


def test_images_depth_and_masks_are_read(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path)), check=False)
    sample = dataset.sample(0)
    np.testing.assert_array_equal(dataset.image(sample), files.picture(640, 480, 0))
    depth = np.zeros((480, 640, 3), dtype=np.uint8)
    depth[10, 20] = (0x34, 0x12, 0)  # red is the low byte
    depth[11, 20] = (0xFF, 0xFF, 0)
    files.put_image(tmp_path / "train/ABF10/depth/0000.png", depth)
    metres = dataset.depth_m(sample)
    assert metres[10, 20] == pytest.approx(0x1234 * SCALE)
    assert metres[11, 20] == pytest.approx(65535 * SCALE)
    assert np.isnan(metres[0, 0])
    assert dataset.masks(sample) is None
    half = np.zeros((240, 320, 3), dtype=np.uint8)
    half[10:20, 30:40] = (0, 0, 255)
    half[50:60, 30:40] = (255, 0, 0)
    files.put_image(tmp_path / "train/ABF10/seg/0000.png", half)
    masks = dataset.masks(sample)
    assert masks is not None
    assert masks.hand is not None
    assert np.argwhere(masks.hand).min(axis=0).tolist() == [20, 60]
    assert np.argwhere(masks.objects["006_mustard_bottle"]).max(axis=0).tolist() == [119, 79]


def test_object_models_are_read_where_they_are(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path)), check=False)
    assert dataset.object_model("006_mustard_bottle") is None
    files.put(tmp_path / "models/006_mustard_bottle/points.xyz", "0 0 0\n0.1 0 0\n")
    model = dataset.object_model("006_mustard_bottle")
    assert model is not None
    assert (model.points.shape, model.vertices) == ((2, 3), None)


def test_version_3_is_told_by_its_jpegs(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path, suffix="jpg")))
    assert dataset.name == "ho3d_v3"
    assert dataset.sample(0).image_key == "train/ABF10/rgb/0000.jpg"
    assert dataset.image(dataset.sample(0)).shape == (480, 640, 3)


def test_evaluation_metas_hold_the_wrist_only(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path, "evaluation")), "evaluation")
    (hand,) = dataset.sample(2).hands
    assert (hand.joints_3d, hand.mano, hand.tip_set) == (None, None, None)
    np.testing.assert_allclose(hand.wrist_3d, truth().joints[2, 0], atol=1e-12)
    np.testing.assert_allclose(hand.bbox_xyxy, [200, 120, 420, 360])


def test_opencv_wrists_in_the_evaluation_metas_are_named(tmp_path: Path) -> None:
    write(tmp_path, "evaluation", change=lambda _, m: m | {"handJoints3D": FLIP @ m["handJoints3D"]})
    with pytest.raises(ContractError, match=r"axes: expected wrists in front of the camera.*z of the other sign"):
        Ho3dDataset.open(str(tmp_path), "evaluation")


def write_evaluation_labels(root: Path, joints: np.ndarray) -> None:
    files.put_json(root / "evaluation_xyz.json", joints.tolist())
    files.put_json(root / "evaluation_verts.json", (truth().vertices @ FLIP).tolist())


def test_public_evaluation_labels_are_used(tmp_path: Path) -> None:
    write(tmp_path, "evaluation")
    write_evaluation_labels(tmp_path, truth().joints[:, files.MANO_OF_SIMPLE] @ FLIP)
    dataset = Ho3dDataset.open(str(tmp_path), "evaluation")
    (hand,) = dataset.sample(4).hands
    np.testing.assert_allclose(hand.joints_3d, truth().joints[4], atol=1e-9)
    np.testing.assert_allclose(hand.vertices, truth().vertices[4], atol=1e-6)
    without = Ho3dDataset.open(str(tmp_path), "evaluation", with_vertices=False)
    assert without.sample(4).hands[0].vertices is None


EVALUATION_DAMAGE: dict[str, tuple[dict[str, Any], str]] = {
    "reversed in x": ({"handBoundingBox": np.array([420, 120, 200, 360])}, r"0007\.pkl, 'handBoundingBox': .*x_min"),
    "reversed in y": ({"handBoundingBox": np.array([200, 360, 420, 120])}, r"0007\.pkl, 'handBoundingBox': .*x_min"),
}


@pytest.mark.parametrize("damage", EVALUATION_DAMAGE)
def test_a_damaged_evaluation_meta_is_a_dead_letter(tmp_path: Path, damage: str) -> None:
    entries, message = EVALUATION_DAMAGE[damage]
    write(tmp_path, "evaluation", change=lambda i, meta: meta | entries if i == 3 else meta)
    dataset = Ho3dDataset.open(str(tmp_path), "evaluation")
    assert [i for i, result in enumerate(iterate(dataset)) if isinstance(result, DeadLetter)] == [3]
    with pytest.raises(InputError, match=message):
        dataset.sample(3)


def test_rows_of_different_lengths_name_the_meta(tmp_path: Path) -> None:
    path = write(tmp_path, "evaluation") / "evaluation/SMu1/meta/0007.pkl"
    path.write_bytes(pickle.dumps(evaluation_meta(3) | {"handJoints3D": [[1.0, 2.0], [3.0]]}, protocol=2))
    with pytest.raises(InputError, match=r"0007\.pkl, 'handJoints3D': expected numbers of shape \(3,\), found a list"):
        Ho3dDataset.open(str(tmp_path), "evaluation").sample(3)


def test_joints_inside_the_evaluation_metas_give_the_wrist(tmp_path: Path) -> None:
    change = lambda i, m: m | {"handJoints3D": train_meta(i)["handJoints3D"]}  # noqa: E731 - as `write` takes it
    dataset = Ho3dDataset.open(str(write(tmp_path, "evaluation", change=change)), "evaluation")
    np.testing.assert_allclose(dataset.sample(2).hands[0].wrist_3d, truth().joints[2, 0], atol=1e-12)


def test_a_number_that_is_none_names_the_evaluation_labels(tmp_path: Path) -> None:
    write(tmp_path, "evaluation")
    stored = truth().joints[:, files.MANO_OF_SIMPLE] @ FLIP
    stored[2, 5, 1] = np.nan
    write_evaluation_labels(tmp_path, stored)
    dataset = Ho3dDataset.open(str(tmp_path), "evaluation")
    with pytest.raises(InputError, match=rf"^{tmp_path}/evaluation_xyz\.json, entry 2: expected finite.*found 1 that"):
        dataset.sample(2)
    assert dataset.sample(1).hands[0].joints_3d is not None


def test_thousandfold_evaluation_labels_are_named(tmp_path: Path) -> None:
    write(tmp_path, "evaluation")
    stored = truth().joints[:, files.MANO_OF_SIMPLE] @ FLIP
    for factor, message in ((1000, "evaluation_xyz.json looks like"), (0.001, "'handJoints3D' looks like")):
        write_evaluation_labels(tmp_path, stored * factor)
        with pytest.raises(ContractError, match=f"{message} millimetres"):
            Ho3dDataset.open(str(tmp_path), "evaluation")


def test_evaluation_labels_of_other_frames_or_counts_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "evaluation")
    stored = truth().joints[:, files.MANO_OF_SIMPLE] @ FLIP
    write_evaluation_labels(tmp_path, np.roll(stored, 1, axis=0))
    with pytest.raises(ContractError, match=r"wrist of entry 0 of evaluation_xyz\.json"):
        Ho3dDataset.open(str(tmp_path), "evaluation")
    write_evaluation_labels(tmp_path, stored[:-1])
    with pytest.raises(
        ContractError, match=r"evaluation_xyz\.json: expected 6 entries, as evaluation\.txt has, found 5"
    ):
        Ho3dDataset.open(str(tmp_path), "evaluation")


PLANTED: dict[str, tuple[Callable[[int, Meta], Meta], str]] = {
    "simple order": (
        lambda i, m: m | {"handJoints3D": truth().joints[i] @ FLIP},
        "joint order: expected the mano order.*looks like the simple order",
    ),
    "opencv axes": (
        lambda i, m: m | {"handJoints3D": m["handJoints3D"] @ FLIP},
        "axes: expected OpenGL camera axes.*looks like OpenCV",
    ),
    "millimetres": (lambda i, m: m | {"handJoints3D": m["handJoints3D"] * 1000}, "looks like millimetres"),
    "translation in millimetres": (
        lambda i, m: m | {"handTrans": m["handTrans"] * 1000},
        "'handTrans': expected metres.*looks like millimetres",
    ),
    "translation in kilometres": (
        lambda i, m: m | {"handTrans": m["handTrans"] / 1000},
        "'handTrans': expected metres.*looks like kilometres",
    ),
    "mirrored": (
        lambda i, m: m | {"handJoints3D": m["handJoints3D"] * [-1.0, 1, 1]},
        "side: expected right hands.*mirrored",
    ),
    "relative pose": (
        lambda i, m: m | {"handPose": m["handPose"] - np.concatenate([np.zeros(3), files.arrays().hands_mean])},
        "hand pose: expected flat_hand_mean=True.*looks like poses relative to the mean",
    ),
    "opencv orientation": (
        lambda i, m: m | {"handPose": np.concatenate([truth().global_orient[i], truth().hand_pose[i]])},
        "global orientation: expected OpenGL axes.*looks like an orientation in OpenCV axes",
    ),
    "wrist as translation": (
        lambda i, m: m | {"handTrans": m["handJoints3D"][0]},
        "translation: .*looks like the wrist itself",
    ),
    "other tips": (
        lambda i, m: m | {"handJoints3D": files.hands(N, tip_set="smplx").joints[i][files.MANO_OF_SIMPLE] @ FLIP},
        "finger tips: .*looks like the tip vertices 'smplx'",
    ),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_convention_error_is_named(tmp_path: Path, error: str) -> None:
    change, message = PLANTED[error]
    with pytest.raises(ContractError, match=message):
        Ho3dDataset.open(str(write(tmp_path, change=change)), hand=files.arrays())


def _set(key: str, value: Any) -> Callable[[Meta], Meta]:
    return lambda meta: meta | {key: value}


def _without(key: str) -> Callable[[Meta], Meta]:
    return lambda meta: {k: v for k, v in meta.items() if k != key}


DAMAGE: dict[str, tuple[Callable[[Meta], Meta], str]] = {
    "missing key": (_without("handTrans"), "no handTrans among"),
    "NaN": (lambda m: m | {"handPose": np.where(np.arange(48) == 7, np.nan, m["handPose"])}, "'handPose'.*1 that are"),
    "wrong count": (lambda m: m | {"handJoints3D": m["handJoints3D"][:20]}, r"'handJoints3D'.*found shape \(20, 3\)"),
    "non-finite K": (_set("camMat", np.full((3, 3), np.inf)), "'camMat'.*finite"),
    "transposed K": (_set("camMat", K.T.copy()), "K number 0"),
    "text for numbers": (_set("handBeta", "none"), "'handBeta'.*found a str"),
    "no name": (_set("objName", None), "'objName'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_meta_is_a_dead_letter_that_names_it(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGE[damage]
    write(tmp_path, change=lambda i, meta: change(meta) if i == 3 else meta)
    results = list(iterate(Ho3dDataset.open(str(tmp_path))))
    letters = [(i, x) for i, x in enumerate(results) if isinstance(x, DeadLetter)]
    assert [i for i, _ in letters] == [3]
    letter = letters[0][1]
    assert letter.stage == "read annotation"
    assert "train/SMu1/meta/0007.pkl" in letter.reason
    with pytest.raises(InputError, match=message):
        Ho3dDataset.open(str(tmp_path), check=False).sample(3)


@pytest.mark.parametrize("content", [None, b"", b"junk", "cut", files.python2_pickle({})[:3], b"\x80\x02]."])
def test_a_missing_or_truncated_meta_is_named(tmp_path: Path, content: bytes | str | None) -> None:
    path = write(tmp_path) / "train/ABF14/meta/0000.pkl"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100] if content == "cut" else content)  # type: ignore[arg-type]  # bytes here
    with pytest.raises(InputError, match=r"ABF14/meta/0000\.pkl"):
        Ho3dDataset.open(str(tmp_path)).sample(2)


def test_a_pickle_that_would_run_code_is_a_dead_letter(tmp_path: Path) -> None:
    path = write(tmp_path) / "train/ABF14/meta/0000.pkl"
    path.write_bytes(b"\x80\x02cos\nsystem\nU\x04true\x85R.")
    with pytest.raises(InputError, match=r"os\.system"):
        Ho3dDataset.open(str(tmp_path)).sample(2)


def test_a_missing_truncated_or_resized_image_is_named(tmp_path: Path) -> None:
    dataset = Ho3dDataset.open(str(write(tmp_path)), check=False)
    path = tmp_path / "train/ABF10/rgb/0000.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"rgb/0000\.png.*cut off"):
        dataset.image(dataset.sample(0))
    files.put_image(path, files.picture(320, 240))
    with pytest.raises(InputError, match=r"expected 640 x 480 px, found 320 x 240 px"):
        dataset.image(dataset.sample(0))
    path.unlink()
    with pytest.raises(InputError, match="nothing there"):
        dataset.image(dataset.sample(0))


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    for lines, message in (
        (["ABF10/0000", "nonsense"], r"train\.txt, line 2: expected SEQUENCE/0000, found 'nonsense'"),
        (["ABF10/0000", "ABF10/0000"], "ABF10/0000 more than once"),
        ([], r"train\.txt: expected lines such as ABF10/0042, found none"),
    ):
        files.put(tmp_path / "train.txt", "\n".join(lines))
        with pytest.raises(ContractError, match=message):
            Ho3dDataset.open(str(tmp_path))


def test_metas_of_the_other_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path, change=lambda i, _: evaluation_meta(i))
    with pytest.raises(ContractError, match=r"6 of 6 that cannot be read.*handPose"):
        Ho3dDataset.open(str(tmp_path))


def test_the_fixture_is_a_python_2_pickle() -> None:
    data = files.python2_pickle({"a": "x"})
    assert data[:2] == b"\x80\x02"
    assert b"U\x01a" in data


def test_a_split_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="train, evaluation"):
        Ho3dDataset.open(str(tmp_path), "test")  # type: ignore[arg-type]  # the error
