"""Rows of labels: read from a run's files, and chosen for a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hoiray.config.what import Training
from hoiray.datasets.label_run import LabelFile, LabelRun
from hoiray.datasets.video_frames import StoredVideo
from hoiray.errors import ConfigError, ContractError, describe
from hoiray.io.parquet import digest, open_parquet, read_parquet
from hoiray.io.store import open_uri
from hoiray.schema.columns import schema_of, unpack_column
from hoiray.schema.conform import completed
from hoiray.schema.tables import LABELS

RowPool: TypeAlias = Literal["accepted", "all"]

KEY: Final = LABELS.key

COLUMNS: Final = (
    *KEY, "image_width_px", "image_height_px", "K", "is_right", "bbox_xyxy", "betas", "global_orient", "hand_pose",
    "transl", "joints_3d", "joints_2d", "object_id", "object_bbox_xyxy", "accepted", "confidence",
)  # fmt: skip
"""What a training wants to know of a label."""

_CHOICE_SALT: Final = 0x1ABE1
"""Keeps the choice's random numbers apart from those of shuffling and augmentation."""

_NUM_TOLD: Final = 3


@dataclass(frozen=True)
class LabelChoice:
    """Which labels are trained on, and how much each counts; the fields of the configuration, and the run's seed."""

    rows: RowPool = "accepted"
    list_uri: str | None = None
    max_labels: int | None = None
    weight: float | Literal["confidence"] = 1.0
    seed: int = 0

    @classmethod
    def of(cls, training: Training, seed: int) -> "LabelChoice":
        """Take the choice of a configuration."""
        return cls(
            training.pseudo_label_rows,
            training.pseudo_label_list_uri,
            training.max_pseudo_labels,
            training.pseudo_label_weight,
            seed,
        )


def read_label_rows(run: LabelRun, pool: RowPool) -> pa.Table:
    """Read the rows that say where a hand's joints are, file by file, sorted by their key.

    Args:
        run: whose.
        pool: accepted rows only, or all that the teacher answered for.

    Returns:
        The columns :data:`COLUMNS`.

    Raises:
        InputError: a file is missing.
        ContractError: a file is damaged, replaced, or of another version of the schema.
    """
    tables = [_read_file(run, file, pool) for file in run.files]
    if not tables:
        return LABELS.to_arrow().empty_table().select(COLUMNS)
    joined = pa.concat_tables(tables).combine_chunks()
    return joined.sort_by([(name, "ascending") for name in KEY])


def read_label_file(run: LabelRun, file: LabelFile) -> pa.Table:
    """Read all rows of a file, its digest checked.

    Returns:
        Table `labels`, in the order of the file.

    Raises:
        InputError: the file is missing.
        ContractError: it is damaged, replaced, or of another version of the schema.
    """
    name = run.store.url(file.key)
    table = read_parquet(run.store.read(file.key, sha256=file.sha256), name=name)
    found = schema_of(table)
    if found not in {(LABELS.name, str(version)) for version in LABELS.readable_versions}:
        expected = f"table {LABELS.name} of version {LABELS.version}"
        fix = "Label the videos again with this version of hoiray, or use the version that labelled them."
        raise ContractError(
            describe(what=name, expected=expected, found=f"table {found[0]!r} of version {found[1]!r}", fix=fix)
        )
    return completed(table, LABELS)


def _read_file(run: LabelRun, file: LabelFile, pool: RowPool) -> pa.Table:
    table = read_label_file(run, file)
    is_usable = pc.and_(pc.is_valid(table["joints_3d"]), pc.is_valid(table["joints_2d"]))
    if pool == "accepted":
        is_usable = pc.and_(is_usable, table["accepted"])
    return table.filter(is_usable).select(COLUMNS).replace_schema_metadata(None)


def read_videos(run: LabelRun, wanted: pa.ChunkedArray) -> Mapping[str, StoredVideo]:
    """Read where the videos of some rows lie, and which version of them was labelled.

    Args:
        run: whose plan is read.
        wanted: names of videos, repeated as they are.
    """
    names = pc.unique(wanted)
    found: dict[str, StoredVideo] = {}
    columns = ["video_id", "dataset", "uri", "size_bytes", "etag"]
    for key in run.video_keys:
        with run.plan.open_input(key) as source:
            table = open_parquet(source, name=run.plan.url(key)).read(columns=columns)
        for row in table.filter(pc.is_in(table["video_id"], value_set=names)).to_pylist():
            found[row["video_id"]] = StoredVideo(**row)
    return found


