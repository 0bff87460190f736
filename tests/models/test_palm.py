import pytest
import torch
from network_batches import open_hand

from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.models.palm import in_palm_frame, palm_of


def posed_hand(seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    rotations = axis_angle_to_matrix(torch.randn(4, 16, 3, generator=rng) * 0.3)
    metres = open_hand().joints_only_from_matrices(rotations[:, 0], rotations[:, 1:], torch.zeros(4, 10))
    return metres * 5.0  # about the unit of a box's side


def test_the_palms_frame_turns_with_the_hand_and_ignores_size_and_place() -> None:
    joints = posed_hand(1)
    turn = axis_angle_to_matrix(torch.tensor([[0.5, -1.2, 2.0]]))
    moved = joints @ turn.transpose(1, 2) * 3.7 + torch.tensor([0.2, -0.1, 5.0])
    before, after = palm_of(joints), palm_of(moved)
    torch.testing.assert_close(after.R_cam_palm, turn @ before.R_cam_palm, atol=1e-5, rtol=0.0)
    torch.testing.assert_close(after.length, 3.7 * before.length)
    torch.testing.assert_close(in_palm_frame(moved, after), in_palm_frame(joints, before), atol=1e-4, rtol=0.0)


def test_the_palms_frame_does_not_see_fingers_bend() -> None:
    rest = torch.eye(3).expand(1, 16, 3, 3)
    bent = rest.clone()
    bent[:, [2, 5, 8, 11]] = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 1.0]))
    frames = [
        palm_of(open_hand().joints_only_from_matrices(r[:, 0], r[:, 1:], torch.zeros(1, 10))).R_cam_palm
        for r in (rest, bent)
    ]
    torch.testing.assert_close(frames[0], frames[1])


def test_the_axes_run_to_the_knuckles_and_to_the_index_finger() -> None:
    rest = torch.eye(3).expand(1, 16, 3, 3)
    joints = open_hand().joints_only_from_matrices(rest[:, 0], rest[:, 1:], torch.zeros(1, 10))
    R = palm_of(joints).R_cam_palm[0]
    assert R[:, 0] @ (joints[0, 9] - joints[0, 0]) > 0.08
    assert R[:, 1] @ (joints[0, 5] - joints[0, 17]) > 0.04
    torch.testing.assert_close(torch.linalg.det(R), torch.tensor(1.0))


def gradient(joints: torch.Tensor) -> torch.Tensor:
    leaf = joints.clone().requires_grad_()
    palm = palm_of(leaf)
    weights = torch.randn(4, 24, 3, generator=torch.Generator().manual_seed(0))
    (torch.cat([in_palm_frame(leaf, palm), palm.R_cam_palm], dim=1) * weights).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("size", [1e-1, 1e-2, 1e-4, 0.0])
def test_joints_in_one_place_pull_no_harder_than_a_hand_that_is_seen(size: float) -> None:
    """As the untrained network has them; the true gradient grows with 1 / size."""
    seen = gradient(posed_hand(2)).norm()
    collapsed = gradient(posed_hand(2) * size)
    assert torch.isfinite(collapsed).all()
    assert collapsed.norm() < 15.0 * seen
