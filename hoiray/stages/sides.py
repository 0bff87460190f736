"""Sides: hands predicted under both hypotheses about their side in, rows of the table FUSED with decided sides out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hoiray.filters.sides import track_sides
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.stages.group import group_by_video
from hoiray.stages.measure import FUSED

SIDE_LEAD: Final = "side_lead"


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """N hands under two hypotheses about their sides.

    Attributes:
        first: schema FUSED.
        second: the same hands under the other hypothesis; of hands whose side is known, the same rows.
        lead: (N,) by how much the first one is the more consistent; NaN where the side is known.
    """

    first: pa.Table
    second: pa.Table
    lead: npt.NDArray[np.floating]

    @classmethod
    def of_known(cls, table: pa.Table) -> "Hypotheses":
        """Take hands whose sides are known."""
        return cls(table, table, np.full(table.num_rows, np.nan))

    def without(self, video_id: str) -> "Hypotheses":
        """Leave out the hands of a video."""
        is_other = np.array([name != video_id for name in self.first["video_id"].to_pylist()], dtype=np.bool_)
        kept = pa.array(is_other)
        return Hypotheses(self.first.filter(kept), self.second.filter(kept), self.lead[is_other])


def decided(parts: Sequence[Hypotheses], *, is_one_person: bool) -> pa.Table:
    """Decide the side of every track whose side is guessed, over all parts together.

    Args:
        parts: one or more; the hands of a video may lie in several.
        is_one_person: whether two hands of a frame are presumed to be a left and a right one.

    Returns:
        Schema FUSED, sorted by key.
    """
    first, second = (pa.concat_tables([getattr(part, name) for part in parts]) for name in ("first", "second"))
    order = np.asarray(pc.sort_indices(first, [(name, "ascending") for name in FUSED.key]), dtype=np.int64)
    lead = np.concatenate([part.lead for part in parts])[order]
    said = np.full(len(order), np.nan)
    is_first = np.ones(len(order), dtype=np.bool_)
    guessed = np.flatnonzero(~np.isnan(lead))
    if len(guessed):
        groups = group_by_video(
            first.select(("video_id", "frame_index", "hand_index", "bbox_xyxy", "is_right")).take(order[guessed])
        )
        frame, boxes, is_right = (
            unpack_column(groups.table, FUSED[name]) for name in ("frame_index", "bbox_xyxy", "is_right")
        )
        for_right = np.where(is_right, lead[guessed], -lead[guessed])
        sides = track_sides(
            for_right, frame, boxes, groups.starts, is_first_right=is_right, is_one_person=is_one_person
        )
        said[guessed], is_first[guessed] = sides.lead, sides.is_right == is_right
    place = np.where(is_first, order, order + len(order))
    table = pa.concat_tables([first, second]).take(pa.array(place)).combine_chunks()
    column = pack_column(FUSED[SIDE_LEAD], said.astype(np.float32), np.isnan(said))
    return table.set_column(table.schema.get_field_index(SIDE_LEAD), table.schema.field(SIDE_LEAD), column)
