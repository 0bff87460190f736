import dataclasses
import pickle

import numpy as np
import pytest

from hoiray.synthetic import scene as module
from hoiray.synthetic.world import plan, simulate, view

RECORDS = [
    kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_the_truth_cannot_be_changed_by_whoever_reads_it(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it


def test_every_track_of_a_recording_has_one_entry_a_frame() -> None:
    recording = simulate(plan("wild", "tiny", 0)[0])
    lengths = {
        len(track)
        for hand in recording.hands
        for track in (hand.global_orient, hand.hand_pose, hand.transl, hand.forearm, hand.contact)
    }
    lengths |= {len(thing.T_world_obj) for thing in recording.objects}
    lengths |= {len(camera.T_cam_world) for camera in recording.cameras}
    assert lengths == {recording.num_frames}
    assert {hand.subject_id for hand in recording.hands} <= {subject.subject_id for subject in recording.subjects}


def test_a_view_travels_to_a_worker() -> None:
    sent = view(simulate(plan("studio", "tiny", 0)[0]), 0, 0)
    received = pickle.loads(pickle.dumps(sent))
    np.testing.assert_array_equal(received.hands[0].mano.transl, sent.hands[0].mano.transl)
    assert received.image_size == sent.image_size
