import types
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from hoiray.config.base import Config
from hoiray.config.network import network_preset
from hoiray.config.what import (
    AnnotatedSet,
    Augmentation,
    CalibratedLimits,
    Ensemble,
    Hand,
    PaperLimits,
    RunConfig,
    Sharding,
    Teacher,
    Training,
    TrainRun,
    Videos,
)
from hoiray.config.where import ClusterConfig
from hoiray.hand.joints import TIP_SETS


def models_below(model: type[Config]) -> Iterator[type[Config]]:
    yield model
    for info in model.model_fields.values():
        pending: list[Any] = [info.annotation]
        while pending:
            annotation = pending.pop()
            pending += get_args(annotation)
            is_class = isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias)
            if is_class and issubclass(annotation, Config):
                yield from models_below(annotation)


@pytest.mark.parametrize("root", [RunConfig, TrainRun, ClusterConfig])
def test_every_field_says_what_it_means(root: type[Config]) -> None:
    fields = [(owner.__name__, name, info) for owner in models_below(root) for name, info in owner.model_fields.items()]
    assert len(fields) > 25
    assert [(owner, name) for owner, name, info in fields if not (info.description or "").endswith((".", "?"))] == []


@pytest.mark.parametrize("root", [RunConfig, TrainRun, ClusterConfig])
def test_every_number_has_a_range(root: type[Config]) -> None:
    unbounded = []
    for owner in models_below(root):
        for name, info in owner.model_fields.items():
            is_number = info.annotation in (int, float) or {int, float} & set(get_args(info.annotation))
            if is_number and not any(hasattr(mark, "ge") or hasattr(mark, "gt") for mark in _marks(info)):
                unbounded.append(f"{owner.__name__}.{name}")
    assert unbounded == []


@pytest.mark.parametrize("root", [RunConfig, TrainRun, ClusterConfig])
def test_every_whole_number_has_an_upper_bound(root: type[Config]) -> None:
    numbers, unbounded = [], []
    for owner in models_below(root):
        for name, info in owner.model_fields.items():
            parts = [info.annotation, *get_args(info.annotation)]
            if any(part is int or getattr(part, "__origin__", None) is int for part in parts):
                numbers.append(name)
                if not any(hasattr(mark, "le") or hasattr(mark, "lt") for mark in _marks(info)):
                    unbounded.append(f"{owner.__name__}.{name}")
    assert len(numbers) > 5
    assert unbounded == []


def _marks(info: Any) -> list[Any]:
    """The constraints of a field, also those of an Annotated type inside an optional one."""
    nested = [mark for part in get_args(info.annotation) for mark in getattr(part, "__metadata__", ())]
    unpacked = [mark for field in nested for mark in getattr(field, "metadata", [field])]
    return [*info.metadata, *unpacked]


def test_the_papers_limits_are_the_papers_numbers() -> None:
    limits = PaperLimits()
    assert (limits.min_box_iou, limits.max_reprojection_box_sides, limits.min_bone_length_ratio) == (0.6, 0.65, 0.1)
    assert (limits.max_joint_angle_deg, limits.max_motion_2d_box_sides, limits.max_motion_pose) == (90.0, 0.5, 0.01)
    assert limits.max_shape_deviation_sigma == 2.0
    assert Ensemble().num_views == 8


def test_the_released_code_augments_otherwise_than_the_paper_says() -> None:
    paper, released = Augmentation(), Augmentation.released(max_rotation_deg=90.0)
    assert (paper.max_scale_change, paper.max_translation_box_sides, paper.max_rotation_deg) == (0.2, 0.1, 180.0)
    assert (paper.max_colour_change, paper.scale_distribution, paper.interpolation) == (0.1, "uniform", "linear")
    assert (released.max_colour_change, released.max_hue_change, released.max_blur_px) == (0.5, 0.15, 0.5)
    assert (released.scale_distribution, released.interpolation) == ("normal", "nearest")
    assert (released.max_scale_change, released.max_rotation_deg) == (0.2, 90.0)


def test_the_papers_limits_judge_nothing_the_paper_does_not() -> None:
    limits = PaperLimits()
    extras = [limits.max_spread_2d_box_sides, limits.max_spread_3d_m, limits.max_spread_rotation_deg]
    assert [*extras, limits.max_held_sample_score] == [None] * 4


def test_limits_tell_where_they_deviate_from_the_paper() -> None:
    assert PaperLimits().deviations() == {}
    assert PaperLimits(min_box_iou=None, max_motion_pose=0.01).deviations() == {"min_box_iou": None}


def test_the_choice_of_tip_sets_is_that_of_the_hand() -> None:
    assert set(get_args(Hand.model_fields["tip_set"].annotation)) == set(TIP_SETS)


