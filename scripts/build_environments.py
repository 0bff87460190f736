"""Turn high-dynamic-range panoramas into the packaged environments of the synthetic world.

The packaged files were made from the eighteen 512 x 256 EXR files of the npm package @pmndrs/assets 1.7.0 (CC0)::

    pip install OpenEXR
    python scripts/build_environments.py --source FOLDER_WITH_EXR_FILES

OpenEXR is needed because the files are DWAA-compressed, which OpenCV's wheels cannot read.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import InputError, describe
from hoiray.synthetic.environments import ENVIRONMENTS_FOLDER, measure_environment, write_environments


def read_exr(path: Path) -> NDArray[np.float64]:
    """Read the (H, W, 3) linear RGB of one EXR file."""
    import OpenEXR  # type: ignore[import-not-found]  # needed by this script only, not by the package

    with OpenEXR.File(str(path)) as file:
        channels = file.channels()
        if "RGB" not in channels:
            raise InputError(
                describe(what=str(path), expected="channels RGB", found=", ".join(channels), fix="Convert the file.")
            )
        return np.asarray(channels["RGB"].pixels, np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with *.exr")
    parser.add_argument("--out", type=Path, default=ENVIRONMENTS_FOLDER)
    arguments = parser.parse_args()
    paths = sorted(arguments.source.glob("*.exr"))
    if not paths:
        raise InputError(
            describe(what=str(arguments.source), expected="*.exr files", found="none", fix="Give another folder.")
        )
    environments = [measure_environment(path.stem, read_exr(path)) for path in paths]
    num_bytes = write_environments(environments, arguments.out)
    print(f"{len(environments)} environments, {num_bytes / 1000:.0f} kB, in {arguments.out}")


if __name__ == "__main__":
    main()
