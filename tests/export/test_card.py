from dataclasses import replace
from pathlib import Path

import yaml
from export_scenes import lineage, scene

from hoiray.export.card import LEFT_OUT, make_card
from hoiray.export.coco import CARD
from hoiray.export.job import Options
from hoiray.export.rows import Tally
from hoiray.hand.load import MANO_LICENCE

HOSTILE_LICENCE = "CC-BY: 4.0\n---\n<script>alert(1)</script> | x"


def card(tmp_path: Path, options: Options, tally: Tally | None = None, **facts: object) -> str:
    told = replace(lineage(scene(tmp_path, count=1).run), **facts)  # type: ignore[arg-type]
    return make_card(CARD, told, options, tally or Tally()).decode()


def test_the_header_is_yaml_whatever_the_licence_is_called(tmp_path: Path) -> None:
    text = card(tmp_path, Options(licence=HOSTILE_LICENCE))
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["license"] == "other"
    assert header["license_name"].replace("-", "").isalnum() or "." in header["license_name"]
    assert "<script>" not in text


def test_the_card_counts_reasons_and_what_is_left_out(tmp_path: Path) -> None:
    tally = Tally(num_videos=2, num_rows=9, num_accepted=5)
    tally.reasons.update({"box_iou": 3, "motion_2d": 4})
    tally.leave_out("left_hand", 2)
    text = card(tmp_path, Options(), tally)
    assert "| refused | 4 |" in text
    assert "| box_iou is below its limit | 3 |" in text
    assert f"| {LEFT_OUT['left_hand']} | 2 |" in text
    assert "Refused labels are not in it." in text


def test_the_card_states_licence_lineage_and_limits(tmp_path: Path) -> None:
    text = card(tmp_path, Options(licence="CC-BY-4.0"))
    for words in ("The labels: CC-BY-4.0.", f"judge_id: `{'j' * 32}`", "| `box_iou` | \\>= 0.6 |", "CC0-1.0"):
        assert words in text
    assert "SECRET" not in text
    assert "do NOT allow" in card(tmp_path, Options(), hand_licence=MANO_LICENCE.name, allows_commercial_use=False)


def test_unknown_limits_and_licences_are_called_so(tmp_path: Path) -> None:
    text = card(tmp_path, Options(), limits={})
    assert "not written beside the run" in text
    assert "not stated by whoever exported them" in text
