"""The card of a generated data set: what it holds, how it was made, how good its contacts are, what it is for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from hoiray.io.store import Store
from hoiray.synthetic.domains import Domain, domain_of
from hoiray.synthetic.scene import Recording
from hoiray.synthetic.writers.shot import Slot
from hoiray.synthetic.writers.truth import ShotTruth

CARD_KEY: Final = "README.md"

BARELY_VISIBLE: Final = 0.25
"""Hands of which less is seen are counted apart."""

_CONTACT_ROWS: Final = (
    ("max_penetration_m", "deepest penetration of a vertex", 1e3, "mm"),
    ("mean_penetration_m", "mean penetration of the vertices inside", 1e3, "mm"),
    ("mean_contact_distance_m", "mean distance of the touching parts", 1e3, "mm"),
    ("num_contacts", "parts of the hand that touch", 1.0, ""),
)


@dataclass
class RecordingFacts:
    """What the card needs of a recording; plain data that JSON can hold.

    Attributes:
        recording_id, split, subject_id: of the recording.
        num_frames: all cameras together.
        num_cameras: of the recording.
        image_size: (height, width) px.
        objects: names of the handled ones.
        is_right: side of the target hand.
        hands: hands seen, by kind: target, distractor, barely visible, out of view.
        num_holding: frames whose target hand holds the object.
        contact: statistics of the grasp; empty where nothing is held.
    """

    recording_id: str
    split: str
    subject_id: str
    num_frames: int
    num_cameras: int
    image_size: tuple[int, int]
    objects: list[str]
    is_right: bool
    hands: dict[str, int]
    num_holding: int
    contact: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, recording: Recording, slot: Slot) -> "RecordingFacts":
        """Note what is known before a frame is drawn."""
        target = next(hand for hand in recording.hands if hand.is_target)
        return cls(
            recording_id=recording.recording_id,
            split=slot.split,
            subject_id=target.subject_id,
            num_frames=0,
            num_cameras=len(recording.cameras),
            image_size=recording.cameras[0].image_size,
            objects=[item.name for item in recording.objects if item.is_target],
            is_right=target.is_right,
            hands={"target": 0, "distractor": 0, "barely visible": 0, "out of view": 0},
            num_holding=0,
            contact={key: float(value) for key, value in recording.contact_statistics.items()},
        )

    def add(self, truth: ShotTruth) -> None:
        """Count a frame."""
        self.num_frames += 1
        for row in truth.hands:
            self.num_holding += int(row["is_target"] and row["holds_object"])
            fraction = row["visible_fraction"]
            if row["visible_px"] == 0:
                self.hands["out of view"] += 1
            elif fraction is not None and fraction < BARELY_VISIBLE:
                self.hands["barely visible"] += 1
            else:
                self.hands["target" if row["is_target"] else "distractor"] += 1

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "RecordingFacts":
        """Undo :meth:`to_json`."""
        height, width = content["image_size"]
        return cls(**{**content, "image_size": (int(height), int(width))})


def write_card(store: Store, identity: Mapping[str, Any], layout: str, facts: Sequence[RecordingFacts]) -> None:
    """Write the card to the root of a data set.

    Args:
        store: the root.
        identity: domain, size, seed, format and version: what the files follow from.
        layout: the format in one line.
        facts: of every recording.
    """
    store.write(CARD_KEY, make_card(identity, layout, facts).encode("utf-8"))


def make_card(identity: Mapping[str, Any], layout: str, facts: Sequence[RecordingFacts]) -> str:
    """Return the card as Markdown; it holds no time and no place, so that equal sets have equal cards."""
    domain = domain_of(identity["domain"])
    sections = (
        _head(identity, domain, layout),
        _counts(facts),
        _visibility(facts),
        _contact(facts),
        _knobs(domain),
        _use(identity),
    )
    return "\n\n".join(sections) + "\n"


def _head(identity: Mapping[str, Any], domain: Domain, layout: str) -> str:
    command = (
        f"hoiray synth {identity['domain']} --out URI --size {identity['size']} --seed {identity['seed']}"
        f" --format {identity['format']}"
    )
    return "\n".join(
        [
            f"# hoiray synthetic hands: {identity['domain']}, {identity['size']}, seed {identity['seed']}",
            "",
            f"Rendered by hoiray {identity['hoiray']}; no photograph, no person. It plays the part of {domain.twin_of}"
            " and is not that data set: numbers measured here are not numbers on it.",
            "",
            f"- format: {identity['format']} ({layout})",
            f"- made by: `{command}`",
            "- the same command makes the same bytes on any number of workers (same versions of the libraries)",
            "- truth of every hand and object of every frame, also of what the format does not tell: `hoiray_truth/`",
        ]
    )


def _counts(facts: Sequence[RecordingFacts]) -> str:
    lines = ["## What it holds", "", "| split | recordings | frames | people | objects | right | left | empty hand |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for split in ("train", "validation", "test", "all"):
        part = [item for item in facts if split in {item.split, "all"}]
        numbers = (
            len(part),
            sum(item.num_frames for item in part),
            len({item.subject_id for item in part}),
            len({name for item in part for name in item.objects}),
            sum(item.is_right for item in part),
            sum(not item.is_right for item in part),
            sum(not item.objects for item in part),
        )
        lines.append(f"| {split} | " + " | ".join(map(str, numbers)) + " |")
    sizes = Counter(f"{item.image_size[1]} x {item.image_size[0]}" for item in facts)
    lines += [
        "",
        "No person is in two splits. Right, left and empty hands are counted by recording.",
        f"Image sizes, px: {', '.join(f'{size} ({count})' for size, count in sorted(sizes.items()))}.",
        f"Cameras a recording: {', '.join(map(str, sorted({item.num_cameras for item in facts})))}.",
    ]
    return "\n".join(lines)


def _visibility(facts: Sequence[RecordingFacts]) -> str:
    total: Counter[str] = Counter()
    for item in facts:
        total.update(item.hands)
    holding, frames = sum(item.num_holding for item in facts), sum(item.num_frames for item in facts)
    lines = ["## Hands in the frames", "", "| hand | number |", "|---|---|"]
    lines += [f"| {kind} | {total[kind]} |" for kind in ("target", "distractor", "barely visible", "out of view")]
    seen = f"Barely visible: less than {BARELY_VISIBLE:.0%} of its outline."
    lines += ["", f"{seen} The target hand holds its object in {holding} of {frames} frames."]
    return "\n".join(lines)


def _contact(facts: Sequence[RecordingFacts]) -> str:
    lines = ["## Contact of hand and object", ""]
    grasps = [item.contact for item in facts if item.contact]
    if not grasps:
        return "\n".join([*lines, "No hand holds anything."])
    lines += ["| measured on each grasp | median | 95 % are better than | worst |", "|---|---|---|---|"]
    for key, words, factor, unit in _CONTACT_ROWS:
        values = factor * np.array([grasp[key] for grasp in grasps if key in grasp])
        if values.size:
            # of the parts that touch more is better, of all else less
            bad, worst = (5, values.min()) if key == "num_contacts" else (95, values.max())
            cells = (np.median(values), np.percentile(values, bad), worst)
            lines.append(f"| {words} | " + " | ".join(f"{value:.2f} {unit}".rstrip() for value in cells) + " |")
    return "\n".join([*lines, "", f"{len(grasps)} grasps; a hand holds rigidly, so a grasp is measured once."])


def _knobs(domain: Domain) -> str:
    lines = ["## Knobs of the domain", "", "Shares are of recordings; ranges are drawn from once a recording.", ""]
    lines += ["| knob | value |", "|---|---|"]
    for name, value in asdict(domain.knobs).items():
        lines.append(f"| {name} | {_knob_text(value)} |")
    return "\n".join(lines)


def _knob_text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {share:g}" for key, share in value.items())
    if isinstance(value, tuple):
        numbers = [f"{item:g}" if isinstance(item, float) else str(item) for item in value]
        is_range = len(value) == 2 and all(isinstance(item, int | float) for item in value)
        return " to ".join(numbers) if is_range else ", ".join(numbers)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _use(identity: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            "## Licence and limits",
            "",
            "The files are dedicated to the public domain (CC0 1.0): hand, objects, textures and rooms are hoiray's own"
            " or CC0. The code that made them is Apache-2.0.",
            "",
            "The hand is hoiray's open hand in MANO's array layout, not MANO: parameters of one mean nothing to the"
            " other. Objects that carry the name of a published model are shapes of about its size, not the model.",
            f"Sets of this domain and seed {identity['seed']} in other sizes show the same people in other splits: for"
            " training on one set and testing on another, take different seeds.",
        ]
    )
