"""From a network to a checked submission file, and from a file to the official script's numbers."""

import json
import re
import zipfile
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest
from evaluated_set import LAYOUTS, write_evaluated_set, write_network

from hoiray.cli.submission import SubmissionRequest, _substitute, check_file, make_submission
from hoiray.datasets.open import open_dataset
from hoiray.errors import ConfigError, ContractError
from hoiray.evaluation.official_scores import published_truth


@pytest.fixture(scope="module", params=["ho3d_v3", "freihand"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("submitted")
    write_evaluated_set(folder / "set", LAYOUTS[request.param])
    write_network(folder / "one.safetensors")
    return folder / "set", folder / "one.safetensors"


def test_a_made_submission_passes_its_check_and_scores_as_the_official_script(
    world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = world
    out = tmp_path / "pred.zip"
    make_submission(SubmissionRequest(str(model), str(data), out))
    assert "4 samples of" in capsys.readouterr().out
    check_file(out, str(data), dataset_format=None, hand_model=None)
    shown = capsys.readouterr().out
    dataset = open_dataset(str(data), None, "evaluation")
    truth = published_truth(dataset)
    assert truth is not None
    with zipfile.ZipFile(out) as archive:
        xyz = np.array(json.loads(archive.read("pred.json"))[0])
    if dataset.name == "freihand":
        assert "simple joint order, OpenCV axes" in shown
        errors = np.linalg.norm(xyz - truth.joints_3d, axis=-1)
    else:
        assert "mano joint order, OpenGL axes" in shown
        errors = np.linalg.norm(xyz - (truth.joints_3d @ files.FLIP)[:, files.MANO_OF_SIMPLE], axis=-1)
        np.testing.assert_allclose(errors[:, 0], 0.0, atol=1e-5)  # HO-3D's wrists are given
    printed = re.search(r"xyz_mean3d: ([0-9.]+)", shown)
    assert printed is not None
    assert float(printed[1]) == pytest.approx(100 * errors.mean(), abs=1e-5)


def test_a_file_of_another_order_is_refused_on_reading(world: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = world
    out = tmp_path / "pred.json"
    make_submission(SubmissionRequest(str(model), str(data), out))
    xyz, verts = json.loads(out.read_text())
    out.write_text(json.dumps([xyz[:-1], verts[:-1]]))
    with pytest.raises(ContractError, match="4 samples"):
        check_file(out, str(data), dataset_format=None, hand_model=None)
    flipped = (np.array(part) @ files.FLIP for part in (xyz, verts))
    out.write_text(json.dumps([part.tolist() for part in flipped]))
    with pytest.raises(ContractError, match="axes"):
        check_file(out, str(data), dataset_format=None, hand_model=None)


def test_a_missing_prediction_is_replaced_by_the_constant_of_the_others_and_counted() -> None:
    hands = files.hands(5, tip_set="ho3d", seed=1)
    joints, vertices = hands.joints - hands.joints[:, :1], hands.vertices - hands.joints[:, :1]
    kept = joints[[0, 1, 3, 4]].copy()
    joints[2], vertices[2] = np.nan, np.nan
    assert _substitute(joints, vertices) == 1
    assert np.isfinite(joints).all()
    assert np.isfinite(vertices).all()
    np.testing.assert_array_equal(joints[[0, 1, 3, 4]], kept)
    assert np.linalg.norm(joints[2] - kept, axis=-1).mean() < np.linalg.norm(kept[0] - kept[1:], axis=-1).mean() * 1.2
    with pytest.raises(ContractError, match="answers nothing"):
        _substitute(np.full((2, 21, 3), np.nan), np.full((2, 778, 3), np.nan))


def test_other_files_and_other_data_sets_are_refused_before_anything_is_predicted(tmp_path: Path) -> None:
    files.put_image(tmp_path / "a.png", files.picture(20, 20))
    with pytest.raises(ConfigError, match=r"\.zip or \.json"):
        make_submission(SubmissionRequest("m", str(tmp_path), tmp_path / "pred.tar"))
    with pytest.raises(ContractError, match="no server"):
        make_submission(SubmissionRequest("m", str(tmp_path), tmp_path / "pred.zip"))
