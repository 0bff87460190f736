from types import SimpleNamespace
from typing import Any, cast

import pytest

from hoiray.predictors.fit import FitSettings
from hoiray.predictors.landmarks import predictor
from hoiray.predictors.versions import ANSWER_VERSIONS
from hoiray.stages.teacher import PACKAGED


def test_versions_are_of_predictors_that_are_there() -> None:
    assert ANSWER_VERSIONS.keys() <= PACKAGED.keys()


def test_the_landmark_teacher_says_its_own_in_its_digest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = SimpleNamespace(digest="files")
    teacher = predictor.LandmarkPredictor(
        cast("Any", networks), cast("Any", None), cast("Any", None), FitSettings(), 0.5, 1
    )
    now = teacher.digest
    monkeypatch.setattr(predictor, "ANSWER_VERSIONS", {"landmarks": ANSWER_VERSIONS["landmarks"] + 1})
    assert teacher.digest != now
