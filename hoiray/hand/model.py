"""The hand model as a layer: MANO parameters in, vertices and 21 joints out.

The layer is :class:`smplx.MANOLayer`, given the arrays of :mod:`hoiray.hand.load`. Around it is what smplx leaves open:
the 21 joints in hoiray's order with *named* tip vertices (smplx returns 16 without tips), any batch shape, left hands,
a joints-only path, and a pose convention nobody can forget to choose.

Two conventions for ``hand_pose`` are in use, and a file does not tell which one it follows:

* ``flat_hand_mean=True``: absolute; zeros are the flat hand. hoiray's own tables, HO-3D, FPHA's fits.
* ``flat_hand_mean=False``: relative to the mean pose; zeros are the relaxed hand. FreiHAND, DexYCB.

``HandModel`` is told which, never guesses, and converts with :meth:`HandModel.add_hand_mean` and
:meth:`HandModel.remove_hand_mean`. Rotation matrices are always absolute: there is nothing to add a mean to.

``transl`` is not the wrist: rotations turn about the rest wrist, so ``wrist = transl + rest_root(betas)``.

Left hands come from the right model by mirroring (:mod:`hoiray.hand.sides`): parameters of a left hand describe the
left hand in its own right; nothing has to be mirrored by the caller.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from smplx import MANOLayer
from smplx.utils import Struct
from torch import Tensor, nn

from hoiray.errors import ContractError, describe
from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.hand.joints import MANO_PARENTS, permutation, tip_vertices
from hoiray.hand.load import NUM_BETAS, NUM_VERTICES, HandArrays, load_hand_arrays, mirror_hand_arrays
from hoiray.hand.sides import MIRRORED_AXIS_ANGLE_SIGNS, MIRRORED_POINT_SIGNS

_NUM_ROTATIONS: Final = len(MANO_PARENTS)
_LEVELS: Final = ((1, 4, 7, 10, 13), (2, 5, 8, 11, 14), (3, 6, 9, 12, 15))
"""MANO's joints by their distance to the wrist: each level is posed by one batched product."""


class HandOutput(NamedTuple):
    """A posed hand, metres, in the frame ``global_orient`` and ``transl`` put it in.

    Attributes:
        vertices: (..., 778, 3).
        joints: (..., 21, 3) simple order.
    """

    vertices: Tensor
    joints: Tensor


class _SilentMANOLayer(MANOLayer):  # type: ignore[misc]  # smplx has no type information
    # smplx prints a warning to stdout where a model has fewer shape directions than this; MANO always has 10.
    SHAPE_SPACE_DIM = NUM_BETAS


