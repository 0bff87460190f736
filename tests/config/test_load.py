import subprocess
import sys
from pathlib import Path

import pytest

from hoiray.config.lint import lint_cluster
from hoiray.config.load import (
    load_cluster,
    load_either,
    load_run,
    load_training,
    parse_cluster,
    parse_run,
    parse_training,
)
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]
RUN = "output_uri: out\nvideos: {uri: v}\nhand: {flat_hand_mean: true}\nteacher: {predictor: network}\n"


def test_the_example_run_file_is_sound() -> None:
    run = load_run(ROOT / "jobs/label.yaml")
    assert run.limits == PaperLimits()
    assert run.ensemble.num_views == 8


@pytest.mark.parametrize("name", ["laptop", "gpu-spot", "million"])
def test_the_example_cluster_files_are_sound(name: str) -> None:
    assert lint_cluster(load_cluster(ROOT / f"cluster/{name}.yaml")) == []


def test_an_override_changes_one_field_and_keeps_its_neighbours() -> None:
    text = RUN + "ensemble: {num_views: 4, seed: 3}\n"
    run = parse_run(text, ["ensemble.num_views=2", "limits.min_box_iou=null"])
    assert (run.ensemble.num_views, run.ensemble.seed) == (2, 3)
    assert run.limits == PaperLimits(min_box_iou=None)


def test_the_last_override_wins() -> None:
    assert parse_run(RUN, ["seed=1", "seed=2"]).seed == 2


def test_an_override_may_open_a_section_that_the_file_leaves_out_or_empty() -> None:
    assert parse_cluster("head: {num_cpus: 1, memory_gib: 1}", ["pools.judge.max=7"]).pools.judge.max == 7
    run = parse_run(RUN + "calibration:\n", ["calibration.annotated={format: fpha, uri: d}"])
    assert run.calibration is not None


def test_the_value_of_an_override_may_hold_an_equals_sign() -> None:
    assert parse_run(RUN, ["videos.uri=s3://b/date=2024"]).videos.uri == "s3://b/date=2024"


def test_an_override_replaces_the_origin_of_all_below_it() -> None:
    with pytest.raises(ConfigError, match=r"^--set hand=\{flat_hand_mean: 3\}: hand.flat_hand_mean: expected true or"):
        parse_run(RUN, ["hand={flat_hand_mean: 3}"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected KEY=VALUE with a dotted key"),
        ("=1", "expected KEY=VALUE with a dotted key"),
        ("a..b=1", "expected KEY=VALUE with a dotted key"),
        ("seed.x=1", "seed: expected a whole number, found a mapping"),
        ("videos.uri.x=1", "videos.uri holds a value, not a mapping, so 'videos.uri.x' is no key"),
        ("name=[", "expected a YAML value after '=', found '['"),
        ("limts.min_box_iou=1", "unknown key 'limts' in run; did you mean 'limits'?"),
        ("limits.min_box_iou=-1", "limits.min_box_iou: expected a number >= 0.0, found -1."),
        ("seed=.nan", "expected a finite number, true, false, null or text, found '.nan' as 'float'"),
    ],
)
def test_an_override_that_cannot_be_followed_is_named(override: str, message: str) -> None:

    with pytest.raises(ConfigError) as raised:
        parse_run(RUN, [override])
    assert str(raised.value).startswith(f"--set {override}: {message}")


