from dataclasses import replace

import numpy as np
import pytest

from hoiray.benchmarks import synth


@pytest.fixture(scope="module")
def task() -> synth.Task:
    return synth.make_task("lab", num_frames=2)


def test_both_sides_show_the_same_hand_and_object(task: synth.Task) -> None:
    assert [view.image_size for view in task.views] == [(256, 256)] * 2
    assert np.count_nonzero(task.renderer.render(task.views[0]).labels) > 300
    synth.refuse_disagreement(task)
    task.draw()
    task.rasterise()


def test_sides_that_show_different_things_are_refused(task: synth.Task) -> None:
    vertices, faces = task.meshes[0]
    moved = (vertices + np.array([0.05, 0.0, 0.0]), faces)
    with pytest.raises(RuntimeError, match="mean nothing"):
        synth.refuse_disagreement(replace(task, meshes=(moved, moved)))
