import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hoiray.config.base import Config
from hoiray.config.fingerprint import fingerprint
from hoiray.config.load import parse_cluster, parse_run
from hoiray.config.what import Augmentation, Cascade, Ensemble, Hand, PaperLimits, RunConfig, Teacher
from hoiray.errors import ContractError

REQUIRED = "output_uri: out\nvideos: {uri: v}\nhand: {flat_hand_mean: true}\nteacher: {predictor: network}\n"
EVERYTHING = """\
output_uri: out
videos: {uri: v, boxes_uri: b, box_format: coco}
hand: {flat_hand_mean: true}
teacher: {predictor: network, options: {width: 2, depth: 4}}
calibration: {annotated: {format: dexycb, uri: d}}
training: {annotated: {format: ho3d_v2, uri: h}, network: {hand: {joint_features: 4, predicts_depth: true}}}
self_training: {audit: {uri: a}}
"""
CALIBRATED = EVERYTHING + "limits: {preset: calibrated, uri: l.yaml}\n"
DETECTED = REQUIRED + "detector: {checkpoint_uri: d.pt}\n"


def leaves(config: Config, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config:
        path = f"{above}{name}"
        if isinstance(value, Config):
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


OTHERS: list[Any] = [
    "right",
    "other",
    {"depth": 5},
    [{"format": "fpha", "uri": "d"}],
    (8, 8, 8, 8),
    0.25,
    64,
    33,
    20_000,
]
"""Values to try where the field's type tells none; the first that is valid and different is taken."""
OTHERS += [5000, 16, 2, 1.25, "nano", {"probe_views": 3}, ["background", "hand", "cup"]]


def choices(run: Config, path: str) -> list[Any]:
    """What the type of the field at a path allows by name."""
    *above, last = path.split(".")
    owner: Any = run
    for name in above:
        owner = getattr(owner, name)
    if not isinstance(owner, Config):
        return []
    pending, found = [type(owner).model_fields[last].annotation], []
    while pending:
        annotation: Any = pending.pop()
        found += get_args(annotation) if get_origin(annotation) is Literal else []
        pending += [part for part in get_args(annotation) if get_origin(annotation) is not Literal]
    return found


def another(run: RunConfig, path: str, value: Any) -> RunConfig:
    """The run with another valid value at a path."""
    *above, last = path.split(".")
    kind = next((base for base in (dict, list, tuple) if isinstance(value, base)), type(value))
    for other in [not value, *choices(run, path), *OTHERS]:
        if type(other) is not kind and value is not None:
            continue
        values = run.model_dump()
        section = values
        for name in above:
            section = section[name]
        section[last] = other
        try:
            changed = RunConfig.model_validate(values)
        except ValidationError:
            continue
        if changed != run:
            return changed
    raise AssertionError(f"no other value is known for {path} = {value!r}; add one to the list")


PATHS = [(text, path) for text in (EVERYTHING, CALIBRATED, DETECTED) for path, _ in leaves(parse_run(text))]
CHANGEABLE = [
    (text, path)
    for text, path in PATHS
    if path not in ("limits.preset", "videos.box_format", "detector", "detector.kind")
    and path.startswith({EVERYTHING: "", CALIBRATED: "limits", DETECTED: "detector"}[text])
]
UNHASHED = {"name", "output_uri", "training.network.preset"}


@pytest.mark.parametrize(("text", "path"), CHANGEABLE)
def test_each_field_but_the_name_and_the_place_decides_the_fingerprint(text: str, path: str) -> None:
    run = parse_run(text)
    changed = another(run, path, dict(leaves(run))[path])
    assert (fingerprint(changed) != fingerprint(run)) == (path not in UNHASHED)


def test_a_cascade_changes_the_ensembles_fingerprint_and_none_leaves_it_as_it_was_before_there_were_any() -> None:
    # of labels that exist: computed when an ensemble had no such field
    assert fingerprint(Ensemble()) == "e0325e6ebe9c057b5f81a1955e2fe387dd73196183493c84215bf2a12ff86660"
    assert len({fingerprint(Ensemble(cascade=it)) for it in (None, Cascade(), Cascade(probe_views=3))}) == 3


def test_the_choice_of_preset_of_box_format_and_of_a_detector_decides_the_fingerprint() -> None:
    runs = [parse_run(EVERYTHING), parse_run(CALIBRATED), parse_run(EVERYTHING, ["videos.box_format=parquet"])]
    runs += [parse_run(REQUIRED), parse_run(DETECTED)]
    assert len({fingerprint(run) for run in runs}) == 5


def test_the_fingerprint_is_the_sha_256_of_canonical_json() -> None:
    canonical = b'Hand\n{"flat_hand_mean":true,"model_uri":"h\\u00e9","tip_set":"ho3d"}'
    assert fingerprint(Hand(flat_hand_mean=True, model_uri="hé")) == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_the_fingerprint_does_not_depend_on_the_process(hash_seed: str) -> None:
    code = f"from hoiray.config.load import *; print(fingerprint(parse_run({EVERYTHING!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == fingerprint(parse_run(EVERYTHING))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    run = parse_run(EVERYTHING)
    assert fingerprint(RunConfig.model_validate(shuffled(run.model_dump()))) == fingerprint(run)


def test_writing_a_default_down_does_not_matter() -> None:
    assert fingerprint(parse_run(REQUIRED + "ensemble: {num_views: 8}")) == fingerprint(parse_run(REQUIRED))


def test_a_whole_number_and_a_float_are_the_same_limit() -> None:
    assert fingerprint(PaperLimits.model_validate({"max_spread_3d_m": 1})) == fingerprint(
        PaperLimits(max_spread_3d_m=1.0)
    )
    assert fingerprint(PaperLimits(max_spread_3d_m=-0.0)) == fingerprint(PaperLimits(max_spread_3d_m=0.0))


def test_the_last_bit_of_a_limit_matters() -> None:
    assert fingerprint(PaperLimits(min_box_iou=0.1 + 0.2)) != fingerprint(PaperLimits(min_box_iou=0.3))


def test_the_type_of_an_option_matters() -> None:
    prints = {fingerprint(Teacher(predictor="p", options={"a": value})) for value in (1, 1.0, True, "1", None, [1])}
    assert len(prints) == 6


def test_parts_of_a_run_have_their_own_fingerprints() -> None:
    run = parse_run(EVERYTHING)
    relimited = parse_run(EVERYTHING, ["limits.min_box_iou=0.5", "name=again"])
    assert fingerprint(relimited.ensemble) == fingerprint(run.ensemble)
    assert fingerprint(relimited.limits) != fingerprint(run.limits)


def test_two_parts_with_the_same_fields_are_told_apart() -> None:
    class Twin(Augmentation):
        pass

    assert fingerprint(Twin()) != fingerprint(Augmentation())
    assert fingerprint(Ensemble()) != fingerprint(Augmentation())


def test_the_where_half_has_no_fingerprint() -> None:
    cluster = parse_cluster("head: {num_cpus: 1, memory_gib: 1}")
    with pytest.raises(ContractError, match="expected a part of the what half, found ClusterConfig"):
        fingerprint(cluster)


def test_no_field_of_the_where_half_is_part_of_a_run() -> None:
    cluster = parse_cluster("head: {num_cpus: 1, memory_gib: 1}")
    assert set(type(cluster).model_fields) & set(RunConfig.model_fields) == set()
