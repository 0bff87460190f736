"""What training costs: a step and its data against bare PyTorch, Ray Train against both, and the network by part."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.timing import Comparison, Spread, alternate, compare, refuse_loaded_machine, write_report
from hoiray.config.training_presets import training_preset
from hoiray.config.what import AnnotatedSet, TrainRun
from hoiray.config.where import Node, TrainWorkers
from hoiray.datasets.batch_loader import BatchLoader
from hoiray.datasets.collate import collate
from hoiray.datasets.crop_cache import CacheOptions, open_crop_cache
from hoiray.datasets.label_source import AnnotatedSource, Source
from hoiray.datasets.open import open_dataset
from hoiray.engine.train import train_on_ray
from hoiray.hand.load import load_hand_arrays
from hoiray.models.batch import Batch
from hoiray.models.losses import TrainedNetwork
from hoiray.stages.label_input import open_label_run
from hoiray.synthetic.generate import generate, make_request, run_job
from hoiray.training.assemble import LoadedBatches, crop_spec, prepare
from hoiray.training.data_plan import DataPlan, open_annotated, plan_data, plan_training
from hoiray.training.job import Prepared, TrainJob
from hoiray.training.label_plan import open_labels
from hoiray.training.reports import Event, StepReport
from hoiray.training.step import TOTAL, take_step
from hoiray.training.world import World

MIN_STEPS_PER_EPOCH: Final = 20
"""A small set is listed several times, lest epochs of two steps measure nothing but their ends."""

STEPS_PER_MEASUREMENT: Final = 3
REPORT_EVERY: Final = 5
LABEL_BATCH: Final = "batch of labels"
UNION_STEP: Final = "bare step on the union, half labels, with loading"
MAX_CUT: Final = 256
"""Annotated images whose cutting is timed."""

RAY_THREADS: Final = (1, 2)
"""Workers of Ray Train, of one thread each, against a bare loop of as many threads."""


@dataclass(frozen=True)
class Setup:
    """What is trained, the same on every side.

    Attributes:
        run: the preset on the benchmark's data.
        plan: its samples, all of them.
        cache: folder of the cut crops.
    """

    run: TrainRun
    plan: DataPlan
    cache: str

    def prepared(self, workers: TrainWorkers) -> Prepared:
        """Build the only worker's part."""
        return prepare(World(), run=self.run, plan=self.plan, workers=workers, cache=self.cache)


def run(
    out: Path,
    *,
    pairs: int,
    force: bool,
    data: str | None,
    preset: str,
    with_ray: bool = True,
    labels: str | None = None,
) -> str:
    """Measure and write `train.json` and `train.md` into `out`; return the Markdown.

    Args:
        out: folder of the report.
        pairs: alternating measurements of each side.
        force: measure on a loaded machine all the same.
        data: an annotated data set; None: the smallest synthetic one, made in `out`.
        preset: of network and training.
        with_ray: measure Ray Train too, which takes a start of about ten seconds a measurement.
        labels: a run whose labels are trained on too, accepted or not; None: the union is not measured.

    Raises:
        ConfigError: the machine is loaded, or too few pairs were asked for.
    """
    refuse_loaded_machine(force=force)
    setup = make_setup(out, data or _make_lab(out), preset)
    torch.set_num_threads(1)
    comparisons = compare_steps(setup, pairs)
    loading = comparisons[1].ratio
    union = None if labels is None else union_of(setup, labels)
    comparisons += compare_union(union, pairs) if union is not None else []
    comparisons += compare_ray(setup, pairs if with_ray else 0)
    network, batch_size = setup.run.training.network, setup.run.training.batch_size
    notes = {"step": f"preset {preset}: {batch_size} samples of {network.input_px} px, float32"}
    for comparison in comparisons:
        rates = [batch_size / side.median for side in (comparison.subject_s, comparison.baseline_s)]
        notes[f"{comparison.subject}, samples/s"] = f"{rates[0]:.1f} against {rates[1]:.1f}"
    notes["share of a step spent on loading"] = f"{1.0 - 1.0 / loading.median:.0%}, by one thread beside the step"
    if union is not None:
        notes |= union_notes(union, comparisons, pairs)
    for part, share in forward_shares(setup, pairs).items():
        notes[f"forward, {part}"] = f"{share.median:.0%} ({share.minimum:.0%} - {share.maximum:.0%})"
    return write_report(out, "train", comparisons, notes)


