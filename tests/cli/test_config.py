from pathlib import Path

import pytest

from hoiray.cli.config import check, show
from hoiray.config.fingerprint import fingerprint
from hoiray.config.load import load_run, parse_run
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]
RUN = ROOT / "jobs" / "label.yaml"
CLUSTER = ROOT / "cluster" / "laptop.yaml"


def test_the_shipped_examples_are_valid_and_start_clean(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(RUN, CLUSTER, []) == 0
    out = capsys.readouterr().out
    assert fingerprint(load_run(RUN)) in out
    assert "nothing here is known to hang" in out


@pytest.mark.parametrize("path", sorted((ROOT / "cluster").glob("*.yaml")), ids=lambda path: path.name)
def test_no_shipped_cluster_file_would_hang_a_run(path: Path) -> None:
    assert check(RUN, path, []) == 0


def test_the_problems_of_both_files_come_in_one_message(tmp_path: Path) -> None:
    run, cluster = tmp_path / "run.yaml", tmp_path / "cluster.yaml"
    run.write_text(RUN.read_text() + "\nlimts: 3\n")
    cluster.write_text("pols: {}\n")
    with pytest.raises(ConfigError) as caught:
        check(run, cluster, [])
    message = str(caught.value)
    assert f"{run}:" in message
    assert "did you mean 'limits'" in message
    assert f"{cluster}:1" in message
    assert "did you mean 'pools'" in message


def test_a_cluster_that_would_hang_is_refused_with_its_arithmetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(CLUSTER.read_text().replace("max: 2", "max: 200"))
    assert check(RUN, cluster, []) == 2
    assert " CPUs > " in capsys.readouterr().out


def test_an_override_changes_the_fingerprint(capsys: pytest.CaptureFixture[str]) -> None:
    check(RUN, None, [])
    before = capsys.readouterr().out
    check(RUN, None, ["ensemble.num_views=4"])
    assert capsys.readouterr().out != before


def test_what_is_shown_loads_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    show(RUN, ["ensemble.num_views=4"])
    shown = parse_run(capsys.readouterr().out)
    assert shown == load_run(RUN, ["ensemble.num_views=4"])
    assert shown.ensemble.num_views == 4
