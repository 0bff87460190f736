from report_scenes import facts_of, rows_of


def test_a_run_is_sampled_where_rows_were_left_out_and_finished_where_nothing_is_pending() -> None:
    rows = rows_of()
    assert not facts_of(rows).is_sampled
    assert facts_of(rows, num_rows=1000).is_sampled
    assert facts_of(rows).is_finished
    assert not facts_of(rows, num_buckets=2).is_finished