ROWS: Final = {
    "step of hoiray, batches ready": "train_step",
    "bare step with loading": "train_loading",
    "Ray Train, 1 worker(s)": "train_ray_1",
    "Ray Train, 2 worker(s)": "train_ray_2",
}
"""Rows of the table of speeds, by the subject of the comparison."""


def measure(folder: Path, *, pairs: int, on_ray: bool) -> list[Row]:
    """Measure rows of the table of speeds on the smallest set, with the network `nano`.

    Args:
        folder: an empty one.
        pairs: alternating measurements of each side.
        on_ray: measure Ray Train, which takes a start of half a minute a measurement; False: a step and its data.
    """
    from hoiray.engine.session import ray_session

    setup = make_setup(folder, _make_lab(folder), "nano")
    torch.set_num_threads(1)
    if on_ray:
        # one Ray for all of them: its start is not training
        with ray_session(None, Node(num_cpus=4, memory_gib=8, object_store_gib=0.3)):
            comparisons = compare_ray(setup, pairs)
    else:
        comparisons = compare_steps(setup, pairs)
    batch_size = setup.run.training.batch_size
    return [
        Row.of(ROWS[it.subject], it, f"{batch_size / it.subject_s.median:.0f} samples/s of {batch_size} a step.")
        for it in comparisons
    ]


