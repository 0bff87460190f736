"""Judge stored predictions again, whole runs or loose Parquet files, part by part in bounded memory.

A part is a row group. Rows of a video that comes again in a later part wait until its last part is there, so a video is
judged whole wherever its rows lie: at the border of two row groups, or in the files of several segments. In memory are
one part, the waiting rows, and the name of every video.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hoiray.config.what import CalibratedLimits, PaperLimits
from hoiray.errors import ConfigError, InputError, describe
from hoiray.filters.rules import Rules
from hoiray.io.parquet import open_parquet, parquet_bytes
from hoiray.io.store import Store
from hoiray.schema.columns import schema_of
from hoiray.schema.conform import completed
from hoiray.schema.label_columns import PREDICTION_COLUMNS
from hoiray.schema.tables import LABELS, PREDICTIONS
from hoiray.stages.commit import read_marker
from hoiray.stages.ids import make_judge_id
from hoiray.stages.judge import judge
from hoiray.stages.limits import rules_of
from hoiray.stages.pending import committed_ids
from hoiray.stages.run_layout import predictions_area

OUTPUT_NAME: Final = "labels-{:06d}.parquet"
"""Name of an output file, by the number of the part whose videos it ends."""


@dataclass(frozen=True)
class Part:
    """A row group of a Parquet file, and the columns it has, or reads as null where an older version wrote it."""

    store: Store
    key: str
    row_group: int
    columns: frozenset[str]

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.store.url(self.key)}, row group {self.row_group}"

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Read its rows.

        Args:
            columns: of :attr:`columns`; None for all that are stored.

        Raises:
            InputError: the file is missing.
            ContractError: it is no Parquet.
        """
        file = open_parquet(self.store.open_input(self.key), name=self.store.url(self.key))
        if columns is None:
            return file.read_row_group(self.row_group, use_threads=False)
        stored = [name for name in columns if name in file.schema_arrow.names]
        return _completed(file.read_row_group(self.row_group, columns=stored, use_threads=False)).select(columns)


@dataclass(frozen=True)
class Judgement:
    """How stored predictions are to be judged.

    Attributes:
        limits: as configured.
        rules: what they mean.
        limits_sha256: digest of a calibrated limits file, None without.
    """

    limits: PaperLimits | CalibratedLimits
    rules: Rules
    limits_sha256: str | None

    @classmethod
    def by(cls, limits: PaperLimits | CalibratedLimits) -> "Judgement":
        """Read the limits.

        Raises:
            ConfigError: they cannot be meant.
            InputError: their file cannot be read.
        """
        rules, sha256 = rules_of(limits)
        return cls(limits, rules, sha256)

    def judge(self, table: pa.Table, predict_id: str) -> pa.Table:
        """Judge whole videos, and give them the id that a run with these limits would."""
        judge_id = make_judge_id(predict_id, self.limits, limits_sha256=self.limits_sha256)
        return judge(table, self.rules, judge_id)


def list_parts(uri: str, predict_id: str | None = None) -> list[Part]:
    """Find the predictions in a run's folder (only what its markers name), in a folder, or in one Parquet file.

    Args:
        uri: local or on S3.
        predict_id: which of a run's predictions; None: the only ones.

    Raises:
        ConfigError: a run has several predictions, and none is chosen.
        InputError: there are none.
    """
    if uri.endswith(".parquet"):
        folder, _, key = uri.rpartition("/")
        return parts_of(Store.open(folder or "."), [key])
    store = Store.open(uri)
    ids = [name for name in store.list_folders("predictions") if predict_id in (None, name)]
    if len(ids) > 1:
        fix = "Say which: --predict-id ID."
        raise ConfigError(describe(what=uri, expected="one predict_id", found=", ".join(ids), fix=fix))
    keys = _committed_keys(store, ids[0]) if ids else [key for key in store.list() if key.endswith(".parquet")]
    if not keys or (predict_id is not None and not ids):
        expected, fix = "predictions of a run, or Parquet files of predictions or labels", "Check the place."
        raise InputError(describe(what=uri, expected=expected, found="none", fix=fix))
    return parts_of(store, keys)


