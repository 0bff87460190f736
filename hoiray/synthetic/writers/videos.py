"""Write recordings as a plain folder of video files, in the containers people have: mp4, webm, mkv, avi."""

from collections.abc import Sequence
from typing import Final

from hoiray.io.encode import VIDEO_CODECS, VideoEncoder, at_quality
from hoiray.io.store import Store
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.shot import Format, Part, Placement, RecordingWriter, Shot, Slot

SUFFIXES: Final = ("mp4", "webm", "mkv", "avi")
"""Taken in turn, so that a small set already has all of them."""


class VideoFolderWriter:
    """One recording: a file of each camera, `<recording>_<camera>.<suffix>`."""

    def __init__(self, store: Store, recording: Recording, slot: Slot) -> None:
        """Begin."""
        self._store, self._fps, self._slot = store, recording.fps, slot
        first = slot.recording_index * len(recording.cameras)
        self._keys = {
            camera.camera_id: f"{recording.recording_id}_{camera.camera_id}.{SUFFIXES[(first + i) % len(SUFFIXES)]}"
            for i, camera in enumerate(recording.cameras)
        }
        self._encoders: dict[str, VideoEncoder] = {}

    def add(self, shot: Shot) -> Placement:
        """Append a frame to its camera's file."""
        key = self._keys[shot.view.camera_id]
        if key not in self._encoders:
            height, width = shot.view.image_size
            codec = at_quality(VIDEO_CODECS[key.rpartition(".")[2]], self._slot.compression_quality)
            self._encoders[key] = VideoEncoder(codec, fps=self._fps, size_wh=(width, height))
        self._encoders[key].add(shot.pixels.image)
        # the reader's only sample of a video is its first frame, under the video's own name
        return Placement(key if shot.view.frame_index == 0 else None, key)

    def close(self) -> Part:
        """Write the files; nothing is left for the driver."""
        for key, encoder in self._encoders.items():
            self._store.write(key, encoder.finish())
        return {"keys": list(self._encoders)}


def _finish(store: Store, parts: Sequence[Part]) -> None:  # noqa: ARG001 - a plain folder has no lists
    return None


def _begin(store: Store, recording: Recording, slot: Slot) -> RecordingWriter:
    return VideoFolderWriter(store, recording, slot)


VIDEOS: Final = Format("videos", "a plain folder of videos: mp4, webm, mkv, avi in turn", _begin, _finish)
