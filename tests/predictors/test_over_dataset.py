from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.images import ImageFolder
from hoiray.errors import ContractError
from hoiray.predictors.over_dataset import HandQuery, concatenate, failed, predict_queries
from hoiray.predictors.protocol import HandPredictions, HandRequest


class MeanColour:
    """Answers with what it was given: the frame's mean colour, the box, the side; and remembers the requests."""

    name, digest, tip_set, hand = "mean colour", "0", "freihand", None

    def __init__(self, *, with_objects: bool = False) -> None:
        self.requests: list[HandRequest] = []
        self.with_objects = with_objects

    def predict(self, request: HandRequest) -> HandPredictions:
        self.requests.append(request)
        count = len(request)
        joints = np.zeros((count, 21, 3))
        joints[:, 0] = request.frames.mean(axis=(1, 2))[request.frame_index]
        joints[:, 1, 0] = request.is_right
        pixels = np.repeat(request.hand_boxes_xyxy[:, None, :2], 21, axis=1)
        poses = np.tile(np.eye(4), (count, 1, 1)) if self.with_objects else None
        return HandPredictions(
            joints, pixels, T_cam_obj=poses, object_failures=(None,) * count if self.with_objects else ()
        )


SIZES = [(40, 30), (40, 30), (64, 48), (64, 48), (40, 30)]


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    for index, (width, height) in enumerate(SIZES):
        files.put_image(tmp_path / f"{index}.png", np.full((height, width, 3), 10 * index + 5, np.uint8))
    return ImageFolder.open(str(tmp_path))


def query(index: int, corner: float = 1.0, *, is_right: bool = True) -> HandQuery:
    nothing = np.full(4, np.nan)
    box = np.array([corner, 2.0, 20.0, 25.0])
    return HandQuery(index, box, is_right, nothing, np.full((3, 3), np.nan), None)


QUERIES = [query(0), query(0, 3.0, is_right=False), query(1), query(2), query(3), query(4)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_answers_come_in_the_order_of_the_queries_however_they_are_batched(
    folder: ImageFolder, batch_size: int
) -> None:
    predictor, told = MeanColour(), list[tuple[int, int]]()
    found = predict_queries(
        predictor, folder, QUERIES, batch_size=batch_size, on_progress=lambda done, of: told.append((done, of))
    )
    np.testing.assert_array_equal(found.joints_3d_m[:, 0, 0], [5, 5, 15, 25, 35, 45])
    np.testing.assert_array_equal(found.joints_3d_m[:, 1, 0], [1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.joints_2d_px[:, 0, 0], [1, 3, 1, 1, 1, 1])
    assert all(len(request) <= batch_size for request in predictor.requests)
    assert told[-1] == (6, 6)


def test_a_frame_of_several_hands_goes_in_once(folder: ImageFolder) -> None:
    predictor = MeanColour()
    predict_queries(predictor, folder, QUERIES, batch_size=100)
    assert [request.frames.shape[:3] for request in predictor.requests] == [(2, 30, 40), (2, 48, 64), (1, 30, 40)]
    assert predictor.requests[0].frame_index.tolist() == [0, 0, 1]


@pytest.mark.parametrize("with_objects", [True, False])
def test_an_image_that_cannot_be_read_fails_its_own_hands_with_the_reason(
    tmp_path: Path, folder: ImageFolder, with_objects: bool
) -> None:
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[:40])
    found = predict_queries(MeanColour(with_objects=with_objects), folder, QUERIES, batch_size=4)
    assert [failure is not None for failure in found.failures] == [False, False, True, False, False, False]
    assert "1.png" in str(found.failures[2])
    assert np.isnan(found.joints_3d_m[2]).all()
    np.testing.assert_array_equal(found.joints_3d_m[[0, 3], 0, 0], [5, 25])
    assert (found.T_cam_obj is not None) == with_objects
    if found.T_cam_obj is not None:
        assert np.isnan(found.T_cam_obj[2]).all()
        assert found.object_failures[2] == found.failures[2]


def test_parts_that_all_lack_a_field_lack_it_together() -> None:
    joined = concatenate([failed(2, "a"), failed(1, "b")])
    assert joined.failures == ("a", "a", "b")
    assert joined.rotations is None
    assert joined.object_failures == ()


def test_no_hand_to_predict_is_an_error(folder: ImageFolder) -> None:
    with pytest.raises(ContractError, match="one or more"):
        predict_queries(MeanColour(), folder, [], batch_size=4)
