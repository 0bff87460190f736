"""Canaries in a run: planted in memory, judged by its own rules, kept apart from its labels."""

import numpy as np
import pyarrow as pa
import pytest
from filter_scenes import predictions
from labelled_run import labelled_run
from valid_tables import replaced

from hoiray.config.what import PaperLimits
from hoiray.errors import InputError
from hoiray.filters.rules import Rules
from hoiray.hand.model import HandModel
from hoiray.io.store import Store
from hoiray.schema.columns import pack_column, unpack_column
from hoiray.schema.label_columns import SPATIAL_NAMES
from hoiray.schema.tables import LABELS
from hoiray.stages.canaries import mistaken_leads, plant_canaries, plant_in_labelling, planted_video
from hoiray.stages.canary_file import canary_key, read_canaries, write_canaries
from hoiray.stages.judge import judge
from hoiray.stages.label_job import LabelJob
from hoiray.stages.labels_with_truth import stored_video
from hoiray.stages.rejudge import Judgement, list_parts
from hoiray.stages.view import hand_of
from hoiray.trust import canaries as faults

LOOSE = PaperLimits(
    min_box_iou=None,
    max_reprojection_box_sides=1.0,
    max_motion_pose=None,
    max_shape_deviation_sigma=None,
    max_motion_2d_box_sides=None,
)


@pytest.fixture(scope="module")
def hand() -> HandModel:
    return HandModel.load(flat_hand_mean=True, tip_set="ho3d")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    return labelled_run(tmp_path_factory.mktemp("canaries"))


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.list() if not key.startswith("canaries/")}


def test_no_label_changes_its_bytes_and_the_counts_lie_apart(job: LabelJob, hand: HandModel) -> None:
    before = contents(job.store)
    assert any(key.startswith("labels/") for key in before)
    planted = plant_canaries(list_parts(job.store.uri), Judgement.by(LOOSE), hand, num_clips=3, seed=1)
    write_canaries(job.store, planted)
    assert contents(job.store) == before
    assert job.store.exists(canary_key(planted.judge_id))
    assert read_canaries(job.store, planted.judge_id) == planted
    assert [one.kind for one in planted.kinds] == list(faults.KINDS)
    assert all(one.miss.num_missed <= one.miss.num_labels for one in planted.kinds)


def test_the_same_seed_plants_the_same_and_a_judge_that_looks_at_nothing_misses_all(
    job: LabelJob, hand: HandModel
) -> None:
    nothing = PaperLimits(
        **dict.fromkeys(
            ("min_box_iou", "max_reprojection_box_sides", "min_bone_length_ratio", "max_joint_angle_deg",
             "max_motion_2d_box_sides", "max_motion_pose", "max_shape_deviation_sigma"), None
        )
    )  # fmt: skip
    parts = list_parts(job.store.uri)
    one, two = (plant_canaries(parts, Judgement.by(nothing), hand, num_clips=2, seed=4) for _ in range(2))
    assert one == two
    assert {kind.miss.rate for kind in one.kinds if kind.miss.num_labels} == {1.0}
    by_image = Judgement.by(nothing.model_copy(update={"max_reprojection_box_sides": 1.0}))
    seen = plant_canaries(parts, by_image, hand, num_clips=2, seed=4)
    rates = {kind.kind: kind.miss.rate for kind in seen.kinds}
    # a hand that is too small stays near its joints in the image: only too large ones are seen there
    assert rates["wrong scale"] == 0.5
    assert rates["mirrored"] == 1.0


def test_a_labelling_plants_in_so_many_of_its_shards_as_it_takes(job: LabelJob) -> None:
    parts = list_parts(job.store.uri)
    whole = plant_in_labelling(job, num_clips=2, seed=4)
    assert whole == plant_canaries(parts, Judgement.by(job.run.limits), hand_of(job.store), num_clips=2, seed=4)
    assert whole.judge_id == job.judge_id
    # one shard is enough for as many rows, whatever the run holds
    few = plant_in_labelling(job, num_clips=2, seed=4, max_rows=1)
    assert few.num_clips <= whole.num_clips


