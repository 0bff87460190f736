"""Where the truth of a synthetic set lies, and what is said of one that is damaged."""

from pathlib import Path

import pytest

from hoiray.datasets.formats.truth import hands_key, read_truth
from hoiray.errors import ContractError, InputError
from hoiray.io.store import Store
from hoiray.schema.tables import TRUTH_HANDS


def test_a_table_that_is_no_parquet_file_is_refused_by_its_name(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.write(hands_key("rec-0001"), b"no table")
    with pytest.raises(ContractError, match=r"rec-0001\.parquet: expected a Parquet file, found 8 bytes"):
        read_truth(store, hands_key("rec-0001"), TRUTH_HANDS)


def test_a_table_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rec-0002\.parquet"):
        read_truth(Store.open(tmp_path), hands_key("rec-0002"), TRUTH_HANDS)
