import numpy as np
import pytest
from scipy.special import expit

from hoiray.metrics.selection import augrc, random_score
from hoiray.schema.calibration import ConfidenceModel
from hoiray.trust.confidence import Confidence
from hoiray.trust.features import FEATURE_NAMES, MONOTONE
from hoiray.trust.fit import LEAST_SLOPE, NUM_TREES, fit_confidence, fit_curve, make_classifier, trees_of

NUM_ROWS, NUM_UNITS = 1200, 40
SPREAD, IOU = FEATURE_NAMES.index("spread_3d_m"), FEATURE_NAMES.index("box_iou")
UNIT = np.repeat(np.arange(NUM_UNITS), NUM_ROWS // NUM_UNITS)


def rows(weight: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Features, of which two tell, one is never known and all are missing now and then; and who is good."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(NUM_ROWS, len(FEATURE_NAMES)))
    log_odds = weight * (features[:, IOU] - features[:, SPREAD]) + rng.normal(size=NUM_UNITS)[UNIT]
    features[rng.random(features.shape) < 0.1] = np.nan
    features[:, 3] = np.nan
    return features, rng.random(NUM_ROWS) < expit(log_odds)


def test_our_trees_say_what_the_librarys_say() -> None:
    features, is_good = rows()
    classifier = make_classifier(30).fit(np.where(np.isnan(features).all(axis=0), 0.0, features), is_good)
    model = ConfidenceModel(
        features=FEATURE_NAMES,
        base=float(classifier._baseline_prediction.item()),
        trees=trees_of(classifier),
        slope=1.0,
        intercept=0.0,
    )
    unseen = rows()[0][::-1] * 1.3
    for part in (features, unseen):
        assert np.abs(Confidence(model).log_odds(part) - classifier.decision_function(part)).max() < 1e-12


def test_more_evidence_against_a_label_never_raises_its_confidence() -> None:
    features, is_good = rows()
    model = Confidence(fit_confidence(features, is_good, UNIT).model)
    for index, direction in enumerate(MONOTONE):
        if direction:
            ladder = np.repeat(features[:50], 9, axis=0)
            ladder[:, index] = np.tile(np.linspace(-3, 3, 9), 50)
            steps = np.diff(model.log_odds(ladder).reshape(50, 9), axis=1)
            assert (direction * steps >= 0.0).all(), FEATURE_NAMES[index]


def test_what_tells_is_found_and_probabilities_mean_what_they_say() -> None:
    features, is_good = rows()
    fitted = fit_confidence(features, is_good, UNIT)
    assert augrc(fitted.unseen, ~is_good) < 0.8 * augrc(random_score(is_good), ~is_good)
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        part = (fitted.unseen >= low) & (fitted.unseen < high)
        assert fitted.unseen[part].mean() == pytest.approx(is_good[part].mean(), abs=0.07)


def test_where_nothing_tells_the_simplest_is_taken_and_confidence_is_next_to_the_base_rate() -> None:
    features, is_good = rows(weight=0.0)
    fitted = fit_confidence(features, is_good, UNIT)
    assert fitted.num_trees == NUM_TREES[0]
    assert Confidence(fitted.model).probability(features) == pytest.approx(is_good.mean(), abs=0.08)


def test_labels_that_are_all_good_or_all_bad_still_have_a_confidence() -> None:
    features, _ = rows()
    for everything in (True, False):
        model = fit_confidence(features, np.full(NUM_ROWS, everything), UNIT).model
        probability = Confidence(model).probability(features)
        assert (np.abs(probability - everything) < 0.02).all()


def test_the_same_rows_give_the_same_model() -> None:
    features, is_good = (part[:300] for part in rows())
    assert fit_confidence(features, is_good, UNIT[:300]).model == fit_confidence(features, is_good, UNIT[:300]).model


def test_a_curve_never_turns_the_order_round() -> None:
    log_odds = np.linspace(-2, 2, 200)
    assert fit_curve(log_odds, log_odds < 0)[0] == LEAST_SLOPE
    slope, intercept = fit_curve(log_odds, np.random.default_rng(0).random(200) < expit(2 * log_odds - 1))
    assert (slope, intercept) == (pytest.approx(2.0, abs=0.6), pytest.approx(-1.0, abs=0.5))
