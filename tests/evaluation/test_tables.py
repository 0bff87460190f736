"""The tables hold the numbers of the metrics, count what is missing, and always show the constant hand."""

import dataset_files as files
import numpy as np
import pytest

from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.hand_metrics import HAND_METRICS
from hoiray.evaluation.tables import Scored, breakdown_tables, hand_table, make_bootstrap
from hoiray.evaluation.truth import HandTruth, Truths

N = 24
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])


def truths() -> Truths:
    joints = files.hands(N, tip_set="ho3d", seed=2).joints
    made = []
    for i in range(N):
        box = np.array([0.0, 0, 50 + 10 * i, 40])
        nothing = np.full((4, 4), np.nan)
        made.append(
            HandTruth(i, 0, str(i), f"rec{i // 4}", None, i % 2 == 0, joints[i], None, np.zeros((21, 2)), box, "x", K,
                      "can" if i % 3 else "bottle", np.full(4, np.nan), nothing, i / N if i else float("nan"), 7.5 * i)
        )  # fmt: skip
    return Truths(tuple(made), "ho3d", False, ())


def values(seed: int, shift: float = 0.0, missing: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = {
        name: rng.uniform(0.2, 0.8, N) if metric.is_rate else rng.uniform(10, 20, N) + shift
        for name, metric in HAND_METRICS.items()
        if not name.startswith("joints_2d")
    }
    for column in made.values():
        column[list(missing)] = np.nan
    return made


def bootstrap(seed: int = 0):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a test's shorthand
    return make_bootstrap([hand.recording_id for hand in truths().hands], seed)


def interval(cell: object) -> Interval:
    assert isinstance(cell, Interval)
    return cell


def test_the_constant_hand_and_the_gain_over_it_stand_in_every_row() -> None:
    model, constant = Scored("m", values(0), None), values(1, shift=10.0)
    table = hand_table(model, constant, None, bootstrap())
    assert list(table.columns) == ["model", "constant", "gain"]
    for name, row in table.rows.items():
        assert interval(row["model"]).value == pytest.approx(model.hands[name].mean())
        assert interval(row["constant"]).value == pytest.approx(constant[name].mean())
        is_rate = HAND_METRICS[name].is_rate
        difference = model.hands[name].mean() - constant[name].mean()
        expected = difference if is_rate else 1 - model.hands[name].mean() / constant[name].mean()
        assert interval(row["gain"]).value == pytest.approx(expected)
    assert interval(table.rows["mpjpe_mm"]["gain"]).low > 0.2


def test_leaving_out_the_hard_hands_gains_nothing() -> None:
    honest, constant = values(0), values(1, shift=10.0)
    hard = np.argsort(honest["mpjpe_mm"])[-8:]
    sly = {name: column.copy() for name, column in honest.items()}
    for column in sly.values():
        column[hard] = np.nan
    table = hand_table(Scored("sly", sly, None), constant, None, bootstrap())
    whole = hand_table(Scored("honest", honest, None), constant, None, bootstrap())
    row, other = table.rows["mpjpe_mm"], whole.rows["mpjpe_mm"]
    assert interval(row["model"]).value < interval(other["model"]).value  # the mean over the rest looks better
    assert interval(row["gain"]).value < interval(other["gain"]).value
    assert interval(table.rows["pa_f_at_15mm"]["model"]).value == pytest.approx(np.nansum(sly["pa_f_at_15mm"]) / N)
    assert f"Missing predictions of sly: 8 of {N}" in table.note


def test_a_difference_of_two_models_is_paired() -> None:
    first = values(0)
    second = {name: column + (0.0 if HAND_METRICS[name].is_rate else 1.0) for name, column in first.items()}
    table = hand_table(Scored("a", first, None), values(1), Scored("b", second, None), bootstrap())
    row = table.rows["mpjpe_mm"]
    assert interval(row["difference"]).value == pytest.approx(-1.0)
    assert interval(row["difference"]).high == pytest.approx(-1.0)
    assert interval(row["against"]).value == pytest.approx(second["mpjpe_mm"].mean())
    assert table.columns["difference"].title == "a minus b"


def test_every_part_of_a_breakdown_counts_its_own_hands() -> None:
    model, constant = Scored("m", values(0, missing=(5,)), None), values(1)
    tables = {table.key: table for table in breakdown_tables(model, constant, truths(), "recordings", bootstrap())}
    assert list(tables) == ["by object", "by recording", "by side", "by visible", "by size", "by viewpoint"]
    for table in tables.values():
        assert sum(int(row["num_hands"]) for row in table.rows.values()) == N  # type: ignore[arg-type]  # a count
        assert sum(int(row["num_missing"]) for row in table.rows.values()) == 1  # type: ignore[arg-type]  # a count
    cans = [i for i in range(N) if i % 3]
    own = interval(tables["by object"].rows["can"]["mpjpe_mm"])
    assert own.value == pytest.approx(np.nanmean(model.hands["mpjpe_mm"][cans]))
    fixed = interval(tables["by object"].rows["can"]["constant_mpjpe_mm"])
    assert fixed.value == pytest.approx(constant["mpjpe_mm"][cans].mean())
    one = tables["by recording"].rows["rec2"]
    assert one["num_groups"] == 1
    assert np.isnan(interval(one["mpjpe_mm"]).low)
    assert list(tables["by size"].rows) == ["below 64 px", "64 to 128 px", "128 to 192 px", "from 192 px"]
    assert list(tables["by viewpoint"].rows) == ["palm", "edge", "back"]
    assert list(tables["by visible"].rows)[-1] == "unknown"


def test_many_groups_are_resampled_less_often() -> None:
    assert make_bootstrap(["a", "b"], 0).num_resamples == 10_000
    assert make_bootstrap([str(i) for i in range(3960)], 0).num_resamples == 1059
    assert make_bootstrap([str(i) for i in range(50_000)], 0).num_resamples == 1000
