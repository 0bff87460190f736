from pathlib import Path
from typing import Any

import label_runs as runs
import numpy as np
import pyarrow as pa
import pytest
from valid_tables import replaced, table_of

from hoiray.config.what import AnnotatedSet, Training
from hoiray.datasets.label_rows import KEY, LabelChoice, choose_labels, list_digest, read_label_rows, read_videos
from hoiray.datasets.label_run import LabelFile
from hoiray.datasets.video_frames import StoredVideo
from hoiray.errors import ConfigError, ContractError
from hoiray.io.parquet import digest, parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.conform import conform
from hoiray.schema.tables import LABELS

COUNT = 40
REFUSED = [1, 7, 8, 30]


def rows(count: int = COUNT, refused: list[int] | None = None) -> pa.Table:
    """One video's rows, some refused, without confidences."""
    table = replaced(table_of(LABELS, count), "video_id", pa.array(["v"] * count))
    table = replaced(table, "confidence", pa.nulls(count, pa.float32()))
    return conform(runs.refused(table, REFUSED if refused is None else refused), LABELS)


def frames(table: pa.Table, weights: np.ndarray) -> list[int]:
    return [number for number, weight in zip(table["frame_index"].to_pylist(), weights, strict=True) if weight]


def write_list(path: Path, numbers: list[int], **columns: Any) -> str:
    count = len(numbers)
    table = pa.table({"video_id": ["v"] * count, "frame_index": numbers, "hand_index": numbers} | columns)
    path.write_bytes(parquet_bytes(table))
    return str(path)


def test_accepted_rows_are_read_from_all_files_in_the_order_of_their_keys(tmp_path: Path) -> None:
    table = rows()
    run = runs.write_label_run(tmp_path, [table.slice(20), table.slice(0, 20)], [])
    accepted, everything = (read_label_rows(run, pool) for pool in ("accepted", "all"))
    assert everything["frame_index"].to_pylist() == list(range(COUNT))
    assert accepted["frame_index"].to_pylist() == [number for number in range(COUNT) if number not in REFUSED]


def test_hands_without_an_answer_are_no_labels(tmp_path: Path) -> None:
    table = rows(4, refused=[2])
    missing = pa.array([value if row != 2 else None for row, value in enumerate(table["joints_2d"].to_pylist())],
                       LABELS["joints_2d"].arrow_type)  # fmt: skip
    run = runs.write_label_run(tmp_path, [conform(replaced(table, "joints_2d", missing), LABELS)], [])
    assert read_label_rows(run, "all")["frame_index"].to_pylist() == [0, 1, 3]


def test_another_version_of_the_schema_is_refused_by_name(tmp_path: Path) -> None:
    table = rows()
    old = table.replace_schema_metadata({b"hoiray.schema": b"labels", b"hoiray.schema_version": b"1"})
    run = runs.write_label_run(tmp_path, [old], [])
    with pytest.raises(ContractError, match=r"0\.parquet: expected table labels of version \d+, found .* version '1'"):
        read_label_rows(run, "all")


def test_labels_of_a_version_that_can_be_read_are(tmp_path: Path) -> None:
    table = rows().drop_columns(["confidence_by_joint"])
    version = str(LABELS.reads[0]).encode()
    old = table.replace_schema_metadata({b"hoiray.schema": b"labels", b"hoiray.schema_version": version})
    run = runs.write_label_run(tmp_path, [old], [])
    assert read_label_rows(run, "all").num_rows == COUNT


def test_rows_that_were_replaced_since_are_refused(tmp_path: Path) -> None:
    run = runs.write_label_run(tmp_path, [rows()], [])
    run.store.write(run.files[0].key, parquet_bytes(rows(refused=[])))
    with pytest.raises(ContractError, match="expected sha256"):
        read_label_rows(run, "all")


def test_videos_are_those_of_the_rows(tmp_path: Path) -> None:
    videos = [StoredVideo(name, "something", f"s3://b/{name}", 7, None) for name in ("a", "v", "w")]
    run = runs.write_label_run(tmp_path, [rows()], videos)
    assert dict(read_videos(run, rows()["video_id"])) == {"v": videos[1]}


