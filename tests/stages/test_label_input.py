from pathlib import Path

import pytest
from run_folders import JUDGE_ID, PREDICT_ID, commit, plan_of, videos

from hoiray.datasets.label_rows import read_label_rows, read_videos
from hoiray.errors import ConfigError, InputError
from hoiray.io.store import Store
from hoiray.stages.label_input import open_label_run
from hoiray.stages.plan import Plan

RUN = """
output_uri: out
videos: {uri: "s3://bucket", boxes_uri: b, box_format: parquet, hand_side: boxes}
hand: {flat_hand_mean: true, tip_set: freihand}
teacher: {predictor: network, checkpoint_uri: t}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "labels" / "run")
    store.write("run.yaml", RUN.encode())
    return store


def plan_here(store: Store) -> Plan:
    return plan_of(store.below("plan"), videos(12), sample_rate_hz=12.0)


def test_the_labels_of_a_finished_run_are_fixed_as_a_snapshot(store: Store) -> None:
    plan = plan_here(store)
    for entry in plan.shards():
        commit(store, plan, entry, judged=True)
    run = open_label_run(store.uri)
    assert (run.judge_id, run.predict_id, run.plan_id) == (JUDGE_ID, PREDICT_ID, plan.plan_id)
    assert (run.num_rows, run.num_accepted, len(run.files)) == (24, 24, 3)
    assert (run.sample_rate_hz, run.hand.tip_set) == (12.0, "freihand")
    assert run.uri == store.url(f"snapshots/{run.snapshot_id}.json")
    for place in (run.uri, run.uri.removesuffix(".json"), store.url(f"labels/{JUDGE_ID}"), f"{store.uri}/"):
        assert open_label_run(place) == run
    rows = read_label_rows(run, "accepted")
    found = read_videos(run, rows["video_id"])
    assert sorted(found) == sorted(set(rows["video_id"].to_pylist())) == [f"v{index:04d}.mp4" for index in range(12)]
    assert found["v0003.mp4"].uri == "s3://bucket/v0003.mp4"
    assert (found["v0003.mp4"].size_bytes, found["v0003.mp4"].etag) == (25_000, "e0")


def test_a_run_that_has_not_finished_is_refused_unless_that_is_allowed(store: Store) -> None:
    plan = plan_here(store)
    first, *_ = plan.shards()
    commit(store, plan, first, judged=True)
    with pytest.raises(InputError, match="expected all 3 shards committed, found 2 that are not"):
        open_label_run(store.uri)
    assert len(open_label_run(store.uri, allow_partial=True).files) == 1


def test_labels_of_several_judgements_must_be_told_apart(store: Store) -> None:
    plan = plan_here(store)
    for judge_id in (JUDGE_ID, "k" * 32):
        for entry in plan.shards():
            commit(store, plan, entry, judged=True, judge_id=judge_id)
    with pytest.raises(ConfigError, match=r"expected labels of one judgement, found j+, k+\. Say which: .*/labels/ID"):
        open_label_run(store.uri)
    assert open_label_run(store.url(f"labels/{'k' * 32}")).judge_id == "k" * 32


def test_a_place_without_labels_is_refused(store: Store) -> None:
    with pytest.raises(
        ConfigError, match=r"expected a run with labels, found none\. Name the folder that hoiray label"
    ):
        open_label_run(store.uri)
