"""What the hand model costs: against bare linear blend skinning in torch and NumPy, timed in the same run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hoiray.benchmarks.timing import compare, refuse_loaded_machine, write_report
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.geometry.rotations_torch import axis_angle_to_matrix as torch_axis_angle_to_matrix
from hoiray.hand.joints import MANO_PARENTS
from hoiray.hand.load import HandArrays
from hoiray.hand.model import HandModel

NUM_HANDS: Final = 512
MAX_DISAGREEMENT_M: Final = 1e-5
"""A baseline that computes something else would make the ratio worthless; float32 skinning agrees to 1e-6 m."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Random poses and shapes: (N, 16, 3) axis-angle in radians, wrist first, and (N, 10) betas; float32."""

    pose: NDArray[np.float32]
    betas: NDArray[np.float32]

    @classmethod
    def random(cls, count: int, seed: int = 0) -> "Batch":
        """Draw poses of about 20 degrees a joint and shapes of unit variance."""
        rng = np.random.default_rng(seed)
        pose = rng.normal(scale=0.35, size=(count, 16, 3)).astype(np.float32)
        return cls(pose, rng.normal(size=(count, 10)).astype(np.float32))


def run(out: Path, *, pairs: int, force: bool) -> str:
    """Measure on one thread and write `hand.json` and `hand.md` into `out`; return the Markdown.

    Raises:
        ConfigError: the machine is loaded, or too few pairs were asked for.
        RuntimeError: a baseline disagrees with the model, so that comparing them would mean nothing.
    """
    refuse_loaded_machine(force=force)
    torch.set_num_threads(1)
    batch = Batch.random(NUM_HANDS)
    model = HandModel.load(flat_hand_mean=True, tip_set="smplx").eval()
    pose, betas = torch.from_numpy(batch.pose), torch.from_numpy(batch.betas)
    orient, fingers = pose[:, 0], pose[:, 1:].flatten(1)
    matrices = torch_axis_angle_to_matrix(pose)
    skin = BareTorchSkinning(model.arrays)
    _refuse_disagreement(model(orient, fingers, betas).vertices, skin(pose, betas), numpy_skinning(model.arrays, batch))
    with torch.no_grad():
        comparisons = [
            compare(("HandModel.forward", lambda: model(orient, fingers, betas)), subject, pairs=pairs)
            for subject in (
                ("bare torch skinning", lambda: skin(pose, betas)),
                ("bare NumPy skinning", lambda: numpy_skinning(model.arrays, batch)),
            )
        ]
        joints = ("HandModel.joints_only", lambda: model.joints_only(orient, fingers, betas))
        comparisons.append(compare(joints, ("HandModel.forward", lambda: model(orient, fingers, betas)), pairs=pairs))
        smplx = (
            "smplx.MANOLayer",
            lambda: model.layer(betas=betas, global_orient=matrices[:, :1], hand_pose=matrices[:, 1:]),
        )
        comparisons.append(compare(smplx, ("HandModel.forward", lambda: model(orient, fingers, betas)), pairs=pairs))
    share = comparisons[-1].ratio
    notes = {
        "batch": f"{NUM_HANDS} hands, float32, one thread, no gradients",
        "share of forward spent in smplx": f"{share.median:.0%} ({share.minimum:.0%} - {share.maximum:.0%})",
    }
    return write_report(out, "hand", comparisons, notes)


def _refuse_disagreement(model: Tensor, torch_baseline: Tensor, numpy_baseline: NDArray[np.float32]) -> None:
    for name, other in (("torch", torch_baseline), ("NumPy", torch.from_numpy(numpy_baseline))):
        worst = float((model.detach() - other).abs().max())
        if worst > MAX_DISAGREEMENT_M:
            raise RuntimeError(f"the bare {name} skinning is {worst:.1e} m off the model: the ratio would mean nothing")


class BareTorchSkinning:
    """Linear blend skinning as short as it can be written in torch: no joints, no checks, right hands only."""

    def __init__(self, arrays: HandArrays) -> None:
        """Take the arrays of a right hand."""
        self.template = torch.tensor(arrays.v_template, dtype=torch.float32)
        self.shapedirs = torch.tensor(arrays.shapedirs, dtype=torch.float32)
        self.posedirs = torch.tensor(arrays.posedirs, dtype=torch.float32).reshape(-1, 135).T.contiguous()
        self.regressor = torch.tensor(arrays.J_regressor, dtype=torch.float32)
        self.weights = torch.tensor(arrays.weights, dtype=torch.float32)

    def __call__(self, pose: Tensor, betas: Tensor) -> Tensor:
        """Skin (N, 16, 3) axis-angle poses and (N, 10) shapes to (N, 778, 3) metres."""
        count = len(pose)
        rotations = torch_axis_angle_to_matrix(pose)
        shaped = self.template + torch.einsum("vck,nk->nvc", self.shapedirs, betas)
        rest = torch.einsum("jv,nvc->njc", self.regressor, shaped)
        feature = (rotations[:, 1:] - torch.eye(3)).reshape(count, -1)
        unposed = shaped + (feature @ self.posedirs).reshape(count, -1, 3)
        turns, joints = [rotations[:, 0]], [rest[:, 0]]
        for joint in range(1, 16):
            parent = MANO_PARENTS[joint]
            joints.append(joints[parent] + (turns[parent] @ (rest[:, joint] - rest[:, parent])[..., None])[..., 0])
            turns.append(turns[parent] @ rotations[:, joint])
        turn, posed = torch.stack(turns, 1), torch.stack(joints, 1)
        shift = posed - (turn @ rest[..., None])[..., 0]
        blended = torch.einsum("vj,njab->nvab", self.weights, turn)
        return (blended @ unposed[..., None])[..., 0] + torch.einsum("vj,nja->nva", self.weights, shift)


def numpy_skinning(arrays: HandArrays, batch: Batch) -> NDArray[np.float32]:
    """The same in NumPy; (N, 778, 3) float32 metres."""
    rotations = axis_angle_to_matrix(batch.pose)
    template, shapedirs, posedirs, regressor, weights = (
        np.asarray(value, dtype=np.float32)
        for value in (arrays.v_template, arrays.shapedirs, arrays.posedirs, arrays.J_regressor, arrays.weights)
    )
    shaped = template + np.tensordot(batch.betas, shapedirs, axes=(1, 2))
    rest = np.einsum("jv,nvc->njc", regressor, shaped, optimize=True)
    feature = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(len(rotations), -1)
    unposed = shaped + (feature @ posedirs.reshape(-1, 135).T).reshape(shaped.shape)
    turn, posed = np.empty_like(rotations), np.empty_like(rest)
    turn[:, 0], posed[:, 0] = rotations[:, 0], rest[:, 0]
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        offset = (rest[:, joint] - rest[:, parent])[..., None]
        posed[:, joint] = posed[:, parent] + (turn[:, parent] @ offset)[..., 0]
        turn[:, joint] = turn[:, parent] @ rotations[:, joint]
    shift = posed - (turn @ rest[..., None])[..., 0]
    blended = np.einsum("vj,njab->nvab", weights, turn, optimize=True)
    skinned = (blended @ unposed[..., None])[..., 0] + np.einsum("vj,nja->nva", weights, shift, optimize=True)
    return np.asarray(skinned, dtype=np.float32)
