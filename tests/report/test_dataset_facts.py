import numpy as np

from hoiray.datasets.sample import DeadLetter, HandAnnotation, ManoParameters, ObjectAnnotation, Sample
from hoiray.report.dataset_facts import collect_facts

MANO = ManoParameters(np.zeros(3), np.zeros(45), np.zeros(10), np.zeros(3))


def _sample(number: int, recording: str, subject: str | None, *hands: HandAnnotation, pose: bool = False) -> Sample:
    objects = (ObjectAnnotation("mug", np.eye(4) if pose else None),)
    return Sample(str(number), recording, subject, "0", number, f"{number}.png", None, hands, objects)


def test_what_is_there_is_counted_and_what_is_not_told_stays_unknown() -> None:
    right, left = HandAnnotation(True, mano=MANO), HandAnnotation(False, joints_2d_px=np.zeros((21, 2)))
    unknown = HandAnnotation(None, bbox_xyxy=np.zeros(4))
    facts = collect_facts(
        [
            _sample(0, "A", "Ann", right, left, pose=True),
            _sample(1, "A", None, unknown),
            DeadLetter("2", "read annotation", "2.pkl: truncated"),
            _sample(3, "B", "Bob"),
        ]
    )
    assert (facts.num_samples, facts.num_recordings, facts.subjects) == (3, 2, ("Ann", "Bob"))
    assert facts.hands == {"right": 1, "left": 1, "unknown": 1}
    assert facts.hands_with["mano"] == facts.hands_with["joints_2d_px"] == facts.hands_with["bbox_xyxy"] == 1
    assert facts.hands_with["vertices"] == 0
    assert (facts.objects, facts.objects_with_pose, facts.samples_without_hand) == ({"mug": 3}, 1, 1)
    assert [letter.key for letter in facts.dead_letters] == ["2"]
