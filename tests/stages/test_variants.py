from dataclasses import replace

import numpy as np
import pytest
from trust_scenes import planted

from hoiray.config.what import PaperLimits
from hoiray.evaluation.bootstrap import GroupBootstrap
from hoiray.evaluation.label_truth import compare_labels
from hoiray.filters.rules import Limit, Rules, paper_rules
from hoiray.stages.judge import judge
from hoiray.stages.variants import drawn_videos, verdicts_of
from hoiray.trust.statistics import statistics_tables

PAPER = paper_rules(PaperLimits())


def test_every_variant_is_a_verdict_made_anew() -> None:
    table = planted(1, 12)[0]
    base, verdicts = verdicts_of(table, PAPER, sweeps=False)
    assert np.array_equal(verdicts.accepted, base["accepted"].to_numpy())
    by_name = {variant.name: variant for variant in verdicts.variants}
    for limit in PAPER.limits:
        others = tuple(one for one in PAPER.limits if one != limit)
        wanted = judge(table, replace(PAPER, limits=others), "j")["accepted"].to_numpy()
        assert np.array_equal(by_name[limit.measurement].without, wanted), limit
        assert (by_name[limit.measurement].without >= verdicts.accepted).all() or limit.filter.family != "pair"
    assert len(by_name) == len(PAPER.limits) + 2


def test_guards_are_told_one_by_one_and_all_together() -> None:
    table = planted(1, 12)[0]
    guards = Rules((Limit("box_iou", 0.75, "min"), Limit("spread_3d_m", 0.004, "max")), limits_are_guards=True)
    base, verdicts = verdicts_of(table, guards, sweeps=False)
    assert [variant.name for variant in verdicts.variants] == ["box_iou", "spread_3d_m", "all guards"]
    assert all(variant.is_guard for variant in verdicts.variants)
    together = verdicts.variants[-1]
    assert np.array_equal(together.alone, base["accepted"].to_numpy())
    assert together.without.sum() > base["accepted"].to_numpy().sum()


def test_a_limit_is_moved_through_its_measurement_and_where_it_is() -> None:
    rules = Rules((Limit("box_iou", 0.6, "min"),))
    base, verdicts = verdicts_of(planted(1, 6)[0], rules, sweeps=True)
    (sweep,) = verdicts.sweeps
    assert 0.6 in sweep.limits
    counts = [accepted.sum() for accepted in sweep.accepted]
    assert counts == sorted(counts, reverse=True)
    assert counts[sweep.limits.index(0.6)] == base["accepted"].to_numpy().sum()


def test_planted_filters_are_found_out_end_to_end() -> None:
    """The spread tells of errors, a bend of nothing, and short bones stand where labels are right."""
    table, truth = planted(0, 60, video_scatter=0.1)
    rules = Rules(
        (
            Limit("spread_3d_m", 0.005, "max"),
            Limit("max_joint_angle_rad", 1.6, "max"),
            Limit("min_bone_length_ratio", 0.25, "min"),
        )
    )
    labels, verdicts = verdicts_of(table, rules, sweeps=False)
    compared = compare_labels(labels, truth)
    known = replace(verdicts, is_bad=~compared.is_good(4.0), errors=compared.errors["pa_mpjpe_mm"], num_instances=1)
    table_of_filters = statistics_tables(known, GroupBootstrap(compared.videos, 0, 500))[1]
    finding = {name: str(row["finding"]) for name, row in table_of_filters.rows.items()}
    assert "keep it" in finding["spread_3d_m"]
    assert "useless" in finding["max_joint_angle_rad"]
    assert "harmful" in finding["min_bone_length_ratio"]


@pytest.mark.parametrize("max_rows", [60, 10**9])
def test_of_many_labels_whole_videos_are_drawn(max_rows: int) -> None:
    table = planted(1, 12)[0]
    drawn = drawn_videos(table, max_rows)
    names = set(drawn["video_id"].to_pylist())
    assert drawn.num_rows == sum(name in names for name in table["video_id"].to_pylist())
    assert drawn.num_rows <= max_rows
    assert drawn.num_rows > 20
    assert set(drawn_videos(table, max_rows)["video_id"].to_pylist()) == names
