"""Object meshes and evaluation points as the data sets ship them: Wavefront OBJ, PLY, text lines of coordinates."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from hoiray.datasets.sample import FloatArray, ObjectModel
from hoiray.errors import InputError, describe
from hoiray.io.store import Store

Faces = npt.NDArray[np.integer[Any]]

_PLY_TYPES: Final = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_FIX: Final = "Copy the file again from its source."


class Mesh(NamedTuple):
    """Vertices (V, 3) and triangles (F, 3)."""

    vertices: FloatArray
    faces: Faces


def read_object_model(
    store: Store, name: str, *, points_key: str | None, mesh_keys: tuple[str, ...]
) -> ObjectModel | None:
    """Read an object: evaluation points, mesh, or both.

    Args:
        store: the data set's root.
        name: the object's name.
        points_key: file of the evaluation points; None where the format has none.
        mesh_keys: where the mesh may lie; the first one that exists is read.

    Returns:
        None where neither file is there. Without evaluation points the mesh's vertices are the points.

    Raises:
        InputError: a file that is there is damaged.
    """
    points = read_points(store, points_key) if points_key is not None and store.exists(points_key) else None
    present = next((key for key in mesh_keys if store.exists(key)), None)
    mesh = None if present is None else read_mesh(store, present)
    if mesh is None:
        return None if points is None else ObjectModel(name, points)
    return ObjectModel(name, mesh.vertices if points is None else points, mesh.vertices, mesh.faces)


def read_points(store: Store, key: str) -> FloatArray:
    """Read lines `x y z` to (P, 3).

    Raises:
        InputError: the file is missing, empty or holds something else.
    """
    rows = [line.split() for line in _text(store, key).splitlines() if line.strip()]
    return _points([row[:3] for row in rows], store.url(key))


def read_mesh(store: Store, key: str) -> Mesh:
    """Read an OBJ or PLY mesh; polygons are cut into triangles.

    Raises:
        InputError: the file is missing, damaged, or a face names a vertex that is not there.
    """
    name = store.url(key)
    mesh = _parse_ply(store.read(key), name) if key.endswith(".ply") else _parse_obj(_text(store, key), name)
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        found = f"a face with vertex {int(mesh.faces.max())} of {len(mesh.vertices)}"
        raise InputError(describe(what=name, expected="faces of its own vertices", found=found, fix=_FIX))
    return mesh


def _text(store: Store, key: str) -> str:
    return store.read(key).decode("utf-8", errors="replace")


def _points(rows: list[list[str]] | npt.NDArray[Any], name: str) -> FloatArray:
    try:
        points = np.asarray(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(describe(what=name, expected="lines of three numbers", found=str(error), fix=_FIX)) from error
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0 or not np.all(np.isfinite(points)):
        found = f"an array of shape {points.shape}" if points.ndim != 2 or len(points) == 0 else "a number that is none"
        raise InputError(describe(what=name, expected="finite points x y z", found=found, fix=_FIX))
    return points


def _fan(corners: list[int]) -> list[tuple[int, int, int]]:
    return [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]


def _parse_obj(text: str, name: str) -> Mesh:
    rows: list[list[str]] = []
    faces: list[tuple[int, int, int]] = []
    for line in text.splitlines():
        kind, *parts = line.split() or [""]
        if kind == "v":
            rows.append(parts[:3])  # a colour may follow
        elif kind == "f":
            try:
                corners = [int(part.partition("/")[0]) for part in parts]
            except ValueError as error:
                raise InputError(describe(what=name, expected="a face", found=repr(line), fix=_FIX)) from error
            # numbers count from 1; negative ones count back from the last vertex so far
            faces += _fan([corner - 1 if corner > 0 else len(rows) + corner for corner in corners])
    return Mesh(_points(rows, name), np.array(faces, dtype=np.int64).reshape(-1, 3))


class _Property(NamedTuple):
    name: str
    type: str
    count_type: str | None
    """Type of the length of a list; None for a single number."""


class _Element(NamedTuple):
    name: str
    num_rows: int
    properties: list[_Property]


def _parse_ply(data: bytes, name: str) -> Mesh:
    header, mark, body = data.partition(b"end_header")
    if not data.startswith(b"ply") or not mark:
        raise InputError(describe(what=name, expected="a PLY file", found="no PLY header", fix=_FIX))
    body = body[body.index(b"\n") + 1 :] if b"\n" in body else b""
    try:
        style, elements = _ply_header(header.decode("ascii"))
        columns = _PlyBody(body, style).read(elements)
        vertex, face = columns["vertex"], columns.get("face", {})
        points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=-1)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        found = f"a damaged or unusual one ({type(error).__name__}: {error})"
        raise InputError(describe(what=name, expected="a PLY mesh", found=found, fix=_FIX)) from error
    lists = face.get("vertex_indices", face.get("vertex_index", []))
    triangles = [triangle for corners in lists for triangle in _fan([int(corner) for corner in corners])]
    return Mesh(_points(points, name), np.array(triangles, dtype=np.int64).reshape(-1, 3))


def _ply_header(text: str) -> tuple[str, list[_Element]]:
    style, elements = "", list[_Element]()
    for line in text.splitlines():
        match line.split():
            case ["format", found, _]:
                style = found
            case ["element", element, count]:
                elements.append(_Element(element, int(count), []))
            case ["property", "list", count_type, item_type, title]:
                elements[-1].properties.append(_Property(title, _PLY_TYPES[item_type], _PLY_TYPES[count_type]))
            case ["property", item_type, title]:
                elements[-1].properties.append(_Property(title, _PLY_TYPES[item_type], None))
    return style, elements


class _PlyBody:
    """The numbers behind the header, taken one after the other."""

    def __init__(self, body: bytes, style: str) -> None:
        self._order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[style]
        self._words = body.split() if style == "ascii" else []
        self._body, self._position = body, 0

    def read(self, elements: list[_Element]) -> dict[str, dict[str, Any]]:
        return {element.name: self._element(element) for element in elements}

    def _element(self, element: _Element) -> dict[str, Any]:
        if self._order and all(prop.count_type is None for prop in element.properties):
            row = np.dtype([(prop.name, self._order + prop.type) for prop in element.properties])
            table = np.frombuffer(self._body, dtype=row, count=element.num_rows, offset=self._position)
            self._position += table.nbytes
            return {prop.name: table[prop.name] for prop in element.properties}
        columns: dict[str, list[Any]] = {prop.name: [] for prop in element.properties}
        for _ in range(element.num_rows):
            for prop in element.properties:
                count = 1 if prop.count_type is None else int(self._take(prop.count_type, 1)[0])
                values = self._take(prop.type, count)
                columns[prop.name].append(values[0] if prop.count_type is None else values)
        return columns

    def _take(self, kind: str, count: int) -> npt.NDArray[Any]:
        if not self._order:
            words = self._words[self._position : self._position + count]
            self._position += count
            if len(words) < count:
                raise ValueError("the file ends early")
            return np.array(words, dtype=np.float64)
        values = np.frombuffer(self._body, dtype=self._order + kind, count=count, offset=self._position)
        self._position += values.nbytes
        return values
