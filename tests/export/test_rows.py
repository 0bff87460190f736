import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from export_scenes import REFUSED_ROWS, scene
from valid_tables import replaced

from hoiray.errors import InputError
from hoiray.export.rows import Tally, plain_row, read_video_labels


def test_videos_come_one_by_one_and_every_row_is_counted(tmp_path: Path) -> None:
    made = scene(tmp_path)
    tally = Tally()
    videos = list(read_video_labels(made.run, tally))
    assert [video.video_id for video in videos] == ["v000.mp4", "v003.mp4"]
    assert [len(video.rows(with_refused=True)) for video in videos] == [3, 3]
    assert [len(video.rows(with_refused=False)) for video in videos] == [2, 2]
    assert videos[0].require_stored().uri.endswith("v000.mp4")
    counts = tally.to_json()
    assert (counts["num_rows"], counts["num_accepted"], counts["num_refused"]) == (6, 4, 2)
    assert counts["reasons"] == {"reprojection": len(REFUSED_ROWS)}


def test_a_video_the_plan_does_not_know_says_so(tmp_path: Path) -> None:
    made = scene(tmp_path)
    (video, *_) = read_video_labels(made.run, Tally())
    stranger = type(video)(video.video_id, video.table, None)
    with pytest.raises(InputError, match=r"v000\.mp4: expected a video in the plan, found none"):
        stranger.require_stored()


def test_a_plain_row_is_json_with_matrices_and_nulls(tmp_path: Path) -> None:
    made = scene(tmp_path, count=1)
    rows = replaced(made.rows, "box_iou", pa.array([np.nan], pa.float32()))
    plain = plain_row(rows.to_pylist()[0])
    assert plain["box_iou"] is None
    assert np.shape(plain["joints_3d"]) == (21, 3)
    assert np.shape(plain["K"]) == (3, 3)
    json.dumps(plain, allow_nan=False)
