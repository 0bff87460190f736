"""What a labelling is: configuration, output, plan and ids, resolved. Small, immutable, and sent to every worker."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hoiray.config.dump import dump
from hoiray.config.what import RunConfig
from hoiray.errors import ConfigError, describe
from hoiray.filters.rules import Rules
from hoiray.io.store import Store
from hoiray.stages.ids import make_judge_id, make_predict_id
from hoiray.stages.index import IndexRequest, make_plan
from hoiray.stages.limits import rules_of
from hoiray.stages.plan import Plan, current_plan_id, open_plan
from hoiray.stages.run_layout import PLAN_FOLDER, RUN_FILE, Area, labels_area, predictions_area
from hoiray.stages.teacher import NETWORK, no_boxes, run_digests
from hoiray.stages.wanted import asks_for_boxes

Say = Callable[[str], None]

_PACKING: Final = ("videos_uri", "boxes_uri", "box_format", "sample_rate_hz", "target_frames", "max_video_frames")


@dataclass(frozen=True)
class LabelJob:
    """A labelling.

    Attributes:
        run: what is asked for.
        store: the run's folder.
        plan: its plan.
        predict_id, judge_id: of its predictions and labels.
        rules: its limits.
        long_videos: the shards of each bucket that has several, in order.
    """

    run: RunConfig
    store: Store
    plan: Plan
    predict_id: str
    judge_id: str
    rules: Rules
    long_videos: Mapping[str, tuple[str, ...]]

    @property
    def predictions(self) -> Area:
        """Where predictions are committed."""
        return predictions_area(self.predict_id)

    @property
    def labels(self) -> Area:
        """Where labels are committed."""
        return labels_area(self.judge_id)

    def shards_of(self, bucket_id: str) -> tuple[str, ...]:
        """The shards that are judged together as a bucket."""
        return self.long_videos.get(bucket_id, (bucket_id,))


def open_label_job(run: RunConfig, *, say: Say = lambda _line: None) -> LabelJob:
    """Resolve a run: write its configuration, index its videos where nobody has, and name its results.

    Args:
        run: what is asked for.
        say: told in a line what takes time.

    Raises:
        ConfigError: something asked for does not exist or does not fit.
        InputError: a place cannot be read or written.
        ContractError: boxes, limits or plan are damaged.
    """
    if not asks_for_boxes(run.videos) and run.teacher.predictor == NETWORK and run.detector is None:
        raise no_boxes(f"teacher.predictor {NETWORK}")
    rules, limits_sha256 = rules_of(run.limits)
    predict_id = make_predict_id(run, **run_digests(run))
    store = Store.open(run.output_uri).probed()
    store.write(RUN_FILE, dump(run).encode(), durable=True)
    plan = _plan_of(run, store.below(PLAN_FOLDER), say)
    judge_id = make_judge_id(predict_id, run.limits, limits_sha256=limits_sha256)
    return LabelJob(run, store, plan, predict_id, judge_id, rules, long_videos_of(plan))


def _plan_of(run: RunConfig, store: Store, say: Say) -> Plan:
    if current_plan_id(store) is None:
        say(f"indexing {run.videos.uri}")
        return make_plan(IndexRequest.of_run(run), store)
    plan = open_plan(store)
    asked = {
        "videos_uri": run.videos.uri, "boxes_uri": run.videos.boxes_uri, "box_format": run.videos.box_format,
        "sample_rate_hz": run.videos.sample_rate_hz, "target_frames": run.sharding.target_frames,
        "max_video_frames": run.sharding.max_video_frames,
    }  # fmt: skip
    differing = [name for name in _PACKING if asked[name] != getattr(plan.head, name)]
    if differing:
        expected = ", ".join(f"{name} {asked[name]}" for name in differing)
        found = ", ".join(str(getattr(plan.head, name)) for name in differing)
        fix = "Name another output_uri, or index anew: hoiray index --update."
        raise ConfigError(describe(what=f"plan in {store.uri}", expected=expected, found=found, fix=fix))
    return plan


def long_videos_of(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the buckets of several shards. Memory: those."""
    if plan.head.num_buckets == plan.head.num_shards:
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    for entry in plan.shards():
        if entry.bucket_id != entry.shard_id:
            found[entry.bucket_id].append(entry.shard_id)
    return {bucket_id: tuple(sorted(shards)) for bucket_id, shards in found.items()}
