import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from labelling import CLUSTER, RUN, Clip, clips, write_videos
from labelling_predictor import BoxPredictor
from landmark_files import needs_landmarks
from landmark_scenes import SIZE_PX, rendered_hand
from typer.testing import CliRunner

from hoiray.cli.label import LabelRequest, configurations
from hoiray.cli.main import app
from hoiray.config.network import network_preset
from hoiray.errors import ConfigError, InputError
from hoiray.geometry.boxes import iou
from hoiray.hand.model import HandModel
from hoiray.io.encode import H264_MP4, encode_video
from hoiray.models.checkpoint import write_checkpoint
from hoiray.models.network import HandObjectNetwork


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["label", *map(str, arguments)])


def run_file(folder: Path, videos: dict[str, Clip]) -> Path:
    write_videos(str(folder), videos)
    text = RUN.format(data=folder, out=folder / "out", target_frames=12, max_video_frames=100)
    (folder / "run.yaml").write_text(text)
    (folder / "cluster.yaml").write_text(CLUSTER)
    return folder / "run.yaml"


def test_videos_become_labels_in_this_process_and_the_end_says_how_many(tmp_path: Path) -> None:
    run = run_file(tmp_path, clips(3) | {"junk.mp4": Clip(damage=lambda _: b"junk")})
    result = call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml", "--canaries", 2)
    assert result.exit_code == 0, result.output
    assert "indexing" in result.stderr
    assert "wrong labels that were accepted" in result.stdout
    assert "3 videos done, 1 given up (decode: UnreadableVideoError 1)" in result.stdout
    assert f"dead list {tmp_path / 'out'}" in result.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert f"{summary['num_accepted']:,}" in result.stdout
    assert summary["num_buckets_done"] == summary["num_buckets"]
    assert summary["canaries"]["num_clips"] == 2
    again = call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml")
    assert f"0 of {summary['num_shards']} shards to do" in again.stderr
    assert again.stdout == result.stdout


def test_a_used_budget_ends_at_a_shards_end_and_the_same_command_goes_on(tmp_path: Path) -> None:
    run = run_file(tmp_path, clips(4))
    options = [run, "--no-ray", "--cluster", tmp_path / "cluster.yaml"]
    first = call(*options, "--budget", "0.001s")
    assert first.exit_code == 3, first.output
    assert "the budget of 0.001s is used" in first.stderr
    assert "The same command goes on from there" in first.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["num_shards_done"] < summary["num_shards"]
    rest = call(*options, "--budget", "1h")
    assert rest.exit_code == 0, rest.output
    costs = json.loads((tmp_path / "out" / "summary.json").read_text())["costs_s"]
    assert costs["decode"]["cpu"] > 0.0
    assert set(costs["predict"]) == {"model_cpu", "store", "wait"}
    assert set(costs["measure"]) == set(costs["judge"]) == {"filter", "store"}


def test_a_budget_of_gpus_is_refused_where_none_is_used(tmp_path: Path) -> None:
    run = run_file(tmp_path, {"clip.mp4": Clip(2)})
    result = call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml", "--budget", "1gpu-h")
    assert isinstance(result.exception, ConfigError)


