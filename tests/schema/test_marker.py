import json
from typing import Any

import pytest

from hoiray.errors import ContractError
from hoiray.schema.marker import CommitMarker, DeadLetter, parse_marker
from hoiray.schema.tables import DEAD_LETTERS


def marker(**changes: Any) -> CommitMarker:
    values: dict[str, Any] = {
        "hoiray_version": "0.1.0",
        "table": "labels",
        "schema_version": 1,
        "plan_id": "p",
        "predict_id": "q",
        "judge_id": "j",
        "shard_id": "s",
        "data_key": f"labels/s-{'ab' * 8}.parquet",
        "data_sha256": "ab" * 32,
        "data_bytes": 10,
        "num_videos": 2,
        "num_rows": 3,
        "num_accepted": 1,
        "reasons": {"box_iou": 2},
        "dead_letters": [
            {
                "video_id": "v",
                "uri": "v.webm",
                "stage": "decode",
                "error_class": "InputError",
                "message": "m",
                "attempts": 3,
            }
        ],
        "attempt": 1,
        "timings_s": {"decode": 0.5},
    }
    return CommitMarker.model_validate(values | changes)


def test_a_marker_reads_back_equal_and_always_as_the_same_text() -> None:
    text = marker().to_json()
    assert parse_marker(text, "k") == marker()
    assert parse_marker(text.encode(), "k").to_json() == text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judge_id": None}, "judge_id and num_accepted belong to labels"),
        ({"num_accepted": None}, "judge_id and num_accepted belong to labels"),
        ({"table": "predictions"}, "judge_id and num_accepted belong to labels"),
        ({"data_key": "labels/s.parquet"}, "must carry the first 16 digits"),
        ({"data_sha256": "AB" * 32}, "data_sha256"),
        ({"num_accepted": 4}, "num_accepted = 4 is more than num_rows = 3"),
        ({"num_videos": 0}, "1 dead letters are more than num_videos = 0"),
        ({"reasons": {"ugly": 1}}, "unknown reasons"),
        ({"marker_version": 2}, "marker_version"),
        ({"num_rows": -1}, "num_rows"),
        ({"num_rows": "3"}, "num_rows"),
        ({"when": "today"}, "when"),
    ],
)
def test_a_marker_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    content = json.loads(marker().to_json()) | changes
    with pytest.raises(ContractError, match=message) as raised:
        parse_marker(json.dumps(content), "markers/s.json")
    assert str(raised.value).startswith("commit marker markers/s.json, ")


@pytest.mark.parametrize("text", ["", "{", "[]", b"\xff"])
def test_what_is_no_marker_is_refused(text: str | bytes) -> None:
    with pytest.raises(ContractError, match="commit marker k, content: expected schemas/commit_marker"):
        parse_marker(text, "k")


def test_a_marker_may_have_accepted_all_and_lost_all() -> None:
    assert marker(num_accepted=3, num_videos=1).num_accepted == 3


def test_a_markers_dead_letters_fit_the_table() -> None:
    fields = set(DeadLetter.model_fields)
    assert fields | {"shard_id"} == set(DEAD_LETTERS.names)
