import numpy as np
import pytest
import trimesh

from hoiray.errors import ContractError
from hoiray.synthetic.solids import (
    SIDE_ROWS,
    Solid,
    box,
    loft,
    revolve,
    rounded_rectangle,
    signed_volume_m3,
    superellipse,
    transformed,
    tube,
)


def _cylinder(radius: float = 0.03, height: float = 0.1, num_sides: int = 48) -> Solid:
    return revolve([(radius, 0.0), (radius, height)], num_sides=num_sides)


def _arc(num: int = 20) -> np.ndarray:
    angle = np.linspace(-2.0, 2.0, num)
    return 0.03 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


SOLIDS = {
    "box": box((0.03, 0.08, 0.1)),
    "cylinder": _cylinder(),
    "tube": tube(_arc(), np.full((20, 2), 0.006)),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_is_closed_and_looks_outwards(name: str) -> None:
    solid = SOLIDS[name]
    mesh = trimesh.Trimesh(solid.vertices, solid.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.euler_number == 2
    assert mesh.volume > 0
    assert signed_volume_m3(solid.vertices, solid.faces) == pytest.approx(mesh.volume)


@pytest.mark.parametrize("name", SOLIDS)
def test_no_face_is_degenerate(name: str) -> None:
    corners = SOLIDS[name].vertices[SOLIDS[name].faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert area.min() > 1e-9


def test_a_cylinder_has_the_volume_of_its_polygon() -> None:
    sides, radius, height = 48, 0.03, 0.1
    polygon_area = 0.5 * sides * radius**2 * np.sin(2 * np.pi / sides)
    solid = _cylinder(radius, height, sides)
    assert signed_volume_m3(solid.vertices, solid.faces) == pytest.approx(polygon_area * height)


def test_a_box_is_as_large_as_asked_for() -> None:
    solid = box((0.03, 0.08, 0.1), edge_m=0.002)
    np.testing.assert_allclose(np.ptp(solid.vertices, axis=0), [0.06, 0.16, 0.2], atol=1e-12)
    edge_loss = 12 * 0.2 * 0.002**2
    assert 0.06 * 0.16 * 0.2 - edge_loss < signed_volume_m3(solid.vertices, solid.faces) < 0.06 * 0.16 * 0.2


def test_a_superellipse_lies_on_its_curve_and_is_symmetric() -> None:
    points = superellipse(0.03, 0.05, 3.0, 48)
    np.testing.assert_allclose((np.abs(points) ** 3 / np.array([0.03, 0.05]) ** 3).sum(axis=1), 1.0, rtol=1e-12)
    mirrored = points * [1, -1]
    distance = np.linalg.norm(points[:, None] - mirrored[None], axis=2).min(axis=1)
    assert distance.max() < 1e-12


def test_a_rounded_rectangle_turns_counter_clockwise() -> None:
    points = rounded_rectangle(0.03, 0.05, 0.01)
    x, y = points.T
    area = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)
    assert 0.9 * 0.06 * 0.1 < area < 0.06 * 0.1


@pytest.mark.parametrize("name", SOLIDS)
def test_texture_coordinates_stay_inside_the_texture_and_are_not_folded(name: str) -> None:
    uv = SOLIDS[name].corner_uv
    assert uv.shape == (*SOLIDS[name].faces.shape, 2)
    assert uv.min() >= 0.0
    assert uv.max() <= 1.0
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    assert area.min() > 0.0


def test_the_side_of_a_label_is_unrolled_once_with_its_top_at_the_top() -> None:
    solid = _cylinder(num_sides=12)
    side = solid.corner_uv[:24]
    assert side[..., 0].min() == 0.0
    assert side[..., 0].max() == 1.0
    heights = solid.vertices[solid.faces[:24]][..., 2]
    assert np.all(side[heights > 0.05][:, 1] == SIDE_ROWS[0])
    assert np.all(side[heights < 0.05][:, 1] == SIDE_ROWS[1])


def test_a_stack_from_the_top_down_is_refused_as_inside_out() -> None:
    with pytest.raises(ContractError, match="outward"):
        revolve([(0.03, 0.1), (0.03, 0.0)])


def test_a_loft_of_one_ring_is_refused() -> None:
    with pytest.raises(ContractError, match="stack of rings"):
        loft(np.zeros((1, 8, 3)))


def test_a_moved_solid_keeps_its_volume() -> None:
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    moved = transformed(_cylinder(), turn, (0.1, 0.2, 0.3))
    assert signed_volume_m3(moved.vertices, moved.faces) == pytest.approx(
        signed_volume_m3(_cylinder().vertices, _cylinder().faces)
    )
    np.testing.assert_allclose(np.ptp(moved.vertices, axis=0), [0.1, 0.06, 0.06], atol=1e-9)


@pytest.mark.parametrize("name", SOLIDS)
def test_writing_on_a_label_is_not_mirrored(name: str) -> None:
    """Seen from outside, corners run counter-clockwise; where rows go down, their signed area is then negative."""
    uv = SOLIDS[name].corner_uv
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    assert np.all(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] < 0)
