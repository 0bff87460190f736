"""The whole command on a real set with a real, untrained network."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluated_set import LAYOUTS, write_evaluated_set, write_network

from hoiray.cli.evaluate import EvaluationRequest, evaluate, open_truths, score_predictions
from hoiray.errors import ConfigError, InputError
from hoiray.evaluation.hand_metrics import HAND_METRICS
from hoiray.evaluation.truth import JOINTS_BOX
from hoiray.geometry.rotations import axis_angle_to_matrix
from hoiray.predictors.load import load_network
from hoiray.predictors.protocol import HandPredictions
from hoiray.synthetic.writers.truth import posed_targets


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluationRequest, str]:
    folder = tmp_path_factory.mktemp("evaluated")
    write_evaluated_set(folder / "set", LAYOUTS["ho3d_v2"])
    digest = write_network(folder / "one.safetensors", 0)
    write_network(folder / "two.safetensors", 1)
    request = EvaluationRequest(
        str(folder / "one.safetensors"), str(folder / "set"), folder / "out", against=str(folder / "two.safetensors")
    )
    return request, digest


def test_the_tables_say_what_they_are_and_hold_every_metric_beside_the_constant(
    world: tuple[EvaluationRequest, str], capsys: pytest.CaptureFixture[str]
) -> None:
    request, digest = world
    evaluate(request)
    shown = capsys.readouterr().out
    assert "constant hand" in shown
    assert "ho3d-add-true-diameter" in shown
    text = (request.out / "evaluation.md").read_text()
    document = json.loads((request.out / "evaluation.json").read_text())
    header = document["header"]
    for key in ("hoiray", "model", "data", "counts", "boxes", "alignment", "joint order", "tips", "axes and units"):
        assert header[key]
        assert f"**{key}**" in text
    assert digest in header["model"]
    assert "ho3d_v2 / evaluation" in header["data"]
    assert "4 hands in 4 of 4 images, 2 recordings" in header["counts"]
    assert "seed 0" in header["intervals"]
    assert "2 recordings, never frames" in header["intervals"]
    assert "evaluated hands themselves" in header["constant hand"]
    rows = document["tables"]["hands"]["rows"]
    assert set(rows) == set(HAND_METRICS)
    for name, row in rows.items():
        assert row["model"]["low"] <= row["model"]["value"] + 1e-9
        assert {"against", "difference"} <= set(row)
        assert ("constant" in row) == (not name.startswith("joints_2d"))
    assert rows["mpjpe_mm"]["gain"]["value"] < 0  # an untrained network is worse than a constant
    assert {"by object", "by recording", "by side", "by size", "by visible", "by viewpoint"} <= set(document["tables"])
    assert sum("declared-symmetries" in key for key in document["tables"]) == 1


def test_every_hand_has_a_row_with_all_its_numbers(world: tuple[EvaluationRequest, str]) -> None:
    request, _ = world
    evaluate(replace(request, out=request.out / "b", against=None, samples=3))
    table = pq.read_table(request.out / "b" / "per_hand.parquet").to_pandas()
    assert len(table) == 3
    document = json.loads((request.out / "b" / "evaluation.json").read_text())
    mean = document["tables"]["hands"]["rows"]["pa_mpjpe_mm"]["model"]["value"]
    assert table["pa_mpjpe_mm"].mean() == pytest.approx(mean)
    assert table["constant_mpjpe_mm"].notna().all()
    assert table["visible_fraction"].between(0.0, 1.0).all()
    assert "against" not in document["header"]


def test_the_true_parameters_score_as_perfect_and_a_missing_one_is_counted(
    world: tuple[EvaluationRequest, str],
) -> None:
    """What the command measures of a predictor that answers with the truth: nothing is lost on the way."""
    request, _ = world
    opened = open_truths(request)
    predictor = load_network(request.model, hand_path=None, device="cpu").predictor
    store = opened.dataset.store  # type: ignore[attr-defined]  # a reader of files has one
    recordings = [posed_targets(store, name) for name in ("toy-1", "toy-2")]
    pose = np.concatenate([np.concatenate([one.global_orient, one.hand_pose], axis=1) for one in recordings])
    betas = np.concatenate([one.betas for one in recordings])
    truths = opened.truths
    joints = truths.joints_3d()
    rotations = axis_angle_to_matrix(pose.reshape(-1, 16, 3).astype(float))
    pixels = np.stack([hand.joints_2d_px for hand in truths.hands])
    relative = joints - joints[:, :1]
    failures: tuple[str | None, ...] = (None, "lost", None, None)
    for part in (rotations, relative, pixels):
        part[1] = np.nan
    answer = HandPredictions(
        relative, pixels, rotations=rotations, betas=betas, failures=failures,
        T_cam_obj=np.stack([hand.T_cam_obj for hand in truths.hands]), object_failures=(None,) * 4,
    )  # fmt: skip
    scored = score_predictions(predictor, answer, opened, request.protocols)
    assert np.isnan(scored.hands["mpjpe_mm"]).tolist() == [False, True, False, False]
    assert np.nanmax(scored.hands["mpjpe_mm"]) < 0.01
    assert np.nanmax(scored.hands["mpvpe_mm"]) < 0.01
    assert np.nanmin(scored.hands["f_at_5mm"]) == 1.0
    assert scored.objects is not None
    for result in scored.objects.results:
        assert result.is_correct.tolist() == [1.0] * 4


def test_the_constant_hand_can_come_from_a_training_set(world: tuple[EvaluationRequest, str]) -> None:
    request, _ = world
    out = request.out / "c"
    evaluate(replace(request, out=out, against=None, baseline_from=request.data, baseline_split="train"))
    document = json.loads((out / "evaluation.json").read_text())
    assert "ho3d_v2 / train" in document["header"]["constant hand"]
    own = json.loads((request.out / "evaluation.json").read_text())["tables"]["hands"]["rows"]
    other = document["tables"]["hands"]["rows"]
    assert other["mpjpe_mm"]["constant"]["value"] > own["mpjpe_mm"]["constant"]["value"]


def test_boxes_of_a_file_replace_the_given_ones_and_every_hand_needs_one(
    world: tuple[EvaluationRequest, str], tmp_path: Path
) -> None:
    request, _ = world
    truths = open_truths(replace(request, boxes="joints")).truths
    assert {hand.box_source for hand in truths.hands} == {JOINTS_BOX}
    entries = [
        {"key": hand.sample_id, "hand_box": (hand.hand_box_xyxy + np.array([-9, -9, 9, 9])).tolist(), "is_right": True}
        for hand in truths.hands
    ]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(entries))
    opened = open_truths(replace(request, boxes=str(path)))
    for hand, entry in zip(opened.truths.hands, entries, strict=True):
        np.testing.assert_allclose(hand.hand_box_xyxy, entry["hand_box"])
        assert np.isnan(hand.object_box_xyxy).all()
    assert str(path) in opened.boxes_words
    path.write_text(json.dumps(entries[1:]))
    with pytest.raises(InputError, match="would go uncounted"):
        open_truths(replace(request, boxes=str(path)))


def test_frames_are_never_resampled_and_unknown_subjects_are_told(
    world: tuple[EvaluationRequest, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _ = world
    monkeypatch.setattr("hoiray.datasets.formats.ho3d.subject_of_sequence", lambda _: None)
    with pytest.raises(ConfigError, match="no independent trials"):
        evaluate(replace(request, groups="frames"))
    with pytest.raises(ConfigError, match="--groups recordings"):
        evaluate(replace(request, groups="subjects", against=None))
    with pytest.raises(ConfigError, match="ho3d-add-aabb"):
        evaluate(replace(request, protocols=("add",), against=None))
