"""`hoiray explain` on stored predictions."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
from filter_scenes import predictions
from labelling import Clip, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.cli.explain import ExplainRequest, explain, lineage_lines, measurement_rows, spread_lines, verdict_lines
from hoiray.config.what import PaperLimits
from hoiray.errors import ConfigError, InputError
from hoiray.filters.rules import Limit, Rules, paper_rules
from hoiray.io.parquet import parquet_bytes
from hoiray.schema.label_columns import MEASUREMENT_NAMES
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.ids import make_judge_id
from hoiray.stages.judge import judge
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here

RULES = paper_rules(PaperLimits())
ROWS = judge(predictions(seed=2, num_videos=12), RULES, "j").to_pylist()


def test_every_measurement_stands_beside_its_limit_and_the_words_are_those_of_the_verdict() -> None:
    for row in ROWS:
        cells = {name: (value, limit, words) for name, value, limit, words in measurement_rows(row, RULES)}
        assert list(cells) == list(MEASUREMENT_NAMES)
        value, limit, words = cells["box_iou"]
        assert limit == "at least 0.6"
        if math.isnan(row["box_iou"]):
            assert (value, words.split(":")[0]) == ("-", "not measured")
        else:
            assert words == ("passes" if row["box_iou"] >= 0.6 else "fails")
        assert cells["crop_change"][1] == ""


def test_a_refused_row_names_every_reason_and_an_accepted_one_none() -> None:
    for row in ROWS:
        lines = verdict_lines(row, RULES)
        assert lines[0].startswith("accepted" if row["accepted"] else "refused")
        for reason in row["reasons"]:
            assert any(line.startswith(f"  {reason}: ") for line in lines)


def test_members_are_told_with_the_joints_at_which_they_disagree() -> None:
    row = next(row for row in ROWS if row["spread_joints_3d_m"] is not None)
    row = row | {"spread_joints_3d_m": [0.001] * 20 + [0.009]}
    (line,) = spread_lines(row)
    assert "pinky" in line
    assert "9.0 mm" in line


def test_lineage_names_the_verdict_a_run_would_have_given_the_label() -> None:
    said = "\n".join(lineage_lines(ROWS[0], PaperLimits(), None))
    assert make_judge_id(ROWS[0]["predict_id"], PaperLimits()) in said
    assert ROWS[0]["shard_id"] in said


def test_a_frame_is_found_by_the_videos_bare_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet_bytes(predictions(seed=2, num_videos=12)))
    row = ROWS[5]
    asked = ExplainRequest(str(tmp_path), row["video_id"], row["frame_index"], limits="paper")
    assert explain(asked) == 0
    said = capsys.readouterr().out
    assert f"frame {row['frame_index']}" in said
    assert "box_iou" in said
    with pytest.raises(InputError, match="expected a frame with a label: "):
        explain(replace(asked, frame_index=9999))
    with pytest.raises(InputError, match="expected one with labels, found none"):
        explain(replace(asked, video_id="no such clip"))
    with pytest.raises(ConfigError, match=r"expected a name ending in \.png or \.jpg"):
        explain(replace(asked, out="picture.html"))


def test_a_guard_on_what_is_no_column_stands_beside_its_number() -> None:
    palm = (Limit("palm_length_m", 0.02, "min"), Limit("palm_length_m", 0.05, "max"))
    guards = Rules((*palm, Limit("box_iou", 0.3, "min")), limits_are_guards=True)
    for row in judge(predictions(seed=2, num_videos=12), guards, "j").to_pylist():
        cells = {name: (value, limit, words) for name, value, limit, words in measurement_rows(row, guards)}
        value, limit, words = cells["palm_length_m"]
        assert limit == "at least 0.02, at most 0.05"
        if row["joints_3d"] is None:
            assert (value, words) == ("-", "not measured: no prediction")
        else:
            assert words == ("fails" if "hand_size" in row["reasons"] else "passes")
            assert (not 0.02 <= float(value.split()[0]) <= 0.05) == (words == "fails")


def test_rules_without_limits_judge_nothing() -> None:
    assert {words.split(":")[0] for *_, words in measurement_rows(ROWS[0], Rules(()))} <= {"not judged", "not measured"}


def test_a_run_is_replayed_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_videos(str(tmp_path), {"a.mp4": Clip(3)})
    job = open_label_job(run_of(tmp_path, tmp_path / "out"))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
    frames.close()
    picture = tmp_path / "record.png"
    asked = ExplainRequest(str(tmp_path / "out"), "a", 1, out=str(picture), replays=True)
    assert explain(asked) == 0
    said = capsys.readouterr().out
    assert "replay: every number and the verdict are the same, bit for bit" in said
    assert cv2.imread(str(picture)).shape[0] > 400
