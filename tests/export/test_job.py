from pathlib import Path

from export_scenes import scene


def test_a_job_walks_what_is_asked_for_and_tells_how_far_it_is(tmp_path: Path) -> None:
    made = scene(tmp_path)
    for with_refused, counts in ((False, [2, 2]), (True, [3, 3])):
        job = made.job(tmp_path / "out", with_refused=with_refused)
        assert [len(rows) for _, rows in job.videos()] == counts
        assert job.tally.num_videos == 2


def test_another_option_is_another_export(tmp_path: Path) -> None:
    made = scene(tmp_path)
    first = made.job(tmp_path / "out").identity("coco")
    assert first == made.job(tmp_path / "elsewhere").identity("coco")
    for options in ({"with_refused": True}, {"pixels": "none"}, {"licence": "CC0"}, {"assumed_focal_px": 9.0}):
        assert made.job(tmp_path / "out", **options).identity("coco") != first
    assert made.job(tmp_path / "out").identity("webdataset") != first
