"""A cluster file against the cluster that is met: what fits runs, what does not is shrunk or refused, with the sums."""

import math
from collections.abc import Sequence
from typing import Final

from hoiray.config.lint import Finding, active_pools, lint_nodes, lint_pools, planned_nodes
from hoiray.config.where import ClusterConfig, DecodePool, Node, Pool, Pools, PredictPool
from hoiray.errors import ConfigError

SMALLEST_POOL: Final = 2
"""A pool of one hangs when its actor dies."""

PREDICTOR_GIB: Final = 2.0
"""Memory of one predictor with its decoder, reckoned generously; a nano network takes a third of it."""

CPU_BATCH: Final = 8
GPU_BATCH: Final = 32
"""Hands of a batch where nobody said; the ensemble multiplies them by 8. On a CPU more than 64 crops gain nothing."""


def cluster_here(*, num_cpus: int, num_gpus: int, memory_gib: float) -> ClusterConfig:
    """Return pools for one machine that nobody described.

    One CPU stays free for reads, half a CPU is for measuring and judging, the predictors share the rest.

    Args:
        num_cpus: of the machine; fewer than 2 are reckoned as 2.
        num_gpus: of it.
        memory_gib: of it.
    """
    cpus = max(num_cpus, 2)
    by_memory = max(SMALLEST_POOL, int(memory_gib / PREDICTOR_GIB))
    num_predictors = max(SMALLEST_POOL, num_gpus) if num_gpus else max(SMALLEST_POOL, min(cpus - 1, by_memory))
    share = math.floor((cpus - 1.5) / num_predictors * 100.0) / 100.0
    small = Pool(num_cpus=0.125)
    predict = PredictPool(
        min=1 if not num_gpus else num_predictors,
        max=num_predictors,
        num_cpus=share,
        num_gpus=num_gpus / num_predictors,
        batch_size=GPU_BATCH if num_gpus else CPU_BATCH,
    )
    pools = Pools(decode=DecodePool(where="predictor"), predict=predict, measure=small, judge=small)
    return ClusterConfig(head=Node(num_cpus=cpus, num_gpus=num_gpus, memory_gib=memory_gib), pools=pools)


def fit_cluster(cluster: ClusterConfig, nodes: Sequence[Node]) -> tuple[ClusterConfig, list[str]]:
    """Make the pools fit the nodes.

    Where the file has groups of worker nodes, the cluster may still grow to them: then these count, not what runs now.

    Args:
        cluster: as the file has it.
        nodes: those that run, head first.

    Returns:
        The cluster with pools that fit, and what was changed, in sentences.

    Raises:
        ConfigError: even the smallest pools do not fit, or a pool is known to hang.
    """
    expected = list(nodes) if not cluster.workers else max(planned_nodes(cluster), list(nodes), key=len)
    fixed = [finding for finding in lint_pools(cluster) if finding.level == "error"]
    if fixed:
        raise ConfigError(_sentence(fixed))
    said: list[str] = []
    while True:
        errors = _errors(cluster, expected)
        if not errors:
            return cluster, said
        smaller = _shrunk(cluster)
        if smaller is None:
            raise ConfigError(_sentence(errors))
        if not said:
            said.append(f"{errors[0].message} (of {errors[0].field}); the pools are made smaller:")
        cluster, change = smaller
        said.append(change)


def _errors(cluster: ClusterConfig, nodes: Sequence[Node]) -> list[Finding]:
    """Return what would hang a labelling; workers of a training do not run beside it."""
    found = lint_nodes(cluster, nodes)
    return [finding for finding in found if finding.level == "error" and finding.field.startswith("pools")]


def _shrunk(cluster: ClusterConfig) -> tuple[ClusterConfig, str] | None:
    """Take one actor off the pool that can spare most; None where none can."""
    pools = active_pools(cluster)
    spare = {name: pool for name, pool in pools.items() if pool.max > max(pool.min, SMALLEST_POOL)}
    if not spare:
        return None
    name = max(spare, key=lambda it: (pools[it].max * max(pools[it].num_cpus, pools[it].num_gpus), it))
    pool = pools[name]
    changes = {"max": pool.max - 1, "initial": None if pool.initial is None else min(pool.initial, pool.max - 1)}
    return _with_pool(cluster, name, pool.model_copy(update=changes)), f"{name}: max {pool.max} -> {pool.max - 1}"


def _with_pool(cluster: ClusterConfig, name: str, pool: Pool) -> ClusterConfig:
    return cluster.model_copy(update={"pools": cluster.pools.model_copy(update={name: pool})})


def _sentence(findings: Sequence[Finding]) -> str:
    return "the cluster does not fit: " + "; ".join(map(str, findings))
