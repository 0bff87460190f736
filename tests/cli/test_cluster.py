from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hoiray.cli.main import app
from hoiray.errors import ConfigError

ROOT = Path(__file__).parents[2]
GPU = ROOT / "cluster/gpu-spot.yaml"
RUN = ROOT / "jobs/label.yaml"
IMAGE = ("--image", "reg.example.com/hoiray:1")


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["cluster", *map(str, arguments)])


def refusal(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, ConfigError), result.output
    return str(result.exception)


@pytest.mark.parametrize("path", sorted((ROOT / "cluster").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_cluster_file_renders_and_lints_clean(path: Path) -> None:
    result = call("lint", path)
    assert result.exit_code == 0
    assert f"{path}: nothing found" in result.stdout
    for kind, more in (("rayjob", ("--run", RUN)), ("raycluster", ()), ("launcher", LAUNCHER)):
        result = call("render", path, "--kind", kind, *IMAGE, *more)
        assert result.exit_code == 0, result.output
        assert list(yaml.safe_load_all(result.stdout))


LAUNCHER = ("--region", "eu-central-1", "--instance-profile", "s3", "--set", "head.machine=m7i.xlarge")


def test_lint_shows_what_there_is_and_what_is_wanted() -> None:
    rows = [line for line in call("lint", GPU).stdout.splitlines() if "CPUs" in line]
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == ["CPUs", "36", "132", "15", "72", "48"]


def test_lint_fails_on_errors_and_counts_them() -> None:
    result = call("lint", GPU, "--set", "pools.judge.max=1", "--set", "head.memory_gib=2")
    assert result.exit_code == 1
    assert "pools.judge.max" in result.stdout
    assert result.stdout.endswith("gpu-spot.yaml: 1 error, 1 warning\n")


def test_lint_does_not_fail_on_warnings() -> None:
    result = call("lint", GPU, "--set", "head.memory_gib=2")
    assert result.exit_code == 0
    assert result.stdout.endswith("gpu-spot.yaml: 0 errors, 1 warning\n")


def test_lint_says_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("head: {num_cpu: 4, memory_gib: 8}\n")
    assert "did you mean" in refusal("lint", tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("head: [1\n")
    assert "c.yaml:" in refusal("lint", tmp_path / "c.yaml")
    assert "expected a readable configuration file" in refusal("lint", tmp_path / "none.yaml")


def test_a_file_is_written_and_the_next_step_said(tmp_path: Path) -> None:
    out = tmp_path / "new" / "job.yaml"
    result = call("render", GPU, "--run", RUN, *IMAGE, "--out", out, "--name", "mine", "--set", "workers.gpu.max=9",
                  "--set", "pools.predict.max=9")  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"Next: kubectl apply -f {out}" in result.stderr
    text = out.read_text()
    assert text.splitlines()[0].endswith(
        "from gpu-spot.yaml --set workers.gpu.max=9 --set pools.predict.max=9. Change that file and render again."
    )
    files, job = yaml.safe_load_all(text)
    assert (files["metadata"]["name"], job["metadata"]["name"]) == ("mine-run", "mine")
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] == 9


def test_the_ray_of_the_manifest_is_the_ray_of_this_environment() -> None:
    import ray

    manifest = yaml.safe_load(call("render", GPU, "--kind", "raycluster", *IMAGE).stdout)
    assert manifest["spec"]["rayVersion"] == ray.__version__
    assert manifest["metadata"]["name"] == "hoiray-gpu-spot"
    names = {it["name"] for it in manifest["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]}
    assert "OMP_NUM_THREADS" in names
    assert "RAY_AUTH_MODE" not in names


def test_an_output_that_the_pods_would_take_with_them_is_warned_of(tmp_path: Path) -> None:
    assert "is a path of each pod" in call("render", GPU, "--run", RUN, *IMAGE).stderr
    (tmp_path / "run.yaml").write_text(RUN.read_text().replace("out/something-else ", "s3://bucket/labels "))
    assert call("render", GPU, "--run", tmp_path / "run.yaml", *IMAGE).stderr == ""


def test_a_run_with_credentials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN.read_text().replace("out/something-else ", "s3://KEY:hush@bucket/x "))
    said = refusal("render", GPU, "--run", tmp_path / "run.yaml", *IMAGE)
    assert "expected no credentials in it" in said
    assert "hush" not in said


def test_a_cluster_that_would_hang_is_not_rendered() -> None:
    said = refusal("render", GPU, "--run", RUN, *IMAGE, "--set", "pools.judge.max=1")
    assert "a run on this cluster would hang or starve:\n  error: pools.judge.max: min = max = 1" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--kind", "rayjobs", *IMAGE),
            "--kind: expected one of rayjob, raycluster, launcher, found 'rayjobs'. Did you",
        ),
        (("--kind", "helm", *IMAGE), "found 'helm'. Choose one of them."),
        (("--auth", "none", *IMAGE), "--auth: expected one of token, disabled, found 'none'"),
        (("--job", "lable", *IMAGE), "--job: expected one of label, train, found 'lable'. Did you mean 'label'?"),
        (("--run", str(RUN)), "expected --image, a container image with hoiray and Ray 2."),
        (IMAGE, "--kind rayjob: expected --run, found none"),
        (("--kind", "raycluster", "--run", str(RUN), *IMAGE), "--kind raycluster: expected no --run"),
        (("--kind", "launcher", "--working-dir", "s3://b/h.zip", *IMAGE), "expected no --working-dir"),
        (("--kind", "launcher", *IMAGE), "--kind launcher: expected --region, found none"),
        (("--kind", "launcher", "--region", "r", "--secret", "s", *IMAGE), "the launcher knows no Kubernetes secrets"),
        (("--kind", "raycluster", "--env", "A", *IMAGE), "--env: expected NAME=VALUE, found 'A'"),
        (("--kind", "raycluster", "--env", "MY_TOKEN=x", *IMAGE), "--env MY_TOKEN: expected no secret"),
        (("--run", str(RUN), "--working-dir", ".", *IMAGE), "--working-dir: expected the URI of a zip"),
        (("--kind", "raycluster", "--out", "/proc/x/y", *IMAGE), "--out /proc/x/y: expected a file"),
        (("--run", "nothing.yaml", *IMAGE), "nothing.yaml: expected a readable configuration file"),
    ],
)
def test_a_wrong_request_says_what_would_be_right(arguments: tuple[str, ...], message: str) -> None:
    assert message in refusal("render", GPU, *arguments)


def test_an_unknown_option_is_no_traceback() -> None:
    result = call("render", GPU, "--imgae", "x")
    assert result.exit_code == 2
    assert "No such option" in result.stderr