def rejudge(parts: list[Part], judgement: Judgement) -> Iterator[tuple[int, pa.Table]]:
    """Judge parts one after the other.

    Args:
        parts: of one predictor; every row of a video must be in one of them.
        judgement: the limits.

    Yields:
        Number of the part, and the labels of all videos that end in it, where there are any.

    Raises:
        ContractError: a file holds something else.
        ConfigError: the rows are of several predictors.
    """
    last_part = {name: index for index, part in enumerate(parts) for name in _videos_of(part)}
    waiting: list[pa.Table] = []
    seen: set[str] = set()
    for index, part in enumerate(parts):
        table = pa.concat_tables([*waiting, _predictions_of(part)]).combine_chunks()
        ids = set(pc.unique(table["predict_id"]).to_pylist()) | seen
        if len(ids) > 1:
            fix = "Judge them apart: labels of one id come from one predictor."
            found = ", ".join(sorted(ids))
            raise ConfigError(describe(what=part.name, expected="one predict_id", found=found, fix=fix))
        seen = ids
        videos = pc.unique(table["video_id"])
        ended = [name for name in videos.to_pylist() if last_part[name] == index]
        is_whole = pc.is_in(table["video_id"], value_set=pa.array(ended, pa.string()))
        waiting = [table.filter(pc.invert(is_whole))]
        if ended:
            whole = table.filter(is_whole) if len(ended) < len(videos) else table
            yield index, judgement.judge(whole, next(iter(ids)))


def write_labels(store: Store, index: int, labels: pa.Table) -> None:
    """Write the labels that a part ends; the same labels give the same bytes under the same name."""
    store.write(OUTPUT_NAME.format(index), parquet_bytes(labels))


def _committed_keys(store: Store, predict_id: str) -> list[str]:
    area = predictions_area(predict_id)
    markers = (read_marker(store, area, shard_id) for shard_id in committed_ids(store, area))
    return [marker.data_key for marker in markers if marker is not None]


def parts_of(store: Store, keys: Iterable[str]) -> list[Part]:
    """Return the row groups of Parquet files.

    Raises:
        InputError: one is missing.
        ContractError: one is no Parquet.
    """
    parts = []
    for key in keys:
        file = open_parquet(store.open_input(key), name=store.url(key))
        columns = frozenset(_completed(file.schema_arrow.empty_table()).column_names)
        parts += [Part(store, key, row_group, columns) for row_group in range(file.num_row_groups)]
    return parts


def _completed(table: pa.Table) -> pa.Table:
    """Give rows that an older version wrote the columns they lack."""
    schema = {PREDICTIONS.name: PREDICTIONS, LABELS.name: LABELS}.get(schema_of(table)[0])
    return table if schema is None else completed(table, schema)


def _videos_of(part: Part) -> list[str]:
    _require_predictions(part)
    names: list[str] = pc.unique(part.read(["video_id"])["video_id"]).to_pylist()
    return names


def _require_predictions(part: Part) -> None:
    if not {column.name for column in PREDICTION_COLUMNS} <= part.columns:
        expected, fix = "rows of predictions or labels", "Name only files that hold them."
        raise InputError(describe(what=part.name, expected=expected, found="other columns", fix=fix))


def _predictions_of(part: Part) -> pa.Table:
    """Read what judging needs, so that parts of predictions and of labels can be joined."""
    names = [column.name for column in PREDICTION_COLUMNS]
    is_judged = "label_kind" in part.columns
    table = part.read([*names, "label_kind"] if is_judged else names)
    if not is_judged:
        table = table.append_column("label_kind", pa.repeat(pa.scalar("pseudo"), table.num_rows))
    # writers differ in what they say of nulls and metadata; conform checks both in the end
    return table.cast(pa.schema([field.with_nullable(True).remove_metadata() for field in table.schema]))