@pytest.mark.parametrize(
    "override",
    [f"teacher.options.a={'[' * 600}{']' * 600}", f"name={'[' * 5000}", f"name={'x' * 5000}", f"seed.{'x' * 5000}=1"],
)
def test_a_long_override_is_cut_in_every_message(override: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_run(RUN, [override])
    assert str(raised.value).startswith(f"--set {override[:80]}...: ")
    assert len(str(raised.value)) < 500


def test_an_override_of_the_other_half_is_told_where_it_belongs() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_run(RUN, ["pools.predict.max=4"], source="r.yaml")
    assert str(raised.value) == (
        "--set pools.predict.max=4: 'pools' is a key of the cluster file, but r.yaml is a run file"
    )


def test_files_that_were_mixed_up_are_told_in_one_line() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_run("head: {num_cpus: 1, memory_gib: 1}\npools: {}\n", source="c.yaml")
    assert str(raised.value) == (
        "c.yaml:1: expected a run file, found a cluster file (its keys: head, pools); pass it behind --cluster"
    )
    with pytest.raises(ConfigError, match=r"^r\.yaml:1: expected a cluster file, found a run file .*as the run file$"):
        parse_cluster(RUN, source="r.yaml")
    # a key of its own half makes it a run file with a mistake
    with pytest.raises(ConfigError, match="unknown key 'head' in run"):
        parse_run("seed: 1\nhead: 3\npools: 3\n")


def test_either_half_is_read_by_its_keys(tmp_path: Path) -> None:
    run = load_either(ROOT / "jobs/label.yaml", ["seed=3"])
    assert run == load_run(ROOT / "jobs/label.yaml", ["seed=3"])
    cluster = load_either(ROOT / "cluster/laptop.yaml", ["pools.judge.max=7"])
    assert cluster == load_cluster(ROOT / "cluster/laptop.yaml", ["pools.judge.max=7"])
    neither = tmp_path / "n.yaml"
    neither.write_text("a: 1\nb: 2\n")
    with pytest.raises(ConfigError, match=r"n\.yaml:1: expected a run file .* or a cluster file .* the keys a, b;"):
        load_either(neither)


def test_a_file_that_cannot_be_read_comes_with_advice(tmp_path: Path) -> None:
    (tmp_path / "label.yaml").write_text(RUN)
    with pytest.raises(ConfigError, match=r"found: No such file or directory; did you mean .*/label\.yaml\?$"):
        load_run(tmp_path / "lable.yaml")
    with pytest.raises(ConfigError, match=r"found: No such file or directory; check the path"):
        load_run(tmp_path / "nope.yaml")
    with pytest.raises(ConfigError, match=r"found: No such file or directory; check the path"):
        load_run(tmp_path / "no" / "label.yaml")
    with pytest.raises(ConfigError, match=r"found: Is a directory; name a file in it \(label\.yaml\)$"):
        load_run(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"found: Is a directory; name a file$"):
        load_run(tmp_path / "empty")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: expected a readable configuration file, found: No such file"):
        load_run(tmp_path / "no.yaml")


def test_a_folder_is_no_configuration_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a readable configuration file, found: Is a directory"):
        load_cluster(tmp_path)


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nname: Liège".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: expected text in UTF-8, found byte 0xe8; save the file"):
        load_run(path)


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RUN.replace("\n", "\r\n").encode())
    assert load_run(path) == parse_run(RUN)


def test_a_file_without_what_is_required_is_told_all_of_it() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_run("seed: 1", source="r.yaml")
    assert [line.split(":")[2].strip() for line in str(raised.value).splitlines()[1:]] == [
        "output_uri",
        "videos",
        "hand",
        "teacher",
    ]


def test_reading_configurations_needs_no_heavy_library() -> None:
    code = "import sys, hoiray.config.load, hoiray.config.lint; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "hoiray.config.load" in modules
    assert {"torch", "ray", "numpy", "pyarrow", "cv2", "numba", "scipy"} & set(modules) == set()


TRAINING = "output_uri: out\nseed: 3\ntraining: {annotated: {format: fpha, uri: d}, epochs: 5}\n"


def test_a_training_is_read_from_a_file_of_its_own_or_from_a_run_file() -> None:
    alone = parse_training(TRAINING, ["training.network.input_px=96"])
    assert (alone.seed, alone.training.epochs, alone.training.network.input_px) == (3, 5, 96)
    inside = parse_training(RUN + "seed: 3\ntraining: {annotated: {format: fpha, uri: d}, epochs: 5}\n")
    assert inside.training == parse_training(TRAINING).training
    assert load_training(ROOT / "jobs/label.yaml").training == load_run(ROOT / "jobs/label.yaml").training


def test_a_run_file_that_trains_nothing_is_refused_as_a_training() -> None:
    with pytest.raises(ConfigError, match=r"^r\.yaml:1: expected a section 'training', found none"):
        parse_training(RUN, source="r.yaml")


def test_a_wrong_network_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^t\.yaml:3: training\.network\.preset: expected one of paper, .*'nanno'"):
        parse_training(TRAINING.replace("epochs: 5", "network: {preset: nanno}"), source="t.yaml")
    with pytest.raises(ConfigError, match=r"training\.network: unknown key 'inputpx' .*; did you mean 'input_px'\?|"
                       r"unknown key 'inputpx' in training\.network; did you mean 'input_px'\?"):  # fmt: skip
        parse_training(TRAINING.replace("epochs: 5", "network: {preset: nano, inputpx: 3}"))


def test_a_mistake_inside_a_list_is_told_with_the_keys_that_are_known_there() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'url' in training\.also_annotated\.0; did you mean 'uri'\?"):
        parse_training(TRAINING.replace("epochs: 5", "also_annotated: [{format: fpha, uri: d, url: e}]"))