def test_of_two_hands_that_tell_for_one_side_the_one_for_which_less_tells_is_the_mistaken_one() -> None:
    table = predictions(seed=3, num_videos=8)
    leads = np.random.default_rng(0).uniform(-0.05, 0.1, table.num_rows).astype(np.float32)
    unknown = np.arange(table.num_rows) % 7 == 0
    table = replaced(table, "side_lead", pack_column(LABELS["side_lead"], leads, unknown))
    labels = judge(table, Rules(()), "j")
    frames: dict[tuple[str, int, bool], dict[int, float]] = {}
    told: dict[tuple[str, int, int], bool] = {}
    for row in labels.to_pylist():
        lead, place = row["side_lead"], (row["video_id"], row["frame_index"], row["track_index"])
        # of a hand that was found twice the first row tells
        side = told.setdefault(place, row["is_right"] ^ (lead is not None and lead < 0.0))
        hands = frames.setdefault((row["video_id"], row["frame_index"], side), {})
        hands[row["track_index"]] = min(np.inf if lead is None else abs(lead), hands.get(row["track_index"], np.inf))
    wanted = [min(hands.values()) for hands in frames.values() if len(hands) > 1]
    found = mistaken_leads(labels)
    assert set(np.round(found, 6)) >= {round(lead, 6) for lead in wanted if np.isfinite(lead)}
    assert 0 < len(wanted) < len(frames)
    assert (found >= 0.0).all()


def test_a_mirror_is_planted_with_the_lead_of_the_runs_own_mistakes(job: LabelJob, hand: HandModel) -> None:
    labels = stored_video(job.store.uri, "a")
    guessed = pack_column(LABELS["side_lead"], np.full(labels.num_rows, 0.05, np.float32))
    labels = judge(replaced(labels, "side_lead", guessed), Rules(()), "j")
    for lead, wanted in ((0.003, 0.003), (float("nan"), -0.05)):
        planted, is_bad = planted_video(labels, faults.mirrored, hand, mistaken_lead=lead)
        assert is_bad.any()
        assert planted["side_lead"].to_numpy()[is_bad] == pytest.approx(wanted)


def test_a_mirror_takes_the_hand_beside_it_along_and_counts_the_first_alone(job: LabelJob, hand: HandModel) -> None:
    one = stored_video(job.store.uri, "a")
    other = replaced(one, "hand_index", pa.array(np.asarray(one["hand_index"]) + 50, pa.int16()))
    other = replaced(other, "is_right", pa.array([not side for side in one["is_right"].to_pylist()]))
    one = one.replace_schema_metadata(None)
    other = other.replace_schema_metadata(None).cast(one.schema)
    for is_guessed in (True, False):
        lead = pack_column(
            LABELS["side_lead"], np.full(2 * one.num_rows, 0.05, np.float32), np.full(2 * one.num_rows, not is_guessed)
        )
        both = replaced(pa.concat_tables([one, other]), "side_lead", lead)
        labels = judge(both.sort_by([(key, "ascending") for key in LABELS.key]), Rules(()), "j")
        planted, is_bad = planted_video(labels, faults.mirrored, hand, mistaken_lead=0.003)
        before, after = (unpack_column(table, LABELS["is_right"]) for table in (labels, planted))
        track = unpack_column(labels, LABELS["track_index"])
        assert len(set(track[is_bad].tolist())) == 1
        turned = set(track[before != after].tolist())
        assert len(turned) == (2 if is_guessed else 1)
        frozen = planted_video(labels, faults.frozen, hand)[0]
        assert (unpack_column(frozen, LABELS["is_right"]) == before).all()


def test_what_is_not_changed_is_measured_as_it_is_stored(job: LabelJob, hand: HandModel) -> None:
    """The way through which canaries go adds nothing of its own."""
    labels = judge(stored_video(job.store.uri, "a"), Rules(()), "j")
    again, is_bad = planted_video(labels, faults._planted, hand)
    assert not is_bad.any()
    for name in SPATIAL_NAMES:
        first, second = (unpack_column(table, LABELS[name]) for table in (labels, again))
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6, err_msg=name)


def test_without_accepted_labels_there_is_nothing_to_plant_on(job: LabelJob) -> None:
    strict = Judgement.by(PaperLimits(min_box_iou=1.0))
    with pytest.raises(InputError, match="expected tracks with 2 accepted labels, found none"):
        plant_canaries(list_parts(job.store.uri), strict, None, num_clips=3, seed=0)
