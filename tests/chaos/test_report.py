"""The page of reliability says what the rounds found, and a broken promise in so many words."""

from typing import Any

from .nodes import LAYOUT
from .report import page


def one_round(number: int, **changes: Any) -> dict[str, Any]:
    facts = {
        "number": number, "kind": "node", "num_workers": [3], "pools": [[1, 2, 4]], "committed": [7, 20],
        "num_killed": 1, "predictors_hit": 1, "in_flight": 4, "begun_late": 0, "redone": 3, "redone_hands": 9,
        "exits": [0], "wall_s": 9.0, "recovery_s": 5.0, "problems": [],
    }  # fmt: skip
    return facts | changes


def page_of(*rounds: dict[str, Any], **changes: Any) -> str:
    part = {
        "command": "c", "seed": 0, "asked": len(rounds), "num_shards": 20, "num_videos": 21, "num_hands": 217,
        "layout": LAYOUT, "rounds": list(rounds), "machine": {},
    }  # fmt: skip
    return "\n".join(page({"kills": part | changes}))


def test_work_done_again_is_printed_beside_what_was_in_flight_and_checked() -> None:
    text = page_of(one_round(0), one_round(1, in_flight=2, begun_late=1, redone=3))
    assert (
        "Done again: 6 shards, of 6 in flight and 1 begun late. No more than in flight: **kept in every round**."
        in text
    )
    assert "**BROKEN in rounds 1**" in page_of(one_round(0), one_round(1, in_flight=2, redone=3))


def test_each_round_is_told_with_its_nodes_and_pools() -> None:
    text = page_of(one_round(0), one_round(1, kind="driver", num_workers=[2, 3], pools=[[1, 2, 4], [2, 3, 7]]))
    assert "| 0 | node | 3 | 1 to 2, 4 | 7 of 20 | 4 | 3 | 0 |" in text
    assert "| 1 | driver | 2, then 3 | 1 to 2, 4, then 2 to 3, 7 | 7 of 20 | 4 | 3 | 0 |" in text
    assert "a head of 0 CPUs" in text
    assert "1 of 1 killed worker nodes are known to have held an actor that predicted" in text


def test_a_round_with_a_finding_is_told() -> None:
    text = page_of(one_round(0, problems=["lost: labels/x"]))
    assert "**0 of 1 rounds ended without a finding**" in text
    assert "* round 0 (node): lost: labels/x" in text
