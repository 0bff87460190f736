from pathlib import Path

import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats import freihand as facts
from hoiray.datasets.freihand import FreiHandDataset
from hoiray.errors import ContractError
from hoiray.hand.joints import reorder, tip_vertices
from hoiray.hand.load import load_hand_arrays
from hoiray.io.store import Store
from hoiray.synthetic.writers import freihand
from hoiray.synthetic.writers.shot import Shot

NUM_PHOTOS = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Shot]]:
    """Two training recordings of 3 and 2 photographs, and one of the evaluation split."""
    folder = tmp_path_factory.mktemp("freihand")
    store, parts, shots = Store.open(folder), [], []
    for index, (split, first, count, total) in enumerate((("train", 0, 3, 5), ("test", 0, 2, 2), ("train", 3, 2, 5))):
        recording = make_recording(
            recording_id=f"toy-{index}", num_frames=count, num_cameras=1, size=(224, 224), focal=380.0, seed=1 + index
        )
        place = slot(index, split, first=first, total=total)
        part, taken = write_recording(freihand.FREIHAND.begin(store, recording, place), store, recording, place)
        parts.append(part)
        shots += taken
    freihand.FREIHAND.finish(store, parts)
    return str(folder), shots


def test_labels_come_back_and_photographs_are_numbered_through(written: tuple[str, list[Shot]]) -> None:
    arrays = load_hand_arrays()
    dataset = FreiHandDataset.open(written[0], "training", hand=arrays, check=False)
    assert len(dataset) == 4 * NUM_PHOTOS
    training = [*written[1][:3], *written[1][5:]]
    for index in range(len(dataset)):
        sample = dataset.sample(index)
        truth = training[index % NUM_PHOTOS].hands[0]
        (hand,) = sample.hands
        tips = tip_vertices("freihand", is_right=True)
        joints = reorder(facts.joints_from_vertices(truth.vertices, arrays.J_regressor, tips), "mano", "simple")
        np.testing.assert_allclose(hand.joints_3d, joints, atol=1e-6)
        np.testing.assert_allclose(hand.vertices, truth.vertices, atol=1e-6)
        assert hand.mano is not None
        for name in ("global_orient", "hand_pose", "betas", "transl"):
            np.testing.assert_allclose(getattr(hand.mano, name), getattr(truth.view.mano, name), atol=1e-6)
        np.testing.assert_allclose(sample.K, training[index % NUM_PHOTOS].view.K, atol=1e-6)


def test_the_set_opens_with_all_its_checks(written: tuple[str, list[Shot]]) -> None:
    for split in facts.SPLITS:
        assert len(FreiHandDataset.open(written[0], split)) > 0


def test_the_stored_pose_is_relative_to_the_mean(written: tuple[str, list[Shot]]) -> None:
    dataset = FreiHandDataset.open(written[0], "training", check=False)
    stored = facts.split_mano(dataset.labels["mano"][0])
    truth = written[1][0].hands[0].view.mano
    np.testing.assert_allclose(stored.relative_pose, truth.hand_pose - load_hand_arrays().hands_mean, atol=1e-6)
    root = facts.root_from_file(stored.uv_root_px, stored.scale_px_per_m, dataset.labels["K"][0])
    np.testing.assert_allclose(root, dataset.labels["xyz"][0][facts.ROOT_JOINT], atol=1e-5)
    bone = dataset.labels["xyz"][0][9] - dataset.labels["xyz"][0][10]
    assert dataset.labels["scale"][0] == pytest.approx(np.linalg.norm(bone), abs=1e-6)


def test_variants_change_what_is_behind_and_keep_what_is_in_front(written: tuple[str, list[Shot]]) -> None:
    dataset = FreiHandDataset.open(written[0], "training", check=False)
    images = [dataset.image(dataset.sample(NUM_PHOTOS * variant)).astype(float) for variant in range(4)]
    shot = written[1][0]
    inside = np.isfinite(shot.pixels.depth_m)
    for first in range(4):
        front = np.abs(images[first][inside] - shot.pixels.image[inside]).mean()
        assert front < 255 * freihand.MAX_GAIN_CHANGE[facts.VARIANTS[first]] + 8.0
        for second in range(first):
            assert np.abs(images[first][~inside] - images[second][~inside]).mean() > 16.0
    green = images[0][~inside].mean(axis=0)
    np.testing.assert_allclose(green, freihand.GREEN_SCREEN_RGB, atol=8.0)


def test_the_mask_is_the_hands(written: tuple[str, list[Shot]]) -> None:
    dataset = FreiHandDataset.open(written[0], "training", check=False)
    for index in (0, 4, NUM_PHOTOS + 4):
        masks = dataset.masks(dataset.sample(index))
        assert masks is not None
        shot = [*written[1][:3], *written[1][5:]][index % NUM_PHOTOS]
        np.testing.assert_array_equal(masks.hand, shot.hand_mask(0))


def test_left_hands_are_refused(tmp_path: Path) -> None:
    recording = make_recording(size=(224, 224), target_is_right=False, num_frames=1)
    with pytest.raises(ContractError, match="a left one"):
        freihand.FREIHAND.begin(Store.open(tmp_path), recording, slot())
