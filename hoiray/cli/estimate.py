"""`hoiray estimate`: what a labelling will take, from a pilot whose labels are kept."""

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from hoiray.cli.label import LabelRequest, configurations, drive, opened, typed
from hoiray.config.where import Pools
from hoiray.errors import EXIT_FAILED, EXIT_STOPPED, InputError, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoiray.stages.estimate import Forecast, PilotShard
    from hoiray.stages.label_job import LabelJob


@dataclass(frozen=True)
class EstimateRequest:
    """What was typed.

    Attributes:
        label: the labelling.
        pilot: fraction of its shards.
        gpu_h_price, cpu_h_price: of an hour of a GPU or CPU that the pools reserve; 0: not asked for.
        as_json: for programs.
    """

    label: LabelRequest
    pilot: float = 0.01
    gpu_h_price: float = 0.0
    cpu_h_price: float = 0.0
    as_json: bool = False


def estimate(request: EstimateRequest) -> int:
    """Label the pilot, say what all of it will take; return the exit status."""
    from hoiray.stages.estimate import forecast, pilot_of

    run, cluster = configurations(request.label)
    job = opened(run, request.label)
    planned = {entry.shard_id: entry.cost_frames for entry in job.plan.shards()}
    names = pilot_of(planned, request.pilot, plan_id=job.plan.plan_id, seed=run.seed)
    met: list[Pools] = []
    try:
        failure = drive(job, cluster, request.label, only=frozenset(names), on_pools=met.append)
    except KeyboardInterrupt:
        typer.echo(f"stopped. What is committed stays; the same command goes on from there:\n  {typed()}", err=True)
        return EXIT_STOPPED
    if failure is not None:
        typer.echo(f"error: {failure}", err=True)
        return EXIT_FAILED
    found = forecast(
        list(_pilot_shards(job, planned, names)), total_planned=sum(planned.values()), num_shards=len(planned)
    )
    told = _told(found, met[0] if met else None, request)
    typer.echo(json.dumps(told, sort_keys=True) if request.as_json else "\n".join(_lines(found, told)))
    return 0


def _pilot_shards(job: "LabelJob", planned: dict[str, int], names: list[str]) -> "Iterator[PilotShard]":
    """Read what the pilot's shards have cost.

    Raises:
        InputError: one does not say so: it was labelled by an older version.
    """
    from hoiray.stages.commit import read_marker
    from hoiray.stages.estimate import PilotShard

    for name in names:
        marker, judged = read_marker(job.store, job.predictions, name), read_marker(job.store, job.labels, name)
        if marker is None or not marker.costs_s:
            found = "no marker" if marker is None else "a marker of an older version"
            fix = "Estimate with another seed (--set seed=N), or in another output_uri."
            what = job.store.url(job.predictions.commit_key(name))
            raise InputError(describe(what=what, expected="what the shard has cost", found=found, fix=fix))
        costs = marker.costs_s | (judged.costs_s if judged is not None else {})
        yield PilotShard(planned[name], costs, marker.num_rows, None if judged is None else judged.num_accepted)


def _told(found: "Forecast", pools: Pools | None, request: EstimateRequest) -> dict[str, Any]:
    """Return the forecast for programs; hours are those that the pools reserve, busy or not."""
    from hoiray.engine.budget import HOUR_S, Held

    held = Held(0.0, 1.0) if pools is None else Held.by(pools)
    workers = None if pools is None else {name: getattr(pools, name).max for name in found.stage_s}
    time_s, waits_for = found.time_s(workers)
    hours = {"gpu_h": time_s.scaled(held.num_gpus / HOUR_S), "cpu_h": time_s.scaled(held.num_cpus / HOUR_S)}
    price_an_h = request.gpu_h_price * held.num_gpus + request.cpu_h_price * held.num_cpus
    told: dict[str, Any] = {
        "time_s": asdict(time_s),
        "waits_for": waits_for,
        "workers": workers,
        "held": {name: asdict(it) for name, it in hours.items()},
        "price": asdict(time_s.scaled(price_an_h / HOUR_S)) if price_an_h else None,
    }
    return told | asdict(found)


def _lines(found: "Forecast", told: dict[str, Any]) -> list[str]:
    from hoiray.stages.estimate import LEVEL, UNSEEN_FACTOR, Estimate, unseen_share

    def three(value: Any, scale: float = 1.0) -> str:  # noqa: ANN401 - an Estimate or its fields
        it = value if isinstance(value, Estimate) else Estimate(**value)
        return f"{_short(it.total / scale)} ({_short(it.low / scale)} to {_short(it.high / scale)})"

    share = f"{found.planned_share:.1%} of the planned frames"
    workers = "one process" if told["workers"] is None else f"{told['workers'][told['waits_for']]} workers at most"
    lines = [
        f"pilot: {found.num_pilot:,} of {found.num_shards:,} shards, {share}; its labels are kept",
        f"all of it, with a probability of {LEVEL:.0%} within what is in brackets:",
        f"  time, h          {three(told['time_s'], 3600.0)}, by the stage {told['waits_for']} ({workers})",
        f"  reserved GPU-h   {three(told['held']['gpu_h'])}",
        f"  reserved CPU-h   {three(told['held']['cpu_h'])}",
        f"  accepted labels  {three(found.num_accepted)} of {three(found.num_hands)} hands",
    ]
    if told["price"] is not None:
        lines.append(f"  price            {three(told['price'])}")
    for stage, seconds in found.costs_s.items():
        lines += [f"  {stage + ' ' + name + ', h':<17}{three(it, 3600.0)}" for name, it in seconds.items()]
    unseen = unseen_share(found.num_pilot, found.num_shards)
    if unseen > 0.0:
        lines.append(
            f"upper ends allow for {unseen:.1%} of the frames at {UNSEEN_FACTOR:g} times the rate of the pilot's worst"
            " shard, which it may not have met; a larger --pilot narrows them"
        )
    return [*lines, "not in it: starting, and the end, when the last shards leave workers idle"]


def _short(value: float) -> str:
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"
