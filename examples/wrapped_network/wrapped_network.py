"""An external hand network (HaMeR, WiLoR, ...) as a teacher of hoiray: cut crops, run it, answer in full frames."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hoiray.datasets.crop_plan import CropSpec
from hoiray.geometry.rotations import rotation_z
from hoiray.hand.joints import reorder
from hoiray.hand.model import HandModel
from hoiray.hand.sides import mirror_points
from hoiray.predictors.protocol import HandPredictions, HandRequest
from hoiray.predictors.request_crops import plan_crops, points_to_frame
from hoiray.predictors.warp import cut_crops_with_opencv

CROPS = CropSpec(size_px=256, context_factor=2.0)  # as your network was trained: a square of twice the hand's box


def network(crops: np.ndarray, rest_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stand in for yours: right hands (B, 256, 256, 3) to 3D (B, 21, 3) and 2D (B, 21, 2), MANO's order.

    This one sees nothing and always answers the same upright hand in the middle of its crop.
    """
    joints = np.repeat(rest_m[None], len(crops), axis=0)
    middle = joints[..., :2].mean(axis=1, keepdims=True)
    return joints, (joints[..., :2] - middle) * 600.0 + CROPS.size_px / 2


@dataclass(frozen=True, eq=False)
class WrappedNetwork:
    """The plug-in: names itself, and answers requests."""

    rest_m: np.ndarray
    name: str = "wrapped"
    digest: str = "wrapped-1"  # of the weights: what is predicted anew when it changes
    tip_set: str = "ho3d"
    hand: HandModel | None = None  # joints only; with MANO parameters, the model they are of

    def predict(self, request: HandRequest) -> HandPredictions:
        """Answer every hand: left ones are seen mirrored, all are answered in the unmirrored full frame."""
        plan = plan_crops(request, CROPS)
        crops = cut_crops_with_opencv(
            request.frames, request.frame_index, plan.A, CROPS.size_px, is_mirrored=plan.is_mirrored
        )
        joints_3d, joints_crop = (reorder(part, "mano", "simple") for part in network(crops, self.rest_m))
        joints_2d = points_to_frame(joints_crop, plan, request.image_size_wh[0])
        joints_3d = joints_3d @ rotation_z(plan.rotations_rad)  # row vectors: a view's turn is undone
        joints_3d = np.where(plan.is_mirrored[:, None, None], mirror_points(joints_3d), joints_3d)
        return HandPredictions(joints_3d - joints_3d[:, :1], joints_2d)


def make(*, checkpoint_uri: str | None, hand_path: Path | None, device: str) -> WrappedNetwork:
    """Load the network: called once on every worker, with what the run file says."""
    import torch

    del checkpoint_uri, device  # yours reads the one and computes on the other
    model = HandModel.load(hand_path, flat_hand_mean=True, tip_set="ho3d")
    joints = reorder(model.joints_only(torch.zeros(3), torch.zeros(45), torch.zeros(10)).numpy(), "simple", "mano")
    upright = np.stack([-joints[:, 2], joints[:, 0], -joints[:, 1]], axis=-1)  # fingers up, back to the camera
    return WrappedNetwork(upright)
