"""What is known to hang or starve a run, found in a cluster file before anything starts.

Each rule is a fact about Ray 2.60, met in its issue tracker or reproduced on it, with the arithmetic in the message.
None of these cases makes Ray fail: the job waits in silence. Level ``error`` means refuse to run, ``warning`` means
tell the operator.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hoiray.config.where import ClusterConfig, Node, Pool, TrainWorkers

SCALE_UP_UTILISATION: Final = 1.75
"""Ray Data grows an actor pool from this ratio of calls in flight to calls its actors can run (its default)."""

MIN_HEAD_GIB: Final = 2.0
"""Ray's services with the dashboard, and a driver, were measured at 1 GiB; twice that on a cluster that is used."""

SPOT_RETURN_S: Final = 900.0
"""Time that new spot nodes may take to come and to pull their image."""

_EPS: Final = 1e-9
"""Ray counts resources in steps of 1e-4; ten actors of 0.1 CPU must fit one CPU."""


@dataclass(frozen=True)
class Finding:
    """One thing a cluster file gets wrong."""

    level: Literal["error", "warning"]
    field: str
    """Dotted path of the field to change, as ``--set`` takes it."""
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.field}: {self.message}"


def lint_cluster(cluster: ClusterConfig) -> list[Finding]:
    """Check a cluster file against its own node groups at their largest size.

    Returns:
        Findings, errors first, then by field. Empty when nothing is known against the file.
    """
    rules = (lint_pools, _lint_small_start, _lint_idle_gpus, _lint_head, _lint_spot, _lint_waiting)
    found = [finding for rule in rules for finding in rule(cluster)]
    return _sorted([*found, *lint_nodes(cluster, planned_nodes(cluster))])


def lint_nodes(cluster: ClusterConfig, nodes: Sequence[Node]) -> list[Finding]:
    """Check the pools and training workers against nodes that exist, e.g. those of the cluster a run meets.

    Args:
        cluster: pools and training workers; its own node groups are not looked at.
        nodes: every node, the head first. Losing any but the head must leave a cluster that still works.
    """
    rules = (_lint_free_cpus, _lint_loss_of_a_node, _lint_task, _lint_capacity, _lint_packing, _lint_train)
    return _sorted([*(finding for rule in rules for finding in rule(cluster, nodes)), *_lint_object_stores(cluster)])


def planned_nodes(cluster: ClusterConfig, *, at_most: bool = True) -> list[Node]:
    """List the nodes of a cluster file, head first, at the largest (or smallest) size of its groups."""
    groups = cluster.workers.values()
    return [cluster.head, *(group for group in groups for _ in range(group.max if at_most else group.min))]


def active_pools(cluster: ClusterConfig) -> dict[str, Pool]:
    """Return the pools that start actors: no decode pool where the predictor decodes."""
    pools: dict[str, Pool] = {name: getattr(cluster.pools, name) for name in type(cluster.pools).model_fields}
    if cluster.pools.decode.where == "predictor":
        del pools["decode"]
    return pools


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.level != "error", finding.field, finding.message))


def lint_pools(cluster: ClusterConfig) -> Iterator[Finding]:
    """Check what can be seen on a single pool."""
    for name, pool in active_pools(cluster).items():
        field = f"pools.{name}"
        if pool.min == pool.max == 1:
            message = (
                "min = max = 1 is a fixed pool of one: when its actor dies nothing takes its work and the run hangs"
                " (ray#62746); set max to 2 or more"
            )
            yield Finding("error", f"{field}.max", message)
        utilisation = pool.max_tasks_in_flight / pool.max_concurrent_calls
        if pool.min < pool.max and utilisation < SCALE_UP_UTILISATION:
            needed = math.ceil(SCALE_UP_UTILISATION * pool.max_concurrent_calls)
            message = (
                f"at most {pool.max_tasks_in_flight} in flight / {pool.max_concurrent_calls} concurrent ="
                f" {utilisation:g} is below {SCALE_UP_UTILISATION}, where Ray starts to grow a pool, so this one stays"
                f" at {pool.start} of {pool.max}; set it to {needed} or more"
            )
            yield Finding("error", f"{field}.max_tasks_in_flight", message)


