import torch
from network_batches import open_hand

from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.models.palm import in_palm_frame, palm_of


def posed_hand(seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    rotations = axis_angle_to_matrix(torch.randn(4, 16, 3, generator=rng) * 0.3)
    return open_hand().joints_only_from_matrices(rotations[:, 0], rotations[:, 1:], torch.zeros(4, 10))


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


def test_collapsed_joints_have_a_finite_frame_and_gradient() -> None:
    joints = torch.zeros(2, 21, 3, requires_grad=True)
    palm = palm_of(joints)
    (in_palm_frame(joints, palm).sum() + palm.R_cam_palm.sum() + palm.length.sum()).backward()
    assert joints.grad is not None
    assert torch.isfinite(joints.grad).all()
