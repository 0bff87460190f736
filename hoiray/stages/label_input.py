"""From the place of labels to what a training reads: a snapshot of them, made where none is named."""

from pathlib import PurePosixPath

from hoiray.config.load import parse_run
from hoiray.config.what import Hand
from hoiray.datasets.label_run import LabelFile, LabelRun
from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.store import Store
from hoiray.stages.commit import read_marker
from hoiray.stages.plan import Plan, open_plan, part_key
from hoiray.stages.run_layout import PLAN_FOLDER, RUN_FILE, SNAPSHOT_FOLDER, labels_area, snapshot_keys
from hoiray.stages.snapshot import Snapshot, make_snapshot, open_snapshot


def open_label_run(uri: str, *, allow_partial: bool = False) -> LabelRun:
    """Find the labels at a place.

    Args:
        uri: a run's folder, of which the labels are fixed as a snapshot now; `RUN/labels/ID` where it was judged
            several times; or a snapshot, `RUN/snapshots/ID` with or without `.json`.
        allow_partial: of a run that has not finished, take what there is.

    Raises:
        ConfigError: there are no labels, or those of several judgements.
        InputError: the place is no run, or its labelling has not finished.
        ContractError: a marker, the plan or the snapshot is damaged.
    """
    store, kind, name = _split(uri)
    if kind == SNAPSHOT_FOLDER:
        snapshot = open_snapshot(store, name)
        if snapshot.head.table != "labels":
            fix = "Name a snapshot of labels: hoiray snapshot RUN --table labels/ID."
            raise ConfigError(describe(what=uri, expected="labels", found=snapshot.head.table, fix=fix))
        return _label_run(snapshot, open_plan(store.below(PLAN_FOLDER), snapshot.head.plan_id))
    judge_id = name or _only_judge_id(store)
    plan = open_plan(store.below(PLAN_FOLDER))
    snapshot = make_snapshot(store.probed(), plan, labels_area(judge_id), allow_partial=allow_partial)
    return _label_run(snapshot, plan)


def _split(uri: str) -> tuple[Store, str, str]:
    """Return the run's folder, and which table or snapshot of it is named, if any."""
    whole, path = Store.open(uri), PurePosixPath(uri)
    kind = path.parent.name
    if kind not in (SNAPSHOT_FOLDER, "labels") or whole.exists(RUN_FILE):
        return whole, "", ""
    root = whole.uri.rstrip("/").rsplit("/", 2)[0]
    return Store.open(root), kind, path.name.removesuffix(".json")


def _only_judge_id(store: Store) -> str:
    found = list(store.list_folders("labels"))
    if len(found) == 1:
        return found[0]
    what = store.uri
    if found:
        fix = f"Say which: {store.url('labels')}/ID."
        raise ConfigError(describe(what=what, expected="labels of one judgement", found=", ".join(found), fix=fix))
    fix = "Name the folder that hoiray label wrote, after it has committed labels."
    raise ConfigError(describe(what=what, expected="a run with labels", found="none", fix=fix))


def _label_run(snapshot: Snapshot, plan: Plan) -> LabelRun:
    store, head = snapshot.store, snapshot.head
    entries = list(snapshot.entries())
    marker = read_marker(store, labels_area(head.id), entries[0].shard_id) if entries else None
    if marker is None:
        fix = "Finish the labelling, or make a snapshot of what there is."
        raise InputError(describe(what=store.url("labels"), expected="committed labels", found="none", fix=fix))
    return LabelRun(
        uri=store.url(snapshot_keys(head.snapshot_id)[0]),
        store=store,
        snapshot_id=head.snapshot_id,
        judge_id=head.id,
        predict_id=marker.predict_id,
        plan_id=head.plan_id,
        files=tuple(LabelFile(entry.data_key, entry.data_sha256) for entry in entries if entry.num_rows),
        num_rows=head.num_rows,
        num_accepted=head.num_accepted,
        plan=plan.store,
        video_keys=tuple(part_key(part.name, "videos") for part in plan.head.parts),
        sample_rate_hz=plan.head.sample_rate_hz,
        hand=_hand_of(store),
    )


def _hand_of(store: Store) -> Hand:
    """Return the hand of a run, as it was configured.

    Raises:
        InputError: the run's configuration is missing.
    """
    text = store.read(RUN_FILE).decode()
    return parse_run(text, (), source=store.url(RUN_FILE)).hand