class HandModel(nn.Module):
    """MANO (or hoiray's open hand) as a differentiable layer.

    Attributes:
        arrays: the right hand's arrays the layer was made from.
        flat_hand_mean: the convention of ``hand_pose``; see the module.
        tip_set: name of the tip vertices; a key of :data:`hoiray.hand.joints.TIP_SETS`.
        is_right: side of hands for which none is given.
    """

    def __init__(
        self,
        arrays: HandArrays,
        *,
        flat_hand_mean: bool,
        tip_set: str,
        is_right: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Make a layer of checked arrays; :meth:`load` reads them from a file.

        Args:
            arrays: of either side; a left hand's are mirrored.
            flat_hand_mean: whether ``hand_pose`` is absolute (True) or relative to the mean pose (False).
            tip_set: key of :data:`hoiray.hand.joints.TIP_SETS`: that of the labels compared with.
            is_right: side of hands for which none is given.
            dtype: float32 or float64, of all parameters and results.

        Raises:
            ConfigError: the tip set is unknown.
            ContractError: the dtype is no float32 or float64.
        """
        super().__init__()
        if dtype not in {torch.float32, torch.float64}:
            fix = "Half precision loses up to 0.1 mm: use float32 here and autocast around it."
            expected = "torch.float32 or torch.float64"
            raise ContractError(describe(what="dtype of the hand model", expected=expected, found=str(dtype), fix=fix))
        self.arrays = arrays if arrays.is_right else mirror_hand_arrays(arrays)
        self.flat_hand_mean = flat_hand_mean
        self.tip_set = tip_set
        self.is_right = is_right
        self.layer = _make_layer(self.arrays, dtype)
        right, left = (tip_vertices(tip_set, is_right=side) for side in (True, False))
        self._sides_differ_in_tips = right != left
        self._register_constants(right, left, dtype)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        flat_hand_mean: bool,
        tip_set: str,
        is_right: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> "HandModel":
        """Load the packaged open hand, or a user's MANO_RIGHT.pkl or MANO_LEFT.pkl.

        Args:
            path: ``.npz`` or ``.pkl``; None for the packaged open hand.
            flat_hand_mean: see :meth:`__init__`; no default, since the wrong one gives plausible hands.
            tip_set: see :meth:`__init__`; no default, since the wrong one moves tips by 1 to 2 cm.
            is_right: side of hands for which none is given.
            dtype: float32 or float64.

        Raises:
            ContractError: the file is no hand model; the message names file, key, expected and found.
            ConfigError: the tip set is unknown.
        """
        arrays = load_hand_arrays(path)
        return cls(arrays, flat_hand_mean=flat_hand_mean, tip_set=tip_set, is_right=is_right, dtype=dtype)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of parameters and results."""
        return self.hands_mean.dtype

    def faces(self, *, is_right: bool) -> Tensor:
        """Return the (1538, 3) int64 faces of one side, normals outwards."""
        return self._faces if is_right else self._faces[:, [0, 2, 1]]

    def forward(
        self,
        global_orient: Tensor,
        hand_pose: Tensor,
        betas: Tensor,
        transl: Tensor | None = None,
        *,
        is_right: Tensor | bool | None = None,
    ) -> HandOutput:
        """Pose hands given as axis-angle.

        Args:
            global_orient: (..., 3) rad.
            hand_pose: (..., 45) rad, MANO order, in the convention ``flat_hand_mean`` declares.
            betas: (..., 10).
            transl: (..., 3) metres; None for zeros.
            is_right: (...) bool, or one for all; None for ``self.is_right``. Leading shapes broadcast; () and (0,) are
                fine.

        Returns:
            Vertices and joints. Gradients are finite everywhere, also at zero rotations.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        rotations, right = self._rotations(global_orient, hand_pose, is_right)
        return self._pose(rotations, betas, transl, right)

    def from_matrices(
        self,
        global_orient: Tensor,
        hand_pose: Tensor,
        betas: Tensor,
        transl: Tensor | None = None,
        *,
        is_right: Tensor | bool | None = None,
    ) -> HandOutput:
        """Pose hands given as rotation matrices, always absolute: zeros of ``flat_hand_mean=True`` are identities.

        Args:
            global_orient: (..., 3, 3).
            hand_pose: (..., 15, 3, 3) MANO order.
            betas: (..., 10).
            transl: (..., 3) metres; None for zeros.
            is_right: (...) bool, or one for all; None for ``self.is_right``.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        rotations, right = self._rotations_of_matrices(global_orient, hand_pose, is_right)
        return self._pose(rotations, betas, transl, right)

    def joints_only(
        self,
        global_orient: Tensor,
        hand_pose: Tensor,
        betas: Tensor,
        transl: Tensor | None = None,
        *,
        is_right: Tensor | bool | None = None,
    ) -> Tensor:
        """Return what :meth:`forward` gives as ``joints``, at a fraction of the cost: only five vertices are skinned.

        Args:
            global_orient: (..., 3) rad.
            hand_pose: (..., 45) rad.
            betas: (..., 10).
            transl: (..., 3) metres; None for zeros.
            is_right: (...) bool, or one for all; None for ``self.is_right``.

        Returns:
            (..., 21, 3) metres, simple order.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        rotations, right = self._rotations(global_orient, hand_pose, is_right)
        return self._pose_joints(rotations, betas, transl, right)

    def joints_only_from_matrices(
        self,
        global_orient: Tensor,
        hand_pose: Tensor,
        betas: Tensor,
        transl: Tensor | None = None,
        *,
        is_right: Tensor | bool | None = None,
    ) -> Tensor:
        """Return the joints of :meth:`from_matrices` at the cost of :meth:`joints_only`."""
        rotations, right = self._rotations_of_matrices(global_orient, hand_pose, is_right)
        return self._pose_joints(rotations, betas, transl, right)

    def rest_root(self, betas: Tensor, *, is_right: Tensor | bool | None = None) -> Tensor:
        """Return the wrist of the unposed hand: a posed hand's wrist is ``transl`` plus this.

        Args:
            betas: (..., 10).
            is_right: (...) bool, or one for all; None for ``self.is_right``.

        Returns:
            (..., 3) metres, in the model's own frame.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        self._expect("betas", betas, (NUM_BETAS,))
        right = self._side(is_right, betas.device)
        _broadcast(betas.shape[:-1], right.shape)
        root = self.J_template[0] + betas @ self.J_shapedirs[0].T
        return root * self._signs(right, self._point_signs)

    # --- pose conventions --------------------------------------------------------------------------------------------

    def add_hand_mean(self, relative_pose: Tensor, *, is_right: Tensor | bool | None = None) -> Tensor:
        """Convert (..., 45) from relative to the mean pose (``flat_hand_mean=False``) to absolute.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        return relative_pose + self._mean_of_side(relative_pose, is_right)

    def remove_hand_mean(self, absolute_pose: Tensor, *, is_right: Tensor | bool | None = None) -> Tensor:
        """Convert (..., 45) from absolute (``flat_hand_mean=True``) to relative to the mean pose.

        Raises:
            ContractError: a shape or dtype is wrong.
        """
        return absolute_pose - self._mean_of_side(absolute_pose, is_right)

    def pca_to_pose(self, coefficients: Tensor, num_components: int) -> Tensor:
        """Convert PCA coefficients to a pose of a right hand *relative to the mean*.

        Add the mean (:meth:`add_hand_mean`) where the absolute pose is wanted, as DexYCB's labels need. A file whose
        coefficients were fitted around the flat hand needs no mean: its result is absolute already.

        Args:
            coefficients: (..., num_components).
            num_components: 1 to 45; stated, since a wrong length is the only sign of a wrong file.

        Returns:
            (..., 45) rad.

        Raises:
            ContractError: the last axis has another length.
        """
        self._expect("PCA coefficients", coefficients, (self._checked_count(num_components),))
        return coefficients @ self.hands_components[:num_components]

    def pose_to_pca(self, relative_pose: Tensor, num_components: int) -> Tensor:
        """Project a right hand's pose, *relative to the mean*, on the first components (least squares).

        Args:
            relative_pose: (..., 45) rad; see :meth:`remove_hand_mean`.
            num_components: 1 to 45. With 45 nothing is lost; with fewer, the result is the nearest pose.

        Returns:
            (..., num_components).
        """
        self._expect("hand_pose", relative_pose, (45,))
        basis = self.hands_components[: self._checked_count(num_components)]
        # The rows are orthonormal in MANO, so this is basis.T; the pseudo-inverse keeps the promise for any basis.
        coefficients: Tensor = relative_pose @ torch.linalg.pinv(basis)
        return coefficients

    # --- inside ------------------------------------------------------------------------------------------------------

    hands_mean: Tensor
    hands_components: Tensor
    J_template: Tensor
    J_shapedirs: Tensor
    _faces: Tensor
    _simple_from_mano: Tensor
    _tips: Tensor
    _tip_of_side: Tensor
    _tip_posedirs: Tensor
    _point_signs: Tensor
    _axis_signs: Tensor

    def _register_constants(self, right: tuple[int, ...], left: tuple[int, ...], dtype: torch.dtype) -> None:
        layer, arrays = self.layer, self.arrays
        tips = torch.tensor([*right, *left] if self._sides_differ_in_tips else right)
        posedirs = layer.posedirs.T.reshape(NUM_VERTICES, 3, -1)
        constants = {
            "hands_mean": torch.tensor(arrays.hands_mean, dtype=dtype),
            "hands_components": torch.tensor(arrays.hands_components, dtype=dtype),
            "J_template": layer.J_regressor @ layer.v_template,
            "J_shapedirs": torch.einsum("jv,vdk->jdk", layer.J_regressor, layer.shapedirs),
            "_faces": torch.tensor(arrays.faces),
            "_simple_from_mano": torch.tensor(permutation("mano", "simple")),
            "_tips": tips,
            "_tip_posedirs": posedirs[tips].reshape(-1, posedirs.shape[-1]).T.contiguous(),
            "_point_signs": torch.tensor(MIRRORED_POINT_SIGNS, dtype=dtype),
            "_axis_signs": torch.tensor(MIRRORED_AXIS_ANGLE_SIGNS, dtype=dtype),
        }
        for name, value in constants.items():
            # They follow from the file, so they stay out of checkpoints.
            self.register_buffer(name, value, persistent=False)

    def _checked_count(self, num_components: int) -> int:
        if not 1 <= num_components <= 45:
            fix = "MANO's pose space has 45 dimensions."
            found = str(num_components)
            raise ContractError(describe(what="num_components", expected="1 to 45", found=found, fix=fix))
        return num_components

    def _expect(self, name: str, value: Tensor, tail: tuple[int, ...]) -> None:
        """Refuse another trailing shape or dtype."""
        start = value.ndim - len(tail)
        if start >= 0 and tuple(value.shape[start:]) == tail and value.dtype == self.dtype:
            return
        sizes = ", ".join(map(str, tail))
        expected, found = f"(..., {sizes}) of {self.dtype}", f"{tuple(value.shape)} of {value.dtype}"
        fix = "Convert it, or load the model with that dtype."
        raise ContractError(describe(what=f"hand model, {name}", expected=expected, found=found, fix=fix))

    def _side(self, is_right: object, device: torch.device) -> Tensor:
        """Return the sides as a bool tensor; whatever else was passed, a NumPy array included, is refused."""
        if is_right is None or isinstance(is_right, bool):
            return torch.tensor(self.is_right if is_right is None else is_right, device=device)
        if not isinstance(is_right, Tensor) or is_right.dtype != torch.bool:
            fix = "Compare first: a 0/1 label says nothing about which is which."
            found = str(is_right.dtype) if isinstance(is_right, Tensor) else f"a {type(is_right).__name__}"
            raise ContractError(describe(what="hand model, is_right", expected="a bool tensor", found=found, fix=fix))
        return is_right

    def _signs(self, right: Tensor, signs_of_left: Tensor) -> Tensor:
        """Return (..., 3): ones for right hands, ``signs_of_left`` for left ones."""
        return torch.where(right[..., None], torch.ones_like(signs_of_left), signs_of_left)

    def _mean_of_side(self, pose: Tensor, is_right: Tensor | bool | None) -> Tensor:
        self._expect("hand_pose", pose, (45,))
        right = self._side(is_right, pose.device)
        _broadcast(pose.shape[:-1], right.shape)
        return self.hands_mean * self._signs(right, self._axis_signs).repeat(*(1,) * right.ndim, 15)

    def _rotations(
        self, global_orient: Tensor, hand_pose: Tensor, is_right: Tensor | bool | None
    ) -> tuple[Tensor, Tensor]:
        """Return the right hand's (..., 16, 3, 3) absolute rotations and the sides."""
        self._expect("global_orient", global_orient, (3,))
        self._expect("hand_pose", hand_pose, (45,))
        right = self._side(is_right, hand_pose.device)
        batch = _broadcast(global_orient.shape[:-1], hand_pose.shape[:-1], right.shape)
        fingers = hand_pose.expand(*batch, 45).reshape(*batch, 15, 3)
        axis_angle = torch.cat([global_orient.expand(*batch, 3)[..., None, :], fingers], dim=-2)
        axis_angle = axis_angle * self._signs(right, self._axis_signs)[..., None, :]
        if not self.flat_hand_mean:
            # Added after mirroring: the mean of a left hand is the mirrored mean.
            mean = nn.functional.pad(self.hands_mean, (3, 0)).reshape(_NUM_ROTATIONS, 3)
            axis_angle = axis_angle + mean
        return axis_angle_to_matrix(axis_angle), right

    def _rotations_of_matrices(
        self, global_orient: Tensor, hand_pose: Tensor, is_right: Tensor | bool | None
    ) -> tuple[Tensor, Tensor]:
        self._expect("global_orient", global_orient, (3, 3))
        self._expect("hand_pose", hand_pose, (15, 3, 3))
        right = self._side(is_right, hand_pose.device)
        batch = _broadcast(global_orient.shape[:-2], hand_pose.shape[:-3], right.shape)
        rotations = torch.cat(
            [global_orient.expand(*batch, 3, 3)[..., None, :, :], hand_pose.expand(*batch, 15, 3, 3)], dim=-3
        )
        signs = self._signs(right, self._point_signs)[..., None, :]
        return rotations * signs[..., :, None] * signs[..., None, :], right

    def _flat_batch(
        self, rotations: Tensor, betas: Tensor, transl: Tensor | None, right: Tensor
    ) -> tuple[torch.Size, Tensor, Tensor, Tensor, Tensor]:
        """Broadcast everything to one batch axis of at least one hand (smplx cannot view an empty batch)."""
        self._expect("betas", betas, (NUM_BETAS,))
        transl = betas.new_zeros(3) if transl is None else transl
        self._expect("transl", transl, (3,))
        batch = _broadcast(rotations.shape[:-3], betas.shape[:-1], transl.shape[:-1], right.shape)
        parts = (
            rotations.expand(*batch, _NUM_ROTATIONS, 3, 3).reshape(-1, _NUM_ROTATIONS, 3, 3),
            betas.expand(*batch, NUM_BETAS).reshape(-1, NUM_BETAS),
            transl.expand(*batch, 3).reshape(-1, 3),
            right.expand(batch).reshape(-1),
        )
        if batch.numel() == 0:
            rotations, betas, transl, right = (torch.cat([part, part.new_zeros(1, *part.shape[1:])]) for part in parts)
            return batch, rotations, betas, transl, right
        return batch, *parts

    def _pose(self, rotations: Tensor, betas: Tensor, transl: Tensor | None, right: Tensor) -> HandOutput:
        batch, rotations, betas, transl, right = self._flat_batch(rotations, betas, transl, right)
        posed = self.layer(betas=betas, global_orient=rotations[:, :1], hand_pose=rotations[:, 1:])
        joints = self._in_simple_order(posed.joints, posed.vertices[:, self._tips], right)
        return HandOutput(
            vertices=self._place(posed.vertices, transl, right, batch),
            joints=self._place(joints, transl, right, batch),
        )

    def _pose_joints(self, rotations: Tensor, betas: Tensor, transl: Tensor | None, right: Tensor) -> Tensor:
        batch, rotations, betas, transl, right = self._flat_batch(rotations, betas, transl, right)
        rest = self.J_template + torch.einsum("bk,jdk->bjd", betas, self.J_shapedirs)
        turns, joints = self._chain(rotations, rest)
        tips = self._skinned_tips(rotations, betas, rest, turns, joints)
        return self._place(self._in_simple_order(joints, tips, right), transl, right, batch)

    def _chain(self, rotations: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Walk the tree level by level; return (B, 16, 3, 3) absolute turns and (B, 16, 3) joints, MANO order."""
        levels_turns, levels_joints = [rotations[:, :1]], [rest[:, :1]]
        for level in _LEVELS:
            parents = [MANO_PARENTS[joint] for joint in level]
            offset = (rest[:, level] - rest[:, parents])[..., None]
            levels_joints.append(levels_joints[-1] + (levels_turns[-1] @ offset)[..., 0])
            levels_turns.append(levels_turns[-1] @ rotations[:, level])
        order = [0, *(1 + 5 * level + finger for finger in range(5) for level in range(3))]
        return torch.cat(levels_turns, dim=1)[:, order], torch.cat(levels_joints, dim=1)[:, order]

    def _skinned_tips(self, rotations: Tensor, betas: Tensor, rest: Tensor, turns: Tensor, joints: Tensor) -> Tensor:
        """Linear blend skinning of the tip vertices alone; (B, T, 3)."""
        layer = self.layer
        feature = (rotations[:, 1:] - torch.eye(3, dtype=self.dtype, device=betas.device)).flatten(1)
        shaped = layer.v_template[self._tips] + torch.einsum("bk,tdk->btd", betas, layer.shapedirs[self._tips])
        unposed = shaped + (feature @ self._tip_posedirs).reshape(len(betas), -1, 3)
        shifts = joints - torch.einsum("bjde,bje->bjd", turns, rest)
        weights = layer.lbs_weights[self._tips]
        blended = torch.einsum("tj,bjde->btde", weights, turns)
        return torch.einsum("btde,bte->btd", blended, unposed) + torch.einsum("tj,bjd->btd", weights, shifts)

    def _in_simple_order(self, joints: Tensor, tips: Tensor, right: Tensor) -> Tensor:
        if self._sides_differ_in_tips:
            tips = torch.where(right[:, None, None], tips[:, :5], tips[:, 5:])
        return torch.cat([joints, tips], dim=1)[:, self._simple_from_mano]

    def _place(self, points: Tensor, transl: Tensor, right: Tensor, batch: torch.Size) -> Tensor:
        # One pass over the vertices: p * sign + t; a right hand's signs are ones and change no bit.
        placed = torch.addcmul(transl[:, None], points, self._signs(right, self._point_signs)[:, None])
        count = batch.numel()
        return placed[:count].reshape(*batch, *points.shape[1:])


def _broadcast(*shapes: torch.Size) -> torch.Size:
    try:
        # NumPy's: torch's imports sympy on its first call, half a second to three
        return torch.Size(np.broadcast_shapes(*shapes))
    except ValueError as error:
        expected, found = "leading shapes that broadcast", ", ".join(str(tuple(shape)) for shape in shapes)
        fix = "Give every argument the same leading shape."
        raise ContractError(describe(what="hand model, inputs", expected=expected, found=found, fix=fix)) from error


def _make_layer(arrays: HandArrays, dtype: torch.dtype) -> MANOLayer:
    """Give the arrays to smplx as it would have read them from a file.

    smplx reads float32 whatever the dtype; results agree with a float64 reading to 1e-8 m.
    """
    data = Struct(
        v_template=arrays.v_template,
        shapedirs=arrays.shapedirs,
        posedirs=arrays.posedirs,
        weights=arrays.weights,
        J_regressor=arrays.J_regressor,
        kintree_table=arrays.parents[None],
        f=arrays.faces,
        hands_mean=arrays.hands_mean,
        hands_components=arrays.hands_components,
    )
    unused = {"create_body_pose": False}  # SMPL's parameter, which smplx would otherwise train along
    layer = _SilentMANOLayer(model_path="", data_struct=data, is_rhand=True, flat_hand_mean=True, dtype=dtype, **unused)
    for module in layer.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            # A checkpoint must not carry the licensed arrays of a user's MANO.
            module.register_buffer(name, buffer, persistent=False)
    return layer
