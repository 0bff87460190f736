import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hoiray.schema.publish import published_schemas
from hoiray.schema.tables import LABELS
from hoiray.schema.vocabularies import REJECT_REASONS

ROOT = Path(__file__).parents[2]


def test_the_published_schemas_are_those_of_the_code() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "schemas").glob("*.json")}
    assert files == dict(published_schemas()), "run scripts/write_schemas.py"


def test_a_published_schema_tells_each_column() -> None:
    content = json.loads(published_schemas()["labels.json"])
    assert [column["name"] for column in content["columns"]] == LABELS.names
    joints = content["columns"][LABELS.names.index("joints_3d")]
    assert (joints["type"], joints["shape"], joints["unit"]) == ("float32", [21, 3], "m")
    assert (joints["nullable"], joints["frame"]) == (True, "wrist, camera axes")


def test_a_published_schema_tells_every_reason() -> None:
    content = json.loads(published_schemas()["labels.json"])
    assert content["columns"][LABELS.names.index("reasons")]["vocabulary"] == list(REJECT_REASONS)


@pytest.fixture
def write_schemas(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts/write_schemas.py"), "--out", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def test_the_script_writes_what_its_check_accepts(
    write_schemas: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "old.json").write_text("{}")
    stale = write_schemas("--check")
    assert (stale.returncode, "old.json" in stale.stderr, "labels.json" in stale.stderr) == (1, True, True)
    assert write_schemas().returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict(published_schemas())
    assert write_schemas("--check").returncode == 0
