"""`hoiray label`: from videos to labels, on Ray or in this process; the same command again goes on where it stopped."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import typer

from hoiray.cli.runnable import runnable
from hoiray.config.halves import route_overrides
from hoiray.config.load import load_cluster, load_run, parse_run
from hoiray.config.what import RunConfig
from hoiray.config.where import ClusterConfig, Pools
from hoiray.errors import EXIT_FAILED, EXIT_STOPPED, EXIT_UNFINISHED, ConfigError, InputError, describe

if TYPE_CHECKING:
    from hoiray.engine.budget import Meter
    from hoiray.engine.label import Tick
    from hoiray.engine.progress import LabelProgress
    from hoiray.stages.label_job import LabelJob
    from hoiray.stages.label_shard import BucketResult, ShardResult
    from hoiray.stages.pending import Portion

LOG_INTERVAL_S: Final = 10.0
"""Between two lines where the output is no terminal."""

LANDMARKS: Final = "landmarks"
"""The teacher that needs neither boxes nor a checkpoint: `hoiray.stages.teacher.LANDMARKS`."""

QUICK_VIEWS: Final = 4
"""Views of the quick form with it: half of the paper's, for a CPU."""

_RUN_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True)
class LabelRequest:
    """What was typed.

    Attributes:
        source: a run file, or the place of the videos.
        overrides: changes of single fields of either file.
        cluster: cluster file; None for this machine.
        boxes, box_format, teacher, detector, out: of the quick form, which has no run file.
        uses_ray: False labels in this process, one shard after another.
        ray_address: a cluster to use; None starts a Ray here, unless the environment names one.
        device: where the teacher computes.
        by_groupby: judge by Ray's own groupby, at the end.
        budget: after which no shard is begun, as `hoiray.engine.budget.parse_budget` reads it; None: no end.
        num_canaries: clips that are made wrong on purpose at the end, to tell how many wrong labels are accepted.
    """

    source: str
    overrides: tuple[str, ...] = ()
    cluster: Path | None = None
    boxes: str | None = None
    box_format: str | None = None
    teacher: str | None = None
    detector: str | None = None
    out: str | None = None
    uses_ray: bool = True
    ray_address: str | None = None
    device: str = "auto"
    by_groupby: bool = False
    budget: str | None = None
    num_canaries: int = 0

    @property
    def is_run_file(self) -> bool:
        """Whether the source is a run file."""
        return self.source.endswith(_RUN_SUFFIXES)


def label(request: LabelRequest) -> int:
    """Label, show progress, and say what came of it; return the exit status."""
    if request.uses_ray:
        from hoiray.engine.driver_memory import allocate_in_one_place

        allocate_in_one_place()  # before anything imports pyarrow, which chooses where its memory is from
    from hoiray.engine.budget import Meter, parse_budget

    meter = None if request.budget is None else Meter(parse_budget(request.budget))
    run, cluster = configurations(request)
    job = opened(run, request)
    try:
        failure = drive(job, cluster, request, meter=meter)
    except KeyboardInterrupt:
        _say("stopped. What is committed stays; the same command goes on from there:")
        _say(f"  {typed()}")
        return EXIT_STOPPED
    if request.num_canaries and failure is None:
        _plant_canaries(job, request.num_canaries)
    return _ended(job, failure, meter)


def opened(run: RunConfig, request: LabelRequest) -> "LabelJob":
    """Resolve a run, and index its videos where nobody has.

    Raises:
        ConfigError, InputError, ContractError: it cannot begin.
    """
    if run.teacher.predictor == LANDMARKS and not (request.ray_address or os.environ.get("RAY_ADDRESS")):
        _require_landmarks(run)
    from hoiray.stages.label_job import open_label_job

    return open_label_job(run, say=_say)


def _plant_canaries(job: "LabelJob", num_clips: int) -> None:
    """Count what the judge makes of planted faults, and keep the counts beside the labels; say so where it cannot."""
    from hoiray.stages.canaries import plant_in_labelling
    from hoiray.stages.canary_file import write_canaries

    try:
        write_canaries(job.store, plant_in_labelling(job, num_clips=num_clips))
    except InputError as error:
        _say(f"no canaries: {error}")


def _ended(job: "LabelJob", failure: str | None, meter: "Meter | None") -> int:
    """Say what came of a labelling; return the exit status."""
    from hoiray.stages.label_summary import summarise, summary_lines, write_summary
    from hoiray.stages.pending import committed_ids
    from hoiray.stages.run_drift import drift_warnings

    run, summary = job.run, summarise(job)
    where = write_summary(job, summary)
    for line in summary_lines(summary):
        typer.echo(line)
    typer.echo(f"summary: {where}")
    for warning in drift_warnings(run.limits, job.store, job.labels, committed_ids(job.store, job.labels)):
        _say(f"warning: {warning}")
    if run.teacher.predictor == LANDMARKS:
        typer.echo(f"over a video: {runnable('view', run.output_uri, 'VIDEO', '--out', 'overlay.mp4')}")
        typer.echo(f"as a page: {runnable('report', run.output_uri, '--out', 'report.html')}")
    if summary.num_dead:
        typer.echo(f"given up: {runnable('dead', 'list', run.output_uri)}")
    if failure is not None:
        _say(f"error: {failure}")
    elif meter is not None and meter.is_used and not summary.is_finished:
        to_do = summary.num_shards - summary.num_shards_done
        _say(f"the budget of {meter.budget.text} is used: {to_do} of {summary.num_shards} shards are still to be done.")
        _say(f"The same command goes on from there, with a budget of its own:\n  {typed()}")
        return EXIT_UNFINISHED
    return 0 if failure is None and summary.is_finished else EXIT_FAILED