def choose_labels(table: pa.Table, choice: LabelChoice, *, source: str) -> NDArray[np.float64]:
    """Decide which rows are trained on, and how much each counts.

    The choice depends on the rows' keys, verdicts and the seed only: not on how many other rows are in the table, on
    the files they came from, or on who asks.

    Args:
        table: from :func:`read_label_rows`.
        choice: what is asked for.
        source: of the labels, for messages.

    Returns:
        (N,) factors on their losses; 0 where a row is not chosen.

    Raises:
        ConfigError: nothing is chosen, the list names other rows, or labels are to be weighted by a confidence they
            do not have.
        InputError: the list cannot be read.
    """
    is_candidate = np.ones(table.num_rows, dtype=np.bool_)
    if choice.rows == "accepted":
        is_candidate = table["accepted"].to_numpy()
    if choice.list_uri is not None:
        is_candidate = is_candidate & _is_listed(table, is_candidate, choice.list_uri, source)
    chosen = np.flatnonzero(is_candidate)
    if not len(chosen):
        expected = "a label to train on" if choice.rows == "all" else "an accepted label"
        fix = "Look at the reasons in the run's summary.json; loosen limits with hoiray judge, or leave labels out."
        raise ConfigError(describe(what=source, expected=expected, found="none", fix=fix))
    if choice.max_labels is not None:
        order = np.random.default_rng((choice.seed, _CHOICE_SALT)).permutation(len(chosen))
        chosen = chosen[order[: choice.max_labels]]
    weights = np.zeros(table.num_rows)
    weights[chosen] = _weights_of(table, chosen, choice, source)
    return weights


def _weights_of(
    table: pa.Table, chosen: NDArray[np.intp], choice: LabelChoice, source: str
) -> NDArray[np.float64] | float:
    if choice.weight != "confidence":
        return choice.weight
    confidence = unpack_column(table.select(["confidence"]), LABELS["confidence"])[chosen].astype(np.float64)
    num_missing = int(np.isnan(confidence).sum())
    if num_missing:
        expected, found = "a confidence for every label", f"{num_missing} of {len(chosen)} without"
        fix = "Calibrate the run's limits and judge it again, or give pseudo_label_weight as a number."
        what = f"training.pseudo_label_weight for {source}"
        raise ConfigError(describe(what=what, expected=expected, found=found, fix=fix))
    return confidence


def _is_listed(table: pa.Table, is_candidate: NDArray[np.bool_], list_uri: str, source: str) -> NDArray[np.bool_]:
    """Say which rows a list names; each name must be that of a candidate."""
    store, key = open_uri(list_uri)
    listed = read_parquet(store.read(key), name=list_uri)
    missing = [name for name in KEY if name not in listed.column_names]
    if missing:
        expected, fix = f"columns {', '.join(KEY)}", "Write the keys of the labels to train on."
        found = f"{', '.join(listed.column_names) or 'none'}"
        raise ConfigError(describe(what=list_uri, expected=expected, found=found, fix=fix))
    names = set(_keys_of(listed))
    if not names:
        raise ConfigError(describe(what=list_uri, expected="a row for each label", found="none", fix="Write some."))
    keys = _keys_of(table)
    is_listed = np.array([key in names for key in keys], dtype=np.bool_)
    others = names - {key for key, is_one in zip(keys, is_candidate, strict=True) if is_one}
    if others:
        examples = ", ".join("/".join(map(str, other)) for other in sorted(others)[:_NUM_TOLD])
        expected, found = f"rows to choose from of {source}", f"{len(others)} others, for instance {examples}"
        fix = "Refused rows are to choose from with training.pseudo_label_rows=all only."
        raise ConfigError(describe(what=list_uri, expected=expected, found=found, fix=fix))
    return is_listed


def list_digest(list_uri: str | None) -> str | None:
    """Name the content of a list; None for None."""
    if list_uri is None:
        return None
    store, key = open_uri(list_uri)
    return digest(store.read(key))


def _keys_of(table: pa.Table) -> list[tuple[str, int, int]]:
    return list(zip(*(table[name].to_pylist() for name in KEY), strict=True))