def _lint_small_start(cluster: ClusterConfig) -> Iterator[Finding]:
    """Check the cluster before its autoscaler has added a node."""
    pools, nodes = active_pools(cluster), planned_nodes(cluster, at_most=False)
    for unit, each, task, available in (
        ("CPUs", {name: pool.num_cpus for name, pool in pools.items()}, cluster.task_cpus, _sum(nodes, "num_cpus")),
        ("GPUs", {name: pool.num_gpus for name, pool in pools.items()}, 0.0, _sum(nodes, "num_gpus")),
        ("GiB", {name: pool.memory_gib or 0.0 for name, pool in pools.items()}, 0.0, _sum(nodes, "actors_gib")),
    ):
        needed = sum(pools[name].min * amount for name, amount in each.items()) + task
        if needed > available + _EPS:
            terms = [f"{name} {pools[name].min} x {amount:g}" for name, amount in each.items() if amount]
            message = (
                f"the smallest cluster has {available:g} {unit}, the smallest pools want"
                f" {' + '.join([*terms, *([f'task {task:g}'] if task else [])])} = {needed:g}:"
                " nothing moves until the autoscaler has added nodes; raise a group's min"
            )
            yield Finding("warning", "workers", message)
    yield from _lint_growing_gpus(cluster, pools)


def _sum(nodes: Sequence[Node], attribute: str) -> float:
    return float(sum(getattr(node, attribute) for node in nodes))


def _lint_growing_gpus(cluster: ClusterConfig, pools: Mapping[str, Pool]) -> Iterator[Finding]:
    may_grow = any(group.num_gpus > 0 and group.min < group.max for group in cluster.workers.values())
    for name, pool in pools.items():
        if may_grow and pool.num_gpus > 0 and pool.start < pool.max:
            message = (
                f"Ray grows a GPU pool within the GPUs that exist already, so on node groups that may grow it can stay"
                f" at {pool.start} of {pool.max} (ray#59144); set initial to {pool.max}, or raise the groups' min"
            )
            yield Finding("warning", f"pools.{name}.initial", message)


def _lint_idle_gpus(cluster: ClusterConfig) -> Iterator[Finding]:
    """Look for GPUs that are paid for and that nothing can use."""
    available = _sum(planned_nodes(cluster), "num_gpus")
    train = cluster.train.num_workers * cluster.train.num_gpus
    wanted = max(sum(pool.max * pool.num_gpus for pool in active_pools(cluster).values()), train)
    if wanted <= available - 1.0 + _EPS:
        message = (
            f"{available:g} GPUs at most, but the pools take {wanted:g} of them and the training {train:g}: the rest is"
            " paid for and idle; raise pools.predict.max, or lower a group's max"
        )
        yield Finding("warning", "pools.predict.max", message)


def _lint_head(cluster: ClusterConfig) -> Iterator[Finding]:
    """Check that the head of a cluster of several nodes can hold Ray's own services and the driver."""
    if cluster.workers and cluster.head.actors_gib < MIN_HEAD_GIB:
        message = (
            f"{cluster.head.actors_gib:g} GiB outside the object store hold Ray's services, the dashboard and the"
            f" driver: with less than {MIN_HEAD_GIB:g} the head is killed for memory, and the job with it"
        )
        yield Finding("warning", "head.memory_gib", message)


def _lint_spot(cluster: ClusterConfig) -> Iterator[Finding]:
    """Check that a run outlives nodes that are taken back."""
    spot = [name for name, group in cluster.workers.items() if group.spot]
    if not spot:
        return
    if cluster.train.max_failures == 0:
        message = (
            f"0 restarts, but the nodes of {', '.join(spot)} may be taken back at any time, and the first loss would"
            " end the training; allow some"
        )
        yield Finding("error", "train.max_failures", message)
    if cluster.retries.no_progress_s < SPOT_RETURN_S:
        message = (
            f"the run ends after {cluster.retries.no_progress_s:g} s without a row, but new spot nodes for"
            f" {', '.join(spot)} can take minutes to come; use {SPOT_RETURN_S:g} or more"
        )
        yield Finding("warning", "retries.no_progress_s", message)


