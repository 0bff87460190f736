import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import webdataset as wds
from export_scenes import HOSTILE, REFUSED_ROWS, scene

from hoiray.export import webdataset
from hoiray.export.formats import export_labels
from hoiray.geometry.crops import apply_affine
from hoiray.render.overlay import draw_joints

SHARD = "shards/hands-000000.tar"


def read(folder: Path) -> list[dict]:
    shards = [str(path) for path in sorted((folder / "shards").glob("hands-*.tar"))]
    return list(wds.WebDataset(shards, shardshuffle=False).decode("rgb8"))


def test_webdataset_reads_frames_with_their_labels(tmp_path: Path) -> None:
    made = scene(tmp_path, first_name=HOSTILE)
    told, _ = export_labels(made.job(tmp_path / "out"), "webdataset")
    samples = read(tmp_path / "out")
    accepted = [number for number in range(6) if number not in REFUSED_ROWS]
    assert len(samples) == len(accepted) == told["counts"]["num_written"]
    by_place = {(one["json"]["video_id"], one["json"]["frame_index"]): one for one in samples}
    for number, row in enumerate(made.rows.to_pylist()):
        sample = by_place.get((row["video_id"], row["frame_index"]))
        assert (sample is None) == (number in REFUSED_ROWS)
        if sample is None:
            continue
        (hand,) = sample["json"]["hands"]
        assert np.array_equal(np.ravel(hand["joints_2d"]), row["joints_2d"])
        assert np.abs(sample["jpg"].astype(int) - made.images[number]).mean() < 3  # of 255: the JPEG
        assert "." not in sample["__key__"]
        assert "/" not in sample["__key__"]


def test_a_crop_shows_its_hand_where_its_joints_are(tmp_path: Path) -> None:
    """A picture drawn from a crop is the crop of the picture drawn from the label."""
    made = scene(tmp_path, count=1)
    export_labels(made.job(tmp_path / "out", pixels="crop"), "webdataset")
    (sample,) = read(tmp_path / "out")
    (hand,) = sample["json"]["hands"]
    A, points = np.array(sample["json"]["A"]), np.array(hand["joints_2d_crop"])
    assert np.allclose(points, apply_affine(A, np.array(hand["joints_2d"])), atol=1e-9)
    assert ((points > 0) & (points < webdataset.CROP_PX)).all()
    placed = np.array(hand["joints_3d"]) + np.array([0.0, 0.0, 0.6])
    seen, in_crop = np.array(hand["K"]) @ placed.T, np.array(hand["K_crop"]) @ placed.T
    assert np.allclose(in_crop[:2] / in_crop[2], apply_affine(A, (seen[:2] / seen[2]).T).T, atol=1e-3)
    for joint in (0, 8, 20):
        alone = np.where(np.arange(21)[:, None] == joint, np.array(hand["joints_2d"]), np.nan)
        drawn = draw_joints(np.zeros_like(made.images[0]), alone, radius_px=3)
        weight = cv2.warpAffine(drawn, A[:2], (webdataset.CROP_PX, webdataset.CROP_PX)).sum(axis=2)
        centre = np.average(np.argwhere(weight > 0), axis=0, weights=weight[weight > 0])[::-1]
        assert np.allclose(centre, points[joint], atol=1.0)


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    made = scene(tmp_path)
    for name in ("a", "b"):
        export_labels(made.job(tmp_path / name), "webdataset")
    assert (tmp_path / "a" / SHARD).read_bytes() == (tmp_path / "b" / SHARD).read_bytes()
    with tarfile.open(tmp_path / "a" / SHARD) as shard:
        assert {(one.mtime, one.uid, one.uname) for one in shard.getmembers()} == {(0, 0, "")}


def test_shards_are_bounded_and_hold_whole_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webdataset, "MAX_SHARD_BYTES", 60_000)
    made = scene(tmp_path)
    export_labels(made.job(tmp_path / "out", with_refused=True), "webdataset")
    shards = sorted((tmp_path / "out" / "shards").iterdir())
    assert len(shards) > 1
    for shard in shards:
        with tarfile.open(shard) as tar:
            names = tar.getnames()
        assert shard.stat().st_size <= 60_000 + 10_240 or len(names) == 2
        assert [name.partition(".")[2] for name in names] == ["jpg", "json"] * (len(names) // 2)
    samples = read(tmp_path / "out")
    verdicts = [hand["accepted"] for sample in samples for hand in sample["json"]["hands"]]
    assert verdicts.count(False) == len(REFUSED_ROWS)
