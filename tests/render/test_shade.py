import itertools

import numpy as np
import numpy.typing as npt
import pytest

from hoiray.errors import ContractError
from hoiray.render.light import Light, sh_basis, sky_ambient
from hoiray.render.shade import (
    Material,
    Mesh,
    RenderTarget,
    decode_srgb,
    encode_srgb,
    render,
    supersampled_intrinsics,
    vertex_normals,
)

FloatArray = npt.NDArray[np.float64]
K = np.array([[60.0, 0.0, 31.5], [0.0, 60.0, 31.5], [0.0, 0.0, 1.0]])
SIZE = (64, 64)
MATT = Material(specular=0.0)
QUAD = np.array([[0, 1, 2], [0, 2, 3]])
DARK = np.zeros((9, 3))


def plate(half_m: float, z_m: float, x_m: float = 0.0) -> FloatArray:
    """A square that faces the camera: counter-clockwise seen from it, where y points down."""
    return np.array([[-1.0, -1, 0], [-1, 1, 0], [1, 1, 0], [1, -1, 0]]) * half_m + [x_m, 0.0, z_m]


def lamp(*towards: float, colour: float = 1.0, shadow_map_px: int = 0) -> Light:
    direction = np.array(towards) / np.linalg.norm(towards)
    return Light(direction, np.full(3, colour), DARK, shadow_map_px)


def target(supersample: int = 1, background: float = 0.0) -> RenderTarget:
    return RenderTarget(K, SIZE, supersample, np.full(3, background))


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 75.0, 100.0])
def test_a_matt_surface_follows_the_cosine(angle_deg: float) -> None:
    angle = np.radians(angle_deg)
    mesh = Mesh(plate(1.0, 0.8), QUAD, np.array([0.5, 0.25, 0.75]), material=MATT)
    shaded = render([mesh], lamp(np.sin(angle), 0, -np.cos(angle), colour=0.8), target()).linear
    expected = np.array([0.5, 0.25, 0.75]) * 0.8 * max(np.cos(angle), 0)
    np.testing.assert_allclose(shaded, np.broadcast_to(expected, shaded.shape), atol=1e-6)


def test_ambient_light_is_the_polynomial_of_the_normal_times_visibility() -> None:
    up = np.array([0.0, 0.0, -1.0])
    light = Light(up, np.zeros(3), sky_ambient(up, np.array([0.6, 0.7, 0.9]), np.zeros(3)), 0)
    mesh = Mesh(plate(1.0, 0.8), QUAD, np.full(3, 0.5), visibility=np.full(4, 0.4), material=MATT)
    shaded = render([mesh], light, target()).linear
    np.testing.assert_allclose(shaded[32, 32], np.array([0.6, 0.7, 0.9]) * 0.5 * 0.4, atol=1e-6)


def test_every_term_of_the_ambient_polynomial_is_the_basis() -> None:
    normal = np.array([0.36, -0.48, -0.8])
    coefficients = np.arange(27, dtype=float).reshape(9, 3) / 27
    coefficients[0] += 5.0
    mesh = Mesh(plate(1.0, 0.8), QUAD, np.ones(3), normals=np.tile(normal, (4, 1)), material=MATT)
    shaded = render([mesh], Light(-normal, np.zeros(3), coefficients, 0), target()).linear
    expected = sh_basis(normal) @ coefficients
    assert (expected > 0).all()
    np.testing.assert_allclose(shaded[20, 40], expected, rtol=1e-5)


def test_a_plate_throws_its_shadow_where_the_lamp_is_hidden() -> None:
    wall, blocker = Mesh(plate(2.0, 1.0), QUAD, np.ones(3), material=MATT), plate(0.1, 0.8)
    light = lamp(-1, 0, -1, shadow_map_px=512)
    seen = render([wall, Mesh(blocker, QUAD, np.ones(3), material=MATT)], light, target())
    free = render([wall], light, target())
    # the lamp stands at 45 degrees on the left: the shadow falls 0.2 m to the right of the blocker
    row = seen.linear[32, :, 0] / free.linear[32, :, 0]
    columns = np.arange(64)
    x_on_wall = (columns - 31.5) / 60
    on_wall = seen.mesh_id[seen.fragments.triangle_id[32]] == 0
    np.testing.assert_allclose(row[on_wall & (np.abs(x_on_wall - 0.2) < 0.07)], 0.0, atol=1e-6)
    np.testing.assert_allclose(row[on_wall & (np.abs(x_on_wall - 0.2) > 0.14)], 1.0, atol=1e-6)
    assert (on_wall & (np.abs(x_on_wall - 0.2) < 0.07)).sum() >= 4


