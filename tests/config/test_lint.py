from typing import Any

import pytest

from hoiray.config.lint import Finding, active_pools, lint_cluster, lint_nodes, planned_nodes
from hoiray.config.load import parse_cluster
from hoiray.config.where import ClusterConfig, Node

ONE_NODE = """\
head: {num_cpus: 4, memory_gib: 16, object_store_gib: 2}
pools:
  decode: {max: 2, num_cpus: 0.25}
  predict: {max: 2, num_cpus: 0.75}
  measure: {max: 2, num_cpus: 0.25}
  judge: {max: 2, num_cpus: 0.25}
"""
TWO_GROUPS = """\
head: {num_cpus: 2, memory_gib: 8}
workers:
  cpu: {num_cpus: 8, memory_gib: 32, min: 2, max: 2}
  gpu: {num_cpus: 4, num_gpus: 2, memory_gib: 32, min: 2, max: 2}
pools:
  decode: {max: 2}
  predict: {min: 2, max: 4, num_gpus: 1, num_cpus: 1}
  measure: {max: 2}
  judge: {max: 2}
"""


def cluster_of(text: str, *overrides: str) -> ClusterConfig:
    return parse_cluster(text, overrides)


def found(text: str, *overrides: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.field) for finding in lint_cluster(cluster_of(text, *overrides))]


def only(text: str, *overrides: str) -> Finding:
    (finding,) = lint_cluster(cluster_of(text, *overrides))
    return finding


@pytest.mark.parametrize("text", [ONE_NODE, TWO_GROUPS])
def test_a_sound_cluster_has_no_findings(text: str) -> None:
    assert lint_cluster(cluster_of(text)) == []


def test_a_fixed_pool_of_one_is_refused() -> None:
    finding = only(ONE_NODE, "pools.judge.max=1")
    assert (finding.level, finding.field) == ("error", "pools.judge.max")
    assert "fixed pool of one" in finding.message
    assert found(ONE_NODE, "pools.judge.min=2") == []


def test_actors_may_fill_the_cpus_up_to_those_of_one_task() -> None:
    # 2 x (0.25 + 0.75 + 0.25 + 0.25) = 3 actors' CPUs, and 1 for a read
    assert found(ONE_NODE, "head.num_cpus=4") == []
    finding = only(ONE_NODE, "head.num_cpus=3.99")
    assert finding.field == "pools"
    sum_shown = "decode 2 x 0.25 + predict 2 x 0.75 + measure 2 x 0.25 + judge 2 x 0.25 + task 1 = 4 CPUs > 3.99"
    assert finding.message.startswith(sum_shown)
    assert found(ONE_NODE, "head.num_cpus=3.5", "task_cpus=0.5") == []


@pytest.mark.parametrize(
    ("num_cpus", "num_actors", "cpus_per_actor", "task_cpus", "hangs"),
    [
        (2, 2, 1.0, 1.0, True),
        (1, 1, 1.0, 1.0, True),
        (2, 1, 1.0, 1.0, False),
        (2, 2, 0.75, 0.25, False),
        (2, 2, 0.0, 1.0, False),
        (4, 2, 1.0, 1.0, False),
        (1, 1, 0.5, 0.25, False),
    ],
)
def test_the_rule_agrees_with_what_hung_on_ray(
    num_cpus: int, num_actors: int, cpus_per_actor: float, task_cpus: float, hangs: bool
) -> None:
    # a pipeline with one actor pool, run on Ray 2.60: these seven were seen to hang or to finish
    idle: dict[str, Any] = {"num_cpus": 0.0}
    predict = {"max": num_actors, "num_cpus": cpus_per_actor}
    cluster = ClusterConfig.model_validate(
        {
            "head": {"num_cpus": num_cpus, "memory_gib": 16},
            "task_cpus": task_cpus,
            "pools": {"decode": idle, "predict": predict, "measure": idle, "judge": idle},
        }
    )
    starving = [finding for finding in lint_cluster(cluster) if finding.field == "pools"]
    assert bool(starving) == hangs


