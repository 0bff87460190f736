from pathlib import Path

import pytest

from hoiray.benchmarks.control_run import CLUSTER, TINY, write_videos
from hoiray.benchmarks.pipeline import RUN, Labelled, Pair, count_bytes, rows_of, steady_rate
from hoiray.config.load import parse_cluster, parse_run


def test_the_steady_rate_leaves_the_first_shards_of_every_predictor_out_and_the_end() -> None:
    assert steady_rate([50.0, 51.0, 53.0, 55.0], 1) == pytest.approx(0.5)
    # two that take turns: two shards every two seconds
    steady = [9.0, 10.0, 11.0, 12.0, 13.0, 14.0]
    assert steady_rate([1.0, 2.0, *steady], 2) == pytest.approx(1.0)
    # the last shard was done alone, and slowly
    assert steady_rate([1.0, 2.0, *steady[:-1], 19.0], 2) == pytest.approx(1.0)


def test_start_and_end_are_what_the_frames_did_not_take_and_weigh_less_in_a_longer_job() -> None:
    labelled = Labelled(num_frames=200, wall_s=50.0, steady_frames_per_s=10.0, beside_cpus=0.2)
    assert labelled.around_s == pytest.approx(30.0)
    assert labelled.job_frames_per_s == pytest.approx(9.5)


def test_rows_are_ratios_pair_by_pair() -> None:
    pairs = [Pair(Labelled(200, 50.0, rate, 0.2), 10.0) for rate in (9.0, 10.0, 8.0)]
    steady, job = rows_of(2, pairs)
    assert (steady.key, job.key) == ("pipeline_2", "pipeline_2_job")
    assert (steady.figure.minimum, steady.figure.median, steady.figure.maximum) == pytest.approx((0.8, 0.9, 1.0))
    assert job.figure.median < steady.figure.median
    assert "0.20 CPUs" in steady.note


def test_the_files_of_the_run_are_valid() -> None:
    run = parse_run(RUN.format(folder="f", target_frames=96, checkpoint="c", views=8))
    assert run.ensemble.num_views == 8
    cluster = parse_cluster(CLUSTER.format(count=1, batch_size=8))
    assert cluster.pools.predict.max == 1


def test_bytes_are_counted_of_a_labelled_shard(tmp_path: Path) -> None:
    write_videos(tmp_path, 2, 4, TINY)
    text = RUN.format(folder=tmp_path, target_frames=8, checkpoint="c", views=1)
    free = "teacher: {predictor: hoiray.benchmarks.free_predictor.make}"
    (tmp_path / "run.yaml").write_text(text.replace('teacher: {predictor: network, checkpoint_uri: "c"}', free))
    through, stored = count_bytes(tmp_path)
    assert through.figure.median > 500.0
    assert stored.figure.median > 100.0
