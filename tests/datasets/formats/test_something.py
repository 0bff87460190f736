import numpy as np
import pytest

from hoiray.datasets.formats import something


def test_frames_are_named_from_one_with_four_digits() -> None:
    assert something.frame_name("44745", 1) == "44745/0001.jpg"
    assert something.parse_frame_name("44745/0001.jpg") == ("44745", 1)
    assert something.parse_frame_name("2/12345.jpg") == ("2", 12345)


@pytest.mark.parametrize("name", ["0001.jpg", "2/0000.jpg", "2/1.png", "2/-1.jpg", "", "a/b/0001.jpg"])
def test_names_that_are_none(name: str) -> None:
    assert something.parse_frame_name(name) is None


def test_a_box_over_the_whole_image_ends_at_its_width_in_the_file() -> None:
    whole = np.array([-0.5, -0.5, 426.5, 239.5])
    stored = something.box_to_file(whole)
    assert stored == {"x1": 0.0, "y1": 0.0, "x2": 427.0, "y2": 240.0}
    np.testing.assert_array_equal(something.box_from_file(stored), whole)


def test_a_frame_holds_what_the_published_ones_hold() -> None:
    boxes = [
        something.LabelledBox("hand", "hand", np.array([0.0, 0, 10, 10])),
        something.LabelledBox("pillow", "0000", np.array([5.0, 5, 20, 20])),
    ]
    frame = something.frame_to_file("2", 3, boxes)
    assert (frame["name"], frame["nr_instances"], frame["gt_placeholders"]) == ("2/0003.jpg", 2, ["pillow"])
    assert [label["standard_category"] for label in frame["labels"]] == ["hand", "0000"]


def test_keys_follow_the_published_layout() -> None:
    assert something.video_key("44745") == "20bn-something-something-v2/44745.webm"
    assert something.list_keys("train") == ("labels/train.json", "something-something-v2-train.json")
