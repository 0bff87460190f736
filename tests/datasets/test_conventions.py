import pytest

from hoiray.datasets.conventions import Problem, refuse
from hoiray.errors import ContractError


def test_a_problem_becomes_a_refusal_that_says_everything() -> None:
    refuse(None, name="x")
    problem = Problem("units", "metres", "a median palm of 96", "millimetres")
    with pytest.raises(ContractError, match=r"HO-3D at /x, units: expected metres, found a median palm of 96: looks"):
        refuse(problem, name="HO-3D at /x")
