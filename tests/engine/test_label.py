"""Labelling on a real Ray: the rows of the plain composition, whatever dies, and however often it is started."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from labelling import CLUSTER, Clip, clips, digests_of, markers_of, run_of, write_videos
from labelling_predictor import BoxPredictor
from s3_server import S3Server

from hoiray.config.dump import dump
from hoiray.config.load import parse_cluster
from hoiray.config.where import Node
from hoiray.engine import driver_memory
from hoiray.engine.label import SHARDS_A_LEG, Tick, label_on_ray, legs
from hoiray.engine.session import ray_session
from hoiray.engine.watchdog import Stream
from hoiray.errors import InputError
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import BucketResult, ShardResult, Tools, label_here
from hoiray.stages.pending import EVERYTHING, Portion, committed_ids, pending_shards

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

TESTS = Path(__file__).parents[1]
CUT = "cut off.mp4"
Results = list[ShardResult | BucketResult]


@pytest.fixture(scope="module", autouse=True)
def ray_here(s3_server: S3Server) -> Iterator[None]:
    """One Ray of four logical CPUs for this module, whose workers can import what lies in tests/ and reach the S3."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment().items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent)]))
        with ray_session(None, Node(num_cpus=4, memory_gib=8, object_store_gib=0.15)):
            yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_videos(str(folder), clips(5) | {CUT: Clip(30, damage=lambda it: it[:-200])})
    return folder


