import numpy as np
import numpy.typing as npt
import pytest

from hoiray.errors import ContractError
from hoiray.render.overlay import (
    FINGER_COLOURS,
    INK,
    WRIST_COLOUR,
    blend,
    draw_box,
    draw_joints,
    draw_outline,
    draw_text,
    draw_wireframe,
    joint_colours,
    text_width,
)

Image = npt.NDArray[np.uint8]


@pytest.fixture
def grey() -> Image:
    image = np.full((80, 120, 3), 128, np.uint8)
    image.setflags(write=False)
    return image


def changed(before: Image, after: Image) -> npt.NDArray[np.bool_]:
    return np.asarray((before != after).any(axis=2))


def some_joints() -> npt.NDArray[np.float64]:
    """A fan: the wrist below, fingers from left to right, joints upwards, ten pixels apart."""
    finger, level = np.meshgrid(np.arange(5), np.arange(4), indexing="ij")
    return np.vstack([[60.0, 72.0], np.stack([20 + 20 * finger, 50 - 12 * level], -1).reshape(-1, 2)])


def test_every_joint_is_painted_in_its_fingers_colour(grey: Image) -> None:
    drawn = draw_joints(grey, some_joints())
    for joint, (x, y) in enumerate(some_joints().astype(int)):
        assert tuple(drawn[y, x]) == joint_colours()[joint]
    assert joint_colours()[0] == WRIST_COLOUR
    assert joint_colours()[8] == FINGER_COLOURS["index"]
    assert joint_colours()[20] == FINGER_COLOURS["pinky"]


def test_an_unknown_joint_and_its_bones_are_left_out(grey: Image) -> None:
    joints = some_joints()
    joints[7] = np.nan
    drawn = draw_joints(grey, joints)
    x, y = some_joints()[7].astype(int)
    assert not changed(grey, drawn)[y - 4 : y + 5, x - 4 : x + 5].any()
    assert not changed(grey, draw_joints(grey, np.full((21, 2), np.nan))).any()


def test_a_joint_far_outside_is_no_trouble(grey: Image) -> None:
    joints = some_joints()
    joints[4] = [1e12, -1e12]
    joints[8] = [300.0, -200.0]
    assert changed(grey, draw_joints(grey, joints)).any()


def test_joints_must_be_twenty_one(grey: Image) -> None:
    with pytest.raises(ContractError, match=r"\(21, 2\), found \(16, 2\)"):
        draw_joints(grey, np.zeros((16, 2)))


def test_a_box_is_drawn_along_its_edges_and_not_inside(grey: Image) -> None:
    marked = changed(grey, draw_box(grey, np.array([20.0, 30.0, 70.0, 60.0]), (255, 0, 0), thickness_px=1))
    assert marked[30, 20:71].all()
    assert marked[60, 20:71].all()
    assert marked[30:61, 20].all()
    assert not marked[33:58, 23:68].any()
    assert not changed(grey, draw_box(grey, np.array([20.0, np.nan, 70.0, 60.0]), (255, 0, 0))).any()


def test_a_label_stands_above_its_box_and_inside_the_image(grey: Image) -> None:
    box = np.array([20.0, 40.0, 70.0, 60.0])
    plain, labelled = (draw_box(grey, box, (200, 0, 0), label=label) for label in ("", "hand 0.93"))
    rows = np.nonzero(changed(plain, labelled).any(axis=1))[0]
    assert 20 < rows.min() < rows.max() < 42
    assert changed(plain, labelled)[:, 15:110].any()
    top = draw_box(grey, np.array([20.0, 0.0, 70.0, 60.0]), (200, 0, 0), label="hand")
    assert changed(grey, top)[:16, 20:60].sum() > 50


def test_an_outline_follows_the_mask(grey: Image) -> None:
    mask = np.zeros((80, 120), bool)
    mask[20:50, 30:90] = True
    marked = changed(grey, draw_outline(grey, mask, (0, 255, 0), thickness_px=1))
    assert marked[20, 30:90].all()
    assert marked[20:50, 89].all()
    assert not marked[24:46, 34:86].any()
    assert not changed(grey, draw_outline(grey, np.zeros_like(mask), (0, 255, 0))).any()


def test_blending_weighs_by_coverage_and_opacity() -> None:
    below, above = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 200, np.uint8)
    coverage = np.array([[0.0, 1.0], [0.5, 0.25]])
    np.testing.assert_array_equal(blend(below, above, coverage)[..., 0], [[100, 200], [150, 125]])
    np.testing.assert_array_equal(blend(below, above, coverage, opacity=0.5)[..., 1], [[100, 150], [125, 112]])


def test_a_wireframe_draws_its_edges_and_skips_what_is_behind_the_camera(grey: Image) -> None:
    points = np.array([[20.0, 20], [100, 20], [100, 60], [20, 60]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    marked = changed(grey, draw_wireframe(grey, points, faces, (0, 0, 255), opacity=1.0))
    assert marked[20, 20:101].all()
    assert marked[40, 60]
    assert not marked[30, 90]
    points[2] = np.nan
    marked = changed(grey, draw_wireframe(grey, points, faces, (0, 0, 255), opacity=1.0))
    assert marked[20, 20:101].all()
    assert not marked[40, 60]


@pytest.mark.parametrize("anchor", ["left", "centre", "right"])
def test_text_hangs_on_its_anchor(grey: Image, anchor: str) -> None:
    width = text_width("Mean 12", 9)
    drawn = draw_text(grey, "Mean 12", (60, 40), 9, anchor=anchor)  # type: ignore[arg-type]  # parametrised strings
    rows, columns = np.nonzero(changed(grey, drawn))
    left = {"left": 60, "centre": 60 - width / 2, "right": 60 - width}[anchor]
    assert abs(columns.min() - left) <= 3
    assert abs(columns.max() - (left + width)) <= 3
    assert abs((rows.min() + rows.max()) / 2 - 40) <= 1.5
    assert 7 <= rows.max() - rows.min() + 1 <= 11


def test_text_is_cut_at_the_border_and_an_empty_one_is_nothing(grey: Image) -> None:
    for position in ((-10, 3), (115, 78), (500, 500)):
        assert draw_text(grey, "edge", position, 12, colour=INK).shape == grey.shape
    assert not changed(grey, draw_text(grey, "", (5, 5), 12)).any()
    assert text_width("", 12) == 0


def test_only_rgb_bytes_are_an_image() -> None:
    with pytest.raises(ContractError, match=r"uint8 \(H, W, 3\), found float64"):
        draw_box(np.zeros((4, 4, 3)), np.zeros(4), (0, 0, 0))  # type: ignore[arg-type]  # the wrong dtype is the test
