"""Where the labels of a run come from: ids, weights, limits and versions, checked against what is there now."""

from hoiray.config.load import parse_run
from hoiray.config.what import RunConfig
from hoiray.errors import ConfigError, HoirayError
from hoiray.filters.rules import Rules
from hoiray.io.secrets import redacted
from hoiray.io.store import Store
from hoiray.report.run_facts import Origin
from hoiray.schema.tables import LABELS
from hoiray.stages.ids import make_judge_id, make_predict_id
from hoiray.stages.label_summary import Summary
from hoiray.stages.limits import rules_of
from hoiray.stages.plan import Plan
from hoiray.stages.report_rows import Counted
from hoiray.stages.run_layout import RUN_FILE
from hoiray.stages.teacher import run_digests


def read_run(store: Store) -> RunConfig | None:
    """Read the configuration that was written beside the results; None where there is none that can be read."""
    text = store.read_if_there(RUN_FILE)
    if text is None:
        return None
    try:
        return parse_run(text.decode("utf-8", "replace"), source=store.url(RUN_FILE))
    except ConfigError:
        return None


def origins_of(plan: Plan, counted: Counted, run: RunConfig | None) -> tuple[Rules | None, list[Origin]]:
    """Return the limits of the labels where they are known, and every line of their lineage."""
    summary, head = counted.summary, plan.head
    rate = "every frame" if head.sample_rate_hz is None else f"{head.sample_rate_hz:g} frames a second"
    lines = [
        Origin("plan_id", summary.plan_id, "which frames of which videos"),
        Origin("predict_id", summary.predict_id, "weights, ensemble, hand model and schema"),
        Origin("judge_id", summary.judge_id, "predict_id and limits"),
        Origin("videos", redacted(head.videos_uri), f"{head.num_videos:,} planned, {rate}"),
        Origin("boxes", redacted(head.boxes_uri or "none"), head.box_format),
        Origin("hoiray", ", ".join(sorted(counted.versions)), "that wrote the results"),
        Origin("schema of labels", f"version {LABELS.version}"),
        Origin("size of the results", f"{counted.num_bytes / 1e6:,.1f} MB"),
    ]
    if run is None:
        return None, [*lines, Origin("run.yaml", "not there", "teacher and limits are known by their ids only")]
    rules, limits_line = limits_of_labels(run, summary.predict_id, summary.judge_id)
    return rules, [*lines, *_teacher_lines(run, summary), limits_line]


def _teacher_lines(run: RunConfig, summary: Summary) -> list[Origin]:
    """Say which weights labelled, and whether those that are there now are the same."""
    uri, finder = run.teacher.checkpoint_uri, run.detector
    try:
        digests = run_digests(run)
    except HoirayError:
        digests, remark = {}, "not readable from here: the predict_id stands for them"
    else:
        is_same = make_predict_id(run, **digests) == summary.predict_id
        remark = "checked: they give this predict_id" if is_same else "NOT those of these labels: another predict_id"
    weights, hand = digests.get("weights_sha256"), digests.get("hand_model_sha256")
    ensemble = run.ensemble
    return [
        Origin("teacher", run.teacher.predictor, redacted(uri or "no weights")),
        Origin("weights, SHA-256", weights or "not known", remark),
        Origin(
            "hand model",
            redacted(run.hand.model_uri or "hoiray's open hand (CC0)"),
            f"tips: {run.hand.tip_set}{f'; SHA-256 {hand}' if hand else ''}",
        ),
        *([] if finder is None else [Origin("detector", finder.architecture, redacted(finder.checkpoint_uri))]),
        Origin("ensemble", f"{ensemble.num_views} views", f"seed {ensemble.seed}"),
    ]


def limits_of_labels(run: RunConfig, predict_id: str, judge_id: str) -> tuple[Rules | None, Origin]:
    """Return the limits in the run's configuration where they are those that labels were judged by, and what they are.

    Args:
        run: the configuration as it is now.
        predict_id: of the labels.
        judge_id: of the labels.
    """
    try:
        rules, sha256 = rules_of(run.limits)
    except HoirayError as error:
        return None, Origin("limits", run.limits.preset, f"not readable from here: {error}")
    if make_judge_id(predict_id, run.limits, limits_sha256=sha256) != judge_id:
        return None, Origin("limits", "not known", "run.yaml holds other limits than those of these labels")
    return rules, Origin("limits", run.limits.preset, f"SHA-256 {sha256}" if sha256 else "in run.yaml")
