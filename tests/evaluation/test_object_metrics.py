import dataset_files as files
import numpy as np
import pytest
from toy_world import make_recording, slot, write_recording

from hoiray.datasets.ho3d import Ho3dDataset
from hoiray.errors import ConfigError
from hoiray.evaluation.bootstrap import Interval
from hoiray.evaluation.object_metrics import find_protocols, score_objects
from hoiray.evaluation.tables import Scored, make_bootstrap, object_tables
from hoiray.evaluation.truth import Truths, collect_truths
from hoiray.geometry.transforms import make_transform
from hoiray.io.store import Store
from hoiray.metrics.symmetry import HALF_TURN_ABOUT_Z
from hoiray.synthetic.writers import ho3d

OBJECTS = ("021_bleach_cleanser", "006_mustard_bottle")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ho3dDataset, Truths]:
    folder = tmp_path_factory.mktemp("set")
    store, parts = Store.open(folder), []
    for index, name in enumerate(OBJECTS):
        recording = make_recording(
            recording_id=f"toy-{index}", seed=1 + index, num_frames=3, num_cameras=1, object_names=(name,),
            with_second_hand=False,
        )  # fmt: skip
        writer = ho3d.HO3D_V2.begin(store, recording, slot(index, "train"))
        part, _ = write_recording(writer, store, recording, slot(index, "train"))
        parts.append(part)
    ho3d.HO3D_V2.finish(store, parts)
    dataset = Ho3dDataset.open(str(folder), "train", hand=files.arrays())
    return dataset, collect_truths(dataset, range(len(dataset)), None, uses_annotated_boxes=True, reads_masks=False)


def predictions(truths: Truths) -> np.ndarray:
    """A few moved by a known shift, one turned half round about z, one that could not be estimated."""
    poses = np.stack([hand.T_cam_obj for hand in truths.hands])
    poses[1, :3, 3] += [0.0, 0.003, 0.004]
    poses[2, :3, 3] += [0.3, 0.0, 0.0]
    poses[3] = poses[3] @ make_transform(np.diag([-1.0, -1.0, 1.0]), np.zeros(3))
    poses[5] = np.nan
    return poses


def test_add_is_the_mean_distance_of_the_points_and_a_failure_is_wrong(opened: tuple[Ho3dDataset, Truths]) -> None:
    dataset, truths = opened
    assert len(truths) == 6
    T = predictions(truths)
    scored = score_objects(T, truths, dataset, ["ho3d-add-aabb", "ho3d-add-true-diameter"], {})
    assert scored is not None
    for result in scored.results:
        for i, hand in enumerate(truths.hands):
            model = dataset.object_model(str(hand.object_name))
            assert model is not None
            homogeneous = np.concatenate([model.points, np.ones((len(model.points), 1))], axis=1)
            distances = np.linalg.norm((homogeneous @ (T[i] - hand.T_cam_obj).T)[:, :3], axis=1)
            expected = 1000 * distances.mean()
            assert result.error_mm[i] == pytest.approx(expected, nan_ok=True)
            box = np.linalg.norm(model.points.max(axis=0) - model.points.min(axis=0))
            farthest = max(np.linalg.norm(model.points - point, axis=1).max() for point in model.points[::7])
            size = box if "aabb" in result.protocol.name else scored.diameters_m[str(hand.object_name)][1]
            assert scored.diameters_m[str(hand.object_name)][1] == pytest.approx(farthest, rel=0.03)
            assert result.is_correct[i] == (expected <= 100 * size)
            share = max(0.0, 1.0 - expected / 100.0)  # a failure has no share
            assert result.auc[i] == pytest.approx(share if np.isfinite(expected) else 0.0)
        assert result.is_correct.tolist()[5] == 0.0
        assert result.averaged_objects == OBJECTS[::-1] or set(result.averaged_objects) == set(OBJECTS)
    assert scored.results[0].error_mm[1] == pytest.approx(5.0)


def test_a_half_turn_is_wrong_unless_the_object_is_declared_symmetric(opened: tuple[Ho3dDataset, Truths]) -> None:
    dataset, truths = opened
    T = predictions(truths)
    plain = score_objects(T, truths, dataset, ["ho3d-add-aabb", "ho3d-mssd-half-turn"], {})
    assert plain is not None
    name = str(truths.hands[3].object_name)
    assert plain.results[0].is_correct[3] == 0.0
    assert plain.results[1].is_correct[3] == 1.0  # the protocol's own table has it
    declared = score_objects(T, truths, dataset, ["ho3d-mssd-half-turn"], {"another object": HALF_TURN_ABOUT_Z})
    assert declared is not None
    assert "declared-symmetries" in declared.results[0].protocol.name
    assert declared.results[0].is_correct[3] == 0.0
    both = score_objects(T, truths, dataset, ["ho3d-mssd-half-turn"], {name: HALF_TURN_ABOUT_Z})
    assert both is not None
    assert both.results[0].is_correct[3] == 1.0


def test_a_protocol_of_objects_the_set_has_not_says_what_it_averages_instead() -> None:
    (protocol,) = find_protocols(["ho3d-add-aabb"], OBJECTS, {})
    assert protocol.name == "ho3d-add-aabb, over all objects of this set"
    assert protocol.averaged_objects is None
    (whole,) = find_protocols(["ho3d-add-aabb"], (*OBJECTS, "010_potted_meat_can", "x"), {})
    assert whole.averaged_objects is not None
    with pytest.raises(ConfigError, match="ho3d-add-true-diameter"):
        find_protocols(["add"], OBJECTS, {})


def test_the_table_has_accuracy_and_area_of_each_object_and_their_unweighted_mean(
    opened: tuple[Ho3dDataset, Truths],
) -> None:
    dataset, truths = opened
    scored = score_objects(predictions(truths), truths, dataset, ["add-s-aabb"], {})
    assert scored is not None
    groups = make_bootstrap([hand.recording_id for hand in truths.hands], 0)
    worse = predictions(truths)
    worse[0, :3, 3] += [0.0, 0.03, 0.04]  # 50 mm, which ADD-S may halve
    other = score_objects(worse, truths, dataset, ["add-s-aabb"], {})
    assert other is not None
    (table,) = object_tables(Scored("m", {}, scored), Scored("n", {}, other), groups)
    (result,), (theirs,) = scored.results, other.results
    assert {"m, correct", "n, correct", "m, AUC, 0 to 100 mm", "n, AUC, 0 to 100 mm", "m minus n, AUC"} <= {
        column.title for column in table.columns.values()
    }
    for column, values in (("accuracy", result.is_correct), ("auc", result.auc)):
        means = [100 * values[np.array(scored.names) == name].mean() for name in OBJECTS]
        for name, mean in zip(OBJECTS, means, strict=True):
            cell = table.rows[name][column]
            assert isinstance(cell, Interval)
            assert cell.value == pytest.approx(mean)
        cell = table.rows["mean over objects"][column]
        assert isinstance(cell, Interval)
        assert cell.value == pytest.approx(np.mean(means))
    of_other = [100 * theirs.auc[np.array(scored.names) == name].mean() for name in OBJECTS]
    cells = [table.rows["mean over objects"][column] for column in ("auc_against", "auc_difference")]
    expected = [np.mean(of_other), np.mean(means) - np.mean(of_other)]
    assert [cell.value for cell in cells if isinstance(cell, Interval)] == pytest.approx(expected)
    assert expected[1] > 1.0


def test_without_predictions_there_is_nothing_to_score(opened: tuple[Ho3dDataset, Truths]) -> None:
    assert score_objects(None, opened[1], opened[0], ["ho3d-add-aabb"], {}) is None
