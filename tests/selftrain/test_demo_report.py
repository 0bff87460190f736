"""The demo's outcome in words and tables, of scores that are known."""

import math

from hoiray.evaluation.bootstrap import Interval
from hoiray.report.html_report import Page, render_report
from hoiray.report.sections import Prose, Section
from hoiray.selftrain.audit import Audit, Compared
from hoiray.selftrain.demo import Demo
from hoiray.selftrain.demo_report import demo_page, summary_words, terminal_table
from hoiray.selftrain.phases import Done, Phase
from hoiray.selftrain.rounds import RoundResult, Story
from hoiray.selftrain.twin import WORLDS


def interval(value: float, half: float = 0.5) -> Interval:
    return Interval(value, value - half, value + half)


def demo_of(difference: float, *, has_audit: bool = True) -> Demo:
    both = Compared(interval(9.0 + difference), interval(9.0), interval(difference), interval(10.0))
    audit = Audit("digest", 40, {"pa_mpjpe_mm": both}, {})
    result = RoundResult(
        1, "teacher", "student", 200, 50 if has_audit else 0, None, audit if has_audit else None,
        both.finding if has_audit else None, "last round" if has_audit else "stopped: no labels",
    )  # fmt: skip
    phases = (Done(Phase("teacher", "train <b>the</b> teacher", ("train",)), 90.0, was_done=False),)
    return Demo(Story((result,), "teacher", "student"), dict.fromkeys(WORLDS, audit), phases)


def test_the_table_has_a_row_for_every_set_and_metric() -> None:
    lines = terminal_table(demo_of(-2.0))
    assert len(lines) == 2 + len(WORLDS)
    assert "| lab | PA-MPJPE, mm | 10.00 [9.50, 10.50] | 9.00 [8.50, 9.50] | 7.00 [6.50, 7.50] |" in lines[2]
    assert lines[2].endswith("| the student is better |")


def test_the_summary_says_what_was_found_and_what_was_not() -> None:
    assert "the student is better in 4 (PA-MPJPE on lab;" in summary_words(demo_of(-2.0))
    assert "worse in 4 (" in summary_words(demo_of(2.0))
    assert "no difference is shown in 4." in summary_words(demo_of(0.1))
    assert "There was nothing to train a student on." in summary_words(demo_of(0.0, has_audit=False))


def test_an_interval_of_one_recording_is_left_out() -> None:
    demo = demo_of(0.0)
    alone = Compared(*(Interval(1.0, math.nan, math.nan),) * 4)
    shown = Demo(demo.story, dict.fromkeys(demo.scores, Audit("", 1, {"mpjpe_mm": alone}, {})), demo.phases)
    assert "nan" not in "\n".join(terminal_table(shown))


def test_the_page_holds_the_scores_and_the_report_of_the_labels() -> None:
    labels = Page("labels", "", (Section("Gallery", (Prose("pictures"),)),))
    for demo in (demo_of(-2.0), demo_of(0.0, has_audit=False)):
        page = render_report(demo_page(demo, labels))
        assert "Teacher against student" in page
        assert "Labels: Gallery" in page
        assert "train &lt;b&gt;the&lt;/b&gt; teacher" in page
