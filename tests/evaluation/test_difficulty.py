import dataset_files as files
import numpy as np
import pytest
import torch

from hoiray.evaluation.difficulty import bin_names, viewpoint_deg, viewpoint_names, visible_fraction
from hoiray.hand.sides import mirror_points
from hoiray.render.raster import rasterise

K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
SIZE = (480, 640)


def hand() -> files.Hands:
    return files.hands(3, tip_set="ho3d", seed=2)


def silhouette(vertices: np.ndarray) -> np.ndarray:
    return rasterise(vertices, files.arrays().faces, K, SIZE).covered


def test_a_hand_nobody_hides_is_wholly_visible() -> None:
    vertices = hand().vertices[0]
    assert visible_fraction(silhouette(vertices), vertices, K, is_right=True) > 0.97


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8])
def test_what_is_hidden_is_the_share_of_the_silhouette(share: float) -> None:
    vertices = hand().vertices[1]
    mask = silhouette(vertices)
    rows, columns = np.nonzero(mask)
    hidden = columns < np.quantile(columns, 1 - share)
    mask[rows[hidden], columns[hidden]] = False
    expected = mask.sum() / hidden.size
    assert visible_fraction(mask, vertices, K, is_right=True) == pytest.approx(expected, abs=0.03)


def test_what_lies_outside_the_image_is_not_visible() -> None:
    vertices = hand().vertices[0].copy()
    vertices[:, 0] += (639.5 - 320) / 600 * vertices[:, 2].mean() - vertices[:, 0].mean()
    found = visible_fraction(silhouette(vertices), vertices, K, is_right=True)
    assert 0.25 < found < 0.75


def test_an_arm_and_another_hand_add_nothing() -> None:
    vertices = hand().vertices[0]
    assert visible_fraction(np.ones(SIZE, bool), vertices, K, is_right=True) == 1.0
    assert visible_fraction(~silhouette(vertices), vertices, K, is_right=True) < 0.03


def test_a_hand_at_the_camera_has_no_silhouette() -> None:
    assert np.isnan(visible_fraction(np.ones(SIZE, bool), hand().vertices[0] - [0, 0, 0.6], K, is_right=True))


def facing(turn_rad: float, is_right: bool = True) -> np.ndarray:
    """A bent hand, palm towards the camera, then turned about the vertical axis."""
    pose = torch.tensor(files.arrays().hands_mean * 1.5)[None]
    flat = files.model("ho3d")(torch.zeros(1, 3).double(), pose, torch.zeros(1, 10).double()).joints[0].numpy()
    flat = flat - flat[9]
    # finger tips lie on the palm's side: turn so that they point to the camera
    normal = np.cross(flat[5] - flat[0], flat[17] - flat[0])
    bend = (flat[[8, 12, 16, 20]] - flat[[5, 9, 13, 17]]).mean(axis=0)
    palm = normal / np.linalg.norm(normal) * np.sign(bend @ normal)
    axes = np.stack([flat[9] - flat[0], palm], axis=1)
    q, r = np.linalg.qr(axes)
    x, z = q[:, 0] * np.sign(r[0, 0]), palm
    z = z - x * (x @ z)
    z /= np.linalg.norm(z)
    frame = np.stack([x, np.cross(-z, x), -z])  # rows: palm looks to -z, the camera
    turn = files.rotation(np.array([0.0, turn_rad, 0.0]))
    joints = flat @ frame.T @ turn.T
    joints = joints if is_right else mirror_points(joints)
    return np.asarray(joints + np.array([0.0, 0.0, 50.0]))


@pytest.mark.parametrize("is_right", [True, False])
def test_the_viewpoint_is_the_angle_from_the_palm(is_right: bool) -> None:
    for turn in (0.0, 0.6, 1.5, 2.6, np.pi):
        assert viewpoint_deg(facing(turn, is_right), is_right=is_right) == pytest.approx(np.degrees(turn), abs=3.0)


def test_a_hand_without_a_palm_has_no_viewpoint() -> None:
    assert np.isnan(viewpoint_deg(np.zeros((21, 3)), is_right=True))


def test_bins_have_their_lower_edge_and_nan_is_unknown() -> None:
    values = np.array([10.0, 64.0, 127.9, 500.0, np.nan])
    names = bin_names(values, (64.0, 128.0), "px")
    assert names == ["below 64 px", "64 to 128 px", "64 to 128 px", "from 128 px", "unknown"]
    assert bin_names(np.array([0.6]), (0.5, 0.75), "%", 100.0) == ["50 to 75 %"]
    assert viewpoint_names(np.array([0.0, 60.0, 120.0, np.nan])) == ["palm", "edge", "back", "unknown"]
