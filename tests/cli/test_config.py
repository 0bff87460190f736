from pathlib import Path

import pytest

from hoiray.cli.config import check, show
from hoiray.config.fingerprint import fingerprint
from hoiray.config.load import load_cluster, load_run, load_training, parse_cluster, parse_run, parse_training
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


def test_each_override_reaches_the_file_that_has_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(RUN, CLUSTER, ["ensemble.num_views=4", "pools.predict.max=200"]) == 2
    out = capsys.readouterr().out
    assert fingerprint(load_run(RUN, ["ensemble.num_views=4"])) in out
    assert "predict 200 x" in out


def test_an_override_that_reaches_no_file_is_a_problem() -> None:
    with pytest.raises(ConfigError) as caught:
        check(RUN, CLUSTER, ["pols.predict.max=4", "seed=-1", "pools.judge.max=0"])
    message = str(caught.value)
    assert "unknown key 'pols' in run and cluster; did you mean 'pools' (cluster)?" in message
    assert "--set seed=-1: seed: expected a number >= 0" in message
    assert "--set pools.judge.max=0: pools.judge.max: expected a number >= 1" in message
    with pytest.raises(ConfigError, match=r"^--set pools\.judge\.max=2: 'pools' is a key of the cluster file; name .*"):
        check(RUN, None, ["pools.judge.max=2"])


def test_a_cluster_file_is_shown_and_said_to_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    show(CLUSTER, ["pools.predict.max=4"])
    out = capsys.readouterr().out
    assert out.startswith(f"# Cluster configuration of '{CLUSTER}', with every default.\n")
    assert parse_cluster(out) == load_cluster(CLUSTER, ["pools.predict.max=4"])
    show(RUN, [])
    assert capsys.readouterr().out.startswith(f"# Run configuration of '{RUN}'")


def test_what_is_shown_loads_back_equal(capsys: pytest.CaptureFixture[str]) -> None:
    show(RUN, ["ensemble.num_views=4"])
    shown = parse_run(capsys.readouterr().out)
    assert shown == load_run(RUN, ["ensemble.num_views=4"])
    assert shown.ensemble.num_views == 4


def test_a_training_by_itself_is_checked_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "jobs/train.yaml"
    assert check(path, ROOT / "cluster/laptop.yaml", ["training.epochs=3"]) == 0
    assert f"ok       {path}: fingerprint " in capsys.readouterr().out
    show(path, [])
    shown = capsys.readouterr().out
    assert shown.startswith("# Training configuration of ")
    assert parse_training(shown) == load_training(path)