def make_setup(out: Path, data: str, preset: str) -> Setup:
    """Choose the samples and cut their crops."""
    values = dict(training_preset(preset))
    dataset = open_dataset(data)
    annotated = {"format": dataset.name, "uri": str(Path(data).absolute()), "split": dataset.split}
    batch_size = values.get("batch_size", 24)
    assert isinstance(batch_size, int)
    repeats = -(-MIN_STEPS_PER_EPOCH * batch_size // max(len(dataset), 1))
    one = AnnotatedSet.model_validate(annotated)
    training = {**values, "annotated": one, "also_annotated": [one] * (repeats - 1), "validation_fraction": 0.0}
    training |= {"epochs": 1, "precision": "float32"}
    run = TrainRun.model_validate({"output_uri": str(out / "runs"), "training": training})
    plan = plan_data(run.training, load_hand_arrays(), seed=0)
    setup = Setup(run, plan, str((out / "crops").absolute()))
    setup.prepared(TrainWorkers())
    return setup


def compare_steps(setup: Setup, pairs: int) -> list[Comparison]:
    """Compare hoiray's step with a bare one on batches that lie ready, and a bare loop with and without loading."""
    prepared = setup.prepared(TrainWorkers(loader_threads=1))
    data = prepared.data
    assert isinstance(data, LoadedBatches)
    ready = list(islice(data.batches(0, 0), STEPS_PER_MEASUREMENT))
    bare, settings = BareLoop(prepared.state.model), prepared.settings

    def own_steps() -> None:
        for batch in ready:
            take_step(
                prepared.state,
                prepared.state.model,
                batch,
                learning_rate=1e-6,
                max_grad_norm=settings.max_grad_norm,
                precision=settings.precision,
                world=World(),
            )

    with endless(data.loader) as loaded:
        sides = (
            (("step of hoiray, batches ready", own_steps), ("bare step, batches ready", lambda: bare.run(ready))),
            (
                ("bare step with loading", lambda: bare.run(islice(loaded, STEPS_PER_MEASUREMENT))),
                ("bare step, batches ready", lambda: bare.run(ready)),
            ),
        )
        return [_per_step(compare(subject, baseline, pairs=pairs)) for subject, baseline in sides]


def union_of(setup: Setup, labels: str) -> Setup:
    """Add the labels of a run, half of every batch."""
    opened = open_label_run(labels)
    changes = {"labels_uri": opened.uri, "pseudo_label_rows": "all", "pseudo_label_fraction": 0.5}
    training = setup.run.training.model_copy(update=changes)
    run = setup.run.model_copy(update={"training": training})
    union = Setup(run, plan_training(run, load_hand_arrays(), opened), setup.cache)
    union.prepared(TrainWorkers())
    return union


def compare_union(union: Setup, pairs: int) -> list[Comparison]:
    """Compare batches of labels with batches of annotated samples, and a bare loop with and without loading both."""
    prepared = union.prepared(TrainWorkers(loader_threads=1))
    data, batch_size = prepared.data, union.run.training.batch_size
    assert isinstance(data, LoadedBatches)
    samples, bare = data.loader.dataset, BareLoop(prepared.state.model)
    is_pseudo = samples.records["is_pseudo"]
    of_labels, of_annotated = (np.resize(np.flatnonzero(kind), batch_size).tolist() for kind in (is_pseudo, ~is_pseudo))
    ready = list(islice(data.batches(0, 0), STEPS_PER_MEASUREMENT))

    def batch_of(indices: list[int]) -> None:
        collate(samples.samples(indices, epochs=[0] * batch_size), tells_kinds=True)

    batches = compare(
        (LABEL_BATCH, lambda: batch_of(of_labels)), ("batch of annotated samples", lambda: batch_of(of_annotated)),
        pairs=pairs,
    )  # fmt: skip
    with endless(data.loader) as loaded:
        steps = compare(
            (UNION_STEP, lambda: bare.run(islice(loaded, STEPS_PER_MEASUREMENT))),
            ("bare step on the union, batches ready", lambda: bare.run(ready)),
            pairs=pairs,
        )
    return [batches, _per_step(steps)]


def union_notes(union: Setup, comparisons: Sequence[Comparison], pairs: int) -> dict[str, str]:
    """Say what the union's loading costs of a step, and what cutting its crops cost before the first."""
    found = {comparison.subject: comparison for comparison in comparisons}
    share = 1.0 - 1.0 / found[UNION_STEP].ratio.median
    rates = {kind: Spread.of(values) for kind, values in cut_rates(union, pairs).items()}
    told = (f"{rate.median:.0f} ({rate.minimum:.0f} - {rate.maximum:.0f}) {kind}" for kind, rate in rates.items())
    return {
        "share of a step spent on loading the union": f"{share:.0%}, by one thread beside the step",
        "crops cut once, a second and thread": ", ".join(told),
    }


def cut_rates(union: Setup, repeats: int) -> dict[str, list[float]]:
    """Measure hands cut a second, by one thread, of labels (decoded from their videos) and of annotated images."""
    run, labels, arrays = union.run, union.plan.labels, load_hand_arrays()
    assert labels is not None
    planned = union.plan.sets[0]
    dataset = open_annotated(planned.annotated, arrays)
    source = AnnotatedSource(dataset, planned.train[:MAX_CUT])
    sources: dict[str, Source] = {"of labels": open_labels(labels, arrays, TrainWorkers()), "of images": source}
    rates: dict[str, list[float]] = {kind: [] for kind in sources}
    for kind, each in list(sources.items()) * repeats:
        with tempfile.TemporaryDirectory(prefix="hoiray-bench-") as folder:
            start = time.perf_counter()
            options = CacheOptions(Path(folder), num_threads=1)
            crops = open_crop_cache(each, crop_spec(run.training), run.training.augmentation, options)
            rates[kind].append(len(crops.records) / (time.perf_counter() - start))
    return rates


@dataclass(frozen=True)
class BareLoop:
    """Training as short as it can be written: no checks, no means, no average, no clipping."""

    model: nn.Module

    def run(self, batches: "Iterator[Batch] | list[Batch]") -> None:
        """Take a step for each batch."""
        optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-6)
        for batch in batches:
            optimiser.zero_grad(set_to_none=True)
            self.model(batch)[TOTAL].backward()
            optimiser.step()


@contextmanager
def endless(loader: BatchLoader) -> Iterator[Iterator[Batch]]:
    """Lend a loader's batches, epoch after epoch; its threads end with the context."""
    batches = (batch for epoch in cycle(range(1000)) for batch in loader.epoch(epoch))
    try:
        yield batches
    finally:
        batches.close()


