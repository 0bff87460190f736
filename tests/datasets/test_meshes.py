import struct
from pathlib import Path

import numpy as np
import pytest

from hoiray.datasets.meshes import read_mesh, read_object_model, read_points
from hoiray.errors import InputError
from hoiray.io.store import Store

VERTICES = np.array([[0, 0, 0], [0.1, 0, 0], [0.1, 0.1, 0], [0, 0.1, 0.05]])
HEADER = """ply
format {style} 1.0
comment made by hand
element vertex 4
property float x
property float y
property float z
property uchar red
element face 2
property list uchar int vertex_indices
end_header
"""


def ply(style: str) -> bytes:
    head = HEADER.format(style=style).encode()
    if style == "ascii":
        rows = "".join(f"{x} {y} {z} 7\n" for x, y, z in VERTICES)
        return head + (rows + "4 0 1 2 3\n3 0 2 3\n").encode()
    order = "<" if "little" in style else ">"
    rows_ = b"".join(struct.pack(order + "fffB", *row, 7) for row in VERTICES)
    return head + rows_ + struct.pack(order + "Biiii", 4, 0, 1, 2, 3) + struct.pack(order + "Biii", 3, 0, 2, 3)


@pytest.mark.parametrize("style", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_is_read_and_polygons_cut(tmp_path: Path, style: str) -> None:
    store = Store.open(tmp_path)
    store.write("x.ply", ply(style))
    mesh = read_mesh(store, "x.ply")
    np.testing.assert_allclose(mesh.vertices, VERTICES, atol=1e-7)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]]


def test_obj_is_read_with_slashes_negative_numbers_and_colours(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    text = "# x\nmtllib a.mtl\nv 0 0 0 1 1 1\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1 4/1\nf -4//1 -3 -2\n"
    store.write("x.obj", text.encode())
    mesh = read_mesh(store, "x.obj")
    assert mesh.vertices.shape == (4, 3)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.obj", b""),
        ("x.obj", b"v 1 2\n"),
        ("x.obj", b"v 0 0 0\nf 1 2 3\n"),
        ("x.obj", b"v 0 0 0\nf a b c\n"),
        ("x.obj", b"v 0 0 nan\n"),
        ("x.ply", b"plx"),
        ("x.ply", ply("ascii")[:-8]),
        ("x.ply", ply("binary_little_endian")[:-3]),
        ("x.ply", ply("ascii").replace(b"property float z\n", b"")),
        ("x.ply", ply("ascii").replace(b"3 0 2 3", b"3 0 2 9")),
    ],
)
def test_a_damaged_mesh_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    store = Store.open(tmp_path)
    store.write(name, data)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_mesh(store, name)


def test_points_and_mesh_are_joined(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert read_object_model(store, "can", points_key="points.xyz", mesh_keys=("a.ply", "x.ply")) is None
    store.write("x.ply", ply("ascii"))
    mesh_only = read_object_model(store, "can", points_key="points.xyz", mesh_keys=("a.ply", "x.ply"))
    assert mesh_only is not None
    np.testing.assert_allclose(mesh_only.points, VERTICES)
    store.write("points.xyz", b"0 0 0\n1 2 3\n\n")
    both = read_object_model(store, "can", points_key="points.xyz", mesh_keys=("x.ply",))
    assert both is not None
    assert both.vertices is not None
    np.testing.assert_allclose(both.points, [[0, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize("text", ["", "1 2\n", "a b c\n", "1 2 inf\n"])
def test_points_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    store = Store.open(tmp_path)
    store.write("p.xyz", text.encode())
    with pytest.raises(InputError, match=r"p\.xyz"):
        read_points(store, "p.xyz")
