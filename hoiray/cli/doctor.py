"""`hoiray doctor`: one line a check, ok or warning, each warning with what to do."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from hoiray import __version__
from hoiray.errors import HoirayError

Status = Literal["ok", "warning", "error"]
COLOURS: dict[Status, str] = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "error": typer.colors.RED}
REQUIRED_PACKAGES = (
    "numpy",
    "torch",
    "torchvision",
    "ray",
    "pyarrow",
    "scipy",
    "smplx",
    "opencv-python-headless",
    "av",
)
MIN_MEMORY_GIB = 8.0
MIN_SHM_GIB = 2.0
MIN_CORES = 2
GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report; `fix` is empty where nothing is to be done."""

    name: str
    status: Status
    detail: str
    fix: str = ""


def run_doctor(*, hand_model: Path | None, ray_address: str | None, s3_uri: str | None, timeout_s: float) -> int:
    """Run every check, print it as soon as it is known, and return the exit status (1 where hoiray cannot run)."""
    typer.echo(f"hoiray {__version__} on {platform.platform(terse=True)}")
    checks: list[Callable[[], Iterator[Check]]] = [
        check_python,
        check_packages,
        check_torch,
        check_cores,
        check_memory,
        lambda: check_ray(ray_address, timeout_s),
        lambda: check_s3(s3_uri),
        check_codecs,
        lambda: check_hand_model(hand_model),
    ]
    counts: dict[Status, int] = {"ok": 0, "warning": 0, "error": 0}
    for check in checks:
        for line in check():
            counts[line.status] += 1
            _print(line)
    typer.echo(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['error']} errors")
    return 1 if counts["error"] else 0


def _print(check: Check) -> None:
    status = typer.style(f"{check.status:7}", fg=COLOURS[check.status], bold=True)
    typer.echo(f"  {status} {check.name:13} {check.detail}")
    if check.fix:
        typer.echo(f"  {'':7} {'':13} -> {check.fix}")


def check_python() -> Iterator[Check]:
    """The interpreter."""
    yield Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def check_packages() -> Iterator[Check]:
    """The packages hoiray cannot do without, in one line, and each missing one in its own."""
    found: list[str] = []
    for package in REQUIRED_PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            yield Check("packages", "error", f"{package} is not installed", "Run `make demo`, or pip install -e .")
    yield Check("packages", "ok", ", ".join(found))


