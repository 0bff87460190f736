from pathlib import Path

import pytest
from clips import clip

from hoiray.io.decoding.container import ContainerFacts, Source, scan_container
from hoiray.io.decoding.failures import DecodeError
from hoiray.stages import decode_child
from hoiray.stages.decode_child import DecodeRequest, LatestFile
from hoiray.stages.frame_selection import FrameSelection


def test_a_request_survives_its_message() -> None:
    for numbers in (None, (1, 5)):
        selection = FrameSelection(sample_rate_hz=12.0, frame_indices=numbers, first_frame_index=1, num_frames=9)
        request = DecodeRequest("a.mp4", "s3://b/a.mp4", selection, "auto", 0, 16, 1 << 24)
        assert DecodeRequest.of(request.to_message()) == request


def test_a_file_is_scanned_once_for_all_its_segments_and_anew_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []

    def counted(source: Source, name: str) -> ContainerFacts:
        scanned.append(name)
        return scan_container(source, name)

    monkeypatch.setattr(decode_child, "scan_container", counted)
    first, second, latest = tmp_path / "a.mp4", tmp_path / "b.mp4", LatestFile()
    first.write_bytes(clip(range(6)))
    second.write_bytes(clip(range(9)))
    found = [latest.facts(path, path.name).num_frames for path in (first, first, second, second, first)]
    assert found == [6, 6, 9, 9, 6]
    assert scanned == ["a.mp4", "b.mp4", "a.mp4"]
    first.write_bytes(clip(range(4)))
    assert latest.facts(first, "a.mp4").num_frames == 4
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"none\.mp4"):
            latest.facts(tmp_path / "none.mp4", "none.mp4")
