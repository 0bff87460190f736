"""A few annotated hands as a reader returns them, into which the tests plant errors of convention."""

import dataset_files as files
import numpy as np

from hoiray.datasets.annotation_checks import first_problem
from hoiray.datasets.conventions import Conventions, Problem
from hoiray.datasets.sample import HandAnnotation, ManoParameters, Sample

N = 6
K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
LIKE_HO3D = Conventions("mano", "opengl", "opengl", flat_hand_mean=True, tip_set="ho3d")
LIKE_DEXYCB = Conventions("simple", "opencv", "opencv", flat_hand_mean=False, tip_set="manopth")


def samples(
    hands: files.Hands,
    *,
    joints: np.ndarray | None = None,
    is_right: bool | None = True,
    with_mano: bool = True,
    with_vertices: bool = False,
    joints_2d: np.ndarray | None = None,
    **mano: np.ndarray,
) -> list[Sample]:
    made = []
    for i in range(N):
        values = {name: getattr(hands, name)[i] for name in ("global_orient", "hand_pose", "betas", "transl")}
        values.update({name: value[i] for name, value in mano.items()})
        hand = HandAnnotation(
            is_right=is_right,
            mano=ManoParameters(**values) if with_mano else None,
            joints_3d=(hands.joints if joints is None else joints)[i],
            vertices=hands.vertices[i] if with_vertices else None,
            joints_2d_px=None if joints_2d is None else joints_2d[i],
        )
        made.append(Sample(str(i), "r", None, None, i, "x.png", K, (hand,)))
    return made


def problem_of(made: list[Sample], conventions: Conventions = LIKE_HO3D, **options: object) -> Problem | None:
    return first_problem(made, conventions, hand=files.arrays(), image_size_wh=(640, 480), **options)  # type: ignore[arg-type]  # tests
