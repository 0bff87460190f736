import numpy as np
import pytest
from scipy.special import expit
from trust_scenes import calibration

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.schema.calibration import ConfidenceModel
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.outcome import promise_in_words, ranking_table, reliability_table, scores_of

NUM_ROWS = 400
GROUPS = [f"video {row // 20}" for row in range(NUM_ROWS)]
SPREAD = FEATURE_NAMES.index("spread_3d_m")


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, confidence and who is good: the spread tells a little, confidence all that can be known."""
    rng = np.random.default_rng(0)
    features = np.full((NUM_ROWS, len(FEATURE_NAMES)), np.nan)
    confidence = expit(2.0 * rng.normal(size=NUM_ROWS))
    features[:, SPREAD] = -confidence + rng.normal(size=NUM_ROWS)
    return features, confidence, rng.random(NUM_ROWS) < confidence


def test_scores_are_ranked_between_nothing_known_and_everything_known() -> None:
    features, confidence, is_good = rows()
    loss = (~is_good).astype(float)
    scores = scores_of(features, confidence, loss)
    # nobody told the predictor's own confidence, so it is no line of the table
    assert list(scores) == ["confidence", "spread of the members alone", "random", "oracle"]
    table = ranking_table(scores, loss, GroupBootstrap(GROUPS, 0, 100), at_coverage=0.5)
    areas = [table.rows[name]["augrc"] for name in ("oracle", "confidence", "spread of the members alone", "random")]
    values = [area.value for area in areas if isinstance(area, Interval)]
    assert values == sorted(values)
    less = table.rows["random"]["less"]
    assert isinstance(less, Interval)
    assert less.low > 0.0


def test_claimed_and_observed_shares_stand_side_by_side() -> None:
    _, confidence, is_good = rows()
    table = reliability_table(confidence, is_good, GroupBootstrap(GROUPS, 0, 100))
    assert sum(int(str(cells["rows"])) for name, cells in table.rows.items() if name != "all") == NUM_ROWS
    for cells in table.rows.values():
        claimed, observed = cells["claimed"], cells["observed"]
        assert isinstance(observed, Interval)
        assert observed.value == pytest.approx(claimed, abs=15.0)


def test_a_promise_says_what_how_surely_of_what_and_on_what_it_rests() -> None:
    model = ConfidenceModel(features=FEATURE_NAMES, base=0.0, trees=(), slope=1.0, intercept=0.0)
    said = promise_in_words(calibration(model))
    for part in ("probability 95%", "at most 10%", "beyond 10 mm in PA-MPJPE", "Proved on 1 videos", "50.0%", "5.0%"):
        assert part in said, part
