import shutil
from pathlib import Path

import pytest

from hoiray.config.what import AnnotatedSet, Training, TrainRun
from hoiray.errors import ConfigError, ContractError
from hoiray.hand.load import load_hand_arrays
from hoiray.training.data_plan import DataPlan, open_annotated, plan_data, plan_training


def training(*folders: Path, **options: float) -> Training:
    sets = [AnnotatedSet(format="ho3d_v2", uri=str(folder)) for folder in folders]
    return Training(annotated=sets[0], also_annotated=sets[1:], **options)  # type: ignore[arg-type]  # floats only


def plan(*folders: Path, seed: int = 0, **options: float) -> DataPlan:
    return plan_data(training(*folders, **options), load_hand_arrays(), seed=seed)


def recording_of(data: Path, index: int) -> str:
    return (data / "train.txt").read_text().split()[index].split("/")[0]


def test_whole_recordings_are_held_out(training_data: Path) -> None:
    dealt = plan(training_data, validation_fraction=0.3)
    (planned,) = dealt.sets
    assert (dealt.num_train, dealt.num_validation) == (8, 4)
    assert sorted((*planned.train, *planned.validation)) == list(range(12))
    inside, outside = ({recording_of(training_data, i) for i in part} for part in (planned.train, planned.validation))
    assert (len(inside), len(outside), inside & outside) == (2, 1, set())
    assert dict(dealt.num_groups) == {"train": 2, "validation": 1}
    assert dealt.is_by_subject


def test_names_that_tell_nobody_are_dealt_by_recording(training_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(training_data, copy)
    lines = (copy / "train.txt").read_text()
    for number, sequence in enumerate(sorted({line.split("/")[0] for line in lines.split()})):
        (copy / "train" / sequence).rename(copy / "train" / f"Toy{number}0")
        lines = lines.replace(f"{sequence}/", f"Toy{number}0/")
    (copy / "train.txt").write_text(lines)
    dealt = plan(copy, validation_fraction=0.3)
    assert dict(dealt.num_groups) == {"train": 2, "validation": 1}
    assert not dealt.is_by_subject


@pytest.mark.parametrize("change", [{"labels_uri": "s3://bucket/run"}, {"pseudo_label_fraction": 0.5}])
def test_labels_nobody_would_read_are_refused(training_data: Path, change: dict[str, object]) -> None:
    asked = TrainRun(output_uri="out", training=training(training_data).model_copy(update=change))
    with pytest.raises(ConfigError, match=f"training.{next(iter(change))} = .*found none"):
        plan_training(asked, load_hand_arrays())


def test_the_same_seed_deals_the_same(training_data: Path) -> None:
    plans = [plan(training_data, seed=seed, validation_fraction=0.3) for seed in (0, 0, 1, 2, 3)]
    assert plans[0] == plans[1]
    assert len({each.sets[0].validation for each in plans}) > 1


def test_a_fraction_of_zero_holds_nothing_out(training_data: Path) -> None:
    dealt = plan(training_data, validation_fraction=0.0)
    assert (dealt.num_train, dealt.num_validation) == (12, 0)


def test_one_recording_in_two_sets_is_never_on_both_sides(training_data: Path) -> None:
    """Both sets hold the same three recordings under the same names, as HO-3D v2 and v3 do."""
    dealt = plan(training_data, training_data, validation_fraction=0.3)
    first, second = dealt.sets
    assert first.validation == second.validation
    assert (dealt.num_train, dealt.num_validation) == (16, 8)


def test_two_recordings_of_one_picture_are_refused(training_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(training_data, copy)
    sequences = sorted({recording_of(copy, index) for index in range(12)})
    for image in (copy / "train" / sequences[0] / "rgb").iterdir():
        for other in sequences[1:]:
            shutil.copy(image, copy / "train" / other / "rgb" / image.name)
    with pytest.raises(ContractError, match=r"are not independent(.|\n)*pairs of frames that look the same"):
        plan(copy, validation_fraction=0.3)


def test_too_few_recordings_to_hold_one_out_are_told_what_to_do(training_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(training_data, copy)
    lines = (copy / "train.txt").read_text().split()
    (copy / "train.txt").write_text("\n".join(line for line in lines if line.startswith(recording_of(copy, 0))))
    with pytest.raises(ConfigError, match=r"at least 2 independent groups.*set training\.validation_fraction to 0"):
        plan(copy, validation_fraction=0.3)


def test_a_set_of_another_format_than_configured_is_refused(training_data: Path) -> None:
    wrong = AnnotatedSet(format="ho3d_v3", uri=str(training_data))
    with pytest.raises(ConfigError, match="expected ho3d_v3, found ho3d_v2"):
        open_annotated(wrong, load_hand_arrays())
