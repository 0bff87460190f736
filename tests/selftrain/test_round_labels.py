"""Labels of two rounds read side by side, from real label runs of a toy teacher."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from labelling import clips, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.selftrain.gauges import compare_rounds
from hoiray.selftrain.round_labels import RoundLabels, pairs_of
from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import open_label_job
from hoiray.stages.label_shard import Tools, label_here
from hoiray.stages.label_summary import SUMMARY_FILE, summarise, write_summary


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RoundLabels]]:
    """Two rounds of the same videos, the second with a stricter limit, and one of other videos."""
    folder = tmp_path_factory.mktemp("rounds")
    write_videos(str(folder / "a"), clips(4))
    write_videos(str(folder / "b"), clips(2))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    found = {}
    for name, data, changes in (
        ("first", "a", ()), ("second", "a", ("limits.max_motion_2d_box_sides=0.0",)), ("other", "b", ())
    ):  # fmt: skip
        job = open_label_job(run_of(folder / data, folder / name, *changes))
        list(label_here(job, Tools(BoxPredictor(), frames, batch_size=4), lambda _count: None))
        write_summary(job, summarise(job))
        found[name] = RoundLabels(job.store)
    yield found
    frames.close()


def test_every_part_of_a_round_is_read(runs: dict[str, RoundLabels]) -> None:
    first = runs["first"]
    tables = [first.table(unit) for unit in first.units()]
    assert sum(table.num_rows for table in tables if table is not None) == first.summary["num_rows"]
    assert first.table("no such part") is None


def test_rounds_of_the_same_videos_are_compared_part_by_part(runs: dict[str, RoundLabels]) -> None:
    gauges = compare_rounds(pairs_of(runs["first"], runs["second"]))
    assert gauges.num_rows == runs["first"].summary["num_rows"]
    assert gauges.num_accepted_before == runs["first"].summary["num_accepted"]
    assert gauges.num_accepted == runs["second"].summary["num_accepted"]
    assert gauges.num_accepted < gauges.num_accepted_before
    # the same teacher gives the same numbers: nothing moved
    assert gauges.moved_accepted.joints_3d_mm == 0.0


def test_rounds_of_other_videos_are_refused(runs: dict[str, RoundLabels]) -> None:
    with pytest.raises(ContractError, match="expected one plan, found plans"):
        list(pairs_of(runs["first"], runs["other"]))


def test_a_run_that_has_not_ended_and_a_damaged_summary_are_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    with pytest.raises(InputError, match=r"summary\.json: expected the summary of a label run"):
        _ = RoundLabels(store).summary
    store.write(SUMMARY_FILE, b"[]")
    with pytest.raises(ContractError, match=r"summary\.json: expected a summary"):
        _ = RoundLabels(store).summary
