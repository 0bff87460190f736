"""Tables and plots of an experiment."""

from hoiray.selftrain.arms import ARMS
from hoiray.selftrain.paper_tables import MEAN_ADD, TABLES
from hoiray.selftrain.reproduce import Results, key_of
from hoiray.selftrain.reproduce_report import claims_plot, fractions_plot


def test_plots_are_drawn_of_much_of_little_and_of_nothing() -> None:
    import xml.etree.ElementTree as ElementTree

    key = key_of(MEAN_ADD)
    full = {arm: {seed: {key: 10.0 + seed} for seed in range(3)} for arm in ARMS}
    for values in ({}, full, {"semi_object": {0: {key: 3.0}}}):
        for text in (fractions_plot(Results(values, {})), claims_plot(Results(values, {}), TABLES["table3"])):
            assert ElementTree.fromstring(text).tag.endswith("svg")
            assert "nan" not in text
