from pathlib import Path

import pytest
from export_scenes import Scene, lineage, scene
from label_runs import refused, write_label_run
from s3_server import S3Server

from hoiray.errors import ConfigError, InputError
from hoiray.export.formats import FORMATS, export_labels
from hoiray.export.job import ExportJob
from hoiray.export.target import DONE_KEY, UNFINISHED_KEY
from hoiray.io.store import Store


def all_refused(made: Scene, folder: Path) -> ExportJob:
    run = write_label_run(folder, [refused(made.rows, list(range(6)))], [])
    job = made.job(folder / "out", pixels="none")
    return ExportJob(run, job.out, job.options, lineage(run), job.hand)


def test_the_same_export_again_changes_nothing(tmp_path: Path) -> None:
    made = scene(tmp_path)
    told, is_new = export_labels(made.job(tmp_path / "out", pixels="none"), "huggingface")
    assert is_new
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert export_labels(made.job(tmp_path / "out", pixels="none"), "huggingface") == (told, False)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_killed_export_never_looks_complete_and_is_made_whole_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scene(tmp_path)
    written = Store.write

    def die(self: Store, key: str, data: bytes, **options: bool) -> None:
        if key == "README.md":
            raise KeyboardInterrupt
        written(self, key, data, **options)

    monkeypatch.setattr(Store, "write", die)
    with pytest.raises(KeyboardInterrupt):
        export_labels(made.job(tmp_path / "out", pixels="none"), "coco")
    assert not (tmp_path / "out" / DONE_KEY).exists()
    assert (tmp_path / "out" / UNFINISHED_KEY).exists()
    monkeypatch.undo()
    export_labels(made.job(tmp_path / "out", pixels="none"), "coco")
    export_labels(made.job(tmp_path / "fresh", pixels="none"), "coco")
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in
             (tmp_path / "out", tmp_path / "fresh")]  # fmt: skip
    assert files[0] == files[1]
    for name in files[0]:
        if (tmp_path / "out" / name).is_file():
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_a_run_of_which_nothing_was_accepted_says_so_before_a_folder_is_made(tmp_path: Path) -> None:
    made = scene(tmp_path)
    with pytest.raises(InputError, match=r"expected an accepted label, found none; 6 refused\. .*--include refused"):
        export_labels(all_refused(made, tmp_path / "none"), "coco")
    assert not (tmp_path / "none" / "out").exists()


def test_labels_whose_videos_are_all_gone_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    made = scene(tmp_path)
    for video in (tmp_path / "videos").iterdir():
        video.unlink()
    with pytest.raises(InputError, match=r"found none: 4 because the video is missing.*v000\.mp4"):
        export_labels(made.job(tmp_path / "out"), "webdataset")
    assert list(Store.open(tmp_path / "out").list()) == []


def test_unknown_formats_and_pixels_are_refused(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    with pytest.raises(ConfigError, match=f"expected one of {', '.join(FORMATS)}, found 'voc'"):
        export_labels(made.job(tmp_path / "out"), "voc")
    with pytest.raises(ConfigError, match="expected one of none for huggingface, found frame"):
        export_labels(made.job(tmp_path / "out"), "huggingface")


@pytest.mark.s3
def test_an_export_to_s3_has_the_same_files(tmp_path: Path, s3_environment: S3Server) -> None:
    made = scene(tmp_path)
    uri = f"{s3_environment.uri}/{tmp_path.name}"
    for out in (uri, str(tmp_path / "here")):
        export_labels(made.job(out), "coco")
    there, here = Store.open(uri), Store.open(tmp_path / "here")
    assert list(there.list()) == list(here.list())
    assert all(there.read(key) == here.read(key) for key in here.list())
    assert not export_labels(made.job(uri), "coco")[1]
