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


@pytest.mark.parametrize("bad", [torch.zeros(4), torch.zeros(3, dtype=torch.int64), torch.zeros(())])
def test_wrong_shapes_and_integers_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ContractError, match="axis_angle: expected floating point of shape"):
        rott.axis_angle_to_matrix(bad)
