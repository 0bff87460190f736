"""The messages people meet: each is provoked on a real text and compared word by word where it matters."""

import pytest

from hoiray.config.document import parse_document
from hoiray.config.load import parse_cluster, parse_run
from hoiray.config.problems import did_you_mean, list_problems, show_value
from hoiray.config.what import RunConfig
from hoiray.errors import ConfigError

RUN = """\
output_uri: out
videos: {uri: v}
hand: {flat_hand_mean: true}
teacher: {predictor: network}
"""
CLUSTER = "head: {num_cpus: 4, memory_gib: 16}\n"


def message_of(text: str, *overrides: str, source: str = "jobs/label.yaml") -> str:
    with pytest.raises(ConfigError) as raised:
        parse_run(RUN + text, overrides, source=source)
    return str(raised.value)


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    message = message_of("limts: {}\n")
    assert message == "jobs/label.yaml:5: unknown key 'limts' in run; did you mean 'limits'?"


def test_a_misspelt_key_further_down_is_answered_too() -> None:
    message = message_of("ensemble:\n  num_view: 4\n")
    assert message == "jobs/label.yaml:6: unknown key 'num_view' in ensemble; did you mean 'num_views'?"


def test_a_key_like_no_other_is_answered_with_all_there_are() -> None:
    message = message_of("sharding: {zzz: 1}\n")
    expected = "unknown key 'zzz' in sharding; known keys: max_video_frames, target_frames"
    assert message == f"jobs/label.yaml:5: {expected}"


def test_a_misspelt_limit_is_found_behind_the_choice_of_presets() -> None:
    message = message_of("limits:\n  min_box_iuo: 0.5\n")
    assert message == "jobs/label.yaml:6: unknown key 'min_box_iuo' in limits; did you mean 'min_box_iou'?"


def test_a_key_of_another_preset_is_told_apart_from_a_misspelt_one() -> None:
    message = message_of("limits:\n  preset: paper\n  uri: limits.json\n")
    expected = "key 'uri' in limits goes with the preset calibrated only; take it out, or choose that preset"
    assert message == f"jobs/label.yaml:7: {expected}"


def test_a_misspelt_key_in_a_named_group_is_answered() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_cluster(CLUSTER + "workers:\n  gpu:\n    num_gpu: 1\n", source="c.yaml")
    assert "c.yaml:4: unknown key 'num_gpu' in workers.gpu; did you mean 'num_gpus'?" in str(raised.value)
    assert "c.yaml:3: workers.gpu.num_cpus: expected a value, found nothing. CPUs that Ray may use" in str(raised.value)


def test_a_negative_limit_is_named_with_its_range_and_meaning() -> None:
    assert message_of("limits:\n  max_motion_pose: -0.01\n") == (
        "jobs/label.yaml:6: limits.max_motion_pose: expected a number >= 0.0, found -0.01."
        " Largest change of the pose since the frame before, in the unit of motion_pose_reading."
    )


def test_an_unknown_choice_is_answered_with_the_nearest() -> None:
    assert (
        message_of("hand: 1\n", "hand={flat_hand_mean: true, tip_set: ho3d_viewr}")
        .splitlines()[-1]
        .endswith(
            "hand.tip_set: expected one of 'ho3d', 'ho3d_viewer', 'manopth', 'freihand', 'kypt' or 'smplx',"
            " found 'ho3d_viewr'; did you mean 'ho3d_viewer'?"
            " Which vertices are the finger tips. The published sets differ by up to 2 cm."
        )
    )


def test_an_unknown_preset_is_answered_at_its_own_line() -> None:
    assert message_of("limits:\n  min_box_iou: 0.5\n  preset: papper\n") == (
        "jobs/label.yaml:7: limits.preset: expected one of 'paper', 'calibrated', found 'papper';"
        " did you mean 'paper'? paper: these numbers; calibrated: numbers from a file."
    )


@pytest.mark.parametrize(
    ("preset", "found"),
    [
        ("null", "null (nothing)"),
        ("", "null (nothing)"),
        ("[paper]", "a list"),
        ("{a: 1}", "a mapping"),
        ("5", "5"),
        ("true", "true"),
    ],
)
def test_a_preset_that_is_no_name_is_shown_as_it_is_written(preset: str, found: str) -> None:
    assert message_of(f"limits:\n  preset: {preset}\n") == (
        f"jobs/label.yaml:6: limits.preset: expected one of 'paper', 'calibrated', found {found}."
        " paper: these numbers; calibrated: numbers from a file."
    )


