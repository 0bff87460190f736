import numpy as np
import pyarrow as pa

from hoiray.stages.group import group_by_video


def keys(rows: list[tuple[str, int, int]]) -> pa.Table:
    video, frame, hand = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "video_id": pa.array(video, pa.string()),
            "frame_index": pa.array(frame, pa.int32()),
            "hand_index": pa.array(hand, pa.int16()),
            "place": pa.array(range(len(rows))),
        }
    )


def test_rows_are_put_in_the_order_of_their_keys() -> None:
    rng = np.random.default_rng(0)
    names = ["b", "a", "ä", "B", "aa", "", "z", "\U0001f590"]
    rows = [(name, int(frame), hand) for name in names for frame in rng.permutation(4) for hand in (1, 0)]
    rng.shuffle(rows)
    groups = group_by_video(keys(rows))
    wanted = sorted(rows, key=lambda row: (row[0].encode(), *row[1:]))
    assert [(r["video_id"], r["frame_index"], r["hand_index"]) for r in groups.table.to_pylist()] == wanted
    assert groups.starts.tolist() == list(range(0, len(rows) + 1, 8))


def test_the_order_is_that_of_a_sorted_table() -> None:
    rows = [(f"v{n}", frame, 0) for n in (10, 9, 100, 1) for frame in (3, 1)]
    table = keys(rows)
    wanted = table.sort_by([(name, "ascending") for name in ("video_id", "frame_index", "hand_index")])
    assert group_by_video(table).table.equals(wanted)


def test_rows_in_order_are_not_copied() -> None:
    table = keys([("a", 0, 0), ("a", 0, 1), ("a", 2, 0), ("b", 0, 0)])
    groups = group_by_video(table)
    assert groups.table is table
    assert groups.starts.tolist() == [0, 3, 4]


def test_any_key_out_of_order_is_noticed() -> None:
    for rows in (
        [("b", 0, 0), ("a", 0, 0)],
        [("a", 1, 0), ("a", 0, 0)],
        [("a", 0, 1), ("a", 0, 0)],
        [("a", 0, 0), ("b", 5, 5), ("a", 1, 0)],
    ):
        assert group_by_video(keys(rows)).table["place"].to_pylist() != list(range(len(rows)))


def test_chunks_with_their_own_dictionaries_are_one_table() -> None:
    table = pa.concat_tables([keys([("b", 0, 0)]), keys([("a", 0, 0)]), keys([("b", 1, 0)])])
    groups = group_by_video(table)
    assert groups.table["video_id"].to_pylist() == ["a", "b", "b"]
    assert groups.starts.tolist() == [0, 1, 3]


def test_no_rows_are_no_videos() -> None:
    assert group_by_video(keys([])).starts.tolist() == [0]
    assert group_by_video(keys([("a", 0, 0)])).starts.tolist() == [0, 1]
