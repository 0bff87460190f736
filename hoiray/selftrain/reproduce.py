"""The paper's tables on the synthetic twin: run every arm with several seeds, and say what came out.

Everything is resumable arm by arm. Differences are paired by seed: two arms of one seed have the same data, teacher and
number of steps; their interval is Student's t over the seeds.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from scipy.stats import t as student_t

from hoiray.config.dump import dump
from hoiray.config.halves import split_override
from hoiray.config.load import parse_run
from hoiray.config.what import PaperLimits, RunConfig
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.evaluation.bootstrap import Interval
from hoiray.io.json_values import nan_to_none
from hoiray.io.store import Store
from hoiray.selftrain.arms import ARMS, Bench, label_phase, score_phase, train_phase
from hoiray.selftrain.paper_tables import TABLES, Claim, Measure
from hoiray.selftrain.phases import Runner
from hoiray.selftrain.round_labels import RoundLabels
from hoiray.selftrain.selections import choose
from hoiray.selftrain.twin import render_phase, twin_run, write_video_list

RUN_FILE: Final = "reproduce.yaml"

DECIDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "seed": "--seeds says how many",
        "output_uri": "--out says where",
        "videos.uri": "the twin's videos are labelled",
        "videos.boxes_uri": "the twin's videos are labelled",
        "videos.box_format": "the twin's videos are labelled",
        "teacher.predictor": "a network of the same seed labels",
        "teacher.checkpoint_uri": "a network of the same seed labels",
        "training.annotated": "the twin's annotated images are trained on",
        "training.network.preset": "the tables are of one size of network",
        "training.network.reasoning.queries": "arms differ in it",
        "training.labels_uri": "arms differ in it",
        "training.pseudo_label_rows": "arms differ in it",
        "training.pseudo_label_list_uri": "arms differ in it",
        "training.epochs": "--steps says how long",
        "training.steps_per_epoch": "--steps says how long",
        "training.batch_size": "it belongs to the size",
        "training.init_parts": "what an arm lacks must not have been learnt before",
    }
)
"""Keys of the run file that nobody may change, and who decides them."""

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        tables: names of :data:`hoiray.selftrain.paper_tables.TABLES`.
        seeds: of the trainings.
        parallel: commands at once.
        workers: of rendering.
    """

    tables: tuple[str, ...]
    seeds: tuple[int, ...]
    parallel: int = 1
    workers: int = 1

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm the tables need, teachers included, each once."""
        wanted = {arm for table in self.tables for arm in TABLES[table].arms}
        wanted |= {teacher for arm in wanted if (teacher := ARMS[arm].teacher) is not None}
        return tuple(name for name in ARMS if name in wanted)

    def tests(self, arm: str) -> tuple[str, ...]:
        """The sets an arm is scored on."""
        needed = {test for table in self.tables if arm in TABLES[table].arms for test in TABLES[table].tests}
        return tuple(sorted(needed))


def reproduce(plan: Plan, bench: Bench, runner: Runner, *, after_seed: Callable[[], None] = lambda: None) -> None:
    """Run what has not been run yet, seed by seed.

    Args:
        plan: what is run.
        bench: where, and how much of everything.
        runner: of the same folder.
        after_seed: called when all arms of a seed are scored.

    Raises:
        ConfigError: the folder holds another experiment.
        PhaseFailedError: a command failed.
        InputError: a teacher's labels were all refused.
    """
    store, amounts, at_once = bench.store, bench.amounts, plan.parallel
    run = read_run(bench)
    for world in sorted({"lab", "wild"} | {test for arm in plan.arms for test in plan.tests(arm)}):
        runner.do(render_phase(store, world, amounts, plan.workers))
    write_video_list(store, amounts.max_videos)
    store.write(RUN_FILE, dump(run).encode())
    assert isinstance(run.limits, PaperLimits)
    run_file = store.url(RUN_FILE)
    supervised = [arm for arm in plan.arms if ARMS[arm].labels is None]
    students = [arm for arm in plan.arms if ARMS[arm].labels is not None]
    teachers = sorted({str(ARMS[arm].teacher) for arm in students})
    for seed in plan.seeds:
        runner.do(*(train_phase(bench, run_file, seed, arm) for arm in supervised), parallel=at_once)
        runner.do(*(label_phase(bench, run_file, seed, teacher) for teacher in teachers), parallel=at_once)
        for teacher in teachers:
            write_lists(bench, seed, teacher, run.limits)
        # the first student cuts the crops of all labels, which the others share
        for part in (students[:1], students[1:]):
            runner.do(*(train_phase(bench, run_file, seed, arm) for arm in part), parallel=at_once)
        scores = (score_phase(bench, seed, arm, test) for arm in plan.arms for test in plan.tests(arm))
        runner.do(*scores, parallel=at_once)
        after_seed()


def read_run(bench: Bench) -> RunConfig:
    """Return the run file of every arm: the twin's, changed as asked.

    Raises:
        ConfigError: a change is none of a run file, or of something that an arm or an option decides.
    """
    for change in bench.changes:
        path = ".".join((split_override(change) or ((), ""))[0])
        for key, who in DECIDED.items():
            if path == key or path.startswith(f"{key}.") or key.startswith(f"{path}."):
                fix = "Leave it out."
                raise ConfigError(describe(what=f"--set {change}", expected=f"another key: {who}", found=path, fix=fix))
    text = dump(twin_run(bench.store, "reproduce", bench.amounts))
    run = parse_run(text, bench.changes, source=bench.store.url(RUN_FILE))
    if not isinstance(run.limits, PaperLimits):
        expected, found = "the preset paper, changed or not", run.limits.preset
        fix = "Tables without one of its filters need it."
        raise ConfigError(describe(what="--set limits", expected=expected, found=found, fix=fix))
    return run


def write_lists(bench: Bench, seed: int, teacher: str, limits: PaperLimits) -> None:
    """Choose the labels of every student of a teacher, once."""
    about_key = f"seed-{seed}/{teacher}/lists/about.json"
    if bench.store.exists(about_key):
        return
    labels = RoundLabels(bench.store.below(bench.labels_folder(seed, teacher)))
    about = {}
    for name, selection in choose(labels, bench.store.url("data/wild"), limits, seed=seed).items():
        selection.write(bench.store, bench.list_key(seed, teacher, name))
        about[name] = {
            "num_labels": selection.keys.num_rows,
            **{error: nan_to_none(value) for error, value in selection.errors.items()},
            "side_right": selection.side_right,
        }
    bench.store.write(about_key, json.dumps(about, indent=1).encode(), durable=True)


# --- what came out ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Scores of arms.

    Attributes:
        values: by arm and seed, the columns of every table by :func:`key_of`.
        labels: by teacher and seed, what each selection was.
    """

    values: Mapping[str, Mapping[int, Mapping[str, float]]]
    labels: Mapping[str, Mapping[int, Mapping[str, Mapping[str, float]]]]

    def of(self, arm: str, measure: Measure) -> dict[int, float]:
        """A column of an arm, by seed, in the paper's unit."""
        key = key_of(measure)
        return {
            seed: columns[key] * measure.scale
            for seed, columns in self.values.get(arm, {}).items()
            if key in columns and math.isfinite(columns[key])
        }

    def num_seeds(self, plan: Plan) -> int:
        """How many seeds are scored in every arm that is scored at all."""
        done = [set(self.values.get(arm, {})) for arm in plan.arms if plan.tests(arm)]
        return len(set.intersection(*done)) if done else 0

    def difference(self, claim: Claim) -> tuple[Interval, int]:
        """The paired difference a claim is about, and of how many seeds."""
        first, second = self.of(claim.arm, claim.measure), self.of(claim.baseline, claim.measure)
        seeds = sorted(first.keys() & second.keys())
        return t_interval([first[seed] - second[seed] for seed in seeds]), len(seeds)


