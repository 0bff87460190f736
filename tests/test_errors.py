import pytest

from hoiray import errors


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.InputError, errors.ContractError])
def test_every_error_is_a_hoiray_error(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.HoirayError)


def test_a_description_names_thing_expected_found_and_fix() -> None:
    text = errors.describe(what="a.npz: v_template", expected="(778, 3)", found="(777, 3)", fix="Use a MANO file.")
    assert text == "a.npz: v_template: expected (778, 3), found (777, 3). Use a MANO file."
