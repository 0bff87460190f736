"""Write a trained network as the packaged teacher: half precision, its notes kept, the digest of its training beside.

    python scripts/ship_teacher.py OUT/model.safetensors

The card beside it is written by hand, from the figures of `hoiray evaluate` on the file this writes.
"""

import sys

from hoiray.hand.model import HandModel
from hoiray.models.checkpoint import read_checkpoint, write_checkpoint
from hoiray.selftrain.twin import PACKAGED_TEACHER


def main() -> None:
    """Read the checkpoint named on the command line and write the packaged one."""
    (source,) = sys.argv[1:]
    hand = HandModel.load(None, flat_hand_mean=True, tip_set="ho3d")
    network, info = read_checkpoint(source, hand)
    notes = {**info.notes, "trained_checkpoint": info.digest}
    digest = write_checkpoint(str(PACKAGED_TEACHER), network, storage="float16", notes=notes)
    print(f"{PACKAGED_TEACHER}: {PACKAGED_TEACHER.stat().st_size} bytes, sha256 {digest}, from {info.digest}")


if __name__ == "__main__":
    main()
