"""`hoiray quota` writes a list that a training can be given."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from labelled_run import labelled_run

from hoiray.cli.quota import write_quota
from hoiray.errors import ConfigError
from hoiray.schema.tables import LABELS


def test_the_list_and_how_to_use_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = labelled_run(tmp_path, "ab")
    out = tmp_path / "kept.parquet"
    assert write_quota(job.store.uri, str(out), judge_id=None, max_dropped=0.2, seed=0) == 0
    assert pq.read_table(out).column_names == list(LABELS.key)
    said = capsys.readouterr().out
    assert "Distance of the mixture" in said
    assert f"training.pseudo_label_list_uri={out}" in said


def test_a_list_of_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a name with \.parquet"):
        write_quota("run", "list.csv", judge_id=None, max_dropped=0.2, seed=0)
