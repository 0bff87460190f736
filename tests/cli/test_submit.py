"""Labelling as a job of a real Ray cluster, by `hoiray submit` and by `ray job submit`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labelling import CLUSTER, RUN, clips, digests_of, write_videos
from labelling_predictor import BoxPredictor
from ray_head import RayHead, running_ray_head
from s3_server import S3Server

from hoiray.cli.submit import (
    EXCLUDES,
    PASSED_ON,
    SubmitRequest,
    _address,
    _check_folder,
    _environment,
    _name_of_the_run,
)
from hoiray.config.load import load_run
from hoiray.errors import ConfigError
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here

HERE = Path(__file__).parents[2]
TOKEN = "0123456789abcdef0123456789abcdef"
"""As a deployment asks for one; of nothing but these tests."""


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with running_ray_head(token=TOKEN) as started:
        yield started


def files_of_a_run(folder: Path, data: str, name: str) -> tuple[Path, Path]:
    """Write a few tiny videos, and the run and cluster file to label them with."""
    write_videos(data, clips(3))
    run, cluster = folder / "run.yaml", folder / "cluster.yaml"
    text = RUN.format(data=data, out=f"{data}/out", target_frames=12, max_video_frames=100)
    run.write_text(f"{text}name: {name}\n")
    cluster.write_text(CLUSTER)
    return run, cluster


def job_of(run: Path, *overrides: str) -> LabelJob:
    return open_label_job(load_run(run, overrides))


def plain_digests(run: Path, out: str) -> dict[str, str]:
    """What the plain composition commits."""
    job = job_of(run, f"output_uri={out}")
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    return digests_of(job)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_hoiray_submit_labels_videos_of_s3_and_shows_no_secret(
    head: RayHead, s3_environment: S3Server, tmp_path: Path
) -> None:
    run, cluster = files_of_a_run(tmp_path, f"{s3_environment.uri}/submit", "tiny")
    asked = RayHead(head.address, {**head.environment, **s3_environment.environment()})
    names = ["--env", "AWS_ACCESS_KEY_ID", "--env", "AWS_SECRET_ACCESS_KEY"]
    done = asked.run("hoiray", "submit", "label", "--address", head.address, *names, "--", run, "--cluster", cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submitted tiny-a1" in done.stderr
    assert "AWS_SECRET_ACCESS_KEY" in done.stderr
    assert s3_environment.secret_key not in done.stdout + done.stderr
    assert "3 videos done, 0 given up" in done.stdout
    assert done.stderr.endswith("tiny-a1 succeeded\n")
    assert digests_of(job_of(run)) == plain_digests(run, f"{s3_environment.uri}/plain") != {}


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_ray_job_submit_labels_with_the_working_folder(head: RayHead, tmp_path: Path) -> None:
    run, cluster = files_of_a_run(tmp_path, str(tmp_path / "data"), "by-ray")
    arguments = ["python", "-m", "jobs.label", run, "--cluster", cluster]
    done = head.run("ray", "job", "submit", "--address", head.address, "--working-dir", ".", "--", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests_of(job_of(run)) == plain_digests(run, str(tmp_path / "plain")) != {}


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_job_that_fails_fails_the_command(head: RayHead, tmp_path: Path) -> None:
    command = ["hoiray", "submit", "label", "--address", head.address, "--run-name", "gone", "--", tmp_path / "no.yaml"]
    done = head.run(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "expected a readable configuration file" in done.stdout
    assert "gone-a1 failed (exit status 2)" in done.stderr


@pytest.mark.ray
@pytest.mark.timeout(400)
def test_a_job_is_left_alone_and_its_next_attempt_refused_while_it_runs(head: RayHead, tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 300\n")
    sleeper.chmod(0o755)
    command = [
        "hoiray", "submit", "train", "--no-wait", "--address", head.address, "--run-name", "slow", "--python", sleeper,
        "--", "x",
    ]  # fmt: skip
    done = head.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ray job logs -f slow-a1 --address {head.address}" in done.stderr
    refused = head.run(*command)
    assert refused.returncode == 2
    assert "expected no attempt that is still running, found slow-a1: " in refused.stderr
    assert head.run("ray", "job", "stop", "--no-wait", "slow-a1", "--address", head.address).returncode == 0


@pytest.mark.ray
@pytest.mark.timeout(400)
@pytest.mark.parametrize("token", [None, "a wrong token of enough characters"])
def test_a_cluster_does_not_listen_to_whoever_has_no_token(head: RayHead, token: str | None) -> None:
    environment = {name: value for name, value in head.environment.items() if name != "RAY_AUTH_TOKEN"}
    given = {"RAY_AUTH_MODE": "disabled"} if token is None else {"RAY_AUTH_TOKEN": token}
    stranger = RayHead(head.address, environment | given)
    done = stranger.run("hoiray", "submit", "label", "--address", head.address, "--", "x")
    assert done.returncode == 2
    assert "expected the cluster's token, found none, or another" in done.stderr
    assert TOKEN not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("jobs/label.yaml", "--device", "cpu"), "something-else"),
        (("s3://videos", "--out", "o"), "label"),
        ((), "label"),
    ],
)
def test_a_run_is_named_by_its_file(arguments: tuple[str, ...], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    assert _name_of_the_run(SubmitRequest("label", arguments)) == name


def test_a_run_file_is_looked_for_in_the_folder_that_is_sent() -> None:
    assert _name_of_the_run(SubmitRequest("train", ("jobs/train.yaml",), working_dir=str(HERE))) == "ho3d-paper"
    with pytest.raises(ConfigError, match=r"nothing\.yaml: expected a run file, found No such file or directory"):
        _name_of_the_run(SubmitRequest("train", ("nothing.yaml",), working_dir=str(HERE)))


def test_only_the_place_of_s3_is_passed_on_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "here")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert _environment(()) == {"AWS_REGION": "here"}
    assert _environment(("AWS_SECRET_ACCESS_KEY",)) == {"AWS_REGION": "here", "AWS_SECRET_ACCESS_KEY": "hush"}


def test_a_variable_is_asked_for_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(ConfigError, match="--env NO_SUCH: expected a variable set here, found none"):
        _environment(("NO_SUCH",))
    with pytest.raises(ConfigError, match="expected a name only, found KEY=") as raised:
        _environment(("KEY=hush",))
    assert "hush" not in str(raised.value)


def test_a_folder_without_jobs_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected jobs/ in it, found no folder"):
        _check_folder(str(tmp_path / "none"), [])
    with pytest.raises(ConfigError, match="expected jobs/ in it, found none"):
        _check_folder(str(tmp_path), [])
    (tmp_path / "jobs").mkdir()
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "video.mp4").write_bytes(bytes(3 << 20))
    monkeypatch.setattr("hoiray.cli.submit.MAX_PACKAGE_MIB", 2)
    with pytest.raises(ConfigError, match=r"expected at most 2 MiB to send, found 3 MiB \(big 3 MiB\)"):
        _check_folder(str(tmp_path), [])
    _check_folder(str(tmp_path), ["/big"])


def test_the_repository_is_small_enough_to_be_sent() -> None:
    _check_folder(str(HERE), EXCLUDES)


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        (None, {}, "http://127.0.0.1:8265"),
        ("head:8265", {"RAY_API_SERVER_ADDRESS": "http://other:1"}, "http://head:8265"),
        (None, {"RAY_API_SERVER_ADDRESS": "http://api:1", "RAY_ADDRESS": "http://ray:1"}, "http://api:1"),
        (None, {"RAY_ADDRESS": "https://ray:1"}, "https://ray:1"),
        # the cluster's own port, not that of its job server
        (None, {"RAY_ADDRESS": "10.0.0.1:6379"}, "http://127.0.0.1:8265"),
    ],
)
def test_the_job_server_is_the_one_asked_for(
    given: str | None, environment: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _address(given) == address
