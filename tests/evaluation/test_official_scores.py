"""The official scripts, read line by line, against ours; and a round trip through whole data sets."""

from pathlib import Path

import dataset_files as files
import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.freihand import FreiHandDataset
from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.datasets.sample import AnnotatedDataset
from hoiray.errors import ContractError
from hoiray.evaluation.official_scores import expected_of, official_table, published_truth, score_submission
from hoiray.evaluation.submission import Submission, read_submission, write_submission
from hoiray.io.store import Store
from hoiray.synthetic.writers import freihand, ho3d
from hoiray.synthetic.writers.shot import Format


def aligned(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    a, b = truth - truth.mean(0), predicted - predicted.mean(0)
    norm_a, norm_b = np.linalg.norm(a) + 1e-8, np.linalg.norm(b) + 1e-8
    R, s = orthogonal_procrustes(a / norm_a, b / norm_b)
    return (b / norm_b) @ R.T * s * norm_a + truth.mean(0)


def measures(truths: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
    errors = np.linalg.norm(truths - predictions, axis=-1)
    thresholds = np.linspace(0, 0.05, 100)
    areas = [
        trapezoid([(errors[:, k] <= t).mean() for t in thresholds], thresholds) / 0.05 for k in range(errors.shape[1])
    ]
    return float(errors.mean(axis=0).mean()), float(np.mean(areas))


def f_score(truth: np.ndarray, predicted: np.ndarray, limit: float) -> float:
    distances = cdist(truth, predicted)
    recall, precision = (distances.min(axis=0) < limit).mean(), (distances.min(axis=1) < limit).mean()
    return float(2 * recall * precision / (recall + precision)) if recall + precision > 0 else 0.0


def freihand_scores_txt(xyz: np.ndarray, verts: np.ndarray, xyz_pred: np.ndarray, verts_pred: np.ndarray) -> str:
    text = ""
    xyz_al = np.stack([aligned(t, p) for t, p in zip(xyz, xyz_pred, strict=True)])
    verts_al = np.stack([aligned(t, p) for t, p in zip(verts, verts_pred, strict=True)])
    for name, truth, predicted in (
        ("xyz", xyz, xyz_pred), ("xyz_al", xyz, xyz_al), ("mesh", verts, verts_pred), ("mesh_al", verts, verts_al)
    ):  # fmt: skip
        mean, area = measures(truth, predicted)
        text += f"{name}_mean3d: {mean * 100:f}\n{name}_auc3d: {area:f}\n"
    for limit in (5, 15):
        for name, predicted in (("f_score", verts_pred), ("f_al_score", verts_al)):
            scores = [f_score(t, p, limit / 1000) for t, p in zip(verts, predicted, strict=True)]
            text += f"{name}_{limit}: {np.mean(scores):f}\n"
    return text


def write_set(folder: Path, layout: Format) -> None:
    is_freihand = layout.name == "freihand"
    options = {"size": (224, 224), "focal": 480.0} if is_freihand else {}
    store, parts = Store.open(folder), []
    for index, split in enumerate(("train", "test")):
        recording = make_recording(
            recording_id=f"toy-{index}", seed=1 + index, num_frames=3, num_cameras=1, with_second_hand=False, **options
        )
        part, _ = write_recording(
            layout.begin(store, recording, slot(index, split, total=3)), store, recording, slot(index, split, total=3)
        )
        parts.append(part)
    layout.finish(store, parts)


LAYOUTS = {"ho3d_v2": ho3d.HO3D_V2, "ho3d_v3": ho3d.HO3D_V3, "freihand": freihand.FREIHAND}


@pytest.fixture(scope="module", params=list(LAYOUTS))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AnnotatedDataset:
    folder = tmp_path_factory.mktemp(request.param)
    write_set(folder, LAYOUTS[request.param])
    kind = FreiHandDataset if request.param == "freihand" else Ho3dDataset
    return kind.open(str(folder), "evaluation", hand=files.arrays())


def test_the_truth_submitted_scores_as_perfect(opened: AnnotatedDataset, tmp_path: Path) -> None:
    truth = published_truth(opened)
    assert truth is not None
    submission = Submission.make(opened.name, truth.joints_3d, truth.vertices)
    write_submission(submission, expected_of(opened), tmp_path / "pred.zip")
    back = read_submission(tmp_path / "pred.zip", opened.name)
    lines = dict(line.split(": ") for line in official_table(opened.name, score_submission(back, truth)).splitlines())
    assert float(lines["xyz_mean3d"]) < 1e-4
    assert float(lines["f_score_5"]) == 1.0


def test_local_scores_are_the_official_scripts(opened: AnnotatedDataset) -> None:
    truth = published_truth(opened)
    assert truth is not None
    rng = np.random.default_rng(0)
    joints = truth.joints_3d + rng.normal(0, 0.01, truth.joints_3d.shape)
    vertices = truth.vertices + rng.normal(0, 0.004, truth.vertices.shape)
    submission = Submission.make(opened.name, joints, vertices)
    lines = official_table(opened.name, score_submission(submission, truth)).splitlines()
    found = {name: float(value) for name, value in (line.split(": ") for line in lines)}
    # the files themselves, as the script would read them
    flip = np.eye(3) if opened.name == "freihand" else files.FLIP
    order = range(21) if opened.name == "freihand" else files.MANO_OF_SIMPLE
    script = freihand_scores_txt(
        (truth.joints_3d @ flip)[:, list(order)], truth.vertices @ flip, submission.xyz, submission.verts
    )
    expected = {name: float(value) for name, value in (line.split(": ") for line in script.splitlines())}
    if opened.name == "freihand":
        assert list(found) == list(expected)
    renamed = {"xyz_al_mean3d": "xyz_procrustes_al_mean3d", "xyz_al_auc3d": "xyz_procrustes_al_auc3d"}
    for name, value in expected.items():
        theirs = name if opened.name == "freihand" else renamed.get(name, name)
        assert found[theirs] == pytest.approx(value, abs=1.1e-6), name


def test_the_split_says_how_many_and_where(opened: AnnotatedDataset) -> None:
    expected = expected_of(opened)
    assert expected.num_samples == len(opened)
    if opened.name == "freihand":
        assert expected.wrists_3d is None
        return
    assert expected.wrists_3d is not None
    truth = published_truth(opened)
    assert truth is not None
    np.testing.assert_allclose(expected.wrists_3d, truth.joints_3d[:, 0], atol=1e-6)


def test_a_training_split_takes_no_submission(opened: AnnotatedDataset) -> None:
    root = opened.store.uri  # type: ignore[attr-defined]  # both kinds have it
    split = "training" if opened.name == "freihand" else "train"
    kind = FreiHandDataset if opened.name == "freihand" else Ho3dDataset
    with pytest.raises(ContractError, match="split evaluation"):
        expected_of(kind.open(root, split))  # type: ignore[arg-type]  # texts of the test
