import pytest

from .corpus import BAD_BOXES, BAD_VIDEOS, label_corpus


def test_there_are_enough_bad_ones() -> None:
    assert len(BAD_VIDEOS) + len(BAD_BOXES) >= 40


def test_without_ray_too_every_good_video_is_done_and_every_bad_one_named() -> None:
    assert label_corpus(2, uses_ray=False)["problems"] == []


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(700)
def test_every_good_video_is_done_and_every_bad_one_named() -> None:
    assert label_corpus()["problems"] == []