def test_the_flat_hand_convention_has_no_default() -> None:
    with pytest.raises(ValidationError, match="flat_hand_mean"):
        Hand.model_validate({})


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"boxes_uri": "b.json"}, "box_format"),
        ({"box_format": "coco"}, "boxes_uri"),
        ({"hand_side": "boxes", "box_format": "something_else", "boxes_uri": "b.json"}, "hand_side"),
    ],
)
def test_boxes_their_format_and_the_side_must_fit(values: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Videos.model_validate({"uri": "v", **values})
    assert [error["ctx"]["field"] for error in raised.value.errors()] == [field]


@pytest.mark.parametrize("box_format", ["coco", "parquet"])
def test_boxes_that_tell_the_side_may_decide_it(box_format: str) -> None:
    videos = Videos.model_validate({"uri": "v", "hand_side": "boxes", "box_format": box_format, "boxes_uri": "b"})
    assert videos.hand_side == "boxes"


def test_without_boxes_who_finds_the_hands_may_tell_their_side() -> None:
    assert Videos.model_validate({"uri": "v", "hand_side": "boxes"}).hand_side == "boxes"


def test_a_video_is_cut_only_into_whole_shards() -> None:
    assert Sharding(target_frames=100, max_video_frames=100).max_video_frames == 100
    with pytest.raises(ValidationError, match="at least target_frames = 100, found 99"):
        Sharding(target_frames=100, max_video_frames=99)


def test_limits_come_from_the_paper_unless_a_file_is_named() -> None:
    required: dict[str, Any] = {
        "output_uri": "out",
        "videos": {"uri": "v"},
        "hand": {"flat_hand_mean": True},
        "teacher": {"predictor": "network"},
    }
    assert RunConfig.model_validate({**required, "limits": {"min_box_iou": 0.5}}).limits == PaperLimits(min_box_iou=0.5)
    limits = RunConfig.model_validate({**required, "limits": {"preset": "calibrated", "uri": "l.yaml"}}).limits
    assert limits == CalibratedLimits(preset="calibrated", uri="l.yaml")
    assert RunConfig(**{**required, "limits": limits}).limits is limits


def test_options_of_a_predictor_are_free_but_finite() -> None:
    options = {"layers": [1, {"deep": 0.5}], "fast": True}
    assert Teacher(predictor="p", options=options).options == options
    with pytest.raises(ValidationError, match="finite"):
        Teacher(predictor="p", options={"layers": [{"deep": float("nan")}]})


def test_an_annotated_set_is_one_whose_format_is_known() -> None:
    with pytest.raises(ValidationError, match="ho3d_v2"):
        AnnotatedSet.model_validate({"format": "ho3d", "uri": "d"})


@pytest.mark.parametrize(("rate_hz", "is_valid"), [(0.0, False), (0.1, True), (240.0, True), (240.1, False)])
def test_a_sample_rate_is_that_of_a_camera(rate_hz: float, is_valid: bool) -> None:
    if is_valid:
        assert Videos(uri="v", sample_rate_hz=rate_hz).sample_rate_hz == rate_hz
    else:
        with pytest.raises(ValidationError, match="sample_rate_hz"):
            Videos(uri="v", sample_rate_hz=rate_hz)


TRAINING: dict[str, Any] = {"annotated": {"format": "fpha", "uri": "d"}}


def test_a_network_is_named_by_its_preset_or_changed_from_it() -> None:
    assert Training.model_validate(TRAINING).network == network_preset("paper")
    assert Training.model_validate({**TRAINING, "network": "nano"}).network == network_preset("nano")
    changes = {"preset": "nano", "input_px": 96, "hand": {"joint_features": 8}}
    network = Training.model_validate({**TRAINING, "network": changes}).network
    assert (network.preset, network.input_px, network.hand.joint_features) == ("nano", 96, 8)
    assert network.hand.hourglass_channels == network_preset("nano").hand.hourglass_channels
    assert Training.model_validate({**TRAINING, "network": {"input_px": 96}}).network.preset == "paper"
    assert Training.model_validate({**TRAINING, "network": network}).network == network


@pytest.mark.parametrize("network", ["nanno", {"preset": "nanno"}])
def test_a_network_without_such_a_preset_is_refused(network: Any) -> None:
    with pytest.raises(ValidationError, match="expected one of paper, released, small, nano, landmark, found 'nanno'"):
        Training.model_validate({**TRAINING, "network": network})


def test_a_training_by_itself_has_no_key_that_a_run_has_not() -> None:
    assert set(TrainRun.model_fields) < set(RunConfig.model_fields)


def detected(**changes: Any) -> RunConfig:
    values = {
        "output_uri": "out",
        "videos": {"uri": "videos"},
        "hand": {"flat_hand_mean": True},
        "teacher": {"predictor": "network", "checkpoint_uri": "teacher.safetensors"},
        "detector": {"checkpoint_uri": "hands.pth"},
    }
    return RunConfig.model_validate(values | changes)


def test_a_detector_must_know_hands_and_their_sides_where_those_are_asked_for() -> None:
    assert detected().detector is not None
    sided = {"checkpoint_uri": "hands.pth", "classes": ["background", "left_hand", "right_hand"]}
    sides = {"uri": "videos", "hand_side": "boxes"}
    assert detected(detector=sided, videos=sides).detector is not None
    with pytest.raises(ValidationError, match="as the detector's class hand tells no side"):
        detected(videos=sides)
    with pytest.raises(ValidationError, match="expected one of hand, left_hand, right_hand after the background"):
        detected(detector={"checkpoint_uri": "hands.pth", "classes": ["hand", "cup"]})
    with pytest.raises(ValidationError, match="expected null where boxes are given, found a detector"):
        detected(videos={"uri": "videos", "boxes_uri": "boxes.json", "box_format": "coco"})
