from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from labelling import CLUSTER, clips, digests_of, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.config.load import parse_cluster
from hoiray.engine.judge import JudgeStored, ReadStored, commit_group, judge_group, judge_plan
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, measure_shard, predict_shard
from hoiray.stages.pending import pending_buckets, pending_shards


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_videos(str(folder), clips(4))
    return folder


def predicted(data: Path, out: Path) -> tuple[LabelJob, list[str]]:
    """A labelling with a long video, predicted and not judged."""
    job = open_label_job(run_of(data, out, target_frames=4, max_video_frames=7))
    frames = LocalFrames(DecodeSettings(None))
    tools = Tools(BoxPredictor(), frames, batch_size=4)
    for entry in pending_shards(job.plan, job.store, job.predictions):
        measure_shard(job, predict_shard(job, entry, tools))
    frames.close()
    return job, [it.bucket_id for it in pending_buckets(job.plan, job.store, job.predictions, job.labels)]


def test_rows_grouped_by_video_in_any_order_give_the_labels_of_whole_buckets(data: Path, tmp_path: Path) -> None:
    (bucketed, names), (grouped, _) = (predicted(data, tmp_path / name) for name in ("bucketed", "grouped"))
    positions = pa.table({"id": list(range(len(names)))})
    JudgeStored(bucketed, names)(positions)
    rows = pa.concat_tables(list(ReadStored(grouped, names)(positions)))
    rows = rows.take(pa.array(np.random.default_rng(0).permutation(rows.num_rows)))
    labels = [
        judge_group(rows.filter(pa.compute.equal(rows["video_id"], name)), grouped)
        for name in rows["video_id"].unique().to_pylist()
    ]
    table = pa.concat_tables(labels)
    for name in table["bucket_id"].unique().to_pylist():
        commit_group(table.filter(pa.compute.equal(table["bucket_id"], name)), grouped)
    assert digests_of(grouped) == digests_of(bucketed)
    assert len(names) == bucketed.plan.head.num_buckets


def test_where_everything_is_judged_there_is_no_plan(data: Path, tmp_path: Path) -> None:
    job = open_label_job(run_of(data, tmp_path))
    assert judge_plan(job, [], parse_cluster(CLUSTER), by_groupby=False) is None
