from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hoiray.errors import ContractError
from hoiray.geometry import rotations as rot
from hoiray.geometry import rotations_torch as rott

ANGLES = (0.0, 1e-30, 1e-7, 1e-3, 9e-3, 1.1e-2, 1.0, 3.0, np.pi - 1e-4, np.pi)
DTYPES = (np.float32, np.float64)


def axis_angles(angle: float, dtype: type) -> np.ndarray:
    axis = np.random.default_rng(0).standard_normal((50, 3))
    return (axis / np.linalg.norm(axis, axis=-1, keepdims=True) * angle).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle", ANGLES)
def test_both_twins_give_the_same_numbers(angle: float, dtype: type) -> None:
    atol = 20 * float(np.finfo(dtype).eps)
    vector = axis_angles(angle, dtype)
    matrix = rot.axis_angle_to_matrix(vector)
    found = rott.axis_angle_to_matrix(torch.from_numpy(vector))
    assert found.numpy().dtype == dtype
    np.testing.assert_allclose(found.numpy(), matrix, atol=atol)
    np.testing.assert_allclose(
        rott.matrix_to_axis_angle(torch.from_numpy(matrix)).numpy(), rot.matrix_to_axis_angle(matrix), atol=atol
    )
    sixd = rott.matrix_to_6d(torch.from_numpy(matrix))
    np.testing.assert_array_equal(sixd.numpy(), rot.matrix_to_6d(matrix))
    np.testing.assert_allclose(rott.sixd_to_matrix(sixd).numpy(), matrix, atol=atol)


def test_6d_vectors_of_any_length_agree() -> None:
    sixd = np.random.default_rng(1).standard_normal((200, 6)) * 5.0
    np.testing.assert_allclose(
        rott.sixd_to_matrix(torch.from_numpy(sixd)).numpy(), rot.sixd_to_matrix(sixd), atol=1e-12
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_6d_stays_a_rotation_when_the_columns_are_nearly_parallel(dtype: type) -> None:
    first, nudge = np.random.default_rng(2).standard_normal((2, 100, 3))
    sixd = np.concatenate([first, first + 1e-3 * nudge], axis=-1).astype(dtype)
    matrix = rott.sixd_to_matrix(torch.from_numpy(sixd)).numpy()
    assert rot.is_rotation(matrix, 20 * float(np.finfo(dtype).eps)).all()


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_any_leading_shape_is_kept(batch: tuple[int, ...]) -> None:
    assert rott.axis_angle_to_matrix(torch.zeros(*batch, 3)).shape == (*batch, 3, 3)
    identity = torch.eye(3).expand(*batch, 3, 3)
    assert rott.matrix_to_axis_angle(identity).shape == (*batch, 3)
    assert rott.matrix_to_6d(identity).shape == (*batch, 6)
    assert rott.sixd_to_matrix(rott.matrix_to_6d(identity)).shape == (*batch, 3, 3)


@pytest.mark.parametrize("angle", [0.0, 1e-7, 9e-3, 1.1e-2, 1.0, 3.0])
def test_the_gradients_are_those_of_finite_differences(angle: float) -> None:
    vector = torch.from_numpy(axis_angles(angle, np.float64)[:3]).requires_grad_()
    assert gradcheck(rott.axis_angle_to_matrix, (vector,), atol=1e-7)
    # over a six-vector, so that the differences stay on the rotations
    sixd = torch.from_numpy(rot.matrix_to_6d(rot.axis_angle_to_matrix(vector.detach().numpy()))).requires_grad_()
    assert gradcheck(rott.sixd_to_matrix, (sixd,), atol=1e-7)
    assert gradcheck(lambda x: rott.matrix_to_axis_angle(rott.sixd_to_matrix(x)), (sixd,), atol=1e-6)


def test_going_to_a_matrix_and_back_has_the_identity_as_its_gradient_even_at_zero() -> None:
    jacobian = torch.autograd.functional.jacobian(
        lambda v: rott.matrix_to_axis_angle(rott.axis_angle_to_matrix(v)), torch.zeros(3, dtype=torch.float64)
    )
    np.testing.assert_allclose(jacobian.numpy(), np.eye(3), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_where_naive_forms_divide_by_zero(dtype: torch.dtype) -> None:
    vector = torch.zeros(2, 3, dtype=dtype, requires_grad=True)
    rott.axis_angle_to_matrix(vector).sum().backward()
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=dtype))
    matrix = torch.stack([torch.eye(3, dtype=dtype), half_turn]).requires_grad_()
    rott.matrix_to_axis_angle(matrix).sum().backward()
    degenerate = torch.tensor([[0.0] * 6, [1, 2, 3, 1, 2, 3], [1, 0, 0, 0, 0, 0]], dtype=dtype, requires_grad=True)
    result = rott.sixd_to_matrix(degenerate)
    result.sum().backward()
    assert torch.isfinite(result).all()
    for leaf in (vector, matrix, degenerate):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()


