import dataclasses

import numpy as np
import pytest

from hoiray.errors import ConfigError
from hoiray.synthetic.domains import DOMAIN_NAMES, DOMAINS, SIZE_NAMES, Knobs, domain_of, environments_of, extent_of
from hoiray.synthetic.environments import ENVIRONMENT_NAMES
from hoiray.synthetic.objects import is_object_name


def test_sizes_are_about_what_their_names_promise() -> None:
    for domain in DOMAINS.values():
        assert domain.num_frames("tiny") <= 60
        assert 1800 <= domain.num_frames("small") <= 2200
        assert 18_000 <= domain.num_frames("medium") <= 22_000


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_a_domain_names_objects_rooms_and_sizes_that_exist(name: str) -> None:
    domain = domain_of(name)
    assert domain.name == name
    assert all(is_object_name(item) for item in domain.object_names)
    for size in SIZE_NAMES:
        extent = extent_of(domain, size)
        assert domain.has_variants or extent.num_objects <= len(domain.object_names)
        assert extent.num_subjects <= extent.num_recordings
        rooms = environments_of(extent, 5)
        assert len(set(rooms)) == len(rooms) == min(extent.num_environments, len(ENVIRONMENT_NAMES))
        assert set(rooms) <= set(ENVIRONMENT_NAMES)


@pytest.mark.parametrize("name", DOMAIN_NAMES)
def test_every_knob_lies_where_its_kind_allows(name: str) -> None:
    knobs = domain_of(name).knobs
    for spec in dataclasses.fields(Knobs):
        value = getattr(knobs, spec.name)
        if spec.name.endswith("_share") and isinstance(value, float):
            assert 0.0 <= value <= 1.0
        if isinstance(value, tuple) and all(isinstance(limit, float) for limit in value):
            assert value[0] <= value[1], spec.name
    assert sum(knobs.grasp_weights.values()) == pytest.approx(1.0)


def test_the_twins_have_the_cameras_of_what_they_play() -> None:
    assert (DOMAINS["lab"].num_cameras, DOMAINS["lab"].image_sizes) == (5, ((480, 640),))
    assert DOMAINS["lab"].K is not None
    assert DOMAINS["lab"].K[0] == 617.0
    assert DOMAINS["wild"].K is None
    assert DOMAINS["wild"].fps == 12.0
    assert {height for height, _ in DOMAINS["wild"].image_sizes} == {240}
    assert DOMAINS["ego"].image_sizes == ((1080, 1920),)
    assert DOMAINS["ego"].K == (1395.749023, 1395.749268, 935.732544, 540.681030)
    assert DOMAINS["studio"].image_sizes == ((224, 224),)
    assert DOMAINS["studio"].knobs.empty_hand_share == 0.5


def test_knobs_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DOMAINS["lab"].knobs.tremor_m = (0.0, 1.0)  # type: ignore[misc]  # that is the test


def test_an_unknown_domain_or_size_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="studio"):
        domain_of("kitchen")
    with pytest.raises(ConfigError, match="medium"):
        extent_of(DOMAINS["lab"], "huge")


def test_another_offset_gives_other_rooms() -> None:
    extent = extent_of(DOMAINS["lab"], "small")
    assert environments_of(extent, 0) != environments_of(extent, 1)
    assert np.unique([len(environments_of(extent, k)) for k in range(20)]).tolist() == [3]
