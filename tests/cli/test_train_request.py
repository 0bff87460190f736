from pathlib import Path

import pytest

from hoiray.cli.train_request import Request, detect_set, read_request
from hoiray.config.network import network_preset
from hoiray.config.where import TrainWorkers
from hoiray.errors import ConfigError

FILE = "output_uri: out\nseed: 5\ntraining: {annotated: {format: fpha, uri: d}, network: {preset: small}, epochs: 7}\n"
CLUSTER = "head: {num_cpus: 8, memory_gib: 16}\ntrain: {num_workers: 4, num_cpus: 2}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(FILE)
    return path


def test_a_data_set_and_an_output_are_enough(training_data: Path, tmp_path: Path) -> None:
    run, cluster = read_request(Request(data=[str(training_data)], out=str(tmp_path / "out")))
    assert run.training.network == network_preset("nano")
    assert (run.training.annotated.format, run.training.annotated.split) == ("ho3d_v2", "train")
    assert run.training.annotated.uri == str(training_data)
    assert cluster.train.num_workers == 1
    assert cluster.train.num_cpus == cluster.head.num_cpus


def test_several_data_sets_are_one_union(training_data: Path, tmp_path: Path) -> None:
    run, _ = read_request(Request(data=[str(training_data)] * 2, out=str(tmp_path / "out")))
    assert run.training.also_annotated == [run.training.annotated]


def test_locations_are_absolute_for_workers_have_other_working_directories(
    training_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(training_data.parent)
    run, _ = read_request(Request(data=[training_data.name], out="out"))
    assert run.output_uri == str(training_data.parent / "out")
    assert run.training.annotated.uri == str(training_data)
    places = read_request(Request(data=[training_data.name], labels="run", init="m.safetensors", out="out"))[0].training
    assert (places.labels_uri, places.init_uri) == (
        str(training_data.parent / "run"),
        str(training_data.parent / "m.safetensors"),
    )
    far, _ = read_request(Request(data=[training_data.name], out="s3://bucket/x"))
    assert far.output_uri == "s3://bucket/x"


def test_the_command_line_comes_behind_the_file_and_set_behind_both(file: Path) -> None:
    request = Request(
        config=file, out="/o", epochs=9, seed=1, overrides=["training.epochs=11", "training.network.input_px=96"]
    )
    run, _ = read_request(request)
    assert (run.output_uri, run.seed, run.training.epochs, run.training.network.input_px) == ("/o", 1, 11, 96)
    assert run.training.network == network_preset("small", input_px=96)


def test_labels_are_named_beside_the_data(file: Path) -> None:
    request = Request(config=file, labels="s3://b/run/snapshots/x.json", labels_fraction=0.5)
    training = read_request(request)[0].training
    assert (training.labels_uri, training.pseudo_label_fraction) == ("s3://b/run/snapshots/x.json", 0.5)


def test_set_reaches_both_halves(file: Path, tmp_path: Path) -> None:
    cluster = tmp_path / "c.yaml"
    cluster.write_text(CLUSTER)
    request = Request(config=file, cluster=cluster, overrides=["train.report_every_steps=3", "training.batch_size=8"])
    run, found = read_request(request)
    assert run.training.batch_size == 8
    assert found.train == TrainWorkers(num_workers=4, num_cpus=2.0, report_every_steps=3)
    assert read_request(Request(config=file, cluster=cluster, workers=2))[1].train.num_workers == 2


def test_workers_share_the_cores_of_this_machine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)))
    for workers, num_cpus in ((None, 6.0), (1, 6.0), (2, 3.0), (4, 1.0), (9, 1.0)):
        assert read_request(Request(config=file, workers=workers))[1].train.num_cpus == num_cpus


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(), "hoiray train: expected --data or --config, found neither"),
        (Request(data=["d"]), "hoiray train: expected --out or --config, found neither"),
        (Request(config=Path("t.yaml"), preset="nano"), "--preset: expected no --config beside it, found t.yaml"),
        (Request(config=Path("t.yaml"), overrides=["trainin.epochs=3"]), "unknown key 'trainin' in run and cluster"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(request_: Request, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_request(request_)
    assert message in str(raised.value)


def test_a_wrong_override_is_told_as_such(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--set training\.epochs=0: training\.epochs: expected a number >= 1"):
        read_request(Request(config=file, overrides=["training.epochs=0"]))


def test_a_folder_of_pictures_cannot_be_trained_on(training_data: Path) -> None:
    pictures = next((training_data / "train").iterdir()) / "rgb"
    with pytest.raises(ConfigError, match=r"--data .*: expected one of ho3d_v2, .*, found images\. Name an annotated"):
        detect_set(str(pictures))
