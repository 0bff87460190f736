from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.config.load import dump, fingerprint, load_cluster, load_run, parse_cluster, parse_run
from hoiray.config.network import NETWORK_PRESETS
from hoiray.config.what import (
    AnnotatedSet,
    CalibratedLimits,
    Calibration,
    Ensemble,
    Hand,
    PaperLimits,
    RunConfig,
    Teacher,
    Training,
    Videos,
)

ROOT = Path(__file__).parents[2]

finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)
fractions = st.floats(min_value=0.0, max_value=1.0)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
uris = st.builds(
    lambda start, rest: f"{start}{rest}x", st.sampled_from("s/é#-&*!'\"{[0~%@`"), texts.filter(lambda t: "\n" not in t)
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | finite | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=6,
)
options = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True), json_values, max_size=3)
annotated = st.builds(AnnotatedSet, format=st.sampled_from(["ho3d_v3", "fpha"]), uri=uris, split=texts.filter(bool))
limits = st.builds(
    PaperLimits,
    min_box_iou=st.none() | fractions,
    max_motion_pose=st.none() | st.floats(min_value=0.0, allow_infinity=False),
    motion_pose_reading=st.sampled_from(["geodesic_mean_square", "axis_angle_l2"]),
    predecessor_must_pass_spatial=st.booleans(),
) | st.builds(CalibratedLimits, preset=st.just("calibrated"), uri=uris)
runs = st.builds(
    RunConfig,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True),
    output_uri=uris,
    seed=st.integers(0, 2**63 - 1),
    videos=st.builds(Videos, uri=uris, sample_rate_hz=st.none() | st.floats(1e-300, 240.0)),
    hand=st.builds(Hand, flat_hand_mean=st.booleans(), model_uri=st.none() | uris),
    teacher=st.builds(Teacher, predictor=st.just("p"), options=options),
    ensemble=st.builds(Ensemble, num_views=st.integers(1, 64), max_rotation_deg=st.floats(0.0, 180.0)),
    limits=limits,
    calibration=st.none() | st.builds(Calibration, annotated=annotated, max_error_m=positive),
    training=st.none()
    | st.builds(
        Training,
        annotated=annotated,
        also_annotated=st.lists(annotated, max_size=2),
        pseudo_label_fraction=st.none() | fractions,
        network=st.sampled_from(list(NETWORK_PRESETS.values())),
    ),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(runs)
def test_what_is_written_reads_back_equal(run: RunConfig) -> None:
    again = parse_run(dump(run))
    assert again == run
    assert fingerprint(again) == fingerprint(run)


def test_the_examples_read_back_equal() -> None:
    run = load_run(ROOT / "jobs/label.yaml")
    assert parse_run(dump(run)) == run
    cluster = load_cluster(ROOT / "cluster/gpu-spot.yaml")
    assert parse_cluster(dump(cluster)) == cluster


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e-4, "{a: 0.0001}"),
        (1e-7, "{a: 1e-07}"),
        (-0.0, "{a: -0.0}"),
        (True, "{a: true}"),
        (None, "{a: null}"),
        ("true", '{a: "true"}'),
        ("8", '{a: "8"}'),
        ("no", "{a: no}"),
        ("a: b", '{a: "a: b"}'),
        ([1, "x y"], '{a: [1, "x y"]}'),
    ],
)
def test_values_are_written_as_yaml_reads_them(value: Any, written: str) -> None:
    text = dump(Teacher(predictor="p", options={"k": {"a": value}}))
    assert f"  k:\n    {written[1:-1]}\n" in text


def test_every_field_is_written_below_its_meaning() -> None:
    text = dump(Videos(uri="s3://bucket/videos"))
    assert text.startswith(
        "# Folder, glob or list file (.txt, one URI a line) of the videos; local or s3://.\nuri: s3://b"
    )
    assert max(map(len, text.splitlines())) <= 110
