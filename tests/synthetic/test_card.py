import json
from pathlib import Path

import pytest
from toy_world import draw_flat, make_recording, slot, views_of

from hoiray.io.store import Store
from hoiray.synthetic.card import CARD_KEY, RecordingFacts, make_card, write_card
from hoiray.synthetic.writers.shot import film
from hoiray.synthetic.writers.truth import measure_truth

IDENTITY = {"domain": "lab", "size": "tiny", "seed": 7, "format": "ho3d_v2", "hoiray": "0.0"}


def facts_of(index: int, split: str, contact: dict[str, float], **changes: int) -> RecordingFacts:
    values = {
        "recording_id": f"r{index}", "split": split, "subject_id": f"s{index}", "num_frames": 10, "num_cameras": 5,
        "image_size": (480, 640), "objects": ["025_mug"], "is_right": True, "num_holding": 6, "contact": contact,
        "hands": {"target": 8, "distractor": 3, "barely visible": 1, "out of view": 1},
    }  # fmt: skip
    return RecordingFacts(**{**values, **changes})  # type: ignore[arg-type]  # a table of mixed values


@pytest.fixture
def facts() -> list[RecordingFacts]:
    grasps = ({"max_penetration_m": 0.001, "num_contacts": 5.0}, {"max_penetration_m": 0.003, "num_contacts": 3.0}, {})
    splits = ("train", "train", "test")
    return [facts_of(index, split, grasp) for index, (split, grasp) in enumerate(zip(splits, grasps, strict=True))]


def test_counts_are_by_split_and_in_all(facts: list[RecordingFacts]) -> None:
    card = make_card(IDENTITY, "layout", facts)
    assert "| train | 2 | 20 | 2 | 1 | 2 | 0 | 0 |" in card
    assert "| validation | 0 | 0 | 0 | 0 | 0 | 0 | 0 |" in card
    assert "| all | 3 | 30 | 3 | 1 | 3 | 0 | 0 |" in card
    assert "| distractor | 9 |" in card
    assert "in 18 of 30 frames" in card


def test_contacts_are_those_of_the_grasps_in_millimetres(facts: list[RecordingFacts]) -> None:
    card = make_card(IDENTITY, "layout", facts)
    assert "| deepest penetration of a vertex | 2.00 mm | 2.90 mm | 3.00 mm |" in card
    assert "| parts of the hand that touch | 4.00 | 3.10 | 3.00 |" in card
    assert "2 grasps" in card
    assert "No hand holds anything" in make_card(IDENTITY, "layout", facts[2:])


def test_every_knob_and_the_licence_are_told(facts: list[RecordingFacts]) -> None:
    card = make_card(IDENTITY, "layout", facts)
    assert "| hand_speed_m_s | 0.2 to 0.45 |" in card
    assert "| grasp_weights | power 0.6, precision 0.25" in card
    assert "| camera_kinds | tripod |" in card
    assert "CC0" in card
    assert "`hoiray synth lab --out URI --size tiny --seed 7 --format ho3d_v2`" in card


def test_facts_go_through_json(facts: list[RecordingFacts], tmp_path: Path) -> None:
    back = [RecordingFacts.from_json(json.loads(json.dumps(item.to_json()))) for item in facts]
    assert back == facts
    write_card(Store.open(tmp_path), IDENTITY, "layout", back)
    assert (tmp_path / CARD_KEY).read_text() == make_card(IDENTITY, "layout", facts)


def test_hands_are_counted_by_how_they_are_seen() -> None:
    recording = make_recording(num_frames=4, num_cameras=1, size=(120, 160), focal=150.0)
    facts = RecordingFacts.begin(recording, slot(0, "train"))
    for shot in film(views_of(recording), draw_flat):
        facts.add(measure_truth(shot))
    assert facts.num_frames == 4
    assert sum(facts.hands.values()) == 8
    assert facts.hands["target"] == 4
    assert facts.num_holding == 2
