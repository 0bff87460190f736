"""A plain folder or S3 prefix of video files: nothing is annotated, everything can be labelled."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.opening import require_split
from hoiray.datasets.sample import Masks, ObjectModel, Sample
from hoiray.datasets.video_frames import read_frames
from hoiray.errors import ContractError, describe
from hoiray.io.decoding.choose import Decoder
from hoiray.io.store import Store

VIDEO_SUFFIXES: Final = (".mp4", ".webm", ".mkv", ".avi", ".mov")
SPLITS: Final = ("all",)


@dataclass(frozen=True)
class VideoRecord:
    """A video of a data set.

    Attributes:
        video_id: unique within the set.
        key: its file, relative to the root.
        label: what is done, where the set tells ("Putting pillow on couch").
        template: the label with its objects left open.
        placeholders: the objects.
    """

    video_id: str
    key: str
    label: str | None = None
    template: str | None = None
    placeholders: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class VideoFolder:
    """An opened folder of videos. As samples it shows the first frame of each, so that it can be looked at.

    Attributes:
        store: the root.
        videos: sorted by key; the id is the key.
    """

    store: Store
    videos: tuple[VideoRecord, ...]

    @classmethod
    def open(cls, uri: str, split: str = "all") -> "VideoFolder":
        """List the videos below a folder or prefix.

        Raises:
            ContractError: there is none.
        """
        require_split(split, SPLITS, name="a folder of videos")
        store = Store.open(uri)
        keys = [key for key in store.list() if is_video(key)]
        if not keys:
            expected, fix = f"files that end in {', '.join(VIDEO_SUFFIXES)}", "Check the location."
            raise ContractError(describe(what=store.uri, expected=expected, found="none", fix=fix))
        return cls(store, tuple(VideoRecord(video_id=key, key=key) for key in keys))

    @property
    def name(self) -> str:
        """`videos`."""
        return "videos"

    @property
    def split(self) -> str:
        """`all`."""
        return "all"

    def __len__(self) -> int:
        """Videos."""
        return len(self.videos)

    def sample(self, index: int) -> Sample:
        """Return the first frame of a video; nothing of it is known."""
        video = self.videos[index]
        return Sample(
            sample_id=video.video_id,
            recording_id=video.video_id,
            subject_id=None,
            camera_id=None,
            frame_index=0,
            image_key=video.key,
            K=None,
        )

    def frames(self, video: VideoRecord, *, decoder: Decoder = "pyav") -> NDArray[np.uint8]:
        """Decode a whole video, (T, H, W, 3) RGB.

        Raises:
            InputError: it is missing or damaged.
        """
        return read_frames(self.store, video.key, decoder=decoder)

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Decode one frame, (H, W, 3).

        Raises:
            InputError: the video is missing, damaged or has no such frame.
        """
        return np.asarray(read_frames(self.store, sample.image_key, [sample.frame_index])[0])

    def masks(self, sample: Sample) -> Masks | None:  # noqa: ARG002 - the protocol's signature
        """Nothing is annotated."""
        return None

    def object_model(self, name: str) -> ObjectModel | None:  # noqa: ARG002 - the protocol's signature
        """Nothing is annotated."""
        return None


def is_video(key: str) -> bool:
    """Say whether a key's suffix is one of a video."""
    return PurePosixPath(key).suffix.lower() in VIDEO_SUFFIXES
