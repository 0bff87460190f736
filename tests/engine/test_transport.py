import numpy as np
import pyarrow as pa
import pytest
from filter_scenes import fused_of, videos
from labelling import is_same
from run_folders import letter

from hoiray.engine.transport import (
    pack_measured,
    pack_predicted,
    pack_result,
    unpack_measured,
    unpack_predicted,
    unpack_result,
)
from hoiray.schema.conform import empty_table
from hoiray.schema.marker import CommitMarker
from hoiray.stages.label_shard import BucketResult, Measured, Predicted, ShardResult
from hoiray.stages.measure import FUSED
from hoiray.stages.plan import ShardEntry

ENTRY = ShardEntry("s" * 32, "b" * 32, "part", 1, 2, 3, 400)


def fused() -> pa.Table:
    return fused_of(videos(np.random.default_rng(1), 2)).cast(FUSED.to_arrow())


@pytest.mark.parametrize("rows", [fused(), empty_table(FUSED), None], ids=["rows", "no rows", "done before"])
def test_a_predicted_shard_arrives_as_it_was_sent(rows: pa.Table | None) -> None:
    sent = Predicted(ENTRY, rows, 12, (letter("a"), letter("b")), 3, {"predict": 1.5})
    (arrived,) = unpack_predicted(pack_predicted(sent))
    assert (arrived.entry, arrived.num_frames, arrived.dead_letters) == (ENTRY, 12, sent.dead_letters)
    assert (arrived.attempt, arrived.timings_s) == (3, {"predict": 1.5})
    if rows is None or arrived.fused is None:
        assert arrived.fused is rows
    else:
        assert arrived.fused.schema.equals(rows.schema, check_metadata=True)
        assert is_same(arrived.fused, rows)


def test_several_shards_in_a_batch_stay_apart() -> None:
    sent = [Predicted(ENTRY, fused()), Predicted(ENTRY, None), Predicted(ENTRY, empty_table(FUSED))]
    arrived = unpack_predicted(pa.concat_tables([pack_predicted(it) for it in sent]))
    assert [None if it.fused is None else it.fused.num_rows for it in arrived] == [fused().num_rows, None, 0]


def test_a_measured_shard_arrives_with_its_marker() -> None:
    marker = CommitMarker(
        hoiray_version="1", table="predictions", schema_version=2, plan_id="p", predict_id="q", judge_id=None,
        shard_id="s", data_key="x-0123456789abcdef.parquet", data_sha256="0123456789abcdef" * 4, data_bytes=1,
        num_videos=3, num_rows=0, num_accepted=None, reasons={}, dead_letters=[letter("a")], attempt=1, timings_s={},
    )  # fmt: skip
    (arrived,) = unpack_measured(pack_measured(Measured(ENTRY, marker, None, 7)))
    assert arrived == Measured(ENTRY, marker, None, 7)


@pytest.mark.parametrize("judged", [None, BucketResult("b", 5, 2, {"box_iou": 3}, 0.5)])
def test_a_result_arrives_as_it_was_sent(judged: BucketResult | None) -> None:
    sent = ShardResult("s", 10, 3, 1, 5, 4, {"predict": 0.5}, 2, judged)
    assert unpack_result(pack_result(sent).to_pylist()[0]) == sent
    if judged is not None:
        assert unpack_result(pack_result(judged).to_pylist()[0]) == judged
