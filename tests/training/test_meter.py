from hoiray.training.meter import Meter


def test_means_are_over_the_steps_that_had_the_value() -> None:
    meter = Meter()
    meter.add({"a": 1.0, "b": 4.0})
    meter.add({"a": 2.0})
    assert meter.means() == {"a": 1.5, "b": 4.0}


def test_a_reset_meter_knows_nothing() -> None:
    meter = Meter()
    meter.add({"a": 1.0})
    meter.reset()
    assert meter.means() == {}
