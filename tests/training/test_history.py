import io

import pyarrow.parquet as pq
from toy_training import EPOCH_REPORT as EPOCH
from toy_training import STEP_REPORT as STEP

from hoiray.training.history import TIMING_COLUMNS, epoch_row, history_bytes, history_table, step_row


def test_a_row_for_some_steps_and_one_for_an_epoch() -> None:
    assert history_table([step_row(STEP), epoch_row(EPOCH)]).to_pylist() == [
        {"kind": "step", "epoch": 0, "step": 2, "num_steps": 2, "learning_rate": 1e-4, "grad_norm": 2.0,
         "loss_pose": 0.5, "loss_total": 1.5, "val_pa_mpjpe_mm": None, "samples_per_s": 40.0, "data_wait_share": 0.25},
        {"kind": "epoch", "epoch": 0, "step": None, "num_steps": 5, "learning_rate": None, "grad_norm": 1.0,
         "loss_pose": None, "loss_total": 1.25, "val_pa_mpjpe_mm": 12.0, "samples_per_s": None,
         "data_wait_share": None},
    ]  # fmt: skip


def test_the_timing_columns_are_there_and_last() -> None:
    assert tuple(history_table([step_row(STEP)]).column_names[-2:]) == TIMING_COLUMNS
    assert tuple(history_table([]).column_names[-2:]) == TIMING_COLUMNS


def test_the_file_is_parquet_and_the_same_every_time() -> None:
    data = history_bytes([step_row(STEP)])
    assert pq.read_table(io.BytesIO(data)).equals(history_table([step_row(STEP)]))
    assert data == history_bytes([step_row(STEP)])