def test_the_quick_form_labels_with_a_network(tmp_path: Path) -> None:
    run_file(tmp_path, {"clip 01.mp4": Clip(3)})
    torch.manual_seed(0)
    hand = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    write_checkpoint(
        str(tmp_path / "nano.safetensors"), HandObjectNetwork(network_preset("nano"), hand), storage="float16"
    )
    result = call(
        tmp_path / "videos", "--boxes", tmp_path / "boxes.parquet", "--teacher", tmp_path / "nano.safetensors",
        "--out", tmp_path / "quick", "--no-ray", "--set", "ensemble.num_views=2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "quick" / "summary.json").read_text())
    assert (summary["num_rows"], summary["num_videos"], summary["dead"]) == (3, 1, {})


def test_the_quick_form_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected --boxes, --teacher too, found none"):
        configurations(LabelRequest("s3://bucket/videos", out="out"))


def test_the_quick_form_with_landmarks_needs_nothing_but_videos() -> None:
    run, _ = configurations(LabelRequest("videos", teacher="landmarks", out="o"))
    assert (run.teacher.predictor, run.videos.box_format, run.videos.hand_side) == ("landmarks", "none", "boxes")
    # boxes made of its own points say nothing about them; turned further it reads no hands
    assert run.limits.min_box_iou is None  # type: ignore[union-attr]
    assert run.ensemble.max_rotation_deg == 30.0
    boxed, _ = configurations(LabelRequest("videos", teacher="landmarks", out="o", boxes="b.parquet"))
    assert boxed.videos.box_format == "parquet"
    assert boxed.limits.min_box_iou == 0.6  # type: ignore[union-attr]


def test_missing_landmark_networks_are_said_before_anything_begins(tmp_path: Path) -> None:
    write_videos(str(tmp_path), {"clip.mp4": Clip(2)})
    nowhere = f"teacher.options.folder={tmp_path / 'nowhere'}"
    result = call(tmp_path / "videos", "--teacher", "landmarks", "--out", tmp_path / "out", "--set", nowhere)
    assert isinstance(result.exception, InputError)
    assert "hoiray assets fetch landmarks" in str(result.exception)
    assert not (tmp_path / "out").exists()


@needs_landmarks
def test_a_plain_video_of_a_hand_becomes_labels_with_one_command(tmp_path: Path) -> None:
    hands = [rendered_hand(shift_m=(0.002 * frame, 0.0)) for frame in range(3)]
    video = encode_video((hand.image for hand in hands), H264_MP4, fps=12, size_wh=(SIZE_PX, SIZE_PX))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "hand.mp4").write_bytes(video)
    out = tmp_path / "out"
    result = call(
        tmp_path / "videos", "--teacher", "landmarks", "--out", out, "--no-ray", "--set", "ensemble.num_views=2",
        "--set", "pools.predict.batch_size=2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert f"view {out} VIDEO" in result.stdout
    (table,) = (pq.read_table(path) for path in out.glob("labels/*/data/**/*.parquet"))
    assert table["frame_index"].to_pylist() == [0, 1, 2]
    assert table["box_source"].to_pylist() == ["detected", "tracked", "tracked"]
    assert set(table["is_right"].to_pylist()) == {True}
    for row, hand in zip(table.to_pylist(), hands, strict=True):
        assert row["failure"] is None
        assert iou(np.array(row["bbox_xyxy"]), hand.bbox_xyxy) > 0.6
        assert row["reprojection_mean_box_sides"] < 0.04


def test_the_quick_form_takes_a_detector_in_place_of_boxes() -> None:
    run, _ = configurations(LabelRequest("videos", teacher="t.safetensors", detector="hands.pth", out="o"))
    assert run.detector is not None
    assert run.detector.checkpoint_uri == "hands.pth"
    assert (run.teacher.predictor, run.videos.box_format, run.videos.hand_side) == ("network", "none", "both")
    assert run.limits.min_box_iou is None  # type: ignore[union-attr]  # of boxes that made the crops
    over = ("detector.architecture=fcos_resnet50_fpn",)
    other, _ = configurations(LabelRequest("videos", over, teacher="t.safetensors", detector="hands.pth", out="o"))
    assert other.detector is not None
    assert other.detector.architecture == "fcos_resnet50_fpn"


def test_the_quick_form_knows_what_boxes_of_something_else_mean() -> None:
    request = LabelRequest(
        "videos", boxes="a.json", box_format="something_else", teacher="t", out="o",
        overrides=("ensemble.num_views=4", "pools.predict.batch_size=3"),
    )  # fmt: skip
    run, cluster = configurations(request)
    assert (run.videos.sample_rate_hz, run.videos.hand_side, run.ensemble.num_views) == (12, "both", 4)
    assert cluster.pools.predict.batch_size == 3


def test_too_many_dead_videos_end_the_run(tmp_path: Path) -> None:
    junk = {f"junk {index:03d}.mp4": Clip(2, damage=lambda _: b"junk") for index in range(4)}
    run = run_file(tmp_path, clips(2) | junk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hoiray.stages.dead.MIN_JUDGED_VIDEOS", 2)
        result = call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml", "--set", "retries.max_dead_fraction=0.1")
    assert isinstance(result.exception, InputError)
    assert "more than max_dead_fraction = 10.0%" in str(result.exception)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_file(tmp_path, clips(2))
    # a suite that runs in the background of a shell inherits an ignored Ctrl-C
    monkeypatch.setattr(BoxPredictor, "predict", lambda *_: signal.raise_signal(number))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.stderr
    monkeypatch.undo()
    assert call(run, "--no-ray", "--cluster", tmp_path / "cluster.yaml").exit_code == 0
