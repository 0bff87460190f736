import re

import pytest
from report_scenes import HOSTILE_NAMES

from hoiray.export.names import letters_of, safe_name

PATHS = ("../../x", "..", "/etc/passwd", "a/b.mp4", "a b.mp4", "a.b.mp4")
NAMES = (*HOSTILE_NAMES, *PATHS, "", "CON", "x" * 400, "\ud800")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_safe_in_any_file_system_and_as_a_key(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]{1,40}-[0-9a-f]{10}", safe_name(name))
    assert re.fullmatch("[a-z]{12}", letters_of(name))


def test_different_videos_have_different_names_even_where_only_signs_differ() -> None:
    assert len({safe_name(name) for name in NAMES}) == len(NAMES)
    assert len({letters_of(name) for name in NAMES}) == len(NAMES)
    assert safe_name("a b.mp4") == "a_b_mp4-" + safe_name("a b.mp4")[-10:]
