"""Arms: commands that differ in what an arm is about, and in nothing else."""

from pathlib import Path

from hoiray.io.store import Store
from hoiray.selftrain.arms import AMOUNTS, Bench, label_phase, train_phase
from hoiray.selftrain.twin import twin_run


def bench_of(folder: Path) -> Bench:
    return Bench(Store.open(folder), AMOUNTS["tiny"])


def test_arms_of_a_seed_differ_in_nothing_but_what_they_are_about(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    one, other = (train_phase(bench, "run.yaml", 3, arm).arguments for arm in ("random", "low_spread"))
    differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
    assert all("random" in a and b == a.replace("random", "low_spread") for a, b in differing)
    assert len(differing) == 2  # the folder and the list
    supervised = train_phase(bench, "run.yaml", 3, "sup_hand").arguments
    assert "training.network.reasoning.queries=hand" in supervised
    assert not any("label" in word for word in supervised)
    assert label_phase(bench, "run.yaml", 3, "sup_none").settings["teacher"] == "sup_none"  # type: ignore[index]


def test_an_arm_of_few_labels_a_batch_has_the_labels_of_the_others(tmp_path: Path) -> None:
    bench = bench_of(tmp_path)
    usual, few = (train_phase(bench, "run.yaml", 3, arm) for arm in ("semi_object", "semi_few"))
    assert set(few.arguments) - {word.replace("semi_object", "semi_few") for word in usual.arguments} == {
        "training.pseudo_label_fraction=0.15"
    }
    assert dict(few.identity) == {**usual.identity, "fraction": 0.15}


def test_the_run_file_has_equal_steps_for_all(tmp_path: Path) -> None:
    run = twin_run(Store.open(tmp_path), "reproduce", AMOUNTS["tiny"])
    assert run.training is not None
    assert (run.training.steps_per_epoch, run.training.epochs, run.training.labels_uri) == (5, 2, None)
