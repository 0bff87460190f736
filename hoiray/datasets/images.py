"""A plain folder or S3 prefix of image files."""

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hoiray.datasets.image_files import read_rgb
from hoiray.datasets.opening import require_split
from hoiray.datasets.sample import Masks, ObjectModel, Sample
from hoiray.errors import ContractError, describe
from hoiray.io.store import Store

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg")
SPLITS: Final = ("all",)


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """An opened folder of images. Those of one folder count as one recording, in the order of their names.

    Attributes:
        store: the root.
        keys: sorted.
        places: of each image among those of its folder.
    """

    store: Store
    keys: tuple[str, ...]
    places: tuple[int, ...]

    @classmethod
    def open(cls, uri: str, split: str = "all") -> "ImageFolder":
        """List the images below a folder or prefix.

        Raises:
            ContractError: there is none.
        """
        require_split(split, SPLITS, name="a folder of images")
        store = Store.open(uri)
        keys = tuple(key for key in store.list() if is_image(key))
        if not keys:
            expected, fix = f"files that end in {', '.join(IMAGE_SUFFIXES)}", "Check the location."
            raise ContractError(describe(what=store.uri, expected=expected, found="none", fix=fix))
        num_in_folder: Counter[str] = Counter()
        places = []
        for key in keys:
            folder = str(PurePosixPath(key).parent)
            places.append(num_in_folder[folder])
            num_in_folder[folder] += 1
        return cls(store, keys, tuple(places))

    @property
    def name(self) -> str:
        """`images`."""
        return "images"

    @property
    def split(self) -> str:
        """`all`."""
        return "all"

    def __len__(self) -> int:
        """Images."""
        return len(self.keys)

    def sample(self, index: int) -> Sample:
        """Return an image, of which nothing is known but its place among the images of its folder."""
        key = self.keys[index]
        return Sample(
            sample_id=key,
            recording_id=str(PurePosixPath(key).parent),
            subject_id=None,
            camera_id=None,
            frame_index=self.places[index],
            image_key=key,
            K=None,
        )

    def image(self, sample: Sample) -> NDArray[np.uint8]:
        """Read the image, (H, W, 3).

        Raises:
            InputError: it is missing or truncated.
        """
        return read_rgb(self.store, sample.image_key)

    def masks(self, sample: Sample) -> Masks | None:  # noqa: ARG002 - the protocol's signature
        """Nothing is annotated."""
        return None

    def object_model(self, name: str) -> ObjectModel | None:  # noqa: ARG002 - the protocol's signature
        """Nothing is annotated."""
        return None


def is_image(key: str) -> bool:
    """Say whether a key's suffix is one of an image."""
    return PurePosixPath(key).suffix.lower() in IMAGE_SUFFIXES