def test_a_curved_surface_does_not_shadow_itself() -> None:
    u, v = np.meshgrid(np.linspace(-1, 1, 30), np.linspace(-1, 1, 30))
    bowl = np.stack([u * 0.3, v * 0.3, 0.7 + 0.1 * (u**2 + v**2)], -1).reshape(-1, 3)
    index = np.arange(900).reshape(30, 30)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    mesh = Mesh(bowl, faces, np.ones(3), material=MATT)
    with_shadow, without = (render([mesh], lamp(-0.3, -0.4, -1, shadow_map_px=px), target()).linear for px in (128, 0))
    np.testing.assert_allclose(with_shadow, without, atol=5e-3)  # half a per cent of acne at the steep rim


def test_a_texture_is_read_between_its_texels() -> None:
    texture = np.zeros((2, 3, 3), np.float32)
    texture[..., 0] = [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0]]
    texture[..., 1] = [[0.2, 0.2, 0.2], [0.8, 0.8, 0.8]]
    uv = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])[QUAD]
    mesh = Mesh(plate(0.5, 1.0), QUAD, np.ones(3), corner_uv=uv, texture=texture, material=MATT)
    shaded = render([mesh], lamp(0, 0, -1), target()).linear
    for x, y in itertools.product((10, 31, 50), (5, 40)):
        u, v = (x - 31.5) / 60 + 0.5, (y - 31.5) / 60 + 0.5
        np.testing.assert_allclose(shaded[y, x], [u, 0.2 + 0.6 * v, 0.0], atol=2e-4)


def test_each_mesh_keeps_its_own_texture_and_colour() -> None:
    uv = np.array([[0.0, 0], [0, 1], [1, 1], [1, 0]])[QUAD]
    red = np.tile(np.array([1.0, 0, 0], np.float32), (3, 2, 1))
    green = np.tile(np.array([0.0, 1, 0], np.float32), (2, 5, 1))
    meshes = [
        Mesh(plate(0.1, 1.0, -0.3), QUAD, np.ones(3), corner_uv=uv, texture=red, material=MATT),
        Mesh(plate(0.1, 1.0, 0.0), QUAD, np.array([0.0, 0.0, 1.0]), material=MATT),
        Mesh(plate(0.1, 1.0, 0.3), QUAD, np.full(3, 0.5), corner_uv=uv, texture=green, material=MATT),
    ]
    shaded = render(meshes, lamp(0, 0, -1), target()).linear
    np.testing.assert_allclose(shaded[32, [14, 32, 50]], [[1, 0, 0], [0, 0, 1], [0, 0.5, 0]], atol=1e-6)


def test_a_highlight_lies_where_the_half_vector_is_the_normal() -> None:
    mesh = Mesh(plate(1.0, 0.8), QUAD, np.zeros(3), material=Material(specular=0.04, shininess=200))
    shaded = render([mesh], lamp(0.5, 0, -1), target()).linear[..., 0]
    # towards the camera -p/|p| and towards the lamp must mirror each other: p_x / p_z = 0.5, out of the image by
    # 60 * 0.5 = 30 px to the right of the middle
    v, u = np.unravel_index(int(shaded.argmax()), shaded.shape)
    assert abs(u - 61.5) <= 2
    assert abs(v - 31.5) <= 2
    assert shaded.max() > 20 * shaded[32, 5]


def test_scattering_reddens_the_terminator_only() -> None:
    mesh = Mesh(plate(1.0, 0.8), QUAD, np.full(3, 0.5), material=Material(specular=0.0, scatter=(0.4, 0.1, 0.0)))
    grazing = render([mesh], lamp(1, 0, 0.05), target()).linear[32, 32]
    behind = render([mesh], lamp(0, 0, 1), target()).linear[32, 32]
    assert grazing[0] > grazing[1] > grazing[2] == 0
    np.testing.assert_array_equal(behind, 0.0)


