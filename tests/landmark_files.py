"""The fetched landmark networks, for tests that need real ones: skipped where nobody has fetched them."""

from pathlib import Path

import pytest

from hoiray.io.landmark_files import default_folder, missing_files

FOLDER = default_folder()

needs_landmarks = pytest.mark.skipif(
    bool(missing_files(FOLDER)), reason="the landmark networks are not fetched: hoiray assets fetch landmarks"
)


def network_file(name: str) -> Path:
    """The path of a fetched file."""
    return FOLDER / f"{name}.tflite"