SPLIT = {"target_frames": 6, "max_video_frames": 7}
"""Several shards, among them the two segments of a long video."""


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What the plain composition commits."""
    job = open_label_job(run_of(data, tmp_path_factory.mktemp("plain"), **SPLIT))
    label_plainly(job)
    assert len(job.long_videos) == 1
    return digests_of(job)


def test_what_ray_notes_of_blocks_does_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    monkeypatch.setattr(driver_memory, "MAX_BLOCK_STATISTICS", 8)

    def slowly(row: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.05)
        return row

    dataset = ray.data.range(80, override_num_blocks=80).map(slowly)
    noted: list[int] = []
    for row in Stream(dataset, no_progress_s=60, num_frames=lambda: 0).rows():
        if row is not None:
            operators = [it for executor in driver_memory.running_executions() for it in executor._topology or {}]
            noted += [len(it._output_blocks_stats) for it in operators if hasattr(it, "_output_blocks_stats")]
    # some come in between the look at them and the look of this test
    assert 0 < max(noted) <= 16


class Same:
    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return batch


def test_of_executions_that_are_over_no_class_and_no_name_is_left() -> None:
    import ray.data

    names = set()
    for _ in range(3):
        dataset = ray.data.range(2).map_batches(Same, compute=ray.data.ActorPoolStrategy(size=1))
        for row in Stream(dataset, no_progress_s=60, num_frames=lambda: 0).rows():
            if row is not None:
                names |= {it._dataset_id for it in driver_memory.running_executions()}
        names.add(dataset.get_dataset_id())
        del dataset
    assert len(names) == 1

    def count() -> int:
        # by type(): isinstance would ask the object, and some of torch warn when asked
        return sum(
            issubclass(type(it), type) and it.__name__ == "MapWorker(MapBatches(Same))" for it in gc.get_objects()
        )

    assert count() > 0
    driver_memory.forget_executions()
    assert count() == 0


def label_plainly(job: LabelJob) -> None:
    frames = LocalFrames(DecodeSettings(None))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()


def label(job: LabelJob, *overrides: str, by_groupby: bool = False, portion: Portion = EVERYTHING) -> Results:
    cluster = parse_cluster(CLUSTER, overrides)
    with closing(label_on_ray(job, cluster, device="cpu", by_groupby=by_groupby, portion=portion)) as events:
        return [event for event in events if not isinstance(event, Tick)]


def test_rows_of_ray_are_those_of_the_plain_composition(
    data: Path, tmp_path: Path, expected: Mapping[str, str]
) -> None:
    job = open_label_job(run_of(data, tmp_path, **SPLIT))
    results = [it for it in label(job) if isinstance(it, ShardResult)]
    assert digests_of(job) == expected
    assert len(results) == job.plan.head.num_shards
    assert len({it.judged.bucket_id for it in results if it.judged is not None}) == job.plan.head.num_buckets
    assert {letter.video_id for marker in markers_of(job).values() for letter in marker.dead_letters} == {CUT}
    assert label(job) == []


def test_a_run_that_may_begin_no_more_shards_ends_well_and_is_gone_on_with(
    data: Path, tmp_path: Path, expected: Mapping[str, str]
) -> None:
    job = open_label_job(run_of(data, tmp_path, **SPLIT))
    # it may begin when it is started, and never again: it ends before a worker is there
    answers = iter([True])
    assert label(job, portion=Portion(ask=lambda: next(answers, False))) == []
    assert digests_of(job) == {}
    first, *_ = pending_shards(job.plan, job.store, job.predictions)
    assert len(label(job, portion=Portion(frozenset([first.shard_id])))) == 1
    label(job)
    assert digests_of(job) == expected


def test_executions_are_of_bounded_length_and_leave_nothing_out() -> None:
    pending = pa.table({"shard_id": [f"{number:04d}" for number in range(1000)]})
    for num_predictors, count in ((1, 4), (2, 2), (4, 1)):
        found = list(legs(pending, num_predictors))
        assert len(found) == count
        assert max(leg.num_rows for leg in found) <= SHARDS_A_LEG * num_predictors
        assert pa.concat_tables(found) == pending
    assert list(legs(pending.slice(0, 0), 2)) == []


@pytest.mark.slow
def test_decoders_of_their_own_rays_groupby_and_several_executions_give_the_same_rows(
    data: Path, tmp_path: Path, expected: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hoiray.engine.label.SHARDS_A_LEG", 2)
    job = open_label_job(run_of(data, tmp_path, **SPLIT))
    results = label(job, "pools.decode.where=pool", "pools.predict.min=1", by_groupby=True)
    assert digests_of(job) == expected
    assert sum(isinstance(it, ShardResult) for it in results) == job.plan.head.num_shards
    assert sum(isinstance(it, BucketResult) for it in results) == job.plan.head.num_buckets


def test_a_video_that_kills_its_process_is_given_up_and_takes_no_other_along(tmp_path: Path) -> None:
    write_videos(str(tmp_path), clips(3) | {"poison.mp4": Clip(is_red=True)})
    job = open_label_job(run_of(tmp_path, tmp_path / "out", target_frames=14))
    results = [it for it in label(job, "retries.max_attempts_per_video=1") if isinstance(it, ShardResult)]
    letters = [letter for it in markers_of(job).values() if it.table == "predictions" for letter in it.dead_letters]
    assert [(letter.video_id, letter.error_class) for letter in letters] == [("poison.mp4", "ProcessKilled")]
    num_rows = sum(clip.num_frames * clip.num_hands for clip in clips(3).values())
    assert sum(it.num_rows for it in results) == num_rows
    # one death with several videos open tells nothing, the next one names its cause
    assert sorted(it.attempt for it in results)[-1] == 3


def test_a_run_that_cannot_move_ends_and_says_what_waits_for_what(data: Path, tmp_path: Path) -> None:
    job = open_label_job(run_of(data, tmp_path, **SPLIT))
    with pytest.raises(InputError, match=r"none: .*MapBatches\(Predict\).*2 pending.*0 GPUs"):
        label(job, "pools.predict.num_gpus=1", "retries.no_progress_s=6")


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.usefixtures("s3_environment")
def test_a_killed_run_is_finished_by_two_at_once_on_s3(data: Path, tmp_path: Path, s3_server: S3Server) -> None:
    slow = tmp_path / "slow"
    slow.touch()
    option = f"teacher.options.slow_while={slow}"
    job = open_label_job(run_of(data, f"{s3_server.uri}/killed", option, **SPLIT))
    for name in ("run.yaml", "cluster.yaml"):
        config = job.run if name == "run.yaml" else parse_cluster(CLUSTER)
        (tmp_path / name).write_text(dump(config))
    first = _driver(tmp_path, s3_server)
    while not list(committed_ids(job.store, job.labels)):
        assert first.poll() is None, _said(tmp_path)
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = markers_of(job)
    slow.unlink()
    both = [_driver(tmp_path, s3_server, *more) for more in ([], ["--set", "pools.predict.min=1"])]
    assert [driver.wait() for driver in both] == [0, 0], _said(tmp_path)
    unbroken = open_label_job(run_of(data, tmp_path / "unbroken", option, **SPLIT))
    label_plainly(unbroken)
    assert digests_of(job) == digests_of(unbroken)
    assert len(before) < len(digests_of(job))
    assert {name: marker for name, marker in markers_of(job).items() if name in before} == before
    assert not list(job.store.objects("nondeterminism"))


def _driver(folder: Path, s3_server: S3Server, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the command on this module's Ray."""
    import ray

    environment = (
        os.environ | s3_server.environment() | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    )
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "hoiray", "label", str(folder / "run.yaml"), "--cluster"]
    command += [str(folder / "cluster.yaml"), "--ray-address", address, *arguments]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def _said(folder: Path) -> str:
    return (folder / "said.txt").read_text()
