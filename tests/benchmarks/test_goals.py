from hoiray.benchmarks.goals import GOALS, Goal, Row, number
from hoiray.benchmarks.timing import Comparison, Spread


def comparison(*ratios: float) -> Comparison:
    spread = Spread.of(ratios)
    return Comparison("a", "b", spread, spread, spread, len(ratios))


def test_a_goal_is_met_on_its_own_side_and_at_its_value() -> None:
    least, most = Goal("s", "w", "", 0.95, is_least=True), Goal("s", "w", "", 0.95, is_least=False)
    assert [least.is_met(it) for it in (0.94, 0.95, 0.96)] == [False, True, True]
    assert [most.is_met(it) for it in (0.94, 0.95, 0.96)] == [True, True, False]
    assert (least.text, most.text) == ("at least 0.95", "at most 0.95")


def test_a_missed_goal_has_its_cause_beside_it_and_a_met_one_none() -> None:
    cause = GOALS["crops"].cause
    assert cause
    missed, met = (Row.single("crops", value).line() for value in (3.0, 0.5))
    assert cause in missed
    assert "**no**" in missed
    assert cause not in met
    assert "| yes |" in met


def test_a_missed_goal_nobody_looked_at_says_so() -> None:
    assert not GOALS["train_step"].cause
    assert "Cause: not known yet." in Row.single("train_step", 9.0).line()


def test_a_ratio_of_times_turned_into_one_of_speeds_keeps_its_ends() -> None:
    row = Row.inverse("peer", comparison(0.25, 0.5, 1.0))
    assert (row.figure.minimum, row.figure.median, row.figure.maximum) == (1.0, 2.0, 4.0)
    assert row.plain()["is_met"] is True


def test_a_row_comes_back_from_json_as_it_was() -> None:
    row = Row.of("views", comparison(0.9, 1.0, 1.2), "a note.")
    assert Row.parsed(row.plain()) == row
    assert "(0.9 - 1.2) | 3 |" in row.line()
    assert "(" not in Row.single("resume", 3.0).line().split("|")[3]


def test_figures_have_three_digits() -> None:
    assert [number(it) for it in (0.12345, 1.5, 1234567.0)] == ["0.123", "1.5", "1,234,567"]


def test_goals_of_a_section_stand_together() -> None:
    sections = [goal.section for goal in GOALS.values()]
    assert len(set(sections)) == sum(1 for a, b in zip([None, *sections], sections, strict=False) if a != b)
