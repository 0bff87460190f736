"""`hoiray demo`: what cannot be asked for, and that one folder holds one demo at a time."""

from pathlib import Path

import pytest

from hoiray.cli.demo import demo
from hoiray.errors import ConfigError
from hoiray.io.store import Store
from hoiray.selftrain.lock import only_here


def test_a_size_nobody_knows_and_a_place_on_s3_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected one of tiny, demo, found 'huge'"):
        demo(str(tmp_path), size="huge", workers=1, uses_ray=False)
    with pytest.raises(ConfigError, match="expected a local folder"):
        demo("s3://bucket/demo", size="tiny", workers=1, uses_ray=False)


def test_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    with only_here(Store.open(tmp_path)), pytest.raises(ConfigError, match="one self-training at a time"):
        demo(str(tmp_path), size="tiny", workers=1, uses_ray=False)