TARGETS = [(0.0, 0.0, 0.0), (0.3, -0.5, 0.8), (-1.9, 0.4, 1.1), (0.1, 2.2, -1.0)]
PARALLEL = torch.tensor([1.0, 2.0, 3.0, 2.0, 4.0, 6.0]) / 8.0
DEGENERATE = {
    "zero": torch.zeros(6),
    "parallel": PARALLEL,
    "opposite": PARALLEL * torch.tensor([0.5, 0.5, 0.5, -0.3, -0.3, -0.3]),
    "second column zero": torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    "first column zero": torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
    "tiny": 1e-6 * torch.tensor([1.0, 2.0, 3.0, -2.0, 0.5, 1.0]),
}


def adam_loss(parameters: list[torch.Tensor], output: Callable[[], torch.Tensor], target: torch.Tensor) -> float:
    """The loss after 400 steps; with an unbounded gain it is 0.05 to 3 from the starts above."""
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        loss = (rott.sixd_to_matrix(output()) - target).square().sum(dim=(-2, -1)).mean()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("start", DEGENERATE)
def test_adam_leaves_a_6d_vector_without_two_directions_and_arrives(start: str) -> None:
    # one parameter vector for each target: Adam keeps a second moment for every entry
    target = rott.axis_angle_to_matrix(torch.tensor(TARGETS))
    sixd = DEGENERATE[start].repeat(len(TARGETS), 1).requires_grad_()
    assert adam_loss([sixd], lambda: sixd, target) < 1e-3


def test_adam_trains_a_head_that_begins_with_zeros() -> None:
    generator = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(8, 6)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    features = torch.randn(4, 8, generator=generator)
    target = rott.axis_angle_to_matrix(torch.randn(4, 3, generator=generator))
    assert adam_loss(list(head.parameters()), lambda: head(features), target) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("start", DEGENERATE)
def test_a_6d_vector_without_two_directions_has_a_gradient_of_bounded_length(start: str, dtype: torch.dtype) -> None:
    sixd = DEGENERATE[start].clone().to(dtype).detach().requires_grad_()
    weight = torch.eye(3, dtype=dtype)
    (rott.sixd_to_matrix(sixd) * weight).sum().backward()
    assert sixd.grad is not None
    # two normalisations in a row, and the three columns each of them reaches
    assert sixd.grad.norm() <= 3.0 * rott.MAX_GAIN**2
    assert sixd.grad.norm() > 0.0


@pytest.mark.parametrize(("length", "is_exact"), [(1.01 / rott.MAX_GAIN, True), (0.5 / rott.MAX_GAIN, False)])
def test_the_gradient_of_a_column_is_shortened_below_the_stated_length_and_only_there(
    length: float, is_exact: bool
) -> None:
    first = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    second = torch.tensor([[0.0, length, 0.0]], dtype=torch.float64, requires_grad=True)
    matrix = rott.sixd_to_matrix(torch.cat([first, second], dim=-1))
    np.testing.assert_allclose(matrix.detach()[0].numpy(), np.eye(3), atol=1e-15)
    matrix[0, 2, 1].backward()
    assert second.grad is not None
    true_gain = 1.0 / length
    assert second.grad[0, 2].item() == pytest.approx(true_gain if is_exact else rott.MAX_GAIN)


def test_short_and_nearly_parallel_columns_give_the_twins_value_all_the_same() -> None:
    rng = np.random.default_rng(3)
    for sixd in (
        1e-4 * rng.standard_normal((200, 6)),
        np.repeat(rng.standard_normal((200, 3)), 2, axis=0).reshape(200, 6),
    ):
        sixd[:, 3:] += 1e-5 * rng.standard_normal((200, 3))
        np.testing.assert_allclose(
            rott.sixd_to_matrix(torch.from_numpy(sixd)).numpy(), rot.sixd_to_matrix(sixd), atol=1e-9
        )


@pytest.mark.parametrize("bad", [torch.zeros(4), torch.zeros(3, dtype=torch.int64), torch.zeros(())])
def test_wrong_shapes_and_integers_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ContractError, match="axis_angle: expected floating point of shape"):
        rott.axis_angle_to_matrix(bad)
