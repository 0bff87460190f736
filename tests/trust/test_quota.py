"""Accepted labels thinned so that their mixture is nearer to that of all labels."""

import numpy as np
import pytest

from hoiray.trust.quota import cells_of, imbalance, keep_by_quota, mean_confidence, quota_table

COUNT = 4000


def scene(seed: int = 0, *, is_harder: bool = False) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Cells of which selection favours the first; confidence, lower in the rare cells where those are harder."""
    rng = np.random.default_rng(seed)
    cell = rng.integers(0, 4, COUNT)
    accepted = rng.random(COUNT) < np.array([0.8, 0.4, 0.2, 0.05])[cell]
    confidence = rng.uniform(0.8, 1.0, COUNT) - (0.05 * cell if is_harder else 0.0)
    return [f"cell {number}" for number in cell], accepted, confidence


def test_no_refused_label_is_ever_kept_and_no_more_is_dropped_than_allowed() -> None:
    cells, accepted, confidence = scene()
    for share in (0.0, 0.1, 0.5, 0.9):
        kept = keep_by_quota(cells, accepted, confidence, max_dropped=share, seed=0)
        assert not (kept & ~accepted).any()
        assert kept.sum() >= (1.0 - share) * accepted.sum()
    assert (keep_by_quota(cells, accepted, confidence, max_dropped=0.0, seed=0) == accepted).all()


def test_the_mixture_comes_nearer_to_that_of_all_the_more_may_be_dropped() -> None:
    cells, accepted, confidence = scene()
    off = [
        imbalance(cells, keep_by_quota(cells, accepted, confidence, max_dropped=share, seed=0))
        for share in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    assert (np.diff(off) < 0.0).all()
    assert off[-1] < 0.3 * off[0]


def test_the_rarest_cells_lose_nothing_and_the_most_confident_of_a_cell_stay() -> None:
    cells, accepted, confidence = scene()
    kept = keep_by_quota(cells, accepted, confidence, max_dropped=0.3, seed=0)
    cell = np.array(cells)
    rare, crowded = ((cell == name) & accepted for name in ("cell 3", "cell 0"))
    assert kept[rare].all()
    dropped = crowded & ~kept
    assert dropped.any()
    assert confidence[crowded & kept].min() >= confidence[dropped].max()


def test_what_is_kept_is_no_less_often_right_as_confidence_has_it() -> None:
    """Thinning the easy cells alone would leave the hard ones, and lower the mean."""
    cells, accepted, confidence = scene(is_harder=True)
    everything = np.full(COUNT, np.nan)
    blind = keep_by_quota(cells, accepted, everything, max_dropped=0.8, seed=0)
    assert mean_confidence(blind, confidence) < mean_confidence(accepted, confidence)
    kept = keep_by_quota(cells, accepted, confidence, max_dropped=0.8, seed=0)
    assert mean_confidence(kept, confidence) >= mean_confidence(accepted, confidence)
    assert imbalance(cells, kept) < imbalance(cells, accepted)


def test_the_lot_decides_between_equals_and_the_same_seed_draws_the_same() -> None:
    cells, accepted, _ = scene()
    unknown = np.full(COUNT, np.nan)
    one, two, other = (keep_by_quota(cells, accepted, unknown, max_dropped=0.3, seed=seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()


def test_the_table_tells_each_cells_shares() -> None:
    cells, accepted, confidence = scene()
    kept = keep_by_quota(cells, accepted, confidence, max_dropped=0.5, seed=0)
    table = quota_table(cells, accepted, kept, confidence)
    assert set(table.rows) == set(cells)
    for column in ("all", "accepted", "kept"):
        assert sum(float(row[column]) for row in table.rows.values()) == pytest.approx(100.0)  # type: ignore[arg-type]
    assert "Mean confidence" in table.note


def test_cells_are_combinations_of_parts() -> None:
    parts = {"side": ["left", "right"], "view": ["palm", "back"]}
    assert cells_of(parts, ("side", "view")) == ["left, palm", "right, back"]
