"""The list of accepted labels that a quota keeps."""

import pytest
from labelled_run import labelled_run

from hoiray.errors import InputError
from hoiray.schema.tables import LABELS
from hoiray.stages.commit import read_rows
from hoiray.stages.label_job import LabelJob
from hoiray.stages.markers import read_markers
from hoiray.stages.pending import committed_ids
from hoiray.stages.quota import choose_by_quota
from hoiray.stages.run_layout import labels_area


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LabelJob:
    return labelled_run(tmp_path_factory.mktemp("quota"))


def accepted_keys(job: LabelJob) -> set[tuple[object, ...]]:
    found = set()
    for marker in read_markers(job.store, job.labels, committed_ids(job.store, job.labels)):
        rows = read_rows(job.store, marker)
        found |= {tuple(row.values()) for row in rows.filter(rows["accepted"]).select(LABELS.key).to_pylist()}
    return found


def test_only_accepted_labels_are_listed_sorted_and_all_of_them_where_none_may_go(job: LabelJob) -> None:
    accepted = accepted_keys(job)
    assert accepted
    for share in (0.0, 0.5):
        quota = choose_by_quota(job.store, job.labels, max_dropped=share, seed=0)
        listed = [tuple(row.values()) for row in quota.keys.to_pylist()]
        assert listed == sorted(listed)
        assert set(listed) <= accepted
        assert quota.num_accepted == len(accepted)
        assert (1.0 - share) * len(accepted) <= len(listed)
        assert share or len(listed) == len(accepted)


def test_a_run_without_accepted_labels_is_refused(job: LabelJob) -> None:
    with pytest.raises(InputError, match="expected accepted labels, found none"):
        choose_by_quota(job.store, labels_area("0" * 32), max_dropped=0.5, seed=0)


def test_the_list_names_labels_as_a_training_wants_it(job: LabelJob) -> None:
    quota = choose_by_quota(job.store, job.labels, max_dropped=0.3, seed=0)
    assert quota.keys.column_names == list(LABELS.key)
    assert quota.keys.schema.field("frame_index").type == LABELS["frame_index"].arrow_type
