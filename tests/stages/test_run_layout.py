from run_folders import JUDGE_ID, PREDICT_ID

from hoiray.stages.run_layout import (
    inflight_folder,
    kills_folder,
    labels_area,
    letters_folder,
    letters_key,
    predictions_area,
    shard_of_data,
    shard_of_marker,
    snapshot_keys,
)

SHARD, SHA256 = "5" * 32, "ab" * 32


def test_a_shards_name_is_read_back_from_its_keys() -> None:
    for area in (predictions_area(PREDICT_ID), labels_area(JUDGE_ID)):
        assert shard_of_marker(area.commit_key(SHARD)) == SHARD
        assert shard_of_data(area.data_key(SHARD, SHA256)) == SHARD


def test_a_data_object_carries_its_digest() -> None:
    assert predictions_area("p").data_key("s", SHA256) == f"predictions/p/data/s-{'ab' * 8}.parquet"


def test_nothing_of_two_kinds_shares_a_folder() -> None:
    area = predictions_area("p")
    folders = [
        area.commit_folder, area.data_folder, inflight_folder("p"), letters_folder("p"), kills_folder("p", "s"),
        area.nondeterminism_key("s", SHA256).rpartition("/")[0], area.retired_key("s", SHA256).rpartition("/")[0],
        snapshot_keys("x")[0].rpartition("/")[0],
    ]  # fmt: skip
    assert len(set(folders)) == len(folders)
    assert not [(one, other) for one in folders for other in folders if one != other and other.startswith(one + "/")]


def test_notes_and_letters_of_a_shard_lie_below_those_of_all() -> None:
    assert inflight_folder("p", "s").startswith(inflight_folder("p") + "/")
    assert letters_key("p", "s").startswith(letters_folder("p") + "/")
