from pathlib import Path

import numpy as np
import pytest

from hoiray.io import video


def test_every_codec_is_decoded_by_every_decoder(tmp_path: Path) -> None:
    probes = video.probe_codecs(tmp_path)
    assert {(probe.codec, probe.decoder) for probe in probes} >= {("h264", "pyav"), ("vp9", "pyav")}
    assert [probe for probe in probes if not probe.ok] == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda frames: frames[:-1], "11 frames instead of 12"),
        (lambda frames: np.roll(frames, 1, axis=0), "wrong order"),
        (lambda frames: 255 - frames, "wrong order or colours"),
    ],
)
def test_a_decoder_that_loses_or_swaps_frames_is_caught(tmp_path: Path, spoil: object, complaint: str) -> None:
    path = tmp_path / "clip.mp4"
    video._write_probe_clip(path, "libx264")
    probe = video._probe_decoder("h264", "spoilt", lambda p: spoil(video._decode_with_pyav(p)), path)  # type: ignore[operator]  # a lambda of the table
    assert not probe.ok
    assert complaint in probe.detail


def test_a_decoder_that_raises_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "junk.mp4"
    path.write_bytes(b"junk")
    probe = video._probe_decoder("h264", "pyav", video._decode_with_pyav, path)
    assert not probe.ok
    assert "cannot decode" in probe.detail
