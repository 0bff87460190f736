import json
from pathlib import Path

import pytest

from hoiray.errors import ConfigError
from hoiray.export.target import (
    DONE_KEY,
    UNFINISHED_KEY,
    abandon_export,
    begin_export,
    finish_export,
    read_export,
)
from hoiray.io.store import Store

IDENTITY = {"format": "coco", "snapshot_id": "s1"}


def test_an_export_is_complete_when_its_last_file_says_so(tmp_path: Path) -> None:
    out = Store.open(tmp_path / "out")
    assert begin_export(out, IDENTITY)
    out.write("a.json", b"123")
    assert read_export(out) is None
    told = finish_export(out, IDENTITY, {"counts": {}})
    assert (told["num_files"], told["num_bytes"]) == (1, 3)
    assert read_export(out) == told
    assert not out.exists(UNFINISHED_KEY)
    assert not begin_export(out, IDENTITY)


def test_an_interrupted_export_may_be_begun_again_only_as_the_same(tmp_path: Path) -> None:
    out = Store.open(tmp_path / "out")
    begin_export(out, IDENTITY)
    out.write("half.json", b"{")
    assert begin_export(out, IDENTITY)
    with pytest.raises(ConfigError, match=r"expected this export \(snapshot_id 's2'\), found snapshot_id 's1'"):
        begin_export(out, {**IDENTITY, "snapshot_id": "s2"})


def test_nothing_is_written_over_what_is_no_export(tmp_path: Path) -> None:
    out = Store.open(tmp_path / "out")
    out.write("thesis.tex", b"years of work")
    with pytest.raises(ConfigError, match=r"expected an empty folder, found thesis\.tex"):
        begin_export(out, IDENTITY)
    assert list(out.list()) == ["thesis.tex"]


def test_a_complete_export_of_other_labels_is_refused(tmp_path: Path) -> None:
    out = Store.open(tmp_path / "out")
    begin_export(out, IDENTITY)
    finish_export(out, IDENTITY, {})
    with pytest.raises(ConfigError, match="format 'huggingface'"):
        begin_export(out, {**IDENTITY, "format": "huggingface"})
    out.write(DONE_KEY, b"junk")
    with pytest.raises(ConfigError, match=r"found (junk|format None)"):
        begin_export(out, IDENTITY)


def test_an_export_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    out = Store.open(tmp_path / "out")
    begin_export(out, IDENTITY)
    abandon_export(out)
    assert list(out.list()) == []
    begin_export(out, IDENTITY)
    out.write("a", b"")
    abandon_export(out)
    assert json.loads(out.read(UNFINISHED_KEY))["identity"] == IDENTITY
