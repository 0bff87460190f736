import pytest

from hoiray.datasets.frame_numbers import numbering_problem


def test_line_numbers_are_told_from_frame_numbers() -> None:
    frames = [0, 1, 2, 5, 6, 9]
    assert numbering_problem(frames, first=0, available=range(10)) is None
    assert numbering_problem([3, 4], first=0) is None
    counted = numbering_problem([0, 1, 2, 3, 4, 5], first=0, available=frames)
    assert counted is not None
    assert counted.looks_like.startswith("line numbers")


def test_frames_that_are_missing_are_no_problem_of_the_numbers() -> None:
    assert numbering_problem([0, 2, 3], first=0, available=[0, 1, 2, 5]) is None
    assert numbering_problem([0, 1, 2, 3], first=0, available=[0, 1, 3]) is None


@pytest.mark.parametrize(("numbers", "named"), [([0, 1, 2], "positions in a list"), ([1, 2, 2], "repeats")])
def test_numbers_that_are_none_are_named(numbers: list[int], named: str) -> None:
    problem = numbering_problem(numbers, first=1)
    assert problem is not None
    assert named in str(problem)
