"""The accepted labels of a run, thinned by a quota, as the list that a training reads."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hoiray.errors import InputError, describe
from hoiray.evaluation.tables import Table
from hoiray.io.store import Store
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.commit import read_rows
from hoiray.stages.markers import read_markers
from hoiray.stages.pending import committed_ids
from hoiray.stages.run_layout import Area
from hoiray.trust.gauges import parts_of
from hoiray.trust.quota import cells_of, keep_by_quota, quota_table


@dataclass(frozen=True, eq=False)
class Quota:
    """What a quota keeps.

    Attributes:
        keys: of the kept labels: video_id, frame_index, hand_index, sorted.
        num_accepted: accepted labels there were.
        table: cells, for people.
    """

    keys: pa.Table
    num_accepted: int
    table: Table


def choose_by_quota(store: Store, area: Area, *, max_dropped: float, seed: int) -> Quota:
    """Thin the accepted labels of a run.

    Args:
        store: the run's folder.
        area: of its labels.
        max_dropped: share of the accepted labels that may be dropped, 0 to 1.
        seed: of the lot.

    Raises:
        InputError: there are no accepted labels.
        ContractError: something is damaged.
    """
    keys, cells, accepted, confidence = [], [], [], []
    for marker in read_markers(store, area, committed_ids(store, area)):
        labels = read_rows(store, marker)
        if labels.num_rows:
            keys.append(labels.select(list(LABELS.key)).replace_schema_metadata(None))
            cells += cells_of(parts_of(labels))
            accepted.append(unpack_column(labels, LABELS["accepted"]))
            confidence.append(unpack_column(labels, LABELS["confidence"]).astype(np.float64))
    is_accepted: npt.NDArray[np.bool_] = np.concatenate(accepted) if accepted else np.zeros(0, dtype=np.bool_)
    if not is_accepted.any():
        fix = "Loosen the limits with hoiray judge, or label more videos."
        what = store.url(area.prefix)
        raise InputError(describe(what=what, expected="accepted labels", found="none", fix=fix))
    sure = np.concatenate(confidence)
    kept = keep_by_quota(cells, is_accepted, sure, max_dropped=max_dropped, seed=seed)
    chosen = pa.concat_tables(keys).filter(pa.array(kept)).sort_by([(name, "ascending") for name in LABELS.key])
    return Quota(chosen, int(is_accepted.sum()), quota_table(cells, is_accepted, kept, sure))
