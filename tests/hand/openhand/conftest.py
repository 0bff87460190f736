"""The packaged files, read once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hoiray.hand
from hoiray.hand.openhand.quality import HandFile, read_hand

ASSETS = Path(hoiray.hand.__file__).parent / "assets"


def _read(name: str) -> dict[str, NDArray[Any]]:
    with np.load(ASSETS / name, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="session")
def hand_arrays() -> dict[str, NDArray[Any]]:
    return _read("openhand_right.npz")


@pytest.fixture(scope="session")
def arm_arrays() -> dict[str, NDArray[Any]]:
    return _read("openarm_right.npz")


@pytest.fixture(scope="session")
def hand(hand_arrays: dict[str, NDArray[Any]]) -> HandFile:
    return read_hand(hand_arrays)
