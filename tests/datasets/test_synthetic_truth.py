"""The truth of a synthetic set of videos as samples: against the recording it was filmed from."""

import json
from pathlib import Path

import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.formats.truth import DATASET_KEY
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.open import open_dataset
from hoiray.datasets.synthetic_truth import SyntheticTruth
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.synthetic.writers.ho3d import HO3D_V2
from hoiray.synthetic.writers.something import SOMETHING

NUM_FRAMES = 4


def write_set(
    folder: Path, *, is_right: bool = True, layout: object = SOMETHING, size: tuple[int, int] = (240, 320)
) -> list[object]:
    store = Store.open(folder)
    recording = make_recording(num_frames=NUM_FRAMES, num_cameras=1, size=size, focal=300.0,
                               target_is_right=is_right)  # fmt: skip
    place = slot(0, "test", total=NUM_FRAMES)
    _, shots = write_recording(layout.begin(store, recording, place), store, recording, place)  # type: ignore[attr-defined]
    store.write(DATASET_KEY, json.dumps({"domain": "wild", "format": layout.name}).encode())  # type: ignore[attr-defined]
    return list(shots)


@pytest.mark.parametrize("is_right", [True, False])
def test_every_frame_has_the_hands_that_were_filmed(tmp_path: Path, is_right: bool) -> None:
    shots = write_set(tmp_path, is_right=is_right)
    dataset = open_dataset(str(tmp_path), "synthetic_truth")
    assert (dataset.name, dataset.split, len(dataset)) == ("synthetic_wild", "test", NUM_FRAMES)
    for index, shot in enumerate(shots):
        sample = dataset.sample(index)
        assert sample.frame_index == index
        np.testing.assert_allclose(sample.K, shot.view.K)  # type: ignore[attr-defined]
        hands = {hand.is_right: hand for hand in sample.hands}
        assert set(hands) == {True, False}
        for hand in shot.hands:  # type: ignore[attr-defined]
            found = hands[hand.view.is_right]
            np.testing.assert_allclose(found.joints_3d, hand.joints_3d("ho3d"), atol=1e-6)
            np.testing.assert_allclose(found.mano.betas, hand.view.mano.betas)


def test_frames_are_those_of_the_video(tmp_path: Path) -> None:
    shots = write_set(tmp_path)
    dataset = SyntheticTruth.open(str(tmp_path))
    for index in (3, 0, 2, 1):
        drawn = shots[index].pixels.image  # type: ignore[attr-defined]
        decoded = dataset.image(dataset.sample(index))
        assert np.abs(decoded.astype(int) - drawn.astype(int)).mean() < 6


def test_the_object_of_the_target_is_there_and_not_supervised(tmp_path: Path) -> None:
    write_set(tmp_path)
    labelled = AnnotatedSource(SyntheticTruth.open(str(tmp_path))).hands(0)
    assert isinstance(labelled, tuple)
    for hand in labelled:
        assert hand.obj is not None
        assert hand.obj.bbox_xyxy is not None
        assert not hand.is_object_supervised


def test_a_split_without_frames_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path)
    with pytest.raises(ContractError, match=r"train split of .*: expected frames with a visible hand, found none"):
        SyntheticTruth.open(str(tmp_path), "train")
    with pytest.raises(ContractError, match="expected one of train, validation, test"):
        SyntheticTruth.open(str(tmp_path), "evaluation")


def test_a_set_of_images_is_sent_to_its_own_format(tmp_path: Path) -> None:
    write_set(tmp_path, layout=HO3D_V2, size=(480, 640))
    with pytest.raises(ContractError, match=r"expected videos, found images \(ho3d_v2\)"):
        SyntheticTruth.open(str(tmp_path))


def test_a_set_that_is_not_finished_or_not_ours_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a synthetic set, found no such file"):
        SyntheticTruth.open(str(tmp_path))
    Store.open(tmp_path).write(DATASET_KEY, b"[]")
    with pytest.raises(ContractError, match="expected a JSON object with domain and format"):
        SyntheticTruth.open(str(tmp_path))
