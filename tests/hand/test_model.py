"""Facts about the hand layer."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import smplx
import torch
from scipy.spatial.transform import Rotation
from smplx.utils import Struct

from hoiray.errors import ConfigError, ContractError
from hoiray.hand.joints import MANO_NAMES, SIMPLE_NAMES, TIP_JOINTS, TIP_SETS, permutation, tip_vertices
from hoiray.hand.load import HandArrays, load_hand_arrays, mirror_hand_arrays
from hoiray.hand.model import HandModel

POINT_SIGNS = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
AXIS_SIGNS = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
BATCHES = [(), (0,), (1,), (3,), (2, 3), (2, 0)]


@pytest.fixture(scope="module")
def arrays() -> HandArrays:
    """The open hand with pose correctives of a few millimetres, so that no test passes by their absence."""
    correctives = np.random.default_rng(3).normal(scale=1e-3, size=(778, 3, 135))
    return dataclasses.replace(load_hand_arrays(), posedirs=correctives)


def make(
    arrays: HandArrays,
    flat_hand_mean: Any = True,
    tip_set: str = "freihand",
    dtype: torch.dtype = torch.float64,
    is_right: bool = True,
) -> Any:
    return HandModel(arrays, flat_hand_mean=flat_hand_mean, tip_set=tip_set, is_right=is_right, dtype=dtype)


@pytest.fixture(scope="module")
def model(arrays: HandArrays) -> HandModel:
    return make(arrays)


def parameters(
    batch: tuple[int, ...] = (), seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)

    def draw(size: int, scale: float) -> torch.Tensor:
        return scale * torch.randn(*batch, size, generator=generator, dtype=dtype)

    return draw(3, 1.0), draw(45, 0.4), draw(10, 1.0), draw(3, 0.3)


def slow_hand(arrays: HandArrays, global_orient: Any, hand_pose: Any, betas: Any, transl: Any) -> Any:
    """Linear blend skinning as MANO's paper writes it: loops, one hand, SciPy's rotations."""
    shaped = arrays.v_template + arrays.shapedirs @ betas
    rest = arrays.J_regressor @ shaped
    turns = Rotation.from_rotvec(np.concatenate([global_orient, hand_pose]).reshape(16, 3)).as_matrix()
    corrected = shaped + arrays.posedirs @ (turns[1:] - np.eye(3)).reshape(-1)
    absolute = []
    for joint in range(16):
        T = np.eye(4)
        T[:3, :3] = turns[joint]
        parent = arrays.parents[joint]
        T[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else 0)
        absolute.append(absolute[parent] @ T if parent >= 0 else T)
    vertices = np.empty((778, 3))
    for vertex in range(778):
        placed = np.zeros(3)
        for joint in range(16):
            local = corrected[vertex] - rest[joint]
            placed += arrays.weights[vertex, joint] * (absolute[joint] @ np.append(local, 1.0))[:3]
        vertices[vertex] = placed
    return vertices + transl, np.stack([T[:3, 3] for T in absolute]) + transl


# --- right answers ----------------------------------------------------------------------------------------------------


def test_vertices_and_joints_agree_with_slow_skinning(arrays: HandArrays, model: HandModel) -> None:
    drawn = parameters((3,))
    vertices, joints = model(*drawn)
    for hand in range(3):
        slow_vertices, slow_joints = slow_hand(arrays, *(part[hand].numpy() for part in drawn))
        tips = slow_vertices[list(tip_vertices("freihand", is_right=True))]
        slow_21 = np.concatenate([slow_joints, tips])[permutation("mano", "simple")]
        np.testing.assert_allclose(vertices[hand], slow_vertices, atol=1e-6)
        np.testing.assert_allclose(joints[hand], slow_21, atol=1e-6)


def test_plain_smplx_gives_the_same_hand(arrays: HandArrays) -> None:
    data = Struct(
        **{key: getattr(arrays, key) for key in ("v_template", "shapedirs", "posedirs", "weights", "J_regressor")},
        kintree_table=arrays.parents[None],
        f=arrays.faces,
        hands_mean=arrays.hands_mean,
        hands_components=arrays.hands_components,
    )
    for flat in (True, False):
        plain = smplx.MANO("", data_struct=data, use_pca=False, flat_hand_mean=flat, batch_size=4, dtype=torch.float64)
        drawn = parameters((4,), seed=int(flat))
        expected = plain(global_orient=drawn[0], hand_pose=drawn[1], betas=drawn[2], transl=drawn[3])
        found = make(arrays, flat_hand_mean=flat)(*drawn)
        torch.testing.assert_close(found.vertices, expected.vertices.detach(), atol=1e-6, rtol=0)
        without_tips = found.joints[:, permutation("simple", "mano")][:, :16]
        torch.testing.assert_close(without_tips, expected.joints.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tip_set", sorted(TIP_SETS))
def test_joints_alone_are_the_joints_of_the_whole_hand(arrays: HandArrays, tip_set: str) -> None:
    model = make(arrays, tip_set=tip_set)
    drawn = parameters((2, 4))
    is_right = torch.tensor([True, False, True, False])
    whole = model(*drawn, is_right=is_right).joints
    torch.testing.assert_close(model.joints_only(*drawn, is_right=is_right), whole, atol=1e-9, rtol=0)


def test_joints_alone_hold_to_a_micrometre_in_float32(arrays: HandArrays) -> None:
    model = make(arrays, dtype=torch.float32)
    drawn = parameters((64,), dtype=torch.float32)
    torch.testing.assert_close(model.joints_only(*drawn), model(*drawn).joints, atol=1e-6, rtol=0)


@pytest.mark.parametrize("tip_set", sorted(TIP_SETS))
def test_tips_are_the_named_vertices(arrays: HandArrays, tip_set: str) -> None:
    model = make(arrays, tip_set=tip_set)
    vertices, joints = model(*parameters((2,)), is_right=torch.tensor([True, False]))
    for hand, is_right in enumerate((True, False)):
        named = vertices[hand, list(tip_vertices(tip_set, is_right=is_right))]
        torch.testing.assert_close(joints[hand, list(TIP_JOINTS)], named, atol=0, rtol=0)


def test_joints_are_in_the_simple_order(model: HandModel, arrays: HandArrays) -> None:
    zeros = torch.zeros(45, dtype=torch.float64)
    joints = model.joints_only(zeros[:3], zeros, zeros[:10])
    rest = torch.tensor(arrays.rest_joints)
    for name in MANO_NAMES[:16]:
        simple, mano = SIMPLE_NAMES.index(name), MANO_NAMES.index(name)
        torch.testing.assert_close(joints[simple], rest[mano], atol=1e-7, rtol=0)


def test_rotation_matrices_and_axis_angles_pose_the_same_hand(model: HandModel) -> None:
    global_orient, hand_pose, betas, transl = parameters((2, 3))
    matrices = [
        torch.tensor(Rotation.from_rotvec(part.reshape(-1, 3).numpy()).as_matrix()).reshape(2, 3, -1, 3, 3)
        for part in (global_orient, hand_pose)
    ]
    is_right = torch.tensor([[True], [False]])
    expected = model(global_orient, hand_pose, betas, transl, is_right=is_right)
    found = model.from_matrices(matrices[0][:, :, 0], matrices[1], betas, transl, is_right=is_right)
    alone = model.joints_only_from_matrices(matrices[0][:, :, 0], matrices[1], betas, transl, is_right=is_right)
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.joints, expected.joints, atol=1e-9, rtol=0)
    torch.testing.assert_close(alone, expected.joints, atol=1e-9, rtol=0)


@pytest.mark.parametrize("is_right", [True, False])
def test_the_wrist_is_the_translation_plus_the_rest_root(model: HandModel, is_right: bool) -> None:
    drawn = parameters((5,))
    side = torch.full((5,), is_right)
    wrist = model.joints_only(*drawn, is_right=side)[:, 0]
    torch.testing.assert_close(wrist, drawn[3] + model.rest_root(drawn[2], is_right=side), atol=1e-9, rtol=0)
    assert (wrist - drawn[3]).norm(dim=1).min() > 0.05  # and so the translation is not the wrist


# --- sides ------------------------------------------------------------------------------------------------------------


def test_a_left_hand_is_the_mirrored_right_hand_of_mirrored_parameters(model: HandModel) -> None:
    global_orient, hand_pose, betas, transl = parameters((4,))
    left = model(global_orient, hand_pose, betas, transl, is_right=torch.zeros(4, dtype=torch.bool))
    mirrored_pose = (hand_pose.reshape(4, 15, 3) * AXIS_SIGNS).reshape(4, 45)
    right = model(global_orient * AXIS_SIGNS, mirrored_pose, betas, transl * POINT_SIGNS)
    torch.testing.assert_close(left.vertices, right.vertices * POINT_SIGNS, atol=1e-12, rtol=0)
    torch.testing.assert_close(left.joints, right.joints * POINT_SIGNS, atol=1e-12, rtol=0)


def test_a_mirrored_file_gives_the_same_hands_as_the_file(arrays: HandArrays) -> None:
    for flat in (True, False):
        from_left_file = make(mirror_hand_arrays(arrays), flat_hand_mean=flat)
        from_right_file = make(arrays, flat_hand_mean=flat)
        drawn = parameters((2,))
        side = torch.tensor([True, False])
        torch.testing.assert_close(
            from_left_file(*drawn, is_right=side).vertices,
            from_right_file(*drawn, is_right=side).vertices,
            atol=1e-12,
            rtol=0,
        )


def test_slow_skinning_of_the_mirrored_arrays_is_the_left_hand(arrays: HandArrays, model: HandModel) -> None:
    drawn = parameters((1,))
    slow_vertices, _ = slow_hand(mirror_hand_arrays(arrays), *(part[0].numpy() for part in drawn))
    left = model(*drawn, is_right=torch.tensor([False]))
    np.testing.assert_allclose(left.vertices[0], slow_vertices, atol=1e-6)


def test_every_hand_of_a_batch_has_its_own_side(model: HandModel) -> None:
    drawn = parameters((4,))
    side = torch.tensor([True, False, False, True])
    mixed = model(*drawn, is_right=side).vertices
    for hand in range(4):
        alone = model(*(part[hand] for part in drawn), is_right=side[hand]).vertices
        torch.testing.assert_close(mixed[hand], alone, atol=1e-12, rtol=0)


def test_the_side_of_the_model_serves_where_none_is_given(arrays: HandArrays, model: HandModel) -> None:
    drawn = parameters((2,))
    expected = model(*drawn, is_right=torch.zeros(2, dtype=torch.bool)).vertices
    torch.testing.assert_close(make(arrays, is_right=False)(*drawn).vertices, expected, atol=0, rtol=0)


def test_faces_of_both_sides_point_outwards(model: HandModel) -> None:
    zeros = torch.zeros(45, dtype=torch.float64)
    for is_right in (True, False):
        vertices = model(zeros[:3], zeros, zeros[:10], is_right=torch.tensor(is_right)).vertices
        a, b, c = (vertices[model.faces(is_right=is_right)[:, corner]] for corner in range(3))
        signed_volume = torch.einsum("fd,fd->", a - vertices.mean(0), torch.linalg.cross(b - a, c - a)) / 6
        assert 1e-4 < signed_volume < 6e-4  # a hand has 0.2 to 0.5 litres


# --- pose conventions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_right", [True, False])
def test_both_conventions_give_one_hand_when_converted(arrays: HandArrays, is_right: bool) -> None:
    flat, relative = make(arrays), make(arrays, flat_hand_mean=False)
    global_orient, absolute, betas, transl = parameters((3,))
    side = torch.full((3,), is_right)
    converted = flat.remove_hand_mean(absolute, is_right=side)
    expected = flat(global_orient, absolute, betas, transl, is_right=side).vertices
    found = relative(global_orient, converted, betas, transl, is_right=side).vertices
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert (relative(global_orient, absolute, betas, transl, is_right=side).vertices - expected).abs().max() > 5e-3


def test_adding_and_removing_the_mean_cancel(model: HandModel, arrays: HandArrays) -> None:
    pose = parameters((2, 3))[1]
    side = torch.tensor([[True], [False]])
    torch.testing.assert_close(
        model.remove_hand_mean(model.add_hand_mean(pose, is_right=side), is_right=side), pose, atol=1e-15, rtol=0
    )
    zeros = torch.zeros(45, dtype=torch.float64)
    np.testing.assert_array_equal(model.add_hand_mean(zeros), arrays.hands_mean)


def test_neither_convention_nor_tips_have_a_default() -> None:
    with pytest.raises(TypeError, match="flat_hand_mean"):
        HandModel.load(tip_set="ho3d")
    with pytest.raises(TypeError, match="tip_set"):
        HandModel.load(flat_hand_mean=True)


def test_all_45_components_lose_nothing(model: HandModel) -> None:
    pose = parameters((2,))[1]
    torch.testing.assert_close(model.pca_to_pose(model.pose_to_pca(pose, 45), 45), pose, atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [1, 6, 30])
def test_few_components_give_the_nearest_pose(model: HandModel, count: int) -> None:
    pose = parameters((2,))[1]
    coefficients = model.pose_to_pca(pose, count)
    assert coefficients.shape == (2, count)
    residual = pose - model.pca_to_pose(coefficients, count)
    torch.testing.assert_close(
        residual @ model.hands_components[:count].T, torch.zeros(2, count).double(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(model.pose_to_pca(pose - residual, count), coefficients, atol=1e-9, rtol=0)


def test_coefficients_are_smplx_coefficients(arrays: HandArrays, model: HandModel) -> None:
    data = Struct(
        **{key: getattr(arrays, key) for key in ("v_template", "shapedirs", "posedirs", "weights", "J_regressor")},
        kintree_table=arrays.parents[None],
        f=arrays.faces,
        hands_mean=arrays.hands_mean,
        hands_components=arrays.hands_components,
    )
    plain = smplx.MANO("", data_struct=data, num_pca_comps=6, flat_hand_mean=False, dtype=torch.float64)
    coefficients = torch.randn(1, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zeros = torch.zeros(1, 10, dtype=torch.float64)
    expected = plain(betas=zeros, global_orient=zeros[:, :3], hand_pose=coefficients, transl=zeros[:, :3])
    pose = model.add_hand_mean(model.pca_to_pose(coefficients, 6))
    found = model(zeros[:, :3], pose, zeros).vertices
    torch.testing.assert_close(found, expected.vertices.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("count", [0, 46, -1])
def test_impossible_numbers_of_components_are_refused(model: HandModel, count: int) -> None:
    with pytest.raises(ContractError, match="expected 1 to 45"):
        model.pca_to_pose(torch.zeros(45, dtype=torch.float64), count)
    with pytest.raises(ContractError, match="expected 1 to 45"):
        model.pose_to_pca(torch.zeros(45, dtype=torch.float64), count)


# --- shapes, types, gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_batch_shape_is_kept(arrays: HandArrays, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    model = make(arrays, dtype=dtype, tip_set="manopth")
    drawn = parameters(batch, dtype=dtype)
    is_right = torch.ones(batch, dtype=torch.bool)
    vertices, joints = model(*drawn, is_right=is_right)
    assert vertices.shape == (*batch, 778, 3)
    assert joints.shape == model.joints_only(*drawn, is_right=is_right).shape == (*batch, 21, 3)
    assert vertices.dtype == joints.dtype == dtype
    assert model.rest_root(drawn[2]).shape == (*batch, 3)


def test_an_empty_batch_still_carries_gradients(model: HandModel) -> None:
    drawn = [part.requires_grad_() for part in parameters((0,))]
    model(*drawn).vertices.sum().backward()
    assert all(part.grad is not None and part.grad.shape == part.shape for part in drawn)


def test_leading_shapes_broadcast(model: HandModel) -> None:
    global_orient, hand_pose, betas, transl = parameters((4,))
    shared = model(global_orient, hand_pose, betas[0], transl[:1])
    repeated = model(global_orient, hand_pose, betas[:1].expand(4, 10), transl[:1].expand(4, 3))
    torch.testing.assert_close(shared.vertices, repeated.vertices, atol=0, rtol=0)
    many_shapes = model(global_orient[0], hand_pose[0], betas, is_right=torch.tensor(True))
    assert many_shapes.vertices.shape == (4, 778, 3)
    with pytest.raises(ContractError, match="leading shapes that broadcast"):
        model(global_orient, hand_pose[:3], betas, transl)


def test_gradients_are_those_of_finite_differences(arrays: HandArrays) -> None:
    model = make(arrays, flat_hand_mean=False)
    drawn = tuple(part.requires_grad_() for part in parameters((2,)))
    side = torch.tensor([True, False])
    assert torch.autograd.gradcheck(lambda *p: model.joints_only(*p, is_right=side), drawn)
    chosen = torch.arange(0, 778, 97)
    assert torch.autograd.gradcheck(lambda *p: model(*p, is_right=side).vertices[:, chosen], drawn)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-8, -1e-8, np.pi])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_zero_and_at_half_a_turn(arrays: HandArrays, dtype: torch.dtype, scale: float) -> None:
    model = make(arrays, dtype=dtype)
    direction = torch.tensor([1.0, 1.0, 1.0], dtype=dtype)
    pose = (scale * direction).repeat(15).requires_grad_()
    orient = (scale * direction).requires_grad_()
    model(orient, pose, torch.zeros(10, dtype=dtype)).vertices.square().sum().backward()
    for gradient in (pose.grad, orient.grad):
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0


def test_arguments_are_left_alone(model: HandModel) -> None:
    drawn = parameters((2,))
    copies = [part.clone() for part in drawn]
    model(*drawn)
    model.joints_only(*drawn, is_right=torch.tensor([False, True]))
    for part, copy in zip(drawn, copies, strict=True):
        torch.testing.assert_close(part, copy, atol=0, rtol=0)


def test_nan_stays_in_its_own_hand(model: HandModel) -> None:
    drawn = parameters((2,))
    drawn[1][0, 4] = torch.nan
    vertices, joints = model(*drawn)
    assert vertices[0].isnan().any()
    assert joints[0].isnan().any()
    assert not vertices[1].isnan().any()
    assert not joints[1].isnan().any()


@pytest.mark.parametrize(
    ("position", "name", "wrong"),
    [
        (0, "global_orient", torch.zeros(2, 4).double()),
        (1, "hand_pose", torch.zeros(2, 48).double()),
        (1, "hand_pose", torch.zeros(2, 15, 3).double()),
        (2, "betas", torch.zeros(2, 11).double()),
        (3, "transl", torch.zeros(2, 2).double()),
        (0, "global_orient", torch.zeros(2, 3)),
        (2, "betas", torch.zeros(()).double()),
    ],
)
def test_wrong_shapes_and_types_are_named(model: HandModel, position: int, name: str, wrong: torch.Tensor) -> None:
    drawn = list(parameters((2,)))
    drawn[position] = wrong
    for call in (model, model.joints_only):
        with pytest.raises(ContractError, match=f"{name}: expected"):
            call(*drawn)


def test_a_side_that_is_no_bool_is_refused(model: HandModel) -> None:
    with pytest.raises(ContractError, match="is_right: expected a bool tensor"):
        model(*parameters((2,)), is_right=torch.ones(2))


@pytest.mark.parametrize("side", [1, "right", np.array(True), np.ones(2, dtype=bool), [True, False]])
def test_a_side_that_is_no_tensor_is_refused(model: HandModel, side: Any) -> None:
    global_orient, hand_pose, betas, _ = parameters((2,))
    for call in (
        lambda: model(global_orient, hand_pose, betas, is_right=side),
        lambda: model.rest_root(betas, is_right=side),
        lambda: model.add_hand_mean(hand_pose, is_right=side),
    ):
        with pytest.raises(ContractError, match="is_right: expected a bool tensor, found a "):
            call()


@pytest.mark.parametrize("side", [True, False])
def test_a_plain_bool_is_the_side_of_all(model: HandModel, side: bool) -> None:
    drawn = parameters((2,))
    as_tensor = torch.full((2,), side)
    torch.testing.assert_close(
        model(*drawn, is_right=side).vertices, model(*drawn, is_right=as_tensor).vertices, atol=0, rtol=0
    )
    for convert, value in ((model.rest_root, drawn[2]), (model.add_hand_mean, drawn[1])):
        torch.testing.assert_close(convert(value, is_right=side), convert(value, is_right=as_tensor), atol=0, rtol=0)


def test_sides_of_another_length_are_refused_everywhere(model: HandModel) -> None:
    global_orient, hand_pose, betas, _ = parameters((2,))
    three = torch.ones(3, dtype=torch.bool)
    for call in (
        lambda: model(global_orient, hand_pose, betas, is_right=three),
        lambda: model.rest_root(betas, is_right=three),
        lambda: model.add_hand_mean(hand_pose, is_right=three),
        lambda: model.remove_hand_mean(hand_pose, is_right=three),
    ):
        with pytest.raises(ContractError, match=r"leading shapes that broadcast, found .*\(2,\), .*\(3,\)"):
            call()
    assert model.rest_root(betas[0], is_right=three).shape == (3, 3)
    assert model.add_hand_mean(hand_pose[0], is_right=three).shape == (3, 45)


def test_half_precision_and_unknown_tips_are_refused(arrays: HandArrays) -> None:
    with pytest.raises(ContractError, match="float32 or torch"):
        make(arrays, dtype=torch.float16)
    with pytest.raises(ConfigError, match="Did you mean 'freihand'"):
        make(arrays, tip_set="freihnd")


# --- behaviour as a module --------------------------------------------------------------------------------------------


def test_nothing_is_trained_and_nothing_of_the_file_enters_a_checkpoint(model: HandModel) -> None:
    assert list(model.parameters()) == []
    assert model.state_dict() == {}


def test_moving_the_module_moves_everything(arrays: HandArrays) -> None:
    model = make(arrays, dtype=torch.float32).to(torch.float64)
    assert model.dtype == torch.float64
    drawn = parameters((2,))
    torch.testing.assert_close(model.joints_only(*drawn), model(*drawn).joints, atol=1e-7, rtol=0)


def test_loading_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    model = HandModel.load(flat_hand_mean=True, tip_set="ho3d")
    assert len(model.arrays.faces) == 1538
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