def configurations(request: LabelRequest) -> tuple[RunConfig, ClusterConfig]:
    """Read or build both halves.

    Raises:
        ConfigError: a file or option is wrong.
    """
    routed = route_overrides(request.overrides)
    if routed.problems:
        raise ConfigError("\n  ".join(routed.problems))
    run = load_run(request.source, routed.run) if request.is_run_file else _quick_run(request, routed.run)
    if request.cluster is not None:
        return run, load_cluster(request.cluster, routed.cluster)
    return run, _cluster_of_this_machine(routed.cluster)


def _quick_run(request: LabelRequest, overrides: Sequence[str]) -> RunConfig:
    """Build the run of the quick form: videos, teacher, output, perhaps boxes; defaults for the rest."""
    from hoiray.cli.index import box_format_of

    finds_hands = request.teacher == LANDMARKS or request.detector is not None
    needed = ("teacher", "out") if finds_hands else ("boxes", "teacher", "out")
    missing = [f"--{name}" for name in needed if getattr(request, name) is None]
    if missing:
        fix = f"Add them, take --teacher {LANDMARKS} or a --detector, which need no boxes, or name a run file (.yaml)."
        what = f"hoiray label {request.source}"
        raise ConfigError(describe(what=what, expected=f"{', '.join(missing)} too", found="none", fix=fix))
    box_format = "none" if request.boxes is None else box_format_of(request.boxes, request.box_format)
    import yaml

    tells_sides = box_format != "something_else" and request.detector is None
    is_landmarks = request.teacher == LANDMARKS
    values: dict[str, Any] = {
        "output_uri": request.out,
        **(_landmark_teacher() if is_landmarks else _network_teacher(request.teacher)),
        "detector": None if request.detector is None else {"checkpoint_uri": request.detector},
        "videos": {
            "uri": request.source,
            "boxes_uri": request.boxes,
            "box_format": box_format,
            # Something-Else's boxes number frames at 12 a second
            "sample_rate_hz": 12 if box_format == "something_else" else None,
            "hand_side": "boxes" if tells_sides else "both",
        },
        "hand": {"flat_hand_mean": True},
    }
    if box_format == "none":
        # boxes that made the crops say nothing about what is in them
        values["limits"] = {"preset": "paper", "min_box_iou": None}
    return parse_run(yaml.safe_dump(values), overrides, source="the options")


def _network_teacher(checkpoint_uri: str | None) -> dict[str, Any]:
    return {"teacher": {"predictor": "network", "checkpoint_uri": checkpoint_uri}}


def _landmark_teacher() -> dict[str, Any]:
    """Return the parts of a run whose teacher are the landmark networks."""
    return {
        "teacher": {"predictor": LANDMARKS},
        # it reads upright hands, and turns them upright itself: views turn a little around that
        "ensemble": {"num_views": QUICK_VIEWS, "max_rotation_deg": 30.0, "max_scale_change": 0.1},
    }


def _require_landmarks(run: RunConfig) -> None:
    """Refuse to begin where the landmark networks' files are not there.

    Raises:
        InputError: names the file and the command that fetches it.
    """
    from hoiray.io.landmark_files import FILES, default_folder, network_path

    folder = run.teacher.options.get("folder")
    for name in FILES:
        network_path(name, default_folder() if folder is None else Path(str(folder)))


def _cluster_of_this_machine(overrides: Sequence[str]) -> ClusterConfig:
    from hoiray.config.dump import dump
    from hoiray.config.load import parse_cluster
    from hoiray.engine.fit import cluster_here

    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    cluster = cluster_here(num_cpus=os.cpu_count() or 2, num_gpus=_num_gpus(), memory_gib=memory_gib)
    return parse_cluster(dump(cluster), overrides, source="this machine") if overrides else cluster


