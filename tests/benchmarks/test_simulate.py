import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hoiray.benchmarks.simulate import constants_of, driver_s_of, on_gpu, read_clusters, run
from hoiray.benchmarks.simulate_model import Constants
from hoiray.benchmarks.simulate_run import ShardTime, Simulated
from hoiray.errors import ConfigError, InputError
from hoiray.stages.ledger import Ledger

ROOT = Path(__file__).parents[2]
CLUSTERS = """
num_videos: 20000
clusters:
  - {name: one, nodes: 1, predictors_per_node: 1, decode_cores_per_predictor: 1, finish_cores: 1,
     store_requests_per_s: 3500}
  - {name: many, nodes: 16, predictors_per_node: 2, decode_cores_per_predictor: 1, finish_cores: 8,
     store_requests_per_s: 3500, losses_per_node_h: 0.5, price_per_node_h: 2.0}
"""


def test_worlds_are_labelled_the_model_is_checked_and_clusters_are_extrapolated_to(tmp_path: Path) -> None:
    (tmp_path / "clusters.yaml").write_text(CLUSTERS)
    text = run(tmp_path, sizes=[2, 3], clusters=tmp_path / "clusters.yaml", control=tmp_path / "none", seed=0)
    told = json.loads((tmp_path / "scale.json").read_text())
    assert [it["num_sampled"] for it in told["real"]] == [2, 3]
    (checked,) = told["checked"]
    assert checked["error"] == pytest.approx(checked["predicted_s"] / told["real"][1]["cpu_s"] - 1.0)
    one, many = told["clusters"]
    assert one["outcome"]["time_s"] > many["outcome"]["time_s"] > one["outcome"]["busy_s"] / 32
    assert many["price"] == pytest.approx(16 * 2.0 * many["outcome"]["time_s"] / 3600.0)
    assert "| many | 32 |" in text
    ElementTree.parse(tmp_path / "scale.svg")


def real(costs: list[tuple[int, float]]) -> Simulated:
    stages = {"predict": {"model_cpu": 6.0, "wait": 2.0}, "measure": {"filter": 1.0}, "judge": {"store": 1.0}}
    ledger = Ledger(stages, 1, 1, 1, 1)
    shards = tuple(ShardTime(*it) for it in costs)
    return Simulated(1, len(shards), len(shards), 1, 1, 1, 0, 0.0, 0.0, 0.0, 0.0, 1.0, shards, ledger)


def test_constants_are_the_line_through_the_shards_parted_as_their_markers_say() -> None:
    found = constants_of(real([(100, 2.0), (200, 3.0), (400, 5.0)]), driver_s=0.5)
    assert (found.shard_s, found.frame_s) == pytest.approx((0.8, 0.008))
    assert (found.finish_s, found.finish_frame_s, found.driver_s) == pytest.approx((0.2, 0.002, 0.5))


def test_no_constant_is_below_zero() -> None:
    assert constants_of(real([(100, 1.0), (200, 3.0)]), driver_s=0.0).shard_s == 0.0


def test_the_drivers_time_is_that_of_the_largest_measured_run(tmp_path: Path) -> None:
    rows = [{"shards": 1000, "driver_cpu_ms_a_shard": 41.0}, {"shards": 100, "driver_cpu_ms_a_shard": 32.0}]
    (tmp_path / "control.json").write_text(json.dumps({"label": {"rows": rows}}))
    assert driver_s_of(tmp_path / "control.json") == 0.041
    assert driver_s_of(tmp_path / "none") == 0.04


def test_the_published_clusters_can_be_read() -> None:
    num_videos, clusters = read_clusters(ROOT / "jobs" / "simulate.yaml")
    assert num_videos == 10_000_000
    assert len({it.name for it in clusters}) == len(clusters) >= 4


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("clusters: [{name: a}]")
    with pytest.raises(ConfigError, match="num_videos"):
        read_clusters(tmp_path / "wrong.yaml")
    with pytest.raises(InputError, match="a file of clusters"):
        read_clusters(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="two sizes or more"):
        run(tmp_path, sizes=[5], clusters=tmp_path, control=tmp_path, seed=0)
    with pytest.raises(ConfigError, match="H100 SXM"):
        on_gpu(Constants(0, 0, 0, 0, 0, 0, 0), "abacus")
