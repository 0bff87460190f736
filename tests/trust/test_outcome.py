import numpy as np
import pytest
from scipy.special import expit
from trust_scenes import calibration

from hoiray.evaluation.bootstrap import GroupBootstrap, Interval
from hoiray.schema.calibration import ConfidenceModel
from hoiray.trust.features import FEATURE_NAMES
from hoiray.trust.outcome import promise_in_words, reliability_table

NUM_ROWS = 400
GROUPS = [f"video {row // 20}" for row in range(NUM_ROWS)]


def test_claimed_and_observed_shares_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    confidence = expit(2.0 * rng.normal(size=NUM_ROWS))
    is_good = rng.random(NUM_ROWS) < confidence
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
