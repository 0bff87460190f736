import pytest

from hoiray.config.halves import HALVES, half_of_key, half_of_keys, override_origin, route_overrides, split_override


def test_every_key_belongs_to_one_half() -> None:
    for half, model in HALVES.items():
        assert {half_of_key(key) for key in model.model_fields} == {half}
    assert half_of_key("pols") is None


@pytest.mark.parametrize(
    ("keys", "half"),
    [
        (["output_uri", "videos"], "run"),
        (["head"], "cluster"),
        (["head", "pools", "seed"], "cluster"),
        (["head", "seed"], None),
        (["pols"], None),
        ([], None),
    ],
)
def test_a_file_is_the_half_that_knows_more_of_its_keys(keys: list[str], half: str | None) -> None:
    assert half_of_keys(keys) == half


def test_each_override_goes_to_the_half_that_has_its_key_in_order() -> None:
    routed = route_overrides(["pools.judge.max=2", "seed=1", "pools.judge.max=3", "limits={min_box_iou: null}"])
    assert routed.run == ("seed=1", "limits={min_box_iou: null}")
    assert routed.cluster == ("pools.judge.max=2", "pools.judge.max=3")
    assert routed.problems == ()


def test_a_key_that_neither_half_has_is_a_problem_that_names_both() -> None:
    routed = route_overrides(["pols.judge.max=2", "limts.x=1"])
    assert (routed.run, routed.cluster) == ((), ())
    assert routed.problems == (
        "--set pols.judge.max=2: unknown key 'pols' in run and cluster; did you mean 'pools' (cluster)?",
        "--set limts.x=1: unknown key 'limts' in run and cluster; did you mean 'limits' (run)?",
    )
    (problem,) = route_overrides(["zzz=1"]).problems
    assert "known keys of run: calibration, detector, ensemble," in problem
    assert "; cluster: head, pools," in problem


@pytest.mark.parametrize("override", ["", "seed", "=1", ".=1", "a..b=1", "a b=1"])
def test_what_is_no_assignment_goes_to_the_run_whose_reader_says_so(override: str) -> None:
    assert split_override(override) is None
    assert route_overrides([override]).run == (override,)


def test_an_assignment_is_split_at_its_first_equals_sign() -> None:
    assert split_override("videos.uri=s3://b/date=1") == (("videos", "uri"), "s3://b/date=1")


def test_a_long_override_is_named_by_its_beginning() -> None:
    assert override_origin("seed=1") == "--set seed=1"
    assert len(override_origin("name=" + "[" * 5000)) < 100
