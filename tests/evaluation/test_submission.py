"""What is written is what the official scripts read, and what they would misread is refused."""

import dataclasses
import json
import zipfile
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest

from hoiray.errors import ContractError, InputError
from hoiray.evaluation.submission import (
    Expected,
    Submission,
    check_submission,
    read_submission,
    write_submission,
)

N = 5
EXPECTED = Expected(N, "evaluation.txt")


def hands() -> files.Hands:
    return files.hands(N, tip_set="ho3d", seed=4)


def ho3d() -> Submission:
    return Submission.make("ho3d_v2", hands().joints, hands().vertices)


def freihand() -> Submission:
    return Submission.make("freihand", hands().joints, hands().vertices)


def test_ho3d_gets_mano_order_opengl_axes_and_metres_in_a_flat_zip(tmp_path: Path) -> None:
    write_submission(ho3d(), EXPECTED, tmp_path / "new" / "pred.zip")
    with zipfile.ZipFile(tmp_path / "new" / "pred.zip") as archive:
        assert archive.namelist() == ["pred.json"]
        xyz, verts = json.loads(archive.read("pred.json"))
    assert np.shape(xyz) == (N, 21, 3)
    np.testing.assert_allclose(xyz, hands().joints[:, files.MANO_OF_SIMPLE] @ files.FLIP, atol=1e-7)
    np.testing.assert_allclose(verts, hands().vertices @ files.FLIP, atol=1e-7)
    assert np.max(np.array(xyz)[..., 2]) < 0


def test_freihand_gets_simple_order_and_opencv_axes(tmp_path: Path) -> None:
    write_submission(freihand(), EXPECTED, tmp_path / "pred.json")
    xyz, verts = json.loads((tmp_path / "pred.json").read_text())
    np.testing.assert_allclose(xyz, hands().joints, atol=1e-7)
    np.testing.assert_allclose(verts, hands().vertices, atol=1e-7)


@pytest.mark.parametrize(("name", "file"), [("ho3d_v3", "pred.zip"), ("freihand", "pred.json")])
def test_a_submission_comes_back_as_it_was(name: str, file: str, tmp_path: Path) -> None:
    write_submission(Submission.make(name, hands().joints, hands().vertices), EXPECTED, tmp_path / file)
    back = read_submission(tmp_path / file, name)
    check_submission(back, EXPECTED, name="back")
    np.testing.assert_allclose(back.joints_3d(), hands().joints, atol=1e-7)
    np.testing.assert_allclose(back.vertices(), hands().vertices, atol=1e-7)


def test_a_file_written_by_others_is_read_too(tmp_path: Path) -> None:
    """json.dump of nested lists with other spacing, exponents and integers."""
    xyz, verts = hands().joints.tolist(), hands().vertices.tolist()
    xyz[0][0] = [1e-3, 0, 5.5e-1]
    (tmp_path / "pred.json").write_text(json.dumps([xyz, verts], indent=1))
    back = read_submission(tmp_path / "pred.json", "freihand")
    np.testing.assert_array_equal(back.xyz, np.array(xyz))


SWAPPED_FINGERS = np.arange(21)
SWAPPED_FINGERS[[13, 14, 15, 17, 18, 19]] = [17, 18, 19, 13, 14, 15]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda s: dataclasses.replace(s, xyz=s.xyz[:-1], verts=s.verts[:-1]), "5 samples, as evaluation.txt has"),
        (lambda s: dataclasses.replace(s, xyz=s.xyz * 1000, verts=s.verts * 1000), "millimetres"),
        (lambda s: dataclasses.replace(s, xyz=s.xyz @ files.FLIP, verts=s.verts @ files.FLIP), "OpenCV axes"),
        (lambda s: dataclasses.replace(s, xyz=hands().joints @ files.FLIP), "joint order.*simple order"),
        (lambda s: dataclasses.replace(s, xyz=s.xyz - s.xyz[:, :1]), "root-relative"),
        (lambda s: dataclasses.replace(s, verts=s.verts @ files.FLIP), "finger tips on the hand's mesh"),
        (lambda s: dataclasses.replace(s, verts=s.verts[:, :700]), r"shape \(N, 778, 3\)"),
        (lambda s: dataclasses.replace(s, xyz=np.where(np.arange(N)[:, None, None] == 3, np.nan, s.xyz)), "entry 3"),
    ],
)
def test_what_a_server_would_misread_is_refused(broken: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=message):
        write_submission(broken(ho3d()), EXPECTED, tmp_path / "pred.zip")  # type: ignore[operator]  # one of the above
    assert not list(tmp_path.iterdir())


def test_opengl_axes_are_refused_for_freihand() -> None:
    flipped = dataclasses.replace(freihand(), xyz=freihand().xyz @ files.FLIP, verts=freihand().verts @ files.FLIP)
    with pytest.raises(ContractError, match="OpenGL axes"):
        check_submission(flipped, EXPECTED, name="x")


def test_another_order_of_the_samples_is_seen_by_the_wrists() -> None:
    wrists = hands().joints[:, 0] + np.array([[0.4 * i, 0, 0] for i in range(N)])
    moved = hands().joints + np.array([[[0.4 * i, 0, 0]] for i in range(N)])
    good = Submission.make("ho3d_v2", moved, hands().vertices + (moved - hands().joints)[:, :1])
    check_submission(good, Expected(N, "x", wrists), name="x")
    with pytest.raises(ContractError, match="another order of the samples"):
        check_submission(good, Expected(N, "x", wrists[[2, 3, 4, 0, 1]]), name="x")
    check_submission(good, Expected(N, "x", np.full((N, 3), np.nan)), name="x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2", "no JSON"),
        ("{}", "a dict"),
        ("[[], [], []]", "a list of 3"),
        (json.dumps([np.zeros((2, 21, 3)).tolist(), np.zeros((2, 778, 2)).tolist()]), r"first of shape \(778, 2\)"),
        (json.dumps([np.zeros((2, 20, 3)).tolist(), np.zeros((2, 779, 3)).tolist()]), r"entry 0 of list 0"),
        (
            json.dumps([[np.zeros((20, 3)).tolist(), np.zeros((22, 3)).tolist()], np.zeros((2, 778, 3)).tolist()]),
            "list 0",
        ),
        (json.dumps([np.zeros((3, 21, 3)).tolist(), np.zeros((2, 778, 3)).tolist()]), "lists of 3 entries"),
    ],
)
def test_a_text_that_is_not_the_two_lists_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "pred.json").write_text(text)
    with pytest.raises(ContractError, match=message):
        read_submission(tmp_path / "pred.json", "ho3d_v2")


def test_a_zip_without_the_file_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/pred.json", "[]")
    with pytest.raises(InputError, match="a zip of folder"):
        read_submission(tmp_path / "a.zip", "ho3d_v2")
    (tmp_path / "b.zip").write_bytes(b"PK and nothing")
    with pytest.raises(InputError, match="damaged zip"):
        read_submission(tmp_path / "b.zip", "ho3d_v2")
    with pytest.raises(InputError, match="nothing there"):
        read_submission(tmp_path / "c.zip", "ho3d_v2")


def test_a_data_set_without_a_server_has_no_submission() -> None:
    with pytest.raises(ContractError, match="ho3d_v2, ho3d_v3, freihand"):
        Submission.make("fpha", hands().joints, hands().vertices)
