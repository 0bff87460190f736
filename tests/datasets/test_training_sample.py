from dataclasses import FrozenInstanceError, fields

import memory_dataset as memory
import numpy as np
import pytest

from hoiray.datasets.crop_plan import CropSpec
from hoiray.datasets.label_source import AnnotatedSource
from hoiray.datasets.training_sample import TrainingSample
from hoiray.datasets.training_set import TrainingSet


def test_a_sample_has_the_shapes_and_types_it_promises() -> None:
    sample = TrainingSet.open([AnnotatedSource(memory.make_dataset(1))], CropSpec(48, roi_cells=6)).sample(0, epoch=0)
    shapes = {
        "image": ((48, 48, 3), np.uint8),
        "hand_box_xyxy": ((4,), np.float32),
        "object_box_xyxy": ((4,), np.float32),
        "rotations": ((16, 3, 3), np.float32),
        "betas": ((10,), np.float32),
        "joints_3d_m": ((21, 3), np.float32),
        "joints_2d_unit": ((21, 2), np.float32),
        "control_points_unit": ((21, 2), np.float32),
        "object_cells": ((6, 6), np.bool_),
        "K": ((3, 3), np.float64),
        "A_crop_image": ((3, 3), np.float64),
        "wrist_3d_m": ((3,), np.float64),
        "T_cam_obj": ((4, 4), np.float64),
    }
    for name, (shape, dtype) in shapes.items():
        value = getattr(sample, name)
        assert (value.shape, value.dtype) == (shape, dtype), name
    rest = {field.name for field in fields(TrainingSample)} - set(shapes)
    assert {type(getattr(sample, name)) for name in rest} == {str, bool, float}


def test_a_sample_cannot_be_given_other_labels() -> None:
    sample = TrainingSet.open([AnnotatedSource(memory.make_dataset(1))], CropSpec(48)).sample(0, epoch=0)
    with pytest.raises(FrozenInstanceError):
        sample.weight = 2.0  # type: ignore[misc]  # that is the point
