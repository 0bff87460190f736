import dataset_files as files
import numpy as np
import pytest

from hoiray.datasets.rest_wrist import of_side, rest_wrist


@pytest.mark.parametrize("is_right", [True, False])
def test_the_rest_wrist_is_that_of_the_hand_layer(is_right: bool) -> None:
    hands = files.hands(3, tip_set="ho3d", is_right=is_right)
    arrays = of_side(files.arrays(), is_right=is_right)
    for betas, root in zip(hands.betas, hands.rest_root, strict=True):
        np.testing.assert_allclose(rest_wrist(arrays, betas), root, atol=1e-8)


def test_the_side_that_is_there_is_not_mirrored() -> None:
    assert of_side(files.arrays(), is_right=True) is files.arrays()