def compare_ray(setup: Setup, pairs: int) -> list[Comparison]:
    """Compare Ray Train at one and two workers with a bare loop of as many threads, both with loading, in turns."""
    return [
        alternate(
            (f"Ray Train, {threads} worker(s)", partial(ray_seconds_per_step, setup, threads)),
            (f"bare loop with loading, {threads} thread(s)", partial(bare_seconds_per_step, setup, threads)),
            pairs=pairs,
        )
        for threads in (RAY_THREADS if pairs else ())
    ]


def ray_seconds_per_step(setup: Setup, num_workers: int) -> float:
    """Train an epoch on Ray; the first report, which holds the warming up, does not count."""
    workers = TrainWorkers(
        num_workers=num_workers, num_cpus=1.0, report_every_steps=REPORT_EVERY, checkpoint_every_steps=10_000
    )
    events: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="hoiray-bench-") as folder:
        run = setup.run.model_copy(update={"output_uri": folder})
        parts = partial(prepare, run=run, plan=setup.plan, workers=workers, cache=setup.cache)
        train_on_ray(TrainJob(folder, parts), workers, address=None, resume=False, tell=events.append)
    rates = [event.timing.samples_per_s for event in events if isinstance(event, StepReport)]
    return setup.run.training.batch_size / statistics.median(rates[1:])


def bare_seconds_per_step(setup: Setup, num_threads: int) -> float:
    """Run the bare loop over an epoch with loading, its first steps not counted."""
    prepared = setup.prepared(TrainWorkers(loader_threads=1))
    bare = BareLoop(prepared.state.model)
    torch.set_num_threads(num_threads)
    try:
        batches = prepared.data.batches(0, 0)
        bare.run(list(islice(batches, REPORT_EVERY)))
        start = time.perf_counter()
        bare.run(batches)
        return (time.perf_counter() - start) / (prepared.data.steps_per_epoch - REPORT_EVERY)
    finally:
        torch.set_num_threads(1)


@torch.no_grad()
def forward_shares(setup: Setup, repeats: int) -> dict[str, Spread]:
    """Tell which part of the network takes which share of its forward pass, on one thread, in evaluation mode."""
    prepared = setup.prepared(TrainWorkers(loader_threads=0))
    model = prepared.state.model.eval()
    assert isinstance(model, TrainedNetwork)
    batch = next(prepared.data.batches(0, 0))
    parts = {name: module for name, module in model.network.named_children() if not isinstance(module, nn.Identity)}
    with stopwatches(parts) as spent_s:
        model.network(batch.inputs)
        samples: dict[str, list[float]] = {name: [] for name in (*parts, "regions, hand model and the rest")}
        for _ in range(repeats):
            spent_s.update(dict.fromkeys(spent_s, 0.0))
            start = time.perf_counter()
            model.network(batch.inputs)
            whole_s = time.perf_counter() - start
            for name in parts:
                samples[name].append(spent_s[name] / whole_s)
            samples["regions, hand model and the rest"].append(1.0 - sum(spent_s.values()) / whole_s)
    return {name: Spread.of(shares) for name, shares in samples.items() if max(shares) > 0.0}


@contextmanager
def stopwatches(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, float]]:
    """Add up the seconds that modules spend in their forward pass."""
    spent_s, started_s = dict.fromkeys(parts, 0.0), dict.fromkeys(parts, 0.0)
    hooks = []
    for name, module in parts.items():

        def begin(_: nn.Module, __: object, name: str = name) -> None:
            started_s[name] = time.perf_counter()

        def end(_: nn.Module, __: object, ___: object, name: str = name) -> None:
            spent_s[name] += time.perf_counter() - started_s[name]

        hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    try:
        yield spent_s
    finally:
        for hook in hooks:
            hook.remove()


def _per_step(comparison: Comparison) -> Comparison:
    def of(spread: Spread) -> Spread:
        steps = STEPS_PER_MEASUREMENT
        return Spread(spread.median / steps, spread.minimum / steps, spread.maximum / steps)

    names = (comparison.subject, comparison.baseline)
    return Comparison(*names, of(comparison.subject_s), of(comparison.baseline_s), comparison.ratio, comparison.pairs)


def _make_lab(out: Path) -> str:
    """Make the smallest `lab` unless it is there."""
    request = make_request("lab", str(out / "lab"), size="tiny", seed=0)
    result = generate(request, lambda jobs: map(run_job, jobs), resume=True)
    return next(iter(result.roots.values()))