def _lint_waiting(cluster: ClusterConfig) -> Iterator[Finding]:
    """Check that the watchdog is more patient than the slowest video may be."""
    decode, no_progress_s = cluster.pools.decode, cluster.retries.no_progress_s
    if no_progress_s <= decode.max_video_s:
        message = (
            f"the run ends after {no_progress_s:g} s without a row, yet one video may take"
            f" {decode.max_video_s:g} s (pools.decode.max_video_s): a slow last video would end it"
        )
        yield Finding("error", "retries.no_progress_s", message)


def _lint_free_cpus(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    shortage = _cpu_shortage(cluster, nodes)
    if shortage:
        message = f"{shortage}: the actors can hold every CPU, no read can run and the job waits for ever (ray#44687)"
        yield Finding("error", "pools", f"{message}; lower a pool's max or num_cpus, or add CPUs")


def _lint_loss_of_a_node(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Check the same rule on what is left after the node with most CPUs, the head apart, is lost."""
    if len(nodes) < 2 or _cpu_shortage(cluster, nodes):
        return
    lost = max(nodes[1:], key=lambda node: node.num_cpus)
    left = list(nodes)
    left.remove(lost)
    shortage = _cpu_shortage(cluster, left)
    if shortage:
        message = f"after the loss of a node of {lost.num_cpus:g} CPUs, {shortage}"
        advice = "its actors restart on the rest and no read can run; lower a pool's max or num_cpus, or add CPUs"
        yield Finding("error", "pools", f"{message}: {advice}")


def _cpu_shortage(cluster: ClusterConfig, nodes: Sequence[Node]) -> str:
    """Return the sum that does not fit, or the empty text when it fits."""
    pools = active_pools(cluster)
    needed = sum(pool.max * pool.num_cpus for pool in pools.values()) + cluster.task_cpus
    available = sum(node.num_cpus for node in nodes)
    terms = [f"{name} {pool.max} x {pool.num_cpus:g}" for name, pool in pools.items()]
    return f"{_plus(terms, cluster)} = {needed:g} CPUs > {available:g}" if needed > available + _EPS else ""


def _plus(terms: Sequence[str], cluster: ClusterConfig) -> str:
    return " + ".join([*terms, f"task {cluster.task_cpus:g}"])


def _lint_task(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Check that one node can hold the largest plain task, and that the actors cannot take that room on every node."""
    largest = max(node.num_cpus for node in nodes)
    if cluster.task_cpus > largest + _EPS:
        message = f"a task of {cluster.task_cpus:g} CPUs is more than any node has ({largest:g}): no read can ever run"
        yield Finding("error", "task_cpus", message)
        return
    actors = sum(pool.max * pool.num_cpus for pool in active_pools(cluster).values())
    # were less than a task's CPUs free on every node, the actors would hold more than this
    harmless = sum(max(node.num_cpus - cluster.task_cpus, 0.0) for node in nodes)
    if len(nodes) > 1 and actors > harmless + _EPS and not _cpu_shortage(cluster, nodes):
        message = (
            f"actors of {actors:g} CPUs can be spread over {len(nodes)} nodes so that none has the"
            f" {cluster.task_cpus:g} CPUs of a task free, though the sum leaves enough; keep to {harmless:g}"
        )
        yield Finding("warning", "pools", message)


def _lint_capacity(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Check GPUs and memory summed over all pools."""
    pools = active_pools(cluster)
    for unit, wanted, available in (
        ("GPUs", {name: pool.num_gpus for name, pool in pools.items()}, sum(node.num_gpus for node in nodes)),
        ("GiB", {name: pool.memory_gib or 0.0 for name, pool in pools.items()}, sum(node.actors_gib for node in nodes)),
    ):
        needed = sum(pools[name].max * amount for name, amount in wanted.items())
        if needed > available + _EPS:
            terms = " + ".join(f"{name} {pools[name].max} x {amount:g}" for name, amount in wanted.items() if amount)
            note = " outside the object stores" if unit == "GiB" else ""
            message = (
                f"{terms} = {needed:g} {unit} > {available:g} on {len(nodes)} node(s){note}: larger than the nodes"
            )
            yield Finding("error", "pools", f"{message} can hold; lower a max or enlarge a group")


def _lint_packing(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Check that each pool on its own fits, node by node: half an actor here and half there is none."""
    for name, pool in active_pools(cluster).items():
        if pool.num_gpus > 1 and pool.num_gpus != int(pool.num_gpus):
            message = f"{pool.num_gpus:g} GPUs: Ray gives an actor parts of one GPU, or whole GPUs"
            yield Finding("error", f"pools.{name}.num_gpus", message)
            continue
        fits = [_num_that_fit(pool, node) for node in nodes]
        want = f"{pool.num_cpus:g} CPUs, {pool.num_gpus:g} GPUs and {pool.memory_gib or 0:g} GiB"
        if not any(fits):
            message = f"one actor wants {want}, more than any node has: it can never start"
            yield Finding("error", f"pools.{name}", message)
        elif sum(fits) < pool.max:
            per_node = ", ".join(f"{fits.count(number)} node(s) x {number:g}" for number in sorted(set(fits)))
            message = f"max = {pool.max}, but actors of {want} fit only {sum(fits):g} times ({per_node})"
            yield Finding("error", f"pools.{name}.max", f"{message}; lower max or enlarge a group")


def _num_that_fit(pool: Pool | TrainWorkers, node: Node) -> float:
    """Count the actors of a pool, or workers, that fit an empty node; infinite for actors that reserve nothing."""
    pairs = (
        (node.num_cpus, pool.num_cpus),
        (node.num_gpus, pool.num_gpus),
        (node.actors_gib, pool.memory_gib or 0.0),
    )
    counts = [math.floor(have / want + _EPS) for have, want in pairs if want > 0]
    return min(counts, default=math.inf)


def _lint_train(cluster: ClusterConfig, nodes: Sequence[Node]) -> Iterator[Finding]:
    """Check that the training fits and leaves a CPU to the data that feeds it."""
    train = cluster.train
    for unit, per_worker, spare, available in (
        ("CPUs", train.num_cpus, cluster.task_cpus, sum(node.num_cpus for node in nodes)),
        ("GPUs", train.num_gpus, 0.0, sum(node.num_gpus for node in nodes)),
        ("GiB", train.memory_gib or 0.0, 0.0, sum(node.actors_gib for node in nodes)),
    ):
        needed = train.num_workers * per_worker + spare
        if needed > available + _EPS:
            task = f" + task {spare:g}" if spare else ""
            message = f"{train.num_workers} workers x {per_worker:g}{task} = {needed:g} {unit} > {available:g}"
            advice = "training takes its workers first and the data gets nothing; lower num_workers or add nodes"
            yield Finding("error", "train.num_workers", f"{message}: {advice}")
            return
    places = sum(_num_that_fit(train, node) for node in nodes)
    if places < train.num_workers:
        want = f"{train.num_cpus:g} CPUs, {train.num_gpus:g} GPUs and {train.memory_gib or 0:g} GiB"
        message = f"{train.num_workers} workers of {want}, but the nodes hold only {places:g}: Ray would wait for ever"
        yield Finding("error", "train.num_workers", f"{message}; make them smaller or add nodes")


def _lint_object_stores(cluster: ClusterConfig) -> Iterator[Finding]:
    for field, node in {"head": cluster.head, **{f"workers.{k}": v for k, v in cluster.workers.items()}}.items():
        store = node.store_gib
        if store >= node.memory_gib:
            message = (
                f"{store:g} GiB is not below the node's memory_gib = {node.memory_gib:g}; nothing is left to run in"
            )
            yield Finding("error", f"{field}.object_store_gib", message)
