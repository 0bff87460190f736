import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
from judged_scenes import compared
from valid_tables import replaced

from hoiray.benchmarks.adaptive import compare, page
from hoiray.benchmarks.labels import Judged
from hoiray.errors import ContractError


def with_views(judged: Judged, views: list[int]) -> Judged:
    column = pa.array(np.resize(views, judged.labels.num_rows), pa.int16())
    return replace(judged, labels=replaced(judged.labels, "num_members", column))


def test_an_early_ensemble_of_the_same_verdicts_keeps_everything_for_fewer_views() -> None:
    judged = compared((0.0, 0.0))
    found = compare(with_views(judged, [8]), with_views(judged, [1, 3]), right_mm=5.0)
    assert found.views_share == 0.25
    assert found.views == {1: found.num_hands // 2, 3: found.num_hands // 2}
    assert (found.kept.value, found.same_verdict.value, found.more_right.value) == (1.0, 1.0, 0.0)
    assert found.precision.value == found.precision_early.value == 1.0
    assert found.is_met
    assert "a third of the views): met" in page(found, 5.0)
    assert json.loads(json.dumps(asdict(found)))["kept"]["value"] == 1.0


def test_other_verdicts_and_too_many_views_miss_the_goal() -> None:
    whole, early = compared((0.0, 0.05)), compared((0.0, 0.05), refused_frame=0)
    found = compare(with_views(whole, [8]), with_views(early, [2]), right_mm=5.0)
    # the whole one accepts the frames without noise, the early one those with it
    assert (found.kept.value, found.same_verdict.value) == (0.0, 0.0)
    assert (found.precision.value, found.precision_early.value) == (1.0, 0.0)
    assert found.more_right.value == -0.5
    assert not found.is_met
    assert not compare(with_views(whole, [8]), with_views(whole, [4]), right_mm=5.0).is_met


def test_runs_of_other_hands_are_not_compared() -> None:
    judged = compared((0.0, 0.0))
    fewer = replace(judged, labels=judged.labels.slice(1))
    with pytest.raises(ContractError, match=r"changing ensemble\.cascade only"):
        compare(judged, fewer, right_mm=5.0)
