import dataclasses
import pickle

import numpy as np
import pytest

from hoiray.datasets import sample as module
from hoiray.datasets.sample import HandAnnotation, ManoParameters, Masks, ObjectAnnotation, Sample

RECORDS = [
    kind for kind in vars(module).values() if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]


def test_what_a_data_set_does_not_tell_is_none_and_never_a_number() -> None:
    hand = HandAnnotation(is_right=None)
    assert {getattr(hand, field.name) for field in dataclasses.fields(hand)} == {None}
    thing = ObjectAnnotation("mug")
    assert (thing.T_cam_obj, thing.control_points_2d_px, thing.bbox_xyxy) == (None, None, None)
    assert (Masks().hand, Masks().objects) == (None, {})


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_cannot_be_changed_by_whoever_reads_it(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it


def test_a_sample_travels_to_a_worker() -> None:
    mano = ManoParameters(np.ones(3), np.zeros(45), np.zeros(10), np.zeros(3))
    sent = Sample("A/1", "A", "Ann", "0", 1, "A/1.png", np.eye(3), (HandAnnotation(True, mano=mano),))
    received = pickle.loads(pickle.dumps(sent))
    assert (received.sample_id, received.subject_id, received.objects) == ("A/1", "Ann", ())
    np.testing.assert_array_equal(received.hands[0].mano.global_orient, np.ones(3))
