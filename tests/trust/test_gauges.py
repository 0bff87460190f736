import numpy as np
import pytest
from trust_scenes import planted

from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.difficulty import viewpoint_deg
from hoiray.evaluation.label_truth import compare_labels
from hoiray.filters.rules import Rules
from hoiray.schema.columns import unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.judge import judge
from hoiray.trust.gauges import gauge_table, parts_of, true_parts_of, views_deg


def test_every_label_lies_in_one_part_of_each_kind() -> None:
    table, truth = planted(0, 8)
    labels = judge(table, Rules(()), "j")
    parts = parts_of(labels) | true_parts_of(compare_labels(labels, truth), truth)
    assert set(parts) == {
        "side", "longer side of the box", "motion a frame", "largest bend", "view", "visible share of the true hand",
    }  # fmt: skip
    for names in parts.values():
        assert len(names) == labels.num_rows
        assert len(set(names)) > 1


def test_a_view_is_that_of_the_evaluation_from_far_away() -> None:
    labels = judge(planted(0, 3)[0], Rules(()), "j")
    joints = unpack_column(labels, LABELS["joints_3d"]).astype(np.float64)
    is_right = unpack_column(labels, LABELS["is_right"])
    found = views_deg(joints, is_right)
    for row in range(0, len(joints), 7):
        if np.isfinite(joints[row]).all():
            far = joints[row] + np.array([0.0, 0.0, 1e4])
            assert found[row] == pytest.approx(viewpoint_deg(far, is_right=bool(is_right[row])), abs=0.01)


def test_a_part_that_selection_leaves_out_is_said_to_vanish() -> None:
    rng = np.random.default_rng(0)
    names = np.where(rng.random(600) < 0.3, "fast", "slow")
    accepted = rng.random(600) < np.where(names == "fast", 0.05, 0.6)
    bootstrap = GroupBootstrap([f"video {row // 20}" for row in range(600)], 0, 200)
    table = gauge_table({"speed": names.tolist()}, accepted, bootstrap)
    assert table.rows["speed: fast"]["finding"] == "vanishes"
    assert table.rows["speed: slow"]["finding"] == ""
    shares = [float(str(cells["share_accepted"])) for cells in table.rows.values()]
    assert sum(shares) == pytest.approx(100.0)
