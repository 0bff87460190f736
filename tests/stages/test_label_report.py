from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labelling import Clip, clips, run_of, write_videos
from labelling_predictor import BoxPredictor
from report_scenes import HOSTILE_NAMES
from run_folders import commit, fields_of, plan_of, videos

from hoiray.io.store import Store
from hoiray.report.html_report import Page, render_report
from hoiray.report.sections import Prose, Section, Table
from hoiray.schema.tables import LABELS
from hoiray.stages.commit import commit_shard
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_report import ReportRequest, make_label_report, video_uris
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.report_rows import label_rows_of

NAMES = tuple(name for name in HOSTILE_NAMES if "/" not in name)


def labelled(folder: Path, clips_by_name: dict[str, Clip], **options: int) -> LabelJob:
    write_videos(str(folder), clips_by_name)
    job = open_label_job(run_of(folder, folder / "out", **options))
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(with_hand=True), frames, batch_size=4), lambda _count: None))
    frames.close()
    return job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    """A run of three plain videos, some with hostile names, and one that is none."""
    hostile = {name: Clip() for name in NAMES}
    return labelled(
        tmp_path_factory.mktemp("report"), clips(3) | hostile | {"junk.mp4": Clip(damage=lambda _: b"junk")}
    )


def report_of(job: LabelJob, *, num_pictures: int = 20, **request: Any) -> Page:
    return make_label_report(job.store, job.plan, ReportRequest(num_pictures=num_pictures, **request))


@pytest.fixture(scope="module")
def page(job: LabelJob) -> Page:
    return report_of(job)


def tables_of(page: Page) -> list[Table]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Table)]


def test_a_run_is_reported_from_its_folder_with_pictures(page: Page) -> None:
    html = render_report(page)
    num_labels = len(page.data["labels"])
    assert num_labels == 20
    assert html.count("data:image/jpeg") == 2 * num_labels + sum(
        len(track["stills"]) for video in page.data["videos"] for track in video["tracks"]
    )
    assert "The frame could not be read" not in html
    (dead,) = (table for table in tables_of(page) if table.caption.startswith("Videos without labels"))
    assert dead.rows[0][0] == "junk.mp4"


def test_hostile_names_of_videos_arrive_as_text(page: Page) -> None:
    html = render_report(page)
    assert {video["name"] for video in page.data["videos"]} >= set(NAMES)
    assert html.count("<script") == 2
    assert "<img src=x" not in html


def test_the_same_run_and_seed_give_the_same_page_and_another_seed_another(job: LabelJob, page: Page) -> None:
    assert render_report(report_of(job)) == render_report(page)
    assert report_of(job, seed=1, num_pictures=5).data["labels"] != page.data["labels"][:5]


def test_a_run_whose_videos_are_gone_is_reported_with_its_numbers(tmp_path: Path) -> None:
    job = labelled(tmp_path, clips(2))
    (tmp_path / "videos" / "clip 01.mp4").unlink()
    page = report_of(job)
    (missing,) = (table for table in tables_of(page) if "could not be shown" in table.caption)
    assert [name for name, _ in missing.rows] == ["clip 01.mp4"]
    html = render_report(page)
    assert "The frame could not be read." in html
    assert html.count('class="mesh"') == html.count('data-video="0"')


def test_a_larger_run_is_reported_from_shards_drawn_by_lot_and_says_so(tmp_path: Path) -> None:
    job = labelled(tmp_path, clips(4), target_frames=8)
    assert job.plan.head.num_shards > 2
    html = render_report(report_of(job, max_rows=14, num_pictures=2))
    assert "drawn by lot" in html
    whole = sum(clip.num_frames * clip.num_hands for clip in clips(4).values())
    assert f"of the {whole} rows" in html


def test_sections_of_others_are_in_the_report(job: LabelJob) -> None:
    extra = Section("Teacher against student", [Prose("The student is better.")])
    assert "The student is better." in render_report(report_of(job, extra=(extra,), num_pictures=0))


def test_a_run_that_was_given_a_name_bears_it(tmp_path: Path) -> None:
    job = labelled(tmp_path, clips(1))
    assert report_of(job, num_pictures=0).title == "Labels of out"
    named = job.run.model_copy(update={"name": "spring"})
    open_label_job(named)
    assert report_of(replace(job, run=named), num_pictures=0).title == "Labels of spring"


def test_videos_are_found_in_whichever_part_of_the_plan_they_are(job: LabelJob) -> None:
    found = video_uris(job.plan, {"clip 00.mp4", NAMES[0], "not there.mp4"})
    assert set(found) == {"clip 00.mp4", NAMES[0]}
    assert Store.open(job.run.videos.uri).url(NAMES[0]) == found[NAMES[0]]


def test_a_run_in_which_nobody_shows_a_hand_is_reported(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    plan = plan_of(store.below("plan"), videos(2))
    (entry,) = plan.shards()
    commit(store, plan, entry)
    commit_shard(store, LABELS.to_arrow().empty_table(), fields_of(plan, entry, judged=True))
    html = render_report(make_label_report(store, plan, ReportRequest()))
    assert "There is nothing to accept." in html
    assert "not there" in html


def test_rows_of_an_empty_table_are_no_rows() -> None:
    assert len(label_rows_of(LABELS.to_arrow().empty_table())) == 0
