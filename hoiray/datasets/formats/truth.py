"""Where the truth of a synthetic set lies, beside its format's own files, and how a table of it is read.

Layout below the data set's root; `hoiray_truth/` is no part of any format, and readers of the format do not see it::

    hoiray_truth/dataset.json                    domain, size, seed, format; written last
    hoiray_truth/hands/<recording>.parquet       one row per hand, camera and frame
    hoiray_truth/objects/<recording>.parquet     one row per object, camera and frame

`sample_id` is the format's own name of the frame, so that a prediction for a sample finds its truth.
"""

import io
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from hoiray.errors import ContractError, describe
from hoiray.io.store import Store
from hoiray.schema.columns import TableSchema
from hoiray.schema.conform import conform

TRUTH_FOLDER: Final = "hoiray_truth"
DATASET_KEY: Final = f"{TRUTH_FOLDER}/dataset.json"
"""Written last: a set without it is not complete."""

TRUTH_TIP_SET: Final = "ho3d"
"""Tips of `joints_3d`; those of another set are vertices of the mesh the parameters give."""


def hands_key(recording_id: str) -> str:
    """Where the hands of a recording lie."""
    return f"{TRUTH_FOLDER}/hands/{recording_id}.parquet"


def objects_key(recording_id: str) -> str:
    """Where the objects of a recording lie."""
    return f"{TRUTH_FOLDER}/objects/{recording_id}.parquet"


def read_truth(store: Store, key: str, schema: TableSchema) -> pa.Table:
    """Read a table of truth.

    Raises:
        InputError: it is missing.
        ContractError: it is no such table.
    """
    data = store.read(key)
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowInvalid as error:
        fix = "Make the set again: hoiray synth."
        found = f"{len(data)} bytes that are none ({error})"
        raise ContractError(describe(what=store.url(key), expected="a Parquet file", found=found, fix=fix)) from error
    return conform(table, schema)