def key_of(measure: Measure) -> str:
    """Where a column is kept."""
    row = f"{measure.test}/{measure.table}/{measure.row}"
    return row if measure.cell is None else f"{row}/{measure.cell}"


def t_interval(values: Sequence[float]) -> Interval:
    """Return the mean and Student's t interval; no interval of fewer than two values."""
    if not values:
        return Interval(math.nan, math.nan, math.nan)
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(student_t.ppf(0.5 + CONFIDENCE / 2, len(array) - 1) * array.std(ddof=1) / math.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def collect(bench: Bench, plan: Plan) -> Results:
    """Read the scores that are there; arms and seeds that are missing are left out.

    Raises:
        ContractError: a file of scores is damaged.
    """
    values: dict[str, dict[int, dict[str, float]]] = {}
    labels: dict[str, dict[int, dict[str, dict[str, float]]]] = {}
    measures = {key_of(m): m for table in plan.tables for m in _measures(table)}
    for arm in plan.arms:
        for seed in plan.seeds:
            found = _scores(bench.store, f"seed-{seed}/{arm}", plan.tests(arm), measures)
            if found:
                values.setdefault(arm, {})[seed] = found
            about = bench.store.read_if_there(f"seed-{seed}/{arm}/lists/about.json")
            if about is not None:
                labels.setdefault(arm, {})[seed] = json.loads(about)
    return Results(values, labels)


def _measures(table: str) -> list[Measure]:
    return [*TABLES[table].measures, *(claim.measure for claim in TABLES[table].claims)]


def _scores(store: Store, folder: str, tests: Sequence[str], measures: Mapping[str, Measure]) -> dict[str, float]:
    found: dict[str, float] = {}
    for test in tests:
        key = f"{folder}/{test}/evaluation.json"
        data = store.read_if_there(key)
        if data is None:
            continue
        try:
            tables = json.loads(data)["tables"]
        except (ValueError, KeyError, TypeError) as error:
            what, fix = store.url(key), "Remove its phase's record, and run again."
            raise ContractError(describe(what=what, expected="an evaluation", found=repr(error), fix=fix)) from error
        for name, measure in measures.items():
            if measure.test == test:
                row = tables.get(measure.table, {}).get("rows", {}).get(measure.row, {})
                cell = row.get(measure.cell or ("model" if measure.table == "hands" else "accuracy"))
                if isinstance(cell, Mapping) and cell["value"] is not None:
                    found[name] = float(cell["value"])
    return found


def document(results: Results, plan: Plan, header: Mapping[str, Any]) -> dict[str, Any]:
    """Everything as JSON: what was run, every score of every seed, and every claim with its difference."""
    claims = []
    for table in plan.tables:
        for claim in TABLES[table].claims:
            difference, num_seeds = results.difference(claim)
            claims.append(
                {
                    "table": table,
                    "claim": claim.says,
                    "measure": claim.measure.title,
                    "arm": claim.arm,
                    "baseline": claim.baseline,
                    "paper": claim.paper,
                    "difference": {name: nan_to_none(getattr(difference, name)) for name in ("value", "low", "high")},
                    "num_seeds": num_seeds,
                    "finding": finding_of(claim, difference),
                }
            )
    return {
        "header": dict(header),
        "claims": claims,
        "values": _by_text(results.values),
        "labels": _by_text(results.labels),
    }


def _by_text(values: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[str, Any]]:
    return {arm: {str(seed): dict(found) for seed, found in seeds.items()} for arm, seeds in values.items()}


def finding_of(claim: Claim, difference: Interval) -> str:
    """Say whether a claim holds here: only a difference whose interval excludes zero says anything."""
    if math.isnan(difference.value):
        return "not run"
    if math.isnan(difference.low):
        return "one seed only"
    is_less, is_more = difference.high < 0.0, difference.low > 0.0
    if not (is_less or is_more):
        return "no difference shown"
    return "holds" if is_less == claim.measure.is_error else "the opposite"
