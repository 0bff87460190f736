"""Limits: from a run's configuration, or from the file a calibration wrote, to the rules of a verdict."""

import hashlib
from pathlib import PurePosixPath
from typing import Final

import pyarrow as pa

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, describe
from hoiray.filters.rules import Limit, Rules, paper_rules
from hoiray.io.parquet import read_parquet
from hoiray.io.store import Store
from hoiray.schema.calibration import Calibration, parse_calibration
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS, LIMITS
from hoiray.trust.confidence import ConfidenceRule
from hoiray.trust.guards import limits_of

CALIBRATION_SUFFIX: Final = ".json"
"""Of a limits file that holds confidence and what is accepted by it; any other is a table of limits on measurements."""

WITHOUT_LIMITS: Final = Rules(())
"""What labels are judged by before confidence is told of them: a duplicate is refused, and nothing else."""


def rules_of(limits: PaperLimits | CalibratedLimits) -> tuple[Rules, str | None]:
    """Return the rules that limits mean, and the digest of the file they stand in (None: in the configuration).

    Calibrated limits on single measurements compare consecutive frames only, as the paper's do, and want the earlier
    one to pass. A file of ``hoiray calibrate`` (.json) judges by confidence and, where it has some, by guards.

    Raises:
        ConfigError: the file limits what is no filter, on its wrong side, or in another unit, or asks for features that
            are not known.
        InputError: the file cannot be read.
        ContractError: it is neither a calibration nor a table of limits.
    """
    if isinstance(limits, PaperLimits):
        return paper_rules(limits), None
    data = _read(limits.uri)
    if limits.uri.endswith(CALIBRATION_SUFFIX):
        calibration = parse_calibration(data, limits.uri)
        rule, guards = ConfidenceRule.of_calibration(calibration, limits.uri), limits_of(calibration.guards)
        rules = Rules(guards, confidence=rule, limits_are_guards=bool(guards))
        return rules, hashlib.sha256(data).hexdigest()
    table = conform(read_parquet(data, name=limits.uri), LIMITS)
    return calibrated_rules(table, limits.uri), hashlib.sha256(data).hexdigest()


def read_calibration(uri: str) -> Calibration:
    """Read a limits file that ``hoiray calibrate`` wrote.

    Raises:
        InputError: it cannot be read.
        ContractError: it is none.
    """
    return parse_calibration(_read(uri), uri)


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


def _read(uri: str) -> bytes:
    path = PurePosixPath(uri)
    return Store.open(uri.removesuffix(path.name) or ".").read(path.name)
