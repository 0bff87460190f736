"""Labels made again from their videos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from labelling import Clip, run_of, write_videos
from labelling_predictor import BoxPredictor, FindingPredictor
from valid_tables import replaced

from hoiray.errors import ContractError, InputError
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.tables import LABELS
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.labels_with_truth import stored_video
from hoiray.stages.replay import Source, compare_column, find_source, replay_frame

NAME = "two.mp4"


@pytest.fixture(scope="module", params=["boxes", "both"])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    """A video with two hands, whose sides are told or guessed."""
    folder = tmp_path_factory.mktemp("replayed")
    write_videos(str(folder), {NAME: Clip(5, num_hands=2)})
    overrides = ("teacher.options.with_hand=true", f"videos.hand_side={request.param}")
    job = open_label_job(run_of(folder, folder / "out", *overrides))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    list(label_here(job, Tools(BoxPredictor(with_hand=True), frames, batch_size=4), lambda _count: None))
    frames.close()
    return job


@pytest.fixture(scope="module")
def source(job: LabelJob) -> Source:
    return find_source(job.store, job.plan, NAME, job.predict_id)


@pytest.fixture(scope="module")
def stored(job: LabelJob) -> pa.Table:
    return stored_video(job.store.uri, NAME)


@pytest.mark.parametrize("frame", [0, 3])
def test_a_frame_comes_out_of_its_video_as_it_is_stored(
    job: LabelJob, source: Source, stored: pa.Table, frame: int
) -> None:
    replayed = replay_frame(source, stored, job.rules, frame)
    assert [one.hand_index for one in replayed] == [0, 1]
    for one in replayed:
        # batches of another size may be rounded differently in the last bit, by processor
        assert one.is_close
        assert all(comparison.difference < 1e-6 for comparison in one.comparisons)
        assert one.row["frame_index"] == frame
        known = {comparison.name for comparison in one.comparisons if comparison.num_values}
        assert {"joints_3d", "min_bone_length_ratio", "spread_3d_m"} <= known
        assert ("motion_2d_mean_box_sides" in known) == ("crop_change" in known) == (frame > 0)


def test_a_hand_that_was_found_is_asked_for_as_its_tracker_had_it(tmp_path: Path) -> None:
    write_videos(str(tmp_path), {NAME: Clip(3)})
    plain = ("videos.box_format=none", "videos.boxes_uri=null")
    teacher = "teacher.predictor=labelling_predictor.make_finding"
    job = open_label_job(run_of(tmp_path, tmp_path / "out", *plain, teacher))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    list(label_here(job, Tools(FindingPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    source, stored = find_source(job.store, job.plan, NAME, job.predict_id), stored_video(job.store.uri, NAME)
    upright_px = unpack_column(stored, LABELS["upright_px"])
    assert len(np.unique(upright_px, axis=0)) == 3
    (again,) = replay_frame(source, stored, job.rules, 2)
    assert again.is_same
    # it is what the answer hangs on
    other = replaced(stored, "upright_px", pack_column(LABELS["upright_px"], upright_px[::-1].copy()))
    (changed,) = replay_frame(source, other, job.rules, 2)
    assert not changed.is_close


def test_a_number_that_was_changed_is_found_with_its_difference(
    job: LabelJob, source: Source, stored: pa.Table
) -> None:
    column = LABELS["min_bone_length_ratio"]
    values = unpack_column(stored, column) + np.float32(0.25)
    changed = replaced(stored, column.name, pack_column(column, values))
    (first, _) = replay_frame(source, changed, job.rules, 2)
    different = [one for one in first.comparisons if not one.is_close]
    assert [one.name for one in different] == [column.name]
    assert different[0].difference == pytest.approx(0.25, abs=1e-6)
    assert not first.is_close


def test_what_is_not_there_any_more_is_named(job: LabelJob, source: Source, stored: pa.Table, tmp_path: Path) -> None:
    gone = replace(source, uri=str(tmp_path / "gone.mp4"))
    with pytest.raises(InputError, match=r"gone\.mp4"):
        replay_frame(gone, stored, job.rules, 2)
    with pytest.raises(InputError, match="expected the video other"):
        find_source(job.store, job.plan, "other", job.predict_id)
    with pytest.raises(ContractError, match="expected predict_id"):
        find_source(job.store, job.plan, NAME, "0" * 32)


def test_not_known_on_one_side_only_is_a_difference_and_pixels_count_in_box_sides() -> None:
    one, nothing = np.array([1.0]), np.array([np.nan])
    assert compare_column("box_iou", nothing, nothing).is_same
    assert not compare_column("box_iou", one, nothing).is_close
    assert compare_column("joints_2d", np.array([0.0]), np.array([0.1]), side_px=200.0).is_close
    assert not compare_column("joints_2d", np.array([0.0]), np.array([0.1]), side_px=50.0).is_close
    assert not compare_column("joints_3d", np.array([0.0]), np.array([0.001])).is_close