def test_the_rule_holds_after_the_largest_worker_is_lost() -> None:
    # 26 CPUs; the actors and a task want 11. After a loss of 8, 18 are left: 18 are wanted at most
    assert found(TWO_GROUPS, "pools.decode.max=9") == []
    finding = only(TWO_GROUPS, "pools.decode.max=10")
    assert finding.field == "pools"
    assert finding.message.startswith("after the loss of a node of 8 CPUs, decode 10 x 1 + ")
    assert "+ task 1 = 19 CPUs > 18" in finding.message


def test_the_loss_that_hung_on_ray_is_refused() -> None:
    # a head of 1 CPU and a worker of 2, two actors of 0.5, tasks of 0.25: no row in 200 s after the worker's death
    text = """\
head: {num_cpus: 1, memory_gib: 8}
workers: {cpu: {num_cpus: 2, memory_gib: 8, min: 1, max: 1}}
task_cpus: 0.25
pools:
  decode: {num_cpus: 0, max: 2}
  predict: {num_cpus: 0.5, min: 2, max: 2}
  measure: {num_cpus: 0, max: 2}
  judge: {num_cpus: 0, max: 2}
"""
    assert "after the loss of a node of 2 CPUs" in only(text).message


def test_a_pool_that_its_calls_in_flight_keep_small_is_refused() -> None:
    assert found(ONE_NODE, "pools.predict.max_tasks_in_flight=1") == [("error", "pools.predict.max_tasks_in_flight")]
    finding = only(ONE_NODE, "pools.predict.max_concurrent_calls=4", "pools.predict.max_tasks_in_flight=6")
    assert "6 in flight / 4 concurrent = 1.5 is below 1.75" in finding.message
    assert finding.message.endswith("set it to 7 or more")
    enough = ["pools.predict.max_concurrent_calls=4", "pools.predict.max_tasks_in_flight=7"]
    assert found(ONE_NODE, *enough) == []
    assert found(ONE_NODE, "pools.predict.max_tasks_in_flight=1", "pools.predict.min=2") == []


def test_a_pool_with_more_gpus_than_the_groups_is_refused() -> None:
    findings = lint_cluster(cluster_of(TWO_GROUPS, "pools.predict.max=5"))
    assert [finding.field for finding in findings] == ["pools", "pools.predict.max"]
    assert findings[0].message.startswith("predict 5 x 1 = 5 GPUs > 4 on 5 node(s)")
    assert "fit only 4 times (3 node(s) x 0, 2 node(s) x 2)" in findings[1].message


def test_an_actor_larger_than_any_node_is_refused() -> None:
    assert ("error", "pools.predict") in found(TWO_GROUPS, "pools.predict.num_cpus=4.5", "pools.predict.max=2")
    assert found(TWO_GROUPS, "pools.judge.memory_gib=23") == [("error", "pools.judge")]


def test_memory_is_counted_outside_the_object_stores() -> None:
    # 30 % of 32 GiB are Ray's object store
    assert found(TWO_GROUPS, "pools.judge.memory_gib=22.4") == []
    assert found(TWO_GROUPS, "pools.judge.memory_gib=22.5") == [("error", "pools.judge")]
    findings = lint_cluster(cluster_of(ONE_NODE, "pools.judge.memory_gib=4", "pools.measure.memory_gib=4"))
    message = "measure 2 x 4 + judge 2 x 4 = 16 GiB > 14 on 1 node(s) outside the object stores: larger than the nodes"
    assert [finding.message.startswith(message) for finding in findings] == [True]


def test_leftovers_of_several_nodes_make_no_actor() -> None:
    # 3 actors of 5 CPUs want 15 of 26, yet only the two nodes of 8 hold one each
    findings = found(TWO_GROUPS, "pools.measure.num_cpus=5", "pools.measure.max=3", "pools.decode.num_cpus=0")
    assert ("error", "pools.measure.max") in findings


def test_ten_tenths_of_a_cpu_fit_one() -> None:
    assert found(ONE_NODE, "pools.judge.num_cpus=0.1", "pools.judge.max=5") == []
    # 1.2 / 0.4 is 2.9999999999999996 in floating point
    cluster = cluster_of(ONE_NODE, "pools.judge.num_cpus=0.4", "pools.judge.max=3")
    fields = [finding.field for finding in lint_nodes(cluster, [Node(num_cpus=1.2, memory_gib=16)])]
    assert "pools.judge.max" not in fields


