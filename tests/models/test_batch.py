import torch

from hoiray.models.batch import Batch, HandTargets, NetworkInput, ObjectTargets


def test_a_batch_moves_with_all_its_tensors_and_keeps_its_names() -> None:
    inputs = NetworkInput(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), torch.zeros(2, 4), torch.zeros(2, 4))
    hand = HandTargets(
        torch.zeros(2, 16, 3, 3),
        torch.zeros(2, 10),
        torch.zeros(2, 21, 3),
        torch.zeros(2, 21, 2),
        torch.ones(2, dtype=torch.bool),
    )
    obj = ObjectTargets(
        torch.ones(2, dtype=torch.bool), torch.zeros(2, 21, 2), torch.zeros(2, 32, 32, dtype=torch.bool)
    )
    batch = Batch(inputs, hand, obj, torch.ones(2), ("a/0", "a/1"))
    moved = batch.to("meta")
    assert len(moved) == 2
    assert moved.sample_ids == batch.sample_ids
    for part in (moved.inputs, moved.hand, moved.obj):
        assert all(tensor.device.type == "meta" for tensor in vars(part).values())
    assert moved.weights.device.type == "meta"
    assert moved.hand.has_mano.dtype == torch.bool
