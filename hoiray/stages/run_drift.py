"""Labels that a run committed, held against the calibration they were judged by."""

from collections.abc import Iterable
from typing import Final

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.io.store import Store
from hoiray.stages.commit import read_rows
from hoiray.stages.limits import CALIBRATION_SUFFIX, read_calibration
from hoiray.stages.markers import read_markers
from hoiray.stages.run_layout import Area
from hoiray.trust.drift import DriftWatch

MAX_SHARDS: Final = 64
"""Shards that are looked at, spread evenly: some hundred thousand hands."""


def watch_of(limits: PaperLimits | CalibratedLimits) -> DriftWatch | None:
    """Return what compares labels with the calibration they are judged by; None where they are judged by none.

    Raises:
        InputError, ContractError: its file cannot be read.
    """
    if isinstance(limits, PaperLimits) or not limits.uri.endswith(CALIBRATION_SUFFIX):
        return None
    return DriftWatch(read_calibration(limits.uri))


def drift_warnings(
    limits: PaperLimits | CalibratedLimits, store: Store, area: Area, bucket_ids: Iterable[str]
) -> list[str]:
    """Say what speaks against the promise of the limits, of at most :data:`MAX_SHARDS` shards of a run.

    Args:
        limits: of the run.
        store: its folder.
        area: of its labels.
        bucket_ids: committed there.

    Raises:
        InputError, ContractError: rows or the limits file are missing or damaged.
    """
    watch = watch_of(limits)
    committed = [] if watch is None else list(bucket_ids)
    if watch is None or not committed:
        return []
    step = -(-len(committed) // MAX_SHARDS)
    for marker in read_markers(store, area, committed[::step]):
        watch.add(read_rows(store, marker))
    return watch.warnings()
