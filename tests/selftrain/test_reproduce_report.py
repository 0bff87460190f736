"""Tables and plots of an experiment."""

import math

from hoiray.evaluation.bootstrap import Interval
from hoiray.selftrain.arms import ARMS
from hoiray.selftrain.paper_tables import MEAN_ADD, TABLES
from hoiray.selftrain.reproduce import Results, key_of
from hoiray.selftrain.reproduce_report import claims_plot, fractions_plot, shown_interval


def test_plots_are_drawn_of_much_of_little_and_of_nothing() -> None:
    import xml.etree.ElementTree as ElementTree

    key = key_of(MEAN_ADD)
    full = {arm: {seed: {key: 10.0 + seed} for seed in range(3)} for arm in ARMS}
    for values in ({}, full, {"semi_object": {0: {key: 3.0}}}):
        for text in (fractions_plot(Results(values, {})), claims_plot(Results(values, {}), TABLES["table3"])):
            assert ElementTree.fromstring(text).tag.endswith("svg")
            assert "nan" not in text


def test_an_interval_shows_on_which_side_of_zero_it_ends() -> None:
    assert shown_interval(Interval(-0.09, -0.17, -0.0021), 2) == "-0.090 [-0.170, -0.002]"
    assert shown_interval(Interval(0.04, -0.02, 0.1), 2) == "+0.04 [-0.02, +0.10]"
    assert shown_interval(Interval(0.0, 0.0, 0.0), 1) == "+0.0 [+0.0, +0.0]"
    assert shown_interval(Interval(1.0, math.nan, math.nan), 1) == "+1.0"
    assert shown_interval(Interval(math.nan, math.nan, math.nan), 1) == "-"


def test_every_claim_has_a_scale_of_its_own_and_its_numbers() -> None:
    """Hands differ by tenths of a millimetre, objects by tens of percent: on one scale the former would be a dot."""
    import xml.etree.ElementTree as ElementTree

    table = TABLES["table3"]
    values: dict[str, dict[int, dict[str, float]]] = {arm: {seed: {} for seed in range(3)} for arm in ARMS}
    for claim in table.claims:
        key, size = key_of(claim.measure), 0.1 if claim.measure.is_error else 30.0
        for seed, share in enumerate((0.5, 1.0, 1.5)):
            values[claim.baseline][seed][key] = 50.0
            values[claim.arm][seed][key] = 50.0 + share * (-size if claim.measure.is_error else size)
    text = claims_plot(Results(values, {}), table)
    drawn = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"
    lengths = {
        round(float(line.attrib["x2"]) - float(line.attrib["x1"]), 1)
        for line in drawn.iter(f"{name}line")
        if "stroke-width" in line.attrib
    }
    assert len(lengths) == 1
    assert lengths.pop() > 50.0
    assert all(float(it.attrib["cx"]) > 510.0 for it in drawn.iter(f"{name}circle"))
    shown = [it.text or "" for it in drawn.iter(f"{name}text")]
    assert sum("-0.10 [-0.22, +0.02]" in it for it in shown) == 8
    assert sum("+30.0 [-7.3, +67.3]" in it for it in shown) >= 2
