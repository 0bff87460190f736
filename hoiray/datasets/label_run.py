"""Labels of a run as a training consumes them: which files count, of which videos they tell, under which conventions.

Whoever knows how a run's folder is laid out makes one (:mod:`hoiray.stages.label_input`); it travels to every worker,
which reads the rows for itself.
"""

from dataclasses import dataclass

from hoiray.config.what import Hand
from hoiray.io.store import Store


@dataclass(frozen=True)
class LabelFile:
    """A file of rows, named by its content."""

    key: str
    sha256: str


@dataclass(frozen=True)
class LabelRun:
    """A snapshot of a run's labels.

    Attributes:
        uri: the snapshot, for messages and for the configuration.
        store: the run's folder.
        snapshot_id, judge_id, predict_id, plan_id: where the labels come from.
        files: tables `labels`, sorted by shard.
        num_rows, num_accepted: in all files together.
        plan: the plan's folder.
        video_keys: tables `videos` in it.
        sample_rate_hz: rate at which frames are numbered; None: every frame of the file.
        hand: the hand model of the run and its conventions.
    """

    uri: str
    store: Store
    snapshot_id: str
    judge_id: str
    predict_id: str
    plan_id: str
    files: tuple[LabelFile, ...]
    num_rows: int
    num_accepted: int
    plan: Store
    video_keys: tuple[str, ...]
    sample_rate_hz: float | None
    hand: Hand

    @property
    def name(self) -> str:
        """For sample ids: the same for all judgements of the same predictions."""
        return f"labels-{self.predict_id[:8]}"
