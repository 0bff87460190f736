from hoiray.datasets.formats import ho3d_processed


def test_masks_lie_beside_the_lists() -> None:
    assert ho3d_processed.mask_key("ABF10", "0042") == "train_segLabel/ABF10/0042.png"
