"""The rows of a run as a report needs them: who, verdict, reasons and every measurement, some 150 bytes a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.schema.vocabularies import REJECT_REASONS

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

REASONS: Final = tuple(REJECT_REASONS)
"""The columns of :attr:`LabelRows.reasons`."""


@dataclass(frozen=True, eq=False)
class LabelRows:
    """Rows of ``labels``.

    Attributes:
        video_names: (V,) every video once, sorted.
        video: (N,) index of its video.
        frame: (N,) frame_index.
        hand: (N,) hand_index.
        track: (N,) track_index, of its video.
        is_right: (N,).
        is_accepted: (N,).
        reasons: (N, R) which reasons stand against it, columns as :data:`REASONS`.
        is_answered: (N,) whether the predictor gave a prediction.
        confidence: (N,) NaN where nothing was calibrated.
        measured: name of every measurement to (N,) values in the unit of its column, NaN where not measured.
        unit: (N,) number of the committed data object it lies in.
    """

    video_names: tuple[str, ...]
    video: Ints
    frame: Ints
    hand: Ints
    track: Ints
    is_right: Bools
    is_accepted: Bools
    reasons: Bools
    is_answered: Bools
    confidence: Floats
    measured: Mapping[str, Floats]
    unit: Ints

    def __len__(self) -> int:
        return len(self.video)

    @property
    def has_confidence(self) -> bool:
        """Whether any row carries a calibrated confidence."""
        return bool(np.isfinite(self.confidence).any())

    @property
    def num_frames(self) -> int:
        """Different frames with a row."""
        return len(np.unique(np.stack([self.video, self.frame]), axis=1).T) if len(self) else 0

    def values(self, name: str) -> Floats:
        """(N,) values of a measurement, or the confidence, in the unit of its column."""
        return self.confidence if name == "confidence" else self.measured[name]

    def counts_by_video(self) -> tuple[Ints, Ints]:
        """(V,) rows of every video, and accepted ones."""
        count = len(self.video_names)
        return np.bincount(self.video, minlength=count), np.bincount(self.video[self.is_accepted], minlength=count)


_ARRAYS: Final = tuple(
    field.name for field in fields(LabelRows) if field.name not in {"video_names", "video", "measured", "unit"}
)


def join_rows(parts: Sequence[LabelRows]) -> LabelRows:
    """Put the rows of several data objects behind each other; `unit` becomes the number of the part."""
    names = tuple(sorted({name for part in parts for name in part.video_names}))
    index = {name: number for number, name in enumerate(names)}
    renumbered = [np.array([index[name] for name in part.video_names], dtype=np.int64)[part.video] for part in parts]
    return LabelRows(
        video_names=names,
        video=np.concatenate(renumbered),
        measured={name: np.concatenate([part.measured[name] for part in parts]) for name in MEASUREMENT_NAMES},
        unit=np.repeat(np.arange(len(parts), dtype=np.int64), [len(part) for part in parts]),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS},
    )
