"""Hypotheses about sides, put together and decided."""

import numpy as np
import pyarrow as pa
from valid_tables import replaced, table_of

from hoiray.schema.columns import pack_column
from hoiray.stages.measure import FUSED
from hoiray.stages.sides import Hypotheses, decided

BOX = np.array([10.0, 10, 40, 40], np.float32)


def rows(video: str, frames: list[int], *, is_right: bool = True) -> pa.Table:
    """One hand that stands still."""
    table = table_of(FUSED, len(frames))
    columns = {
        "video_id": pa.array([video] * len(frames)),
        "frame_index": pa.array(frames, pa.int32()),
        "hand_index": pa.array([0] * len(frames), pa.int16()),
        "is_right": pa.array([is_right] * len(frames)),
        "bbox_xyxy": pack_column(FUSED["bbox_xyxy"], np.tile(BOX, (len(frames), 1))),
    }
    for name, values in columns.items():
        table = replaced(table, name, values)
    return table


def guessed(video: str, frames: list[int], lead: list[float]) -> Hypotheses:
    return Hypotheses(rows(video, frames), rows(video, frames, is_right=False), np.array(lead))


def leads(table: pa.Table) -> list[float | None]:
    return [None if lead is None else round(lead, 6) for lead in table["side_lead"].to_pylist()]


def told(table: pa.Table) -> list[tuple[str, int, bool]]:
    return list(zip(*(table[name].to_pylist() for name in ("video_id", "frame_index", "is_right")), strict=True))


def test_each_track_is_taken_from_the_hypothesis_its_frames_believe() -> None:
    table = decided(
        [guessed("a", [0, 1, 2], [0.05, -0.01, 0.05]), guessed("b", [0, 1], [-0.05, 0.01])], is_one_person=True
    )
    assert told(table) == [("a", 0, True), ("a", 1, True), ("a", 2, True), ("b", 0, False), ("b", 1, False)]
    assert leads(table) == [0.03, 0.03, 0.03, 0.02, 0.02]


def test_the_parts_in_which_a_video_came_do_not_matter() -> None:
    whole = guessed("a", [0, 1, 2, 3], [0.05, -0.06, 0.05, -0.02])
    parts = [guessed("a", [2], [0.05]), guessed("b", [0], [-0.1]), guessed("a", [3, 0], [-0.02, 0.05])]
    assert told(decided([*parts, guessed("a", [1], [-0.06])], is_one_person=True))[:4] == told(
        decided([whole], is_one_person=True)
    )


def beside(part: Hypotheses) -> Hypotheses:
    """Another hand of the same frames, on the other side of the image."""
    count = part.first.num_rows
    far = pack_column(FUSED["bbox_xyxy"], np.tile(BOX + np.float32(200.0), (count, 1)))
    tables = (
        replaced(replaced(table, "bbox_xyxy", far), "hand_index", pa.array([1] * count, pa.int16()))
        for table in (part.first, part.second)
    )
    return Hypotheses(*tables, part.lead)


def test_the_surer_of_two_hands_decides_for_both_if_they_are_of_one_person() -> None:
    parts = [guessed("a", [0, 1], [0.02, 0.02]), beside(guessed("a", [0, 1], [0.01, 0.01]))]
    one, several = (decided(parts, is_one_person=is_one_person) for is_one_person in (True, False))
    assert [is_right for *_, is_right in told(one)] == [True, False, True, False]
    assert leads(one) == [0.02, -0.01, 0.02, -0.01]
    assert [is_right for *_, is_right in told(several)] == [True] * 4
    assert leads(several) == [0.02, 0.01, 0.02, 0.01]


def test_hypotheses_may_come_in_either_order() -> None:
    left_first = Hypotheses(rows("a", [0, 1], is_right=False), rows("a", [0, 1]), np.array([-0.02, -0.02]))
    table = decided([left_first, beside(guessed("a", [0, 1], [0.01, 0.01]))], is_one_person=True)
    assert [is_right for *_, is_right in told(table)] == [True, False, True, False]
    assert leads(table) == [0.02, -0.01, 0.02, -0.01]


def test_a_side_that_is_known_stays_and_has_no_say() -> None:
    known = Hypotheses.of_known(rows("a", [0], is_right=True))
    table = decided([known, guessed("a", [1, 2], [-0.05, -0.05])], is_one_person=True)
    assert told(table) == [("a", 0, True), ("a", 1, False), ("a", 2, False)]
    assert leads(table) == [None, 0.05, 0.05]
    assert told(decided([known], is_one_person=True)) == [("a", 0, True)]


def test_a_video_that_is_left_out_leaves_the_others_whole() -> None:
    part = Hypotheses(
        pa.concat_tables([rows("a", [0]), rows("b", [0])]),
        pa.concat_tables([rows("a", [0], is_right=False), rows("b", [0], is_right=False)]),
        np.array([0.05, -0.05]),
    )
    assert told(decided([part.without("a")], is_one_person=True)) == [("b", 0, False)]
    assert told(decided([part.without("b")], is_one_person=True)) == [("a", 0, True)]
