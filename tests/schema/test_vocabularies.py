from typing import get_args

import pytest

from hoiray.schema.vocabularies import REJECT_REASONS, UNMEASURED_REASONS, Stage

every_vocabulary = pytest.mark.parametrize(
    "words", [tuple(REJECT_REASONS), tuple(UNMEASURED_REASONS), get_args(Stage)], ids=["reject", "unmeasured", "stage"]
)


def test_every_reason_has_its_explanation() -> None:
    assert all(REJECT_REASONS.values())
    assert all(UNMEASURED_REASONS.values())


@every_vocabulary
def test_words_hold_neither_the_colon_of_an_entry_nor_the_comma_of_a_list(words: tuple[str, ...]) -> None:
    assert [word for word in words if not word.isidentifier()] == []
    assert len(set(words)) == len(words)