def test_the_decode_pool_counts_only_where_it_is_used() -> None:
    assert found(ONE_NODE, "pools.decode.num_cpus=9") != []
    assert found(ONE_NODE, "pools.decode.num_cpus=9", "pools.decode.where=predictor") == []
    assert "decode" not in active_pools(cluster_of(ONE_NODE, "pools.decode.where=predictor"))


def test_a_gpu_pool_that_must_grow_on_growing_nodes_is_warned_of() -> None:
    assert found(TWO_GROUPS, "workers.gpu.min=1") == [("warning", "pools.predict.initial")]
    assert found(TWO_GROUPS, "workers.gpu.min=1", "pools.predict.initial=4") == []


def test_a_cluster_that_starts_too_small_is_warned_of() -> None:
    text = TWO_GROUPS.replace("min: 2, max: 2}\n  gpu", "min: 0, max: 2}\n  gpu")
    assert found(text) == []
    finding = only(text, "pools.measure.min=8", "pools.measure.max=8")
    assert (finding.level, finding.field) == ("warning", "workers")
    assert "has 10 CPUs, the smallest pools want decode 1 x 1 + predict 2 x 1 + measure 8 x 1" in finding.message
    assert "= 13" in finding.message


def test_training_must_fit_and_leave_a_cpu_to_the_data() -> None:
    assert found(ONE_NODE, "train.num_workers=3") == []
    finding = only(ONE_NODE, "train.num_workers=4")
    assert finding.message.startswith("4 workers x 1 + task 1 = 5 CPUs > 4")
    assert found(ONE_NODE, "train.num_gpus=1") == [("error", "train.num_workers")]
    assert found(ONE_NODE, "train.memory_gib=15") == [("error", "train.num_workers")]


def test_an_object_store_leaves_memory_to_run_in() -> None:
    assert ("error", "head.object_store_gib") in found(ONE_NODE, "head.object_store_gib=16")
    assert ("error", "workers.cpu.object_store_gib") in found(TWO_GROUPS, "workers.cpu.object_store_gib=40")
    assert found(ONE_NODE, "head.object_store_gib=15.9") == []


def test_errors_come_before_warnings() -> None:
    levels = [level for level, _ in found(TWO_GROUPS, "workers.gpu.min=1", "pools.judge.max=1", "train.num_gpus=9")]
    assert levels == ["error", "error", "warning"]


def test_the_nodes_of_a_running_cluster_are_checked_instead_of_the_planned() -> None:
    cluster = cluster_of(TWO_GROUPS)
    assert len(planned_nodes(cluster)) == 5
    assert lint_nodes(cluster, planned_nodes(cluster)) == []
    met = [Node(num_cpus=8, num_gpus=2, memory_gib=64)]
    fields = {finding.field for finding in lint_nodes(cluster, met)}
    assert fields == {"pools", "pools.predict.max"}


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding("error", "pools.judge.max", "too few")) == "error: pools.judge.max: too few"


def test_gpus_and_memory_of_the_smallest_cluster_are_compared_too() -> None:
    text = TWO_GROUPS.replace("min: 2, max: 2}\npools", "min: 1, max: 2}\npools")
    findings = lint_cluster(cluster_of(text, "pools.predict.min=3", "pools.predict.initial=4"))
    assert [(it.level, it.field) for it in findings] == [("warning", "workers")]
    assert "has 2 GPUs, the smallest pools want predict 3 x 1 = 3" in findings[0].message
    # 5.6 GiB on the head, 22.4 on each of three nodes
    findings = lint_cluster(
        cluster_of(text, "pools.predict.initial=4", "pools.judge.min=2", "pools.judge.memory_gib=22")
    )
    assert findings == []
    many = ["pools.predict.initial=4", "pools.judge.min=4", "pools.judge.max=4", "pools.judge.memory_gib=20"]
    assert "has 72.8 GiB, the smallest pools want judge 4 x 20 = 80" in only(text, *many).message


def test_gpus_that_nothing_can_use_are_warned_of() -> None:
    finding = only(TWO_GROUPS, "pools.predict.max=3")
    assert (finding.level, finding.field) == ("warning", "pools.predict.max")
    assert finding.message.startswith("4 GPUs at most, but the pools take 3 of them and the training 0")
    assert found(TWO_GROUPS, "pools.predict.max=3", "train.num_workers=4", "train.num_gpus=1") == []
    # half a GPU left over cannot be paid for by itself
    assert found(TWO_GROUPS, "pools.predict.max=7", "pools.predict.num_gpus=0.5") == []


