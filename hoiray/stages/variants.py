"""Verdicts made anew with one filter less, with one filter alone, and with one limit moved."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.filters.derived import measured, unit_of
from hoiray.filters.rules import Limit, Rules
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.stages.unmeasured_column import unpack_words
from hoiray.trust.statistics import REASONS, Sweep, Variant, Verdicts

Bools = npt.NDArray[np.bool_]

SWEEP_LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of a measurement at which its limit is tried, besides where it is."""

MAX_ROWS: Final = 200_000
"""Labels that statistics are made of; of a larger run whole videos are drawn."""

SEED: Final = 0

CONFIDENCE: Final = "confidence"
"""Name of the filter that all measurements make together."""

_ID: Final = "-"


def drawn_videos(labels: pa.Table, max_rows: int = MAX_ROWS) -> pa.Table:
    """Return all labels, or so many whole videos of them as hold about `max_rows`."""
    if labels.num_rows <= max_rows:
        return labels
    counts = pc.value_counts(labels["video_id"].combine_chunks())
    names = np.array(counts.field("values").to_pylist())
    rows = counts.field("counts").to_numpy()
    order = np.random.default_rng(SEED).permutation(np.argsort(names, kind="stable"))
    kept = names[order[: max(1, int((np.cumsum(rows[order]) <= max_rows).sum()))]]
    return labels.filter(pc.is_in(labels["video_id"], value_set=pa.array(kept.tolist())))


def verdicts_of(labels: pa.Table, rules: Rules, *, sweeps: bool) -> tuple[pa.Table, Verdicts]:
    """Judge labels by rules and by all their variants.

    Args:
        labels: schema ``labels`` or ``predictions``, whole videos.
        rules: the limits.
        sweeps: also move every limit.

    Returns:
        The labels under the rules, and the verdicts, in the same order of rows.
    """
    base = judge(labels, rules, _ID)
    variants = tuple(
        Variant(name, _accepted(base, without), _accepted(base, alone), rules.limits_are_guards and name != CONFIDENCE)
        for name, without, alone in _variants(rules)
    )
    swept = tuple(_sweep(base, limit, rules) for limit in rules.limits) if sweeps else ()
    return base, Verdicts(unpack_words(base["reasons"], REASONS), variants, swept)


def _variants(rules: Rules) -> Iterator[tuple[str, Rules, Rules]]:
    """Yield the name of each filter, the rules without it, and those of it alone."""
    for limit in rules.limits:
        others = tuple(one for one in rules.limits if one != limit)
        yield limit.name, replace(rules, limits=others), replace(rules, limits=(limit,), confidence=None)
    if rules.limits_are_guards:
        yield "all guards", replace(rules, limits=()), replace(rules, confidence=None)
    pairs = rules.of("pair")
    if pairs and not rules.limits_are_guards:
        others = tuple(one for one in rules.limits if one not in pairs)
        yield "any motion, and a frame before it", replace(rules, limits=others), replace(rules, limits=pairs)
        if rules.neighbour_must_pass_spatial:
            spatial = (*rules.of("spatial"), *pairs)
            yield (
                "the frame before must pass too",
                replace(rules, neighbour_must_pass_spatial=False),
                replace(rules, limits=spatial, confidence=None),
            )
    if rules.confidence is not None:
        yield CONFIDENCE, replace(rules, confidence=None), replace(rules, limits=())


def _sweep(base: pa.Table, limit: Limit, rules: Rules) -> Sweep:
    values = measured(base, limit.measurement)
    known = values[~np.isnan(values)].astype(np.float64)
    tried = {float(one) for one in np.quantile(known, SWEEP_LEVELS)} if known.size else set()
    limits = tuple(sorted(tried | {limit.value}))
    accepted = tuple(
        _accepted(
            base,
            replace(rules, limits=tuple(replace(limit, value=value) if one == limit else one for one in rules.limits)),
        )
        for value in limits
    )
    return Sweep(limit.name, unit_of(limit.measurement), limits, accepted)


def _accepted(base: pa.Table, rules: Rules) -> Bools:
    return unpack_column(judge(base, rules, _ID), LABELS["accepted"])
