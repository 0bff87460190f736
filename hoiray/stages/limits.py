"""Limits: from a run's configuration, or from the file a calibration wrote, to the rules of a verdict."""

import hashlib
from pathlib import PurePosixPath

import pyarrow as pa

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.filters.rules import Limit, Rules, paper_rules
from hoiray.io.parquet import read_parquet
from hoiray.io.store import Store
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS, LIMITS


def rules_of(limits: PaperLimits | CalibratedLimits) -> tuple[Rules, str | None]:
    """Return the rules that limits mean, and the digest of the file they stand in (None: in the configuration).

    Calibrated limits compare consecutive frames only, as the paper's do, and want the earlier one to pass.

    Raises:
        ConfigError: the file limits what is no filter, on its wrong side, or in another unit.
        InputError: the file cannot be read.
        ContractError: it is not a table of limits.
    """
    if isinstance(limits, PaperLimits):
        return paper_rules(limits), None
    path = PurePosixPath(limits.uri)
    data = Store.open(limits.uri.removesuffix(path.name)).read(path.name)
    table = conform(read_parquet(data, name=limits.uri), LIMITS)
    return calibrated_rules(table, limits.uri), hashlib.sha256(data).hexdigest()


def calibrated_rules(table: pa.Table, name: str) -> Rules:
    """Turn a table of limits into rules; measurements whose limit is null are not judged.

    Args:
        table: schema ``limits``.
        name: of the file, for messages.

    Raises:
        ConfigError: as in :func:`rules_of`.
    """
    found = [row for row in table.to_pylist() if row["limit"] is not None]
    for row in found:
        unit = LABELS[row["measurement"]].unit
        if row["unit"] != unit:
            what, fix = f"{name}, limit on {row['measurement']!r}", "Convert the limit, or calibrate anew."
            raise ConfigError(describe(what=what, expected=f"the unit {unit!r}", found=repr(row["unit"]), fix=fix))
    if not found:
        expected, fix = "at least one limit", "Calibrate anew: with no limit every row would be accepted."
        raise ConfigError(describe(what=name, expected=expected, found="none", fix=fix))
    return Rules(tuple(Limit(row["measurement"], row["limit"], row["bound"]) for row in found))