def test_a_head_too_small_for_rays_own_services_is_warned_of() -> None:
    assert found(TWO_GROUPS, "head.memory_gib=3") == []
    finding = only(TWO_GROUPS, "head.memory_gib=2.8")
    assert (finding.level, finding.field) == ("warning", "head.memory_gib")
    assert "1.96 GiB outside the object store" in finding.message
    # a single machine is somebody's laptop: the actors' own rules hold there
    assert found(ONE_NODE, "head.memory_gib=3") == []


def test_a_training_on_spot_machines_may_lose_some() -> None:
    spot = "workers.gpu.spot=true"
    assert found(TWO_GROUPS, spot) == []
    assert found(TWO_GROUPS, "train.max_failures=0") == []
    finding = only(TWO_GROUPS, spot, "train.max_failures=0")
    assert (finding.level, finding.field) == ("error", "train.max_failures")
    assert "the nodes of gpu may be taken back" in finding.message


def test_a_run_on_spot_machines_waits_for_new_ones() -> None:
    spot = "workers.gpu.spot=true"
    assert found(TWO_GROUPS, spot, "retries.no_progress_s=900") == []
    assert found(TWO_GROUPS, "retries.no_progress_s=899") == []
    assert found(TWO_GROUPS, spot, "retries.no_progress_s=899") == [("warning", "retries.no_progress_s")]


def test_the_watchdog_is_more_patient_than_the_slowest_video() -> None:
    assert found(ONE_NODE, "retries.no_progress_s=601") == []
    finding = only(ONE_NODE, "retries.no_progress_s=600")
    assert (finding.level, finding.field) == ("error", "retries.no_progress_s")
    assert "one video may take 600 s (pools.decode.max_video_s)" in finding.message
    assert found(ONE_NODE, "retries.no_progress_s=600", "pools.decode.max_video_s=599") == []


def test_a_task_larger_than_any_node_is_refused() -> None:
    assert ("error", "task_cpus") not in found(TWO_GROUPS, "task_cpus=8")
    assert ("error", "task_cpus") in found(TWO_GROUPS, "task_cpus=8.5")


def test_cpus_that_are_free_in_sum_only_are_warned_of() -> None:
    # three nodes of 2 CPUs and actors of 1.5 on each: 1.5 CPUs are free, half a CPU a node, and no read fits
    text = """\
head: {num_cpus: 2, memory_gib: 8}
workers: {cpu: {num_cpus: 2, memory_gib: 8, min: 5, max: 5}}
pools:
  decode: {num_cpus: 0}
  predict: {num_cpus: 1.5, min: 4, max: 4}
  measure: {num_cpus: 0}
  judge: {num_cpus: 0}
"""
    assert found(text) == []
    finding = only(text, "pools.predict.num_cpus=1.6")
    assert (finding.level, finding.field) == ("warning", "pools")
    assert "actors of 6.4 CPUs can be spread over 6 nodes so that none has the 1 CPUs of a task free" in finding.message
    assert finding.message.endswith("keep to 6")


def test_ray_gives_parts_of_one_gpu_or_whole_ones() -> None:
    assert ("error", "pools.predict.num_gpus") in found(TWO_GROUPS, "pools.predict.num_gpus=1.5", "pools.predict.max=2")
    assert found(TWO_GROUPS, "pools.predict.num_gpus=2", "pools.predict.max=2") == []


def test_workers_of_a_training_must_fit_node_by_node() -> None:
    # 22 CPUs of workers in 26, but a node of 8 holds one worker of 5.5, and one of 4 or 2 none
    finding = only(TWO_GROUPS, "train.num_workers=4", "train.num_cpus=5.5")
    assert (finding.level, finding.field) == ("error", "train.num_workers")
    assert "4 workers of 5.5 CPUs, 0 GPUs and 0 GiB, but the nodes hold only 2" in finding.message
    assert found(TWO_GROUPS, "train.num_workers=2", "train.num_cpus=5.5") == []