def test_pydantics_own_words_are_never_shown() -> None:
    details = {"type": "never_met_before", "loc": ("seed",), "msg": "Internal _name()", "input": 3}

    class Stub:
        def errors(self, *, include_url: bool) -> list[dict[str, object]]:
            return [details]

    document = parse_document("seed: 3", "r.yaml")
    (problem,) = list_problems(Stub(), document, RunConfig, "run")  # type: ignore[arg-type]  # one error, by hand
    assert str(problem).startswith("r.yaml:1: seed: expected a value that the field can take, found 3. Seed of")


def test_a_lone_surrogate_is_no_text() -> None:
    message = message_of("", 'name="\\ud800"')
    assert "name: expected text without lone surrogates, found '\\ud800'." in message


def test_long_keys_and_paths_are_cut() -> None:
    assert len(message_of(f"{'k' * 5000}: 1\n", source="r.yaml")) < 300
    assert len(message_of(f"teacher: {{predictor: p, options: {{{'-' * 5000}: 1}}}}\n", source="r.yaml")) < 500


def test_a_missing_key_is_placed_at_its_mapping() -> None:
    message = message_of("limits:\n  preset: calibrated\n")
    assert message.startswith("jobs/label.yaml:5: limits.uri: expected a value, found nothing. The limits file;")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ensemble: {num_views: many}", "ensemble.num_views: expected a whole number, found 'many'."),
        ("ensemble: {num_views: '8'}", "ensemble.num_views: expected a whole number, found '8'."),
        ("ensemble: {num_views: 8.0}", "ensemble.num_views: expected a whole number, found 8.0."),
        ("ensemble: {num_views: true}", "ensemble.num_views: expected a whole number, found true."),
        ("ensemble: {num_views: 0}", "ensemble.num_views: expected a number >= 1, found 0."),
        ("ensemble: {num_views: 65}", "ensemble.num_views: expected a number <= 64, found 65."),
        ("ensemble: {max_scale_change: 1}", "ensemble.max_scale_change: expected a number < 1.0, found 1."),
        ("limits: {max_joint_angle_deg: 0}", "limits.max_joint_angle_deg: expected a number > 0.0, found 0."),
        ("limits: {min_box_iou: []}", "limits.min_box_iou: expected a number, found a list."),
        ("limits: {predecessor_must_pass_spatial: yes}", "expected true or false, found 'yes'."),
        ("ensemble:", "ensemble: expected a mapping of keys, found null (nothing)."),
        ("limits: [1]", "limits: expected a mapping of keys, found a list."),
        ("name: 12", "name: expected text, found 12; put it in quotes."),
        ("name: a b", "name: expected text that matches ^[A-Za-z0-9]"),
        ("calibration: {annotated: {format: fpha, uri: d, split: ''}}", "expected text of at least 1 character"),
        ("training: {network: {input_px: 100}, annotated: {format: fpha, uri: d}}", "a multiple of 32, found 100."),
        ("sharding: {target_frames: 9, max_video_frames: 8}", "expected at least target_frames = 9, found 8."),
    ],
)
def test_a_wrong_value_is_told_what_was_expected_and_found(text: str, expected: str) -> None:
    message = message_of(text)
    assert message.startswith("jobs/label.yaml:5: ")
    assert expected in message


def test_a_rule_between_fields_points_at_the_field_to_change() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_cluster(CLUSTER + "pools:\n  predict:\n    max: 2\n    min: 3\n", source="c.yaml")
    assert str(raised.value) == (
        "c.yaml:4: pools.predict.max: expected at least min = 3, found 2."
        " Actors at most. A pool of one hangs the run when its actor dies."
    )


def test_options_are_passed_on_but_their_names_are_names() -> None:
    message = message_of("", "teacher.options={a-b: 1}")
    assert "teacher.options.a-b: expected text that matches" in message


def test_every_problem_of_a_file_is_told_at_once_in_the_order_of_its_lines() -> None:
    text = "ensemble: {num_views: 0}\nlimts: 1\nlimits:\n  min_box_iou: 2\n  min_box_iou: 0\nseed: -1\n"
    lines = message_of(text, "name=").splitlines()
    assert lines[0] == "6 problems with jobs/label.yaml:"
    assert [line.strip().split(": ")[0] for line in lines[1:]] == [
        "jobs/label.yaml:5",
        "jobs/label.yaml:6",
        "jobs/label.yaml:8",
        "jobs/label.yaml:9",
        "jobs/label.yaml:10",
        "--set name=",
    ]


def test_values_are_shown_as_they_are_written() -> None:
    shown = [show_value(value) for value in (None, True, 1.5, "a", {}, [])]
    assert shown == ["null (nothing)", "true", "1.5", "'a'", "a mapping", "a list"]
    assert show_value("x" * 100) == f"'{'x' * 59}..."


def test_a_word_unlike_all_others_gets_no_suggestion() -> None:
    assert did_you_mean("limts", ["limits", "name"]) == "limits"
    assert did_you_mean("zzz", ["limits", "name"]) is None