def check_torch() -> Iterator[Check]:
    """Which torch build runs here and which GPUs it sees."""
    import torch  # seconds of import

    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    yield Check("torch", "ok", f"{torch.__version__}, {build}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            yield Check("gpu", "ok", f"{index}: {device.name}, {device.total_memory / GIB:.0f} GiB")
        return
    if shutil.which("nvidia-smi") is not None:
        fix = "Check `nvidia-smi`; then TORCH_BACKEND=auto scripts/setup_env.sh, which takes the build of your driver."
        yield Check("gpu", "warning", "a driver is installed, but torch sees no GPU", fix)
        return
    yield Check("gpu", "warning", "none: models run on the CPU", "Fine for the demo and tests; label on GPUs.")


def check_cores() -> Iterator[Check]:
    """The cores this process may use (its affinity, not the machine's count)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < MIN_CORES:
        fix = f"Give it {MIN_CORES} or more: readers starve beside an actor that holds the only core."
        yield Check("cores", "warning", str(cores), fix)
    else:
        yield Check("cores", "ok", str(cores))


def check_memory() -> Iterator[Check]:
    """Memory, and the shared memory in which Ray keeps its objects."""
    memory_gib = memory_limit_bytes() / GIB
    if memory_gib < MIN_MEMORY_GIB:
        fix = "Lower the nodes' object_store_gib and the pools' max in the cluster file."
        yield Check("memory", "warning", f"{memory_gib:.1f} GiB", fix)
    else:
        yield Check("memory", "ok", f"{memory_gib:.1f} GiB")
    shm = Path("/dev/shm")  # noqa: S108 - the mount itself is what is looked at
    if shm.is_dir():
        shm_gib = shutil.disk_usage(shm).free / GIB
        if shm_gib < MIN_SHM_GIB:
            fix = "Start the container with a larger --shm-size: Ray falls back to slow files on disk."
            yield Check("shared memory", "warning", f"{shm_gib:.1f} GiB free in {shm}", fix)
        else:
            yield Check("shared memory", "ok", f"{shm_gib:.1f} GiB free in {shm}")


def memory_limit_bytes() -> int:
    """The smaller of the machine's memory and the limit of this process's control group."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file():
        text = limit.read_text().strip()
        if text.isdigit():
            return min(total, int(text))
    return total


def check_ray(address: str | None, timeout_s: float) -> Iterator[Check]:
    """Run one task on the given cluster, or on a small one started here."""
    from hoiray.engine.probe import LOCAL, probe_ray

    probe = probe_ray(address, timeout_s)
    is_local = address in (None, LOCAL)
    where = "local cluster" if is_local else f"cluster at {address}"
    if probe.ok:
        size = f"{probe.num_nodes} node(s), {probe.num_cpus:g} CPUs, {probe.num_gpus:g} GPUs"
        yield Check("ray", "ok", f"{where}: {probe.detail}; {size}")
    elif not is_local:
        yield Check("ray", "warning", f"{where}: {probe.detail}", "Check the address, the port and RAY_AUTH_MODE.")
    else:
        fix = "Raise --timeout-s on a busy machine; otherwise see the newest log under /tmp/ray."
        yield Check("ray", "warning", f"{where}: {probe.detail}", fix)


def check_s3(uri: str | None) -> Iterator[Check]:
    """Write, read and delete one small object, and see whether put-if-absent holds."""
    from hoiray.io.storage import probe_s3

    if uri is None:
        fix = "Only for labels on S3: hoiray doctor --s3 s3://bucket/prefix (AWS_* environment, AWS_ENDPOINT_URL)."
        yield Check("s3", "warning", "not tried: no location given", fix)
        return
    try:
        probe = probe_s3(uri)
    except HoirayError as error:
        yield Check("s3", "warning", str(error))
        return
    if probe.refuses_second_put:
        yield Check("s3", "ok", f"{uri} at {probe.endpoint}: read, written, put-if-absent holds")
    else:
        fix = "Two runs over one plan at once are not safe here: run one at a time, or use a server that has it."
        yield Check("s3", "warning", f"{uri} at {probe.endpoint}: put-if-absent is ignored", fix)


def check_codecs() -> Iterator[Check]:
    """Encode and decode a short clip per codec."""
    from hoiray.io.video import probe_codecs

    with tempfile.TemporaryDirectory(prefix="hoiray-doctor-") as folder:
        probes = probe_codecs(Path(folder))
    for codec in sorted({probe.codec for probe in probes}):
        mine = [probe for probe in probes if probe.codec == codec]
        bad = [f"{probe.decoder} {probe.detail}" for probe in mine if not probe.ok]
        if bad:
            yield Check("codecs", "warning", f"{codec}: {'; '.join(bad)}", "Reinstall av and decord.")
        else:
            yield Check(
                "codecs", "ok", f"{codec}: {', '.join(probe.decoder for probe in mine)} decode every frame in order"
            )


def check_hand_model(path: Path | None) -> Iterator[Check]:
    """Load the hand model as a run would, and name its licence."""
    from hoiray.hand.load import licence_of, load_hand_arrays, packaged_hand_path

    chosen = path or packaged_hand_path()
    try:
        arrays = load_hand_arrays(chosen)
    except HoirayError as error:
        yield Check("hand model", "error", str(error))
        return
    name = "hoiray's open hand" if path is None else str(path)
    licence = licence_of(chosen)
    detail = f"{name}: {len(arrays.v_template)} vertices; licence {licence.name} ({licence.note})"
    if licence.allows_commercial_use:
        yield Check("hand model", "ok", detail)
    else:
        yield Check("hand model", "warning", detail, f"Not for commercial use: {licence.url}")
