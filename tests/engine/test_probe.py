import psutil
import pytest

from hoiray.engine.probe import probe_ray


@pytest.mark.ray
def test_a_local_cluster_runs_a_task() -> None:
    probe = probe_ray(None, timeout_s=120)
    assert probe.ok, probe.detail
    assert (probe.num_nodes, probe.num_cpus) == (1, 1.0)


@pytest.mark.ray
def test_an_unreachable_cluster_is_told_in_time_and_leaves_nothing_behind() -> None:
    before = {process.pid for process in psutil.process_iter()}
    probe = probe_ray("127.0.0.1:1", timeout_s=6)
    assert not probe.ok
    assert probe.detail
    left = [
        p.info for p in psutil.process_iter(["pid", "cmdline"]) if p.info["pid"] not in before and p.info["cmdline"]
    ]
    assert not [process for process in left if "hoiray.engine.probe" in " ".join(process["cmdline"])]
