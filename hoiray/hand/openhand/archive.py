"""Write arrays to an `.npz` file whose bytes depend on the arrays alone.

`numpy.savez_compressed` stamps the time into every entry, so building twice gives two files. Here the stamp is fixed,
and a rebuilt file can be compared with the committed one.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hoiray.errors import ContractError, describe

OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
UNIX = 3
READABLE_FILE = 0o100644 << 16


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed `.npz` that `numpy.load` reads without pickle.

    Args:
        path: the file, overwritten.
        arrays: written in the given order.

    Raises:
        ContractError: when an array holds Python objects.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", OLDEST_ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = UNIX
            entry.external_attr = READABLE_FILE
            archive.writestr(entry, npy_bytes(name, array))


def npy_bytes(name: str, array: NDArray[Any]) -> bytes:
    """Encode one array as an `.npy` file in C order.

    Raises:
        ContractError: when it holds Python objects.
    """
    if array.dtype.hasobject:
        raise ContractError(
            describe(what=f"array {name}", expected="numbers or text", found="objects", fix="Convert it first.")
        )
    buffer = io.BytesIO()
    # ascontiguousarray would turn a scalar into a vector of one
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()
