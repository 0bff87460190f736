from report_scenes import facts_of, rows_of

from hoiray.cli.judge import read_limits
from hoiray.config.what import PaperLimits
from hoiray.report.label_words import LIMIT_KEYS, NOT_CALIBRATED, next_steps, seconds, summary_sentences, summary_tiles
from hoiray.report.measures import measures_of
from hoiray.report.refusals import refusals_of
from hoiray.report.run_facts import RunFacts
from hoiray.schema.vocabularies import REJECT_REASONS

ROWS = rows_of(("a", "b"), 6)
REFUSALS = refusals_of(ROWS.reasons)


def steps_of(facts: RunFacts, *, has_confidence: bool = False) -> list[tuple[str, str | None]]:
    measures = measures_of(facts.rules, has_confidence=has_confidence)
    return next_steps(facts, REFUSALS, measures, has_confidence=has_confidence)


def test_a_run_is_told_in_sentences_with_its_interval() -> None:
    said = " ".join(summary_sentences(facts_of(ROWS), REFUSALS, has_confidence=False))
    assert "2 videos gave 12 labels" in said
    assert "6 labels (50.0 % [40.0, 60.0]" in said
    assert "mesh does not fill its box (17 %)" in said
    assert NOT_CALIBRATED in said
    assert "drawn by lot" not in said
    assert "without a box" not in said


def test_videos_that_no_box_tells_of_are_told() -> None:
    said = " ".join(summary_sentences(facts_of(ROWS, num_unboxed=1), REFUSALS, has_confidence=False))
    assert "1 video without a box of a hand gave none." in said


def test_calibrated_labels_are_not_called_uncalibrated() -> None:
    facts = facts_of(ROWS)
    assert NOT_CALIBRATED not in summary_sentences(facts, REFUSALS, has_confidence=True)
    assert not [text for text, _ in steps_of(facts, has_confidence=True) if "calibrate" in text]
    assert [command for _, command in steps_of(facts) if command and command.startswith("hoiray calibrate")]


def test_a_sample_is_called_a_sample() -> None:
    said = " ".join(summary_sentences(facts_of(ROWS, num_rows=10_000_000, seed=7), REFUSALS, has_confidence=False))
    assert "12 of the 10,000,000 rows" in said
    assert "seed 7" in said


def test_what_is_wrong_comes_before_what_could_be_better() -> None:
    facts = facts_of(ROWS, num_buckets=3, num_dead=1, num_nondeterministic=2)
    commands = [command for _, command in steps_of(facts)]
    assert commands[:3] == [None, "hoiray verify s3://bucket/run", "hoiray dead list s3://bucket/run"]
    assert "hoiray snapshot s3://bucket/run" not in commands
    assert "hoiray snapshot s3://bucket/run" in [command for _, command in steps_of(facts_of(ROWS))]


def test_the_limit_that_alone_refuses_most_is_named_with_its_number() -> None:
    (text,) = (text for text, command in steps_of(facts_of(ROWS)) if command and command.startswith("hoiray judge"))
    assert "Mesh fills its box (IoU): at least 0.6" in text
    assert "16.7 %" in text
    assert (
        "hoiray judge s3://bucket/run --out NEW_FOLDER --set limits.min_box_iou=VALUE"
        in dict(steps_of(facts_of(ROWS))).values()
    )


def test_a_change_of_limits_that_is_proposed_can_be_made() -> None:
    assert set(LIMIT_KEYS) <= set(REJECT_REASONS)
    for change in LIMIT_KEYS.values():
        assert read_limits("paper", [f"limits.{change.replace('VALUE', '0.45')}"]) != PaperLimits()


def test_a_run_with_hardly_any_accepted_label_is_looked_at_first() -> None:
    from hoiray.report.sections import Interval

    facts = facts_of(ROWS, accepted_share=Interval(0.01))
    assert "Only 1.0 % were accepted" in steps_of(facts)[0][0]


def test_a_run_in_a_folder_with_a_strange_name_gives_commands_a_shell_understands() -> None:
    commands = [command for _, command in steps_of(facts_of(ROWS, uri="/my runs/a'b; rm"))]
    assert "hoiray snapshot '/my runs/a'\"'\"'b; rm'" in commands


def test_a_run_without_rows_is_told_without_dividing() -> None:
    empty = facts_of(rows_of(()))
    assert summary_sentences(empty, [], has_confidence=False)[1] == "There is nothing to accept."
    assert [tile.number for tile in summary_tiles(empty, 0)] == ["0", "0", "0", "\u2013", "\u2013"]


def test_times_are_written_so_that_they_are_read_at_once() -> None:
    assert [seconds(value) for value in (0.0123, 3.21, 600.0, 36000.0)] == ["12 ms", "3.2 s", "10.0 min", "10.0 h"]
