import time
from pathlib import Path

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.hand.openhand.archive import write_npz


def arrays() -> dict[str, np.ndarray]:
    return {
        "numbers": np.arange(12.0).reshape(3, 4).T,
        "scalar": np.array("text"),
        "ids": np.array([3, 1], dtype=np.uint32),
        "empty": np.zeros((0, 3)),
    }


def test_what_is_written_is_read_back_without_pickle(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", arrays())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive.files == list(arrays())
        for name, expected in arrays().items():
            assert archive[name].dtype == expected.dtype
            assert archive[name].shape == expected.shape
            np.testing.assert_array_equal(archive[name], expected)


def test_the_same_arrays_give_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "now.npz", arrays())
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e7)
    write_npz(tmp_path / "later.npz", arrays())
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()


def test_other_arrays_give_other_bytes(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", arrays())
    write_npz(tmp_path / "b.npz", arrays() | {"ids": np.array([3, 2], dtype=np.uint32)})
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "b.npz").read_bytes()


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="array bad"):
        write_npz(tmp_path / "a.npz", {"bad": np.array([object()])})
