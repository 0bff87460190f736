import hashlib
from pathlib import Path

import pytest
from labelling import clips, run_of, write_videos

from hoiray.config.dump import dump
from hoiray.config.what import RunConfig
from hoiray.io.store import Store
from hoiray.report.run_facts import Origin
from hoiray.schema.marker import CommitMarker
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_summary import summarise
from hoiray.stages.report_origins import origins_of, read_run
from hoiray.stages.report_rows import Counted
from hoiray.stages.run_layout import RUN_FILE


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    """A run with weights, of which nothing is labelled yet."""
    folder = tmp_path_factory.mktemp("origins")
    write_videos(str(folder), clips(1))
    (folder / "weights.bin").write_bytes(b"weights")
    return open_label_job(run_of(folder, folder / "out", f"teacher.checkpoint_uri={folder}/weights.bin"))


def lines_of(job: LabelJob, run: RunConfig | None) -> tuple[bool, dict[str, Origin]]:
    counted = Counted(summarise(job), list[CommitMarker](), {"0.1.0", "0.0.9"}, 2_500_000)
    rules, lines = origins_of(job.plan, counted, run)
    return rules is not None, {line.name: line for line in lines}


def test_ids_weights_and_limits_are_told_and_checked(job: LabelJob) -> None:
    knows_limits, lines = lines_of(job, read_run(job.store))
    assert knows_limits
    assert lines["predict_id"].value == job.predict_id
    assert lines["judge_id"].value == job.judge_id
    assert lines["plan_id"].value == job.plan.plan_id
    assert lines["hoiray"].value == "0.0.9, 0.1.0"
    assert lines["size of the results"].value == "2.5 MB"
    assert lines["weights, SHA-256"].value == hashlib.sha256(b"weights").hexdigest()
    assert lines["weights, SHA-256"].note == "checked: they give this predict_id"
    assert lines["ensemble"].value == "2 views"


def test_weights_that_were_replaced_are_not_passed_off_as_those_that_labelled(job: LabelJob) -> None:
    run = job.run
    path = Path(run.teacher.checkpoint_uri or "")
    path.write_bytes(b"others")
    try:
        assert "NOT those of these labels" in lines_of(job, run)[1]["weights, SHA-256"].note
        path.unlink()
        line = lines_of(job, run)[1]["weights, SHA-256"]
        assert (line.value, "not readable" in line.note) == ("not known", True)
    finally:
        path.write_bytes(b"weights")


def test_limits_of_another_verdict_are_not_shown(job: LabelJob) -> None:
    limits = job.run.limits.model_copy(update={"min_box_iou": 0.9})
    knows_limits, lines = lines_of(job, job.run.model_copy(update={"limits": limits}))
    assert not knows_limits
    assert lines["limits"].value == "not known"


def test_a_run_without_its_configuration_is_known_by_its_ids(job: LabelJob, tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert read_run(store) is None
    store.write(RUN_FILE, b"no: [run")
    assert read_run(store) is None
    store.write(RUN_FILE, dump(job.run).encode())
    assert read_run(store) == job.run
    knows_limits, lines = lines_of(job, None)
    assert not knows_limits
    assert lines["run.yaml"].value == "not there"
