import numpy as np
import pytest
import trimesh

from hoiray.errors import ConfigError
from hoiray.metrics.symmetry import symmetry_transforms
from hoiray.synthetic.objects import NUM_POINTS, SHAPES, build_object, is_object_name

YCB_DIAGONALS_MM = {
    "021_bleach_cleanser": (278.8, 259.2),
    "006_mustard_bottle": (224.4, 196.3),
    "010_potted_meat_can": (144.0, 128.8),
    "019_pitcher_base": (318.7, 258.9),
    "003_cracker_box": (278.3, 268.8),
    "004_sugar_box": (205.4, 197.6),
    "025_mug": (169.3, 124.5),
    "035_power_drill": (268.4, 226.0),
}
"""Bounding-box diagonal and diameter of the YCB models which these objects play."""


@pytest.mark.parametrize("name", SHAPES)
def test_every_mesh_is_made_of_closed_surfaces_that_look_outwards(name: str) -> None:
    item = build_object(name)
    mesh = trimesh.Trimesh(item.vertices, item.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    for part in mesh.split(only_watertight=True):
        assert part.volume > 0
    assert 200 <= len(item.faces) <= 3000


@pytest.mark.parametrize("name", SHAPES)
def test_attributes_fit_the_mesh(name: str) -> None:
    item = build_object(name)
    assert item.corner_uv.shape == (len(item.faces), 3, 2)
    assert item.face_part.shape == (len(item.faces),)
    assert set(item.face_part.tolist()) == set(range(len(item.part_names)))
    centre = (item.vertices.min(axis=0) + item.vertices.max(axis=0)) / 2
    np.testing.assert_allclose(centre, 0.0, atol=1e-9)
    assert item.grips


@pytest.mark.parametrize("name", SHAPES)
def test_evaluation_points_lie_on_the_outer_surface_and_span_the_box(name: str) -> None:
    item = build_object(name)
    assert item.points.shape == (NUM_POINTS, 3)
    assert np.abs(item.signed_distance(item.points)).max() < 1e-6
    np.testing.assert_allclose(item.points.min(axis=0), item.vertices.min(axis=0), atol=1e-12)
    np.testing.assert_allclose(item.points.max(axis=0), item.vertices.max(axis=0), atol=1e-12)
    assert item.aabb_diagonal_m == pytest.approx(float(np.linalg.norm(np.ptp(item.vertices, axis=0))))
    corner = item.points[:, None, ::1][::37]
    assert np.linalg.norm(corner - item.points[None], axis=2).max() <= item.diameter_m + 1e-12 <= item.aabb_diagonal_m


@pytest.mark.parametrize("name", SHAPES)
def test_declared_symmetries_and_the_mirror_leave_the_shape_as_it_is(name: str) -> None:
    """0.25 mm: a 48-gon of 7 cm radius turned by half a side; a box's vertical edges are rounder than the others."""
    item = build_object(name)
    for T in symmetry_transforms(item.symmetry, max_step_fraction=0.31):
        turned = item.points @ T[:3, :3].T + T[:3, 3]
        assert np.abs(item.signed_distance(turned)).max() < 2.5e-4
    assert np.abs(item.signed_distance(item.points * [1.0, -1.0, 1.0])).max() < 2.5e-4


def test_an_undeclared_turn_changes_a_shape() -> None:
    """The symmetry test above can fail: a mug is not symmetric, a can turned by 20 degrees about x neither."""
    mug, can = build_object("mug"), build_object("can")
    assert np.abs(mug.signed_distance(mug.points * [-1.0, -1.0, 1.0])).max() > 0.02
    angle = np.radians(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    assert np.abs(can.signed_distance(can.points @ turn.T)).max() > 0.01


@pytest.mark.parametrize(("name", "sizes_mm"), YCB_DIAGONALS_MM.items())
def test_players_are_about_as_large_as_what_they_play(name: str, sizes_mm: tuple[float, float]) -> None:
    item = build_object(name)
    assert item.aabb_diagonal_m * 1000 == pytest.approx(sizes_mm[0], rel=0.06)
    assert item.diameter_m * 1000 == pytest.approx(sizes_mm[1], rel=0.1)


def test_the_same_name_gives_the_same_object_and_a_variant_another() -> None:
    first = build_object("bottle_0017")
    build_object.cache_clear()
    second = build_object("bottle_0017")
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.vertices, second.vertices)
    assert abs(build_object("bottle_0018").diameter_m - first.diameter_m) > 1e-4


def test_the_proxy_is_coarse_closed_and_inside() -> None:
    for name in ("mug", "hammer", "box"):
        item = build_object(name)
        corners, faces = item.proxy
        hull = trimesh.Trimesh(corners, faces, process=False)
        assert hull.is_watertight
        assert hull.volume > 0
        assert len(faces) <= 92
        assert np.ptp(corners, axis=0) == pytest.approx(np.ptp(item.vertices, axis=0), rel=0.08)


@pytest.mark.parametrize("name", ["teapot", "bottle_17", "bottle_00017", ""])
def test_an_unknown_name_is_refused_by_name(name: str) -> None:
    assert not is_object_name(name)
    with pytest.raises(ConfigError, match="bottle_0017"):
        build_object(name)


def test_signed_distance_is_negative_inside_and_positive_outside() -> None:
    can = build_object("can")
    inside, outside = can.signed_distance(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]))
    assert inside == pytest.approx(-0.032, abs=2e-4)
    assert outside == pytest.approx(0.068, abs=2e-4)
