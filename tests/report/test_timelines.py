import numpy as np
from report_scenes import rows_of

from hoiray.report.measures import measures_of
from hoiray.report.timelines import (
    MAX_STILLS,
    MAX_TRACK_FRAMES,
    MAX_TRACKS,
    NUM_ROWS,
    lay_out_timelines,
    rounded,
    timeline_data,
)

MEASURES = measures_of(None, has_confidence=False)


def test_every_video_with_a_shown_label_gets_a_time_line_of_its_tracks() -> None:
    rows = rows_of(("a", "b", "c"), 6, track=np.tile([0, 0, 0, 0, 1, 1], 3))
    first, second = lay_out_timelines(rows, np.array([1, 13, 16]))
    assert (first.name, second.name) == ("a", "c")
    assert [track.rows.tolist() for track in second.tracks] == [[12, 13, 14, 15], [16, 17]]
    assert (second.place_of(13), second.place_of(16)) == (0, 1)
    assert second.tracks[1].still_rows == [16, 17]


def test_of_a_hand_that_was_found_twice_one_row_is_drawn() -> None:
    rows = rows_of(("a",), 4, frame=np.array([0, 1, 1, 2]), hand=np.array([0, 1, 0, 0]))
    (timeline,) = lay_out_timelines(rows, np.array([0]))
    assert timeline.tracks[0].rows.tolist() == [0, 2, 3]
    assert timeline.place_of(1) == 0


def test_many_tracks_are_cut_to_the_longest_and_those_with_a_shown_label() -> None:
    rows = rows_of(("a",), 40, track=np.r_[np.zeros(20), np.arange(1, 21)].astype(np.int64))
    (timeline,) = lay_out_timelines(rows, np.array([39]))
    assert len(timeline.tracks) == MAX_TRACKS + 1
    assert timeline.tracks[timeline.place_of(39)].rows.tolist() == [39]
    data = timeline_data(timeline, rows, MEASURES, {}, "")
    assert data["note"].startswith("14 shorter tracks")


def test_small_frames_are_few_and_of_rows_with_a_prediction() -> None:
    is_answered = np.ones(40, np.bool_)
    is_answered[:10] = False
    rows = rows_of(("a",), 40, is_answered=is_answered)
    (timeline,) = lay_out_timelines(rows, np.array([20]))
    stills = timeline.tracks[0].still_rows
    assert len(stills) == MAX_STILLS
    assert (stills[0], stills[-1]) == (10, 39)


def test_the_script_is_told_frames_verdicts_reasons_and_values() -> None:
    measured = dict(rows_of(("a",), 4).measured)
    measured["box_iou"] = np.array([0.5, np.nan, 0.25, 1 / 3], np.float32)
    rows = rows_of(("a",), 4, measured=measured)
    (timeline,) = lay_out_timelines(rows, np.array([0]))
    data = timeline_data(timeline, rows, MEASURES, {0: "data:a", 99: "data:b"}, "a note.")
    track = data["tracks"][0]
    assert data["note"] == "a note."
    assert track["frames"] == [0, 1, 2, 3]
    assert track["accepted"] == [1, 0, 1, 0]
    assert track["reasons"] == [[], [0], [], [1]]
    assert track["values"][[it.name for it in MEASURES].index("box_iou")] == [0.5, None, 0.25, 0.333333343]
    assert track["stills"] == [{"frame": 0, "picture": "data:a"}]
    assert track["confidence"] == [None] * 4


def test_a_long_track_is_cut_around_the_shown_label() -> None:
    rows = rows_of(("a", "b"), 5000)
    (timeline,) = lay_out_timelines(rows, np.array([7000]))
    own = timeline.tracks[0].rows
    assert (len(own), 7000 in own, timeline.tracks[0].is_cut) == (MAX_TRACK_FRAMES, True, True)
    assert timeline_data(timeline, rows, MEASURES, {}, "")["note"] == "Of long tracks a part is shown."


def test_all_time_lines_together_stay_small_however_many_and_long() -> None:
    rows = rows_of(tuple(f"{index:03d}" for index in range(200)), 300)
    timelines = lay_out_timelines(rows, np.arange(0, len(rows), 300))
    assert len(timelines) == 200
    assert sum(len(track.rows) for timeline in timelines for track in timeline.tracks) <= NUM_ROWS


def test_numbers_stay_apart_when_they_are_shortened() -> None:
    value = np.float32(0.6)
    for other in (np.nextafter(value, np.float32(0)), np.nextafter(value, np.float32(1))):
        assert (float(value) < float(other)) == ((rounded(float(value)) or 0) < (rounded(float(other)) or 0))
    assert rounded(float("nan")) is None
