"""The paper's tables: complete, and consistent with the arms that there are."""

from hoiray.selftrain.arms import ARMS
from hoiray.selftrain.paper_tables import TABLES
from hoiray.selftrain.reproduce import Plan


def test_every_table_names_arms_that_exist_and_teachers_come_with_their_students() -> None:
    for name, table in TABLES.items():
        assert set(table.arms) <= set(ARMS), name
        assert {claim.arm for claim in table.claims} | {claim.baseline for claim in table.claims} <= set(table.arms)
        for arm, numbers in table.numbers.items():
            assert arm in table.arms
            assert len(numbers) <= len(table.measures)
    assert Plan(("table8",), (0,)).arms == ("sup_object", "semi_object", "unfiltered")
    assert Plan(("table2",), (0,)).tests("sup_hand") == ("lab",)
    assert Plan(tuple(TABLES), (0,)).arms == tuple(ARMS)


def test_the_papers_own_differences_are_those_of_its_numbers() -> None:
    for table in TABLES.values():
        for claim in table.claims:
            columns = [measure.title for measure in table.measures]
            numbers = [table.numbers.get(arm, ()) for arm in (claim.arm, claim.baseline)]
            place = columns.index(claim.measure.title) if claim.measure.title in columns else len(columns)
            if claim.paper is not None and all(place < len(row) for row in numbers):
                arm, baseline = (row[place] for row in numbers)
                assert arm is not None
                assert baseline is not None
                assert round(arm - baseline, 1) == claim.paper, claim.says
