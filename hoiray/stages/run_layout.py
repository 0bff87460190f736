"""Where everything lies in the folder (or S3 prefix) of a run: the one place that knows its names.

::

    RUN/
      run.yaml                                       the resolved configuration, written before anything else
      plan/                                          see hoiray.stages.plan; may also lie elsewhere
        current.json                                 which plan counts (the only object here that is ever replaced)
        plans/<plan_id>.json                         a plan's head: counts, parameters, names of its parts
        index/<sha16>.parquet                        table shard_index, sorted by shard_id
        parts/<sha16>-{shards,videos,boxes}.parquet  one row group a shard
        refusals/<sha16>.parquet                     table refusals
      predictions/<predict_id>/
        data/<shard_id>-<sha16>.parquet              a shard's rows; counts only if a marker names it
        commit/<shard_id>.json                       the marker: created once, never replaced
      labels/<judge_id>/
        data/<bucket_id>-<sha16>.parquet             as above; a long video's segments are judged together
        commit/<bucket_id>.json
      inflight/<predict_id>/<shard_id>/<worker>.json who works on what, and which video is open
      dead/<predict_id>/letters/<shard_id>.json      videos given up, beside the marker that counts
      dead/<predict_id>/kills/<shard_id>/<worker>.json  a process that died with a video open
      nondeterminism/<table>/<id>/<shard_id>-<sha16>.json  a second, different result for a committed shard
      retired/<table>/<id>/<shard_id>-<sha16>.json   markers that `hoiray dead retry` took back
      snapshots/<snapshot_id>.{json,parquet}         an immutable list of markers: what training consumes

Readers follow markers only. Deleting anything but markers and what they name loses no result.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from hoiray.schema.marker import MARKER_DIGEST_DIGITS

TableName: TypeAlias = Literal["predictions", "labels"]

RUN_FILE: Final = "run.yaml"
PLAN_FOLDER: Final = "plan"
SNAPSHOT_FOLDER: Final = "snapshots"


@dataclass(frozen=True)
class Area:
    """The part of a run that holds one table of one id.

    Attributes:
        table: which table.
        id: `predict_id` for predictions, `judge_id` for labels.
    """

    table: TableName
    id: str

    @property
    def prefix(self) -> str:
        """Its folder."""
        return f"{self.table}/{self.id}"

    @property
    def commit_folder(self) -> str:
        """Where its markers lie."""
        return f"{self.prefix}/commit"

    @property
    def data_folder(self) -> str:
        """Where its data objects lie."""
        return f"{self.prefix}/data"

    def commit_key(self, shard_id: str) -> str:
        """The marker of a shard (of a bucket, for labels)."""
        return f"{self.commit_folder}/{shard_id}.json"

    def data_key(self, shard_id: str, sha256: str) -> str:
        """The data object of a shard with that content."""
        return f"{self.data_folder}/{shard_id}-{sha256[:MARKER_DIGEST_DIGITS]}.parquet"

    def nondeterminism_key(self, shard_id: str, sha256: str) -> str:
        """The note of a second, different result."""
        return f"nondeterminism/{self.prefix}/{shard_id}-{sha256[:MARKER_DIGEST_DIGITS]}.json"

    def retired_key(self, shard_id: str, sha256: str) -> str:
        """The copy of a marker that was taken back."""
        return f"retired/{self.prefix}/{shard_id}-{sha256[:MARKER_DIGEST_DIGITS]}.json"


def predictions_area(predict_id: str) -> Area:
    """Where the predictions of an id lie."""
    return Area("predictions", predict_id)


def labels_area(judge_id: str) -> Area:
    """Where the labels of an id lie."""
    return Area("labels", judge_id)


def shard_of_marker(key: str) -> str:
    """The shard a marker's key names."""
    return key.rpartition("/")[2].removesuffix(".json")


def shard_of_data(key: str) -> str:
    """The shard a data object's key names."""
    return key.rpartition("/")[2].removesuffix(".parquet").rpartition("-")[0]


def inflight_folder(predict_id: str, shard_id: str | None = None) -> str:
    """Where the notes of running work lie, of a shard or of all."""
    return f"inflight/{predict_id}" if shard_id is None else f"inflight/{predict_id}/{shard_id}"


def letters_key(predict_id: str, shard_id: str) -> str:
    """The dead letters of a shard."""
    return f"dead/{predict_id}/letters/{shard_id}.json"


def letters_folder(predict_id: str) -> str:
    """Where dead letters lie."""
    return f"dead/{predict_id}/letters"


def kills_folder(predict_id: str, shard_id: str) -> str:
    """Where the deaths of processes that worked on a shard lie."""
    return f"dead/{predict_id}/kills/{shard_id}"


def snapshot_keys(snapshot_id: str) -> tuple[str, str]:
    """The head of a snapshot and its list."""
    return f"{SNAPSHOT_FOLDER}/{snapshot_id}.json", f"{SNAPSHOT_FOLDER}/{snapshot_id}.parquet"
