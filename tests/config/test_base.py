import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from hoiray.config.base import CROSS_FIELD, MAX_COUNT, cross_field_error
from hoiray.config.fingerprint import fingerprint
from hoiray.config.what import PaperLimits, Sharding, Teacher, Videos
from hoiray.config.where import ClusterConfig


def test_text_is_no_number_and_a_number_is_no_truth_value() -> None:
    with pytest.raises(ValidationError, match="target_frames"):
        Sharding.model_validate({"target_frames": "8"})
    with pytest.raises(ValidationError, match="predecessor_must_pass_spatial"):
        PaperLimits.model_validate({"predecessor_must_pass_spatial": 1})


def test_a_whole_number_serves_where_a_float_is_wanted_but_not_the_other_way() -> None:
    limits = PaperLimits.model_validate({"min_box_iou": 1})
    assert isinstance(limits.min_box_iou, float)
    with pytest.raises(ValidationError, match="target_frames"):
        Sharding.model_validate({"target_frames": 8.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_no_limits(value: float) -> None:
    with pytest.raises(ValidationError, match="max_motion_pose"):
        PaperLimits(max_motion_pose=value)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PaperLimits().min_box_iou = 0.1  # type: ignore[misc]  # the point of the test


def test_what_a_configuration_holds_cannot_be_changed_either() -> None:
    teacher = Teacher(predictor="p", options={"a": 1, "b": [1, {"c": 2}]})
    before = fingerprint(teacher)
    options: Any = teacher.options
    for change in (lambda: options.update(a=2), lambda: options["b"].append(3), options["b"][1].clear):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    node = {"num_cpus": 1, "memory_gib": 1}
    workers: Any = ClusterConfig.model_validate({"head": node, "workers": {"gpu": node}}).workers
    with pytest.raises(TypeError, match="cannot be changed"):
        workers["cpu"] = workers["gpu"]
    assert fingerprint(teacher) == before
    default: Any = Teacher(predictor="p").options
    with pytest.raises(TypeError, match="cannot be changed"):
        default["a"] = 1


def test_a_configuration_dumps_pickles_and_hashes() -> None:
    given: dict[str, Any] = {"a": 1, "b": [1, {"c": 2}]}
    teacher = Teacher(predictor="p", options=given)
    given["b"].append("later")
    assert teacher.model_dump()["options"] == {"a": 1, "b": [1, {"c": 2}]}
    again = pickle.loads(pickle.dumps(teacher))
    assert again == teacher == Teacher.model_validate(teacher.model_dump())
    assert hash(again) == hash(teacher)
    with pytest.raises(TypeError, match="cannot be changed"):
        again.options["a"] = 2


def test_a_count_fits_the_tables_integers() -> None:
    assert Sharding(target_frames=MAX_COUNT, max_video_frames=MAX_COUNT).target_frames == 2**31 - 1
    with pytest.raises(ValidationError, match="less than or equal to 2147483647"):
        Sharding(target_frames=MAX_COUNT + 1, max_video_frames=MAX_COUNT)


@pytest.mark.parametrize("uri", ["", " s3://b/v", "videos ", "a\nb", "\t"])
def test_a_uri_is_not_empty_and_has_no_blank_at_its_ends(uri: str) -> None:
    with pytest.raises(ValidationError, match="uri"):
        Videos(uri=uri)


def test_an_error_between_two_fields_names_the_one_to_change() -> None:
    error = cross_field_error("max", "at least min = 3", "2")
    assert error.message() == "expected at least min = 3, found 2"
    assert error.context is not None
    assert (error.type, error.context["field"]) == (CROSS_FIELD, "max")
