"""Opening any data set hoiray knows: by the name of its format, or by the files that are there."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hoiray.datasets.dexycb import DexYcbDataset
from hoiray.datasets.formats import dexycb, fpha, freihand, ho3d, ho3d_processed, something
from hoiray.datasets.fpha import FphaDataset
from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.ho3d_processed import Ho3dProcessedDataset
from hoiray.datasets.images import ImageFolder, is_image
from hoiray.datasets.sample import AnnotatedDataset
from hoiray.datasets.something import SomethingDataset
from hoiray.datasets.synthetic_truth import SyntheticTruth
from hoiray.datasets.videos import VideoFolder, is_video
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.hand.load import HandArrays
from hoiray.io.store import Store


@dataclass(frozen=True)
class Format:
    """How a format is recognised and opened.

    Attributes:
        looked_for: what :attr:`is_there` looks for, in words, for the message where nothing is found.
        is_there: whether a root holds this format.
        default_split: the split to open where none is named.
        open: opens (uri, split, hand).
    """

    looked_for: str
    is_there: Callable[[Store], bool]
    default_split: Callable[[Store], str]
    open: Callable[[str, Any, HandArrays | None], AnnotatedDataset]


def _first_split(keys_by_split: Mapping[str, tuple[str, ...]]) -> Callable[[Store], str]:
    """Choose the first split of which a file is there; the first one at all where none is."""

    def choose(store: Store) -> str:
        present = (split for split, keys in keys_by_split.items() if any(map(store.exists, keys)))
        return next(present, next(iter(keys_by_split)))

    return choose


_HO3D_LISTS: Final[dict[str, tuple[str, ...]]] = {split: (ho3d.list_key(split),) for split in ho3d.SPLITS}
_FREIHAND_LISTS: Final[dict[str, tuple[str, ...]]] = {
    split: (freihand.labels_key(split, "K"),) for split in freihand.SPLITS
}
_SOMETHING_LISTS: Final[dict[str, tuple[str, ...]]] = {split: something.list_keys(split) for split in something.SPLITS}


def _is_ho3d(store: Store) -> bool:
    has_list = any(store.exists(key) for keys in _HO3D_LISTS.values() for key in keys)
    return has_list and bool(set(ho3d.SPLITS) & set(store.list_folders()))


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "ho3d_processed": Format(
            f"{ho3d_processed.JOINTS_KEY} and {ho3d_processed.MANO_KEY}",
            lambda store: store.exists(ho3d_processed.JOINTS_KEY) and store.exists(ho3d_processed.MANO_KEY),
            lambda _: "train",
            lambda uri, split, hand: Ho3dProcessedDataset.open(uri, split, hand=hand),
        ),
        "ho3d": Format(
            "train.txt or evaluation.txt beside folders of these names",
            _is_ho3d,
            _first_split(_HO3D_LISTS),
            lambda uri, split, hand: Ho3dDataset.open(uri, split, hand=hand),
        ),
        "freihand": Format(
            "training_K.json or evaluation_K.json",
            lambda store: any(store.exists(key) for keys in _FREIHAND_LISTS.values() for key in keys),
            _first_split(_FREIHAND_LISTS),
            lambda uri, split, hand: FreiHandDataset.open(uri, split, hand=hand),
        ),
        "fpha": Format(
            fpha.SPLIT_KEY,
            lambda store: store.exists(fpha.SPLIT_KEY),
            lambda _: "train",
            lambda uri, split, hand: FphaDataset.open(uri, split, hand=hand),
        ),
        "dexycb": Format(
            f"folders calibration and {dexycb.SUBJECTS[0]} or another subject",
            lambda store: {"calibration"} < {"calibration", *dexycb.SUBJECTS} & set(store.list_folders()),
            lambda _: "train",
            lambda uri, split, hand: DexYcbDataset.open(uri, split, hand=hand),
        ),
        "something": Format(
            f"a folder {something.VIDEO_FOLDER}",
            lambda store: something.VIDEO_FOLDER in set(store.list_folders()),
            _first_split(_SOMETHING_LISTS),
            lambda uri, split, _: SomethingDataset.open(uri, split),
        ),
        "videos": Format(
            "video files (.mp4, .webm, .mkv, .avi, .mov)",
            lambda store: any(map(is_video, store.list())),
            lambda _: "all",
            lambda uri, split, _: VideoFolder.open(uri, split),
        ),
        "images": Format(
            "image files (.png, .jpg, .jpeg)",
            lambda store: any(map(is_image, store.list())),
            lambda _: "all",
            lambda uri, split, _: ImageFolder.open(uri, split),
        ),
        "synthetic_truth": Format(
            "never by itself: videos of hoiray synth with all their truth, only where --format says so",
            lambda _: False,
            lambda _: "test",
            lambda uri, split, _: SyntheticTruth.open(uri, split),
        ),
    }
)
"""Every format, in the order they are looked for: the particular before the general."""

NEVER_FOUND: Final = frozenset({"synthetic_truth"})
"""Formats that must be asked for: their files look like another's."""