def test_the_choice_is_that_of_the_configuration() -> None:
    annotated = AnnotatedSet(format="ho3d_v2", uri="d")
    training = Training(annotated=annotated, pseudo_label_rows="all", max_pseudo_labels=5, pseudo_label_weight=0.5)
    assert LabelChoice.of(training, 3) == LabelChoice("all", None, 5, 0.5, 3)


def test_refused_labels_are_trained_on_where_all_are_asked_for() -> None:
    table = rows()
    assert frames(table, choose_labels(table, LabelChoice(), source="run")) == [
        number for number in range(COUNT) if number not in REFUSED
    ]
    weights = choose_labels(table, LabelChoice(rows="all", weight=0.25), source="run")
    assert set(weights) == {0.25}


def test_a_smaller_number_draws_a_part_of_the_same_labels_whatever_else_is_read() -> None:
    table = rows()
    accepted_only = table.filter(table["accepted"])
    drawn = {
        count: frames(table, choose_labels(table, LabelChoice(max_labels=count, seed=5), source="run"))
        for count in (5, 10, 1000)
    }
    assert [len(drawn[count]) for count in (5, 10, 1000)] == [5, 10, COUNT - len(REFUSED)]
    assert set(drawn[5]) < set(drawn[10]) < set(drawn[1000])
    choice = LabelChoice(max_labels=5, seed=5)
    assert frames(accepted_only, choose_labels(accepted_only, choice, source="run")) == drawn[5]
    assert frames(table, choose_labels(table, LabelChoice(max_labels=5, seed=6), source="run")) != drawn[5]


def test_a_list_names_the_labels(tmp_path: Path) -> None:
    table, uri = rows(), write_list(tmp_path / "list.parquet", [3, 1, 5])
    assert frames(table, choose_labels(table, LabelChoice("all", uri), source="run")) == [1, 3, 5]
    assert list_digest(uri) == digest((tmp_path / "list.parquet").read_bytes())
    assert list_digest(None) is None
    with pytest.raises(ConfigError, match=r"found 1 others, for instance v/1/1\. Refused rows"):
        choose_labels(table, LabelChoice("accepted", uri), source="run")


@pytest.mark.parametrize(
    ("numbers", "columns", "reason"),
    [
        ([], {}, "found none"),
        ([99], {}, "1 others, for instance v/99/99"),
        ([1], {"video_id": None}, "columns video_id"),
    ],
)
def test_a_list_of_other_things_is_refused(tmp_path: Path, numbers: list[int], columns: Any, reason: str) -> None:
    uri = write_list(tmp_path / "list.parquet", numbers)
    if columns:
        Path(uri).write_bytes(parquet_bytes(pa.table({"frame_index": numbers})))
    with pytest.raises(ConfigError, match=reason):
        choose_labels(rows(), LabelChoice("all", uri), source="run")


def test_no_accepted_label_is_said_so() -> None:
    table = rows(3, refused=[0, 1, 2])
    with pytest.raises(ConfigError, match=r"run: expected an accepted label, found none\. Look at the reasons"):
        choose_labels(table, LabelChoice(), source="run")
    assert choose_labels(table, LabelChoice(rows="all"), source="run").tolist() == [1.0] * 3


def test_confidence_weighs_labels_once_there_is_one() -> None:
    table = rows(3, refused=[])
    with pytest.raises(ConfigError, match=r"expected a confidence for every label, found 3 of 3 without\. Calibrate"):
        choose_labels(table, LabelChoice(weight="confidence"), source="run")
    sure = replaced(table, "confidence", pa.array([0.5, 0.25, 0.0], pa.float32()))
    assert choose_labels(sure, LabelChoice(weight="confidence"), source="run").tolist() == [0.5, 0.25, 0.0]


def test_files_are_named_by_their_content(tmp_path: Path) -> None:
    run = runs.write_label_run(tmp_path, [rows()], [])
    data = Store.open(tmp_path).read(run.files[0].key)
    assert run.files == (LabelFile(run.files[0].key, digest(data)),)
    assert KEY == ("video_id", "frame_index", "hand_index")
