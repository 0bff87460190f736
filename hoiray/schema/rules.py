"""Rules between the columns of a table: each returns what is wrong, or the empty text.

A rule sees a table whose columns already fit their schema, one by one, and which has at least one row.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.schema.vocabularies import UNMEASURED_REASONS


def nan_has_a_reason(table: pa.Table, measurements: Sequence[str]) -> str:
    """Check that a measurement is NaN exactly where ``unmeasured`` says why.

    Args:
        table: with ``unmeasured`` and the measurements, none of them null.
        measurements: the columns that may be NaN; entries of ``unmeasured`` may name no other.
    """
    entries = table["unmeasured"].combine_chunks()
    words = pc.list_flatten(entries).dictionary_encode()
    row_of_word = np.asarray(pc.list_parent_indices(entries), dtype=np.int64)
    index_of_word = words.indices.to_numpy()
    # a table holds thousands of entries, but only a few different ones
    known = {f"{name}:{why}": name for name in measurements for why in UNMEASURED_REASONS}
    distinct = words.dictionary.to_pylist()
    for word in distinct:
        if word not in known:
            return f"unmeasured holds {word!r}, expected <measurement>:<{' | '.join(UNMEASURED_REASONS)}>"
    for name in measurements:
        is_nan = np.isnan(table[name].to_numpy())
        is_listed = np.zeros(table.num_rows, dtype=bool)
        is_listed[
            row_of_word[np.isin(index_of_word, [i for i, word in enumerate(distinct) if known[word] == name])]
        ] = True
        wrong = np.flatnonzero(is_nan != is_listed)
        if wrong.size:
            what = "NaN without an entry in unmeasured" if is_nan[wrong[0]] else "measured, yet listed in unmeasured"
            return f"{name} is {what} in {wrong.size} row(s), first in row {wrong[0]}"
    return ""


def accepted_has_no_reason(table: pa.Table) -> str:
    """Check that a row is accepted exactly where ``reasons`` is empty."""
    num_reasons = pc.list_value_length(table["reasons"]).to_numpy()
    wrong = np.flatnonzero(table["accepted"].to_numpy() != (num_reasons == 0))
    if wrong.size:
        return f"accepted and reasons contradict each other in {wrong.size} row(s), first in row {wrong[0]}"
    return ""
