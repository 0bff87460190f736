"""The facts of `ho3d-process`, the preprocessed HO-3D v2 labels that circulate with Semi-Hand-Object's code.

Layout below the root; the images stay in an HO-3D v2 of their own::

    train.txt                lines "ABF10/0042"
    train_K.json             N x 3 x 3
    train_joint.json         N x 21 x 3: **OpenCV** axes, metres, simple order
    train_mano.json          N x 58: 48 pose, its global orientation in **OpenGL** axes, and 10 betas; no translation
    train_obj.json           N x 21 x 2: projected control points of the object, px
    train_segLabel/ABF10/0042.png      640 x 480, 0 or 255: the object's mask

Source: the public code that reads these files (`dataset/ho3d.py`).
"""

from typing import Final

from hoiray.hand.joints import JointOrder

LIST_KEY: Final = "train.txt"
K_KEY: Final = "train_K.json"
JOINTS_KEY: Final = "train_joint.json"
MANO_KEY: Final = "train_mano.json"
CONTROL_POINTS_KEY: Final = "train_obj.json"
JOINT_ORDER: Final[JointOrder] = "simple"
TIP_SET: Final = "ho3d"
FLAT_HAND_MEAN: Final = True
MASK_MIN_LEVEL: Final = 128


def mask_key(sequence: str, frame: str) -> str:
    """The object's mask of a frame."""
    return f"train_segLabel/{sequence}/{frame}.png"
