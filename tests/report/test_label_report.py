import json
from typing import Any

import numpy as np
import pytest
from report_scenes import HOSTILE_NAMES, facts_of, given_up, rows_of

from hoiray.report.gallery import MAX_PICTURE_BYTES, Pictures
from hoiray.report.html_report import MAX_BYTES, Page, render_report
from hoiray.report.label_report import STAGE_WORDS, Shown, build_label_report
from hoiray.report.label_rows import LabelRows
from hoiray.report.lots import draw_labels_by_lot
from hoiray.report.run_facts import RunFacts
from hoiray.report.sections import Prose, Section
from hoiray.report.timelines import NUM_ROWS, lay_out_timelines

DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


def shown_of(rows: LabelRows, *, pictures: Pictures | None = None, count: int = 6) -> Shown:
    chosen = draw_labels_by_lot(rows, count, count, seed=0)
    timelines = lay_out_timelines(rows, chosen)
    every = dict.fromkeys(range(len(rows)), DOT)
    drawn = pictures or Pictures(close_ups=dict(every), bare=dict(every), stills=dict(every))
    return Shown(chosen, {row: {"num_members": 8} for row in chosen.tolist()}, timelines, drawn)


def page_of(rows: LabelRows, facts: RunFacts | None = None, **options: Any) -> Page:
    return build_label_report(facts or facts_of(rows), rows, shown_of(rows, **options))


def section_of(html: str, title: str) -> str:
    return next(part for part in html.split("<section")[1:] if f">{title}</h2>" in part)


def test_a_report_says_what_why_how_much_and_from_where() -> None:
    titles = [section.title for section in page_of(rows_of()).sections]
    assert titles == [
        "Summary", "Why labels were refused", "Measurements and limits", "Videos", "Pictures", "Over time", "Cost",
        "Where it comes from",
    ]  # fmt: skip


def test_sections_of_others_stand_behind_the_time_lines() -> None:
    rows = rows_of()
    page = build_label_report(facts_of(rows), rows, shown_of(rows), [Section("Teacher against student", [Prose("x")])])
    assert [section.title for section in page.sections][6] == "Teacher against student"


def test_a_card_tells_its_reasons_with_values_and_limits() -> None:
    measured = dict(rows_of().measured)
    measured["box_iou"] = np.full(12, 0.25, np.float32)
    html = section_of(render_report(page_of(rows_of(measured=measured))), "Pictures")
    assert "mesh does not fill its box: 0.250, limit at least 0.6" in html
    assert html.count('data-verdict="accepted"') == 6
    assert html.count('data-verdict="refused"') == 6


def test_without_confidence_it_is_said_how_to_get_some() -> None:
    html = render_report(page_of(rows_of()))
    assert "not calibrated" in section_of(html, "Pictures")
    assert "hoiray calibrate" in section_of(html, "Summary")


def test_confidence_is_filtered_by_and_shown_where_there_is_some() -> None:
    html = render_report(page_of(rows_of(confidence=np.linspace(0, 1, 12, dtype=np.float32))))
    assert "not calibrated" not in html
    assert "Calibrated confidence" in section_of(html, "Measurements and limits")
    assert 'data-confidence="1.0"' in html


def test_frames_that_could_not_be_read_are_named_and_their_numbers_stay() -> None:
    rows = rows_of(("a.mp4", "b.mp4"))
    page = page_of(rows, pictures=Pictures(missing={"a.mp4": "a.mp4: expected a video, found none. Copy it."}))
    html = section_of(render_report(page), "Pictures")
    assert "Frames of 1 video could not be shown" in html
    assert html.count("The frame could not be read.") == 6
    assert html.count("no more room in this file") == 6
    assert "could not be shown" in page.data["videos"][0]["note"]
    assert page.data["videos"][0]["tracks"][0]["frames"] == list(range(6))


def test_videos_given_up_are_listed_with_the_reason() -> None:
    rows = rows_of()
    html = section_of(
        render_report(page_of(rows, facts_of(rows, num_dead=3, given_up=[given_up("dead.mp4")]))), "Videos"
    )
    assert "dead.mp4" in html
    assert "1 of 3 are listed" in html


def test_costs_are_per_label_and_per_accepted_label_and_add_up() -> None:
    html = section_of(render_report(page_of(rows_of())), "Cost")
    # 100 s for 12 labels, 6 of them accepted
    assert "8,333.3" in html
    assert "16,666.7" in html
    assert STAGE_WORDS["predict"] in html


def test_unknown_limits_are_called_unknown() -> None:
    rows = rows_of()
    html = render_report(page_of(rows, facts_of(rows, rules=None)))
    assert "The limits of these labels are not known" in section_of(html, "Measurements and limits")
    assert "not known here" in section_of(html, "Over time")


NOTHING = dict.fromkeys(rows_of().measured, np.full(12, np.nan, np.float32))


@pytest.mark.parametrize(
    "rows",
    [rows_of(()), rows_of(("a",), 1), rows_of(measured=NOTHING)],
    ids=["no rows", "one row", "nothing measured"],
)
def test_a_run_with_hardly_anything_in_it_is_reported_all_the_same(rows: LabelRows) -> None:
    assert "Where it comes from" in render_report(page_of(rows))


def test_names_of_videos_may_hold_anything() -> None:
    rows = rows_of(HOSTILE_NAMES, 4)
    facts = facts_of(
        rows, name=HOSTILE_NAMES[0], uri=HOSTILE_NAMES[1], num_dead=9, given_up=[given_up(HOSTILE_NAMES[2])]
    )
    page = page_of(rows, facts, count=20)
    html = render_report(page)
    assert html.count("<script") == 2
    assert "<img src=x" not in html
    assert {one["name"] for one in page.data["videos"]} == set(HOSTILE_NAMES)


def test_a_page_of_the_most_pictures_and_rows_stays_below_what_a_page_may_be() -> None:
    """Bytes grow with cards, with rows of time lines and with pictures, which all have a most."""
    rows = rows_of(tuple(f"{'a long name ' * 8}{index}.mp4" for index in range(4)), 300)
    shown = shown_of(rows, pictures=Pictures(), count=50)
    page = build_label_report(facts_of(rows), rows, shown)
    num_rows = sum(len(track.rows) for timeline in shown.timelines for track in timeline.tracks)
    bytes_a_row = len(json.dumps(page.data["videos"])) / num_rows
    bytes_a_card = (len(render_report(page)) - bytes_a_row * num_rows) / 100
    assert MAX_PICTURE_BYTES + 1.4 * NUM_ROWS * bytes_a_row + 200 * bytes_a_card < MAX_BYTES
