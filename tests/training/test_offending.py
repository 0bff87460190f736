from dataclasses import fields
from pathlib import Path

import torch
from toy_training import make_batch, spoiled

from hoiray.training.offending import batch_bytes, read_batch


def test_a_kept_batch_reads_back_as_it_was(tmp_path: Path) -> None:
    batch = spoiled(make_batch((3,)))
    path = tmp_path / "nan_batch.pt"
    path.write_bytes(batch_bytes(batch))
    found = read_batch(path)
    assert found.sample_ids == batch.sample_ids
    for part in ("inputs", "hand", "obj"):
        for field in fields(getattr(batch, part)):
            ours, theirs = (getattr(getattr(each, part), field.name) for each in (batch, found))
            assert torch.equal(ours.isnan(), theirs.isnan())
            assert torch.equal(ours.nan_to_num() if ours.is_floating_point() else ours,
                               theirs.nan_to_num() if theirs.is_floating_point() else theirs)  # fmt: skip
