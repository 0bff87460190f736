import numpy as np
import pytest

from hoiray.datasets.intrinsics import require_intrinsics
from hoiray.errors import InputError

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def test_a_camera_of_the_image_passes_unchanged() -> None:
    assert require_intrinsics(K, (640, 480), name="x") is K


@pytest.mark.parametrize("bad", [np.full((3, 3), np.nan), K * 2, K.T, np.diag([-600.0, 600, 1])])
def test_what_is_no_camera_spoils_one_sample(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^meta 7: K number 0"):
        require_intrinsics(bad, (640, 480), name="meta 7")


def test_intrinsics_of_another_image_size_are_refused() -> None:
    with pytest.raises(InputError, match="principal point"):
        require_intrinsics(K, (224, 224), name="x")