ANY_FILES: Final = frozenset({"videos", "images"})
"""Formats that are recognised by the kind of any file below the root, so by those of a data set's parent folder too."""


def detect_format(uri: str) -> str:
    """Return the name of the format a folder or prefix holds.

    Raises:
        ContractError: none, or several in its folders; the message says what was looked for and found.
    """
    store = Store.open(uri)
    for name, candidate in FORMATS.items():
        if name in ANY_FILES:
            _refuse_parent_folder(store)
        if candidate.is_there(store):
            return name
    looked_for = "; ".join(
        f"{name}: {candidate.looked_for}" for name, candidate in FORMATS.items() if name not in NEVER_FOUND
    )
    fix = "Check the location: it must be the folder that holds these files itself."
    raise ContractError(describe(what=store.uri, expected=f"one of: {looked_for}", found="none of them", fix=fix))


def _refuse_parent_folder(store: Store) -> None:
    """Refuse a folder of data sets: its files would pass for a plain folder of images or videos."""
    inside = {
        folder: name
        for folder in store.list_folders()
        for name, candidate in FORMATS.items()
        if name not in ANY_FILES and candidate.is_there(Store.open(store.url(folder)))
    }
    if inside:
        found = ", ".join(f"{folder} ({name})" for folder, name in inside.items())
        fix = "Name one of them, or say --format images or videos."
        raise ContractError(
            describe(what=store.uri, expected="one data set", found=f"a folder of data sets: {found}", fix=fix)
        )


def open_dataset(
    uri: str,
    format: str | None = None,  # noqa: A002 - what the command line calls it too
    split: str | None = None,
    hand: HandArrays | None = None,
) -> AnnotatedDataset:
    """Open and check a data set.

    Args:
        uri: its root, local or on S3.
        format: a key of :data:`FORMATS`; None finds out by the files.
        split: the format's own name of a split; None takes the first that is there, training before the others.
        hand: the hand model the labels were made with (MANO for the published sets, hoiray's open hand for synthetic
            ones). Formats whose parameters mean nothing without it then have no MANO parameters: FreiHAND, DexYCB,
            ho3d_processed.

    Raises:
        ConfigError: there is no such format.
        ContractError: no format is recognised, the format has no such split, or the files are not what they should be.
        InputError: a file the whole set depends on is missing.
    """
    if format is not None and format not in FORMATS:
        nearest = difflib.get_close_matches(format, FORMATS, n=1)
        fix = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one."
        expected = f"one of {', '.join(FORMATS)}"
        raise ConfigError(describe(what="data set format", expected=expected, found=repr(format), fix=fix))
    name = detect_format(uri) if format is None else format
    chosen = FORMATS[name]
    return chosen.open(uri, split or chosen.default_split(Store.open(uri)), hand)
