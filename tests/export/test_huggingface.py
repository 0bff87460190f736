from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from datasets import load_dataset
from export_scenes import HOSTILE, REFUSED_ROWS, scene, without_answer

from hoiray.export import huggingface
from hoiray.export.formats import export_labels
from hoiray.export.huggingface import nested


def load(folder: Path, split: str, cache: Path) -> list[dict]:
    return list(load_dataset(str(folder), split=split, cache_dir=str(cache)))


def test_datasets_reads_the_accepted_labels_to_the_last_bit(tmp_path: Path) -> None:
    made = scene(tmp_path, first_name=HOSTILE)
    export_labels(made.job(tmp_path / "out", pixels="none", licence="CC-BY-4.0"), "huggingface")
    labels = load(tmp_path / "out", "train", tmp_path / "cache")
    accepted = [row for row in made.rows.to_pylist() if row["accepted"]]
    assert len(labels) == len(accepted) == 6 - len(REFUSED_ROWS)
    for label, row in zip(labels, accepted, strict=True):
        assert (label["video_id"], label["frame_index"]) == (row["video_id"], row["frame_index"])
        assert np.array_equal(np.array(label["joints_3d"], np.float32).ravel(), row["joints_3d"])
        assert np.shape(label["joints_2d"]) == (21, 2)
        assert np.shape(label["K"]) == (3, 3)
        assert label["T_cam_obj"] is None
        assert label["reasons"] == []
    header = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]


def test_refused_labels_are_a_split_of_their_own(tmp_path: Path) -> None:
    made = scene(tmp_path)
    told, _ = export_labels(made.job(tmp_path / "out", pixels="none", with_refused=True), "huggingface")
    refused = load(tmp_path / "out", "refused", tmp_path / "cache")
    assert [label["reasons"] for label in refused] == [["reprojection"]] * len(REFUSED_ROWS)
    assert all(label["accepted"] for label in load(tmp_path / "out", "train", tmp_path / "cache"))
    assert (told["counts"]["num_written"], told["counts"]["num_written_accepted"]) == (6, 4)


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "MAX_ROWS", 2)
    made = scene(tmp_path)
    export_labels(made.job(tmp_path / "out", pixels="none"), "huggingface")
    assert [file.name for file in sorted((tmp_path / "out" / "data").iterdir())] == [
        "train-00000.parquet",
        "train-00001.parquet",
    ]


def test_matrices_are_lists_of_rows_and_null_stays_null(tmp_path: Path) -> None:
    made = scene(tmp_path)
    table = without_answer(made.rows, 1)
    whole = nested(table)
    assert whole["joints_3d"].type == pa.list_(pa.list_(pa.float32(), 3), 21)
    assert whole["joints_3d"].to_pylist()[1] is None
    cut = nested(table.slice(2, 3))
    assert np.array_equal(np.ravel(cut["joints_2d"].to_pylist()[1]), table["joints_2d"].to_pylist()[3])