def _num_gpus() -> int:
    """Count GPUs without loading torch, which would take hold of them."""
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def drive(
    job: "LabelJob",
    cluster: ClusterConfig,
    request: LabelRequest,
    *,
    only: frozenset[str] | None = None,
    meter: "Meter | None" = None,
    on_pools: Callable[[Pools], None] = lambda _pools: None,
) -> str | None:
    """Run to the end, and return why it does not count as a success; None where it does.

    Args:
        job: the labelling.
        cluster: where.
        request: how.
        only: these shards; None for all that are pending.
        meter: of its budget; None: no end.
        on_pools: told of the pools that fit the Ray that is met; not without Ray.

    Raises:
        ConfigError: the budget is one of what the cluster file does not reserve.
        InputError: so many videos are dead before the end that going on makes no sense.
    """
    from hoiray.engine.native_noise import native_noise_hidden
    from hoiray.engine.progress import LabelProgress
    from hoiray.stages.pending import Portion, pending_cost

    portion = Portion(only, None if meter is None else meter.may_begin)
    progress = LabelProgress(*pending_cost(job.plan, job.store, job.predictions, portion))
    _say(f"{progress.num_shards} of {job.plan.head.num_shards} shards to do, {progress.cost_frames} frames or so")
    limit = cluster.retries.max_dead_fraction
    show = _bar if sys.stderr.isatty() else _log
    hidden = native_noise_hidden() if request.uses_ray else nullcontext()
    with hidden, show(progress) as shown:
        work = _Work(job, cluster, request, portion, meter, progress, shown, on_pools)
        with closing(_events(work)) as events:
            for event in events:
                progress.count(event)
                if meter is not None:
                    meter.count(event)
                shown()
                stop = progress.over_budget(limit)
                if stop is not None:
                    raise InputError(stop)
    return progress.over_budget(limit, is_over=True)


@dataclass(frozen=True)
class _Work:
    """What is driven, and who is told."""

    job: "LabelJob"
    cluster: ClusterConfig
    request: LabelRequest
    portion: "Portion"
    meter: "Meter | None"
    progress: "LabelProgress"
    shown: Callable[[], None]
    on_pools: Callable[[Pools], None]


def _events(work: _Work) -> "Generator[ShardResult | BucketResult | Tick, None, None]":
    request = work.request
    if not request.uses_ray:
        with _terminated_like_interrupted():
            yield from _events_here(work)
        return
    from hoiray.engine.budget import Held
    from hoiray.engine.fit import fit_cluster
    from hoiray.engine.label import label_on_ray
    from hoiray.engine.progress import Metrics
    from hoiray.engine.session import ray_session

    address = request.ray_address or os.environ.get("RAY_ADDRESS") or None
    # Ray's own handler of SIGTERM is installed when it starts, and would end this process without a word
    with (
        ray_session(None if address == "local" else address, work.cluster.head) as nodes,
        _terminated_like_interrupted(),
    ):
        fitting, changes = fit_cluster(work.cluster, nodes)
        for line in changes:
            _say(line)
        work.on_pools(fitting.pools)
        if work.meter is not None:
            work.meter.holds(Held.by(fitting.pools))
        metrics = Metrics(work.job.run.name)
        labelling = label_on_ray(
            work.job, fitting, device=request.device, by_groupby=request.by_groupby, portion=work.portion
        )
        with closing(labelling) as events:
            for event in events:
                yield event
                metrics.show(work.progress)


def _events_here(work: _Work) -> "Generator[ShardResult | BucketResult | Tick, None, None]":
    from hoiray.engine.budget import Held
    from hoiray.engine.session import settle_threads
    from hoiray.engine.workers import frame_source_here
    from hoiray.stages.label_shard import Tools, label_here
    from hoiray.stages.teacher import device_of, open_detector, open_teacher

    job, cluster = work.job, work.cluster
    batch_size = cluster.pools.predict.batch_size
    predictor = open_teacher(job.run, device=work.request.device, batch_size=batch_size)
    device = device_of(predictor, work.request.device)
    if work.meter is not None:
        work.meter.holds(Held(num_gpus=0.0 if device == "cpu" else 1.0, num_cpus=1.0))
    settle_threads()
    frames = frame_source_here(job, cluster, predictor)
    detector = open_detector(job.run, device=work.request.device)
    tools = Tools(predictor, frames, batch_size, cluster.retries.max_attempts_per_video, device, detector)

    work.progress.begin()

    def count(num_frames: int) -> None:
        work.progress.count_frames(num_frames)
        work.shown()

    with closing(frames):
        yield from label_here(job, tools, count, work.portion)


@contextmanager
def _bar(progress: "LabelProgress") -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    with Bar(BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=max(progress.cost_frames, 1))
        yield lambda: bar.update(task, completed=progress.cost_done, description=progress.line())


@contextmanager
def _log(progress: "LabelProgress") -> Iterator[Callable[[], None]]:
    next_s = time.monotonic() + LOG_INTERVAL_S

    def tell() -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + LOG_INTERVAL_S
            _say(progress.line())

    yield tell
    _say(progress.line())


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """End on SIGTERM, which stops a job of Ray, as on Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def typed() -> str:
    """Return what was typed, to be typed again."""
    arguments = sys.argv[1:]
    return runnable(*arguments) if arguments[:1] == ["label"] else shlex.join(sys.argv)


def _say(line: str) -> None:
    typer.echo(line, err=True)
