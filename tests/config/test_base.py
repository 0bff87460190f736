import pytest
from pydantic import ValidationError

from hoiray.config.base import CROSS_FIELD, cross_field_error
from hoiray.config.what import PaperLimits, Sharding, Videos


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


@pytest.mark.parametrize("uri", ["", " s3://b/v", "videos ", "a\nb", "\t"])
def test_a_uri_is_not_empty_and_has_no_blank_at_its_ends(uri: str) -> None:
    with pytest.raises(ValidationError, match="uri"):
        Videos(uri=uri)


def test_an_error_between_two_fields_names_the_one_to_change() -> None:
    error = cross_field_error("max", "at least min = 3", "2")
    assert error.message() == "expected at least min = 3, found 2"
    assert error.context is not None
    assert (error.type, error.context["field"]) == (CROSS_FIELD, "max")
