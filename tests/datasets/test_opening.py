import pytest

from hoiray.datasets.opening import require_count, require_split
from hoiray.errors import ContractError


def test_counts_that_differ_are_named() -> None:
    require_count(3, 3, what="a.json", expected_from="b.txt")
    with pytest.raises(ContractError, match=r"a\.json: expected 4 entries, as b\.txt has, found 3"):
        require_count(3, 4, what="a.json", expected_from="b.txt")


def test_a_split_is_one_of_the_format() -> None:
    require_split("a", ("a", "b"), name="x")
    with pytest.raises(ContractError, match="split of x: expected one of a, b, found 'c'"):
        require_split("c", ("a", "b"), name="x")
