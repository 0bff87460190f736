import filter_oracles as oracle
import numpy as np
from filter_scenes import predictions, rows_of

from hoiray.filters.tracks import TrackRule
from hoiray.stages.group import VideoGroups, group_by_video
from hoiray.stages.track import global_track_numbers, track, track_columns


def test_a_table_is_tracked_as_its_rows_are() -> None:
    groups = group_by_video(predictions(seed=3, num_videos=6))
    tracks, frames = track(groups), groups.table["frame_index"].to_numpy()
    columns = {name: column.to_pylist() for name, column in track_columns(tracks, frames).items()}
    rows = rows_of(groups.table)
    for start, end in zip(groups.starts[:-1], groups.starts[1:], strict=True):
        wanted = oracle.tracks(rows[start:end])
        assert columns["track_index"][start:end] == [one.track for one in wanted]
        gaps = [
            None if one.before is None else frames[start + i] - frames[start + one.before]
            for i, one in enumerate(wanted)
        ]
        assert columns["predecessor_gap_frames"][start:end] == gaps


def test_the_rule_is_passed_on() -> None:
    groups = group_by_video(predictions(seed=3, num_videos=6))
    strict = track(groups, TrackRule(min_iou=1.0, max_gap_frames=1))
    assert (strict.predecessor < 0).sum() > (track(groups).predecessor < 0).sum()


def test_track_numbers_are_unique_over_videos() -> None:
    groups = group_by_video(predictions(seed=4, num_videos=6))
    tracks = track(groups)
    numbers = global_track_numbers(tracks, groups)
    video = np.repeat(np.arange(6), np.diff(groups.starts))
    pairs = {(int(v), int(t)): int(n) for v, t, n in zip(video, tracks.track_index, numbers, strict=True)}
    assert sorted(pairs.values()) == list(range(len(pairs)))
    assert len(pairs) > 6


def test_no_rows_have_no_tracks() -> None:
    table = predictions(seed=4, num_videos=1).slice(0, 0)
    groups = VideoGroups(table, np.zeros(1, dtype=np.int64))
    assert len(global_track_numbers(track(groups), groups)) == 0