def test_the_far_side_of_an_open_surface_is_lit_as_seen() -> None:
    towards = lamp(0, 0, -1)
    front = render([Mesh(plate(1.0, 0.8), QUAD, np.ones(3), material=MATT)], towards, target()).linear
    back = render([Mesh(plate(1.0, 0.8), QUAD[:, ::-1], np.ones(3), material=MATT)], towards, target()).linear
    np.testing.assert_array_equal(front, back)
    np.testing.assert_allclose(front, 1.0, atol=1e-6)


def test_coverage_is_the_covered_share_and_the_background_shows_through() -> None:
    # edges at a third of a pixel: 20 px wide plus 1/3 on the right side
    left, right = (21.5 - 31.5) / 60, (41.5 + 1 / 3 - 31.5) / 60
    square = np.array([[left, left, 1.0], [left, -left, 1.0], [right, -left, 1.0], [right, left, 1.0]])
    drawn = render([Mesh(square, QUAD, np.full(3, 0.2), material=MATT)], lamp(0, 0, -1), target(3, background=0.8))
    np.testing.assert_allclose(drawn.coverage[32, 20:44], [0] * 2 + [1] * 20 + [1 / 3, 0], atol=1e-6)
    np.testing.assert_allclose(drawn.linear[32, 42], 0.2 / 3 + 0.8 * 2 / 3, atol=1e-6)
    np.testing.assert_allclose(drawn.linear[32, 5], 0.8)


def test_supersamples_tile_the_pixel() -> None:
    fine = supersampled_intrinsics(K, 3)
    point = np.array([0.11, -0.2, 0.9])
    coarse_px, fine_px = (K @ point)[:2] / 0.9, (fine @ point)[:2] / 0.9
    np.testing.assert_allclose(fine_px, 3 * (coarse_px + 0.5) - 0.5)
    with pytest.raises(ContractError, match="supersample"):
        supersampled_intrinsics(K, 0)


def test_normals_point_outwards_and_weigh_faces_by_area() -> None:
    vertices = np.array([[0.0, 0, 0], [3, 0, 0], [0, 1, 0], [0, 0, 1], [9, 9, 9]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    normals = vertex_normals(vertices, faces)
    np.testing.assert_allclose(normals[1], [0, 0, 1])
    np.testing.assert_allclose(normals[0], np.array([1, 0, 3]) / np.sqrt(10))
    np.testing.assert_array_equal(normals[4], 0)


def test_srgb_round_trips_every_byte_and_follows_the_standard() -> None:
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_srgb(decode_srgb(every)), every)
    linear = np.random.default_rng(0).uniform(-0.2, 1.2, 5000)
    clipped = np.clip(linear, 0, 1)
    exact = 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    assert np.abs(encode_srgb(linear) - exact).max() < 0.75


def test_the_same_scene_gives_the_same_bits() -> None:
    scene = [Mesh(plate(0.3, 0.9), QUAD, np.ones(3)), Mesh(plate(0.1, 0.7), QUAD, np.full(3, 0.4))]
    first, second = (render(scene, lamp(-1, -1, -2, shadow_map_px=64), target(2, 0.5)) for _ in range(2))
    assert first.linear.tobytes() == second.linear.tobytes()
    assert first.image.tobytes() == second.image.tobytes()


def test_nothing_to_draw_leaves_the_background() -> None:
    picture = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    drawn = render([], lamp(0, 0, -1, shadow_map_px=32), RenderTarget(K, SIZE, 1, picture))
    np.testing.assert_array_equal(drawn.linear, picture)
    assert drawn.coverage.max() == 0


def test_what_does_not_fit_the_mesh_is_refused() -> None:
    with pytest.raises(ContractError, match="albedo"):
        Mesh(plate(1, 1), QUAD, np.ones((3, 3)))
    with pytest.raises(ContractError, match="together"):
        Mesh(plate(1, 1), QUAD, np.ones(3), corner_uv=np.zeros((2, 3, 2)))
    with pytest.raises(ContractError, match="normals"):
        Mesh(plate(1, 1), QUAD, np.ones(3), normals=np.zeros((2, 3)))
