from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from labelling import CLUSTER, clips, digests_of, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.config.load import parse_cluster
from hoiray.engine.transport import unpack_result
from hoiray.engine.workers import Judge, Measure, Predict, Report, WorkerSettings, decode_settings
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import ShardResult, Tools, label_here
from hoiray.stages.pending import pending_shards


class Deaf:
    """A tally that nobody listens to."""

    @property
    def add(self) -> "Deaf":
        return self

    def remote(self, num_frames: int) -> None:
        pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_videos(str(folder), clips(4))
    return folder


def stages(job: LabelJob) -> tuple[Predict, pa.Table]:
    pending = pa.Table.from_pylist([asdict(entry) for entry in pending_shards(job.plan, job.store, job.predictions)])
    settings = WorkerSettings(parse_cluster(CLUSTER), "cpu", Deaf())
    return Predict(job, pending, settings), pa.table({"id": list(range(pending.num_rows))})


def test_the_actors_called_one_after_another_are_the_plain_composition(data: Path, tmp_path: Path) -> None:
    plain, staged = (open_label_job(run_of(data, tmp_path / name)) for name in ("plain", "staged"))
    frames = LocalFrames(DecodeSettings(None))
    tools = Tools(BoxPredictor(), frames, batch_size=4)
    expected = list(label_here(plain, tools, lambda _count: None))
    frames.close()
    predict, batch = stages(staged)
    table: Any = Judge(staged)(Measure(staged)(predict(batch)))
    predict._tools.frames.close()
    results = [unpack_result(row) for row in table.to_pylist()]
    assert digests_of(staged) == digests_of(plain)
    assert [_facts(it) for it in results] == [_facts(it) for it in expected]


def _facts(result: Any) -> tuple[Any, ...]:
    assert isinstance(result, ShardResult)
    assert result.judged is not None
    return (result.shard_id, result.num_videos, result.num_rows, result.num_frames, result.judged.num_accepted)


def test_a_shard_that_is_judged_later_is_only_told_of(data: Path, tmp_path: Path) -> None:
    job = open_label_job(run_of(data, tmp_path))
    predict, batch = stages(job)
    (row, *_) = Report(job)(Measure(job)(predict(batch.slice(0, 1)))).to_pylist()
    predict._tools.frames.close()
    result = unpack_result(row)
    assert isinstance(result, ShardResult)
    assert result.judged is None
    assert [name.partition("/")[0] for name in digests_of(job)] == ["predictions"]


def test_a_predictor_decodes_as_many_videos_at_once_as_it_has_cpus(data: Path, tmp_path: Path) -> None:
    job = open_label_job(run_of(data, tmp_path))
    several = [decode_settings(job, parse_cluster(CLUSTER, [f"pools.predict.num_cpus={it}"])) for it in (0.25, 1, 6)]
    assert [settings.num_decoders for settings in several] == [1, 1, 6]
