from hoiray.predictors.landmarks.predictor import _VERSION
from hoiray.predictors.versions import ANSWER_VERSIONS
from hoiray.stages.teacher import PACKAGED


def test_versions_are_of_predictors_that_are_there() -> None:
    assert ANSWER_VERSIONS.keys() <= PACKAGED.keys()


def test_the_landmark_teacher_says_its_own_in_its_digest_too() -> None:
    assert ANSWER_VERSIONS["landmarks"] == _VERSION
