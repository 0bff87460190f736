from pathlib import Path

import dataset_files as files
import numpy as np
import pytest
import torch
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.errors import ContractError
from hoiray.evaluation.truth import ANNOTATED_BOX, JOINTS_BOX, collect_truths
from hoiray.geometry.boxes import from_points
from hoiray.geometry.cameras import project_points
from hoiray.geometry.transforms import transform_points
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.synthetic.objects import build_object
from hoiray.synthetic.writers import freihand, ho3d
from hoiray.synthetic.writers.shot import Shot


@pytest.fixture(scope="module")
def ho3d_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[Shot]]]:
    folder = tmp_path_factory.mktemp("ho3d")
    store, parts, shots = Store.open(folder), [], []
    for index, split in enumerate(("train", "test")):
        recording = make_recording(recording_id=f"toy-{index}", seed=1 + index, num_frames=3, num_cameras=1)
        writer = ho3d.HO3D_V2.begin(store, recording, slot(index, split))
        part, taken = write_recording(writer, store, recording, slot(index, split))
        parts.append(part)
        shots.append(taken)
    ho3d.HO3D_V2.finish(store, parts)
    return folder, shots


def hand_model() -> HandModel:
    return HandModel(files.arrays(), flat_hand_mean=True, tip_set="ho3d")


@pytest.mark.parametrize("split", ["train", "evaluation"])
def test_joints_meshes_boxes_and_objects_are_those_of_the_scene(
    ho3d_set: tuple[Path, list[list[Shot]]], split: str
) -> None:
    dataset = Ho3dDataset.open(str(ho3d_set[0]), split)  # type: ignore[arg-type]  # one of the two
    truths = collect_truths(dataset, range(len(dataset)), hand_model(), uses_annotated_boxes=True, reads_masks=True)
    shots = ho3d_set[1][split == "evaluation"]
    assert (len(truths), truths.tip_set, truths.joints_are_regressed) == (len(dataset), "ho3d", False)
    for truth, shot in zip(truths.hands, shots, strict=True):
        scene = shot.hands[0]
        np.testing.assert_allclose(truth.joints_3d, scene.joints_3d("ho3d"), atol=1e-5)
        assert truth.vertices is not None
        np.testing.assert_allclose(truth.vertices, scene.vertices, atol=1e-5)
        np.testing.assert_allclose(truth.joints_2d_px, project_points(truth.joints_3d, shot.view.K), atol=1e-6)
        points = scene.vertices if split == "evaluation" else truth.joints_3d
        assert truth.box_source == (ANNOTATED_BOX if split == "evaluation" else JOINTS_BOX)
        np.testing.assert_allclose(truth.hand_box_xyxy, from_points(project_points(points, shot.view.K)), atol=0.1)
        target = shot.objects[0]
        assert truth.object_name == target.view.name
        np.testing.assert_allclose(truth.T_cam_obj, target.view.T_cam_obj, atol=1e-6)
        control = transform_points(target.view.T_cam_obj, build_object(target.view.name).control_points)
        # the stored evaluation points are rounded to a tenth of a millimetre
        np.testing.assert_allclose(truth.object_box_xyxy, from_points(project_points(control, shot.view.K)), atol=0.3)
        mask = shot.hand_mask(0)
        assert 0.0 < truth.visible_fraction <= 1.0
        assert bool(mask.any())
        assert 0.0 <= truth.viewpoint_deg <= 180.0


def test_boxes_of_the_true_joints_are_taken_where_asked(ho3d_set: tuple[Path, list[list[Shot]]]) -> None:
    dataset = Ho3dDataset.open(str(ho3d_set[0]), "evaluation")
    truths = collect_truths(dataset, [0], None, uses_annotated_boxes=False, reads_masks=False)
    (truth,) = truths.hands
    assert truth.box_source == JOINTS_BOX
    np.testing.assert_allclose(truth.hand_box_xyxy, from_points(truth.joints_2d_px))
    assert np.isnan(truth.visible_fraction)
    assert truths.box_sides_px()[0] == (truth.hand_box_xyxy[2:] - truth.hand_box_xyxy[:2]).max()


def test_without_the_labels_hand_model_a_set_of_parameters_has_no_meshes(
    ho3d_set: tuple[Path, list[list[Shot]]],
) -> None:
    dataset = Ho3dDataset.open(str(ho3d_set[0]), "train")
    truths = collect_truths(dataset, [0, 1], None, uses_annotated_boxes=True, reads_masks=True)
    assert truths.vertices() is None
    assert truths.joints_3d().shape == (2, 21, 3)


def test_samples_that_cannot_be_read_are_dead_letters_and_the_rest_is_scored(
    ho3d_set: tuple[Path, list[list[Shot]]],
) -> None:
    dataset = Ho3dDataset.open(str(ho3d_set[0]), "train", check=False)
    meta = next(ho3d_set[0].glob("train/*/meta/0001.pkl"))
    whole = meta.read_bytes()
    try:
        meta.write_bytes(whole[:20])
        truths = collect_truths(dataset, range(3), None, uses_annotated_boxes=True, reads_masks=False)
    finally:
        meta.write_bytes(whole)
    assert len(truths) == 2
    assert [letter.stage for letter in truths.dead_letters] == ["read annotation"]


def test_freihand_says_that_its_joints_are_regressed(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    recording = make_recording(num_frames=2, num_cameras=1, size=(224, 224), focal=480.0, with_second_hand=False)
    part, _ = write_recording(
        freihand.FREIHAND.begin(store, recording, slot(0, "test", total=2)),
        store,
        recording,
        slot(0, "test", total=2),
    )
    freihand.FREIHAND.finish(store, [part])
    dataset = FreiHandDataset.open(str(tmp_path), "evaluation")
    truths = collect_truths(dataset, range(2), None, uses_annotated_boxes=True, reads_masks=True)
    assert truths.joints_are_regressed
    assert truths.tip_set == "freihand"
    vertices = truths.vertices()
    assert vertices is not None
    assert torch.from_numpy(vertices).isfinite().all()


def test_a_set_without_a_hand_to_score_is_refused_with_the_reason(tmp_path: Path) -> None:
    from hoiray.datasets.images import ImageFolder

    files.put_image(tmp_path / "a.png", files.picture(20, 20))
    with pytest.raises(ContractError, match="hands with 3D joints"):
        collect_truths(ImageFolder.open(str(tmp_path)), [0], None, uses_annotated_boxes=True, reads_masks=False)
