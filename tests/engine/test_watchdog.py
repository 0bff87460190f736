from hoiray.engine.watchdog import cause_of
from hoiray.errors import ContractError


def test_what_a_stage_raised_on_purpose_is_found_under_the_wrappings() -> None:
    meant = ContractError("a table that fits its schema")

    class WrappingError(Exception):
        cause = meant

    outer = RuntimeError("task failed")
    outer.__cause__ = WrappingError("in a worker")
    assert cause_of(outer) is meant
    assert cause_of(meant) is meant


def test_a_bug_stays_what_it_is() -> None:
    bug = KeyError("x")
    bug.__cause__ = ValueError("y")
    assert cause_of(bug) is bug
