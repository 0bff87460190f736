"""What a report is told of a run, beyond its rows: how far it is, what it cost, and where it comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hoiray.filters.rules import Rules
from hoiray.report.sections import HasInterval


@dataclass(frozen=True)
class Origin:
    """One line of where a run comes from: what, its value, and a remark."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class GivenUp:
    """A video without labels, and why."""

    video: str
    where: str
    message: str


@dataclass(frozen=True)
class RunFacts:
    """A run in numbers; counts are of everything that is committed.

    Attributes:
        name: of the run.
        uri: its folder, without credentials.
        num_videos: of the shards that are done, given-up ones included.
        num_dead: videos given up.
        num_not_planned: videos refused when the run was planned.
        num_unboxed: videos of the plan without a box of a hand, where boxes are given.
        given_up: some of the videos given up, at most a few hundred.
        num_buckets, num_buckets_done: units of the plan, and those with labels.
        num_rows, num_accepted: of all labels.
        reasons: rows by reason; a row counts once for each.
        timings_s: seconds by stage, summed over workers.
        num_nondeterministic: shards computed twice with different results.
        rules: the limits; None where they are not known.
        origins: where the run comes from.
        accepted_share: of the rows, with an interval over videos.
        refused_shares: by reason, likewise.
        num_rows_read: how many rows the statistics of rows are of; all, or those of shards drawn by lot.
        seed: of every lot.
        sample_rate_hz: rate at which frames are numbered; None: every frame.
        video_uris: where the videos lie that may be shown.
    """

    name: str
    uri: str
    num_videos: int
    num_dead: int
    num_not_planned: int
    num_unboxed: int
    given_up: Sequence[GivenUp]
    num_buckets: int
    num_buckets_done: int
    num_rows: int
    num_accepted: int
    reasons: Mapping[str, int]
    timings_s: Mapping[str, float]
    num_nondeterministic: int
    rules: Rules | None
    origins: Sequence[Origin]
    accepted_share: HasInterval
    refused_shares: Mapping[str, HasInterval]
    num_rows_read: int
    seed: int = 0
    sample_rate_hz: float | None = None
    video_uris: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_sampled(self) -> bool:
        """Whether statistics of rows are of a part of them."""
        return self.num_rows_read < self.num_rows

    @property
    def is_finished(self) -> bool:
        """Whether every part of the plan has its labels."""
        return self.num_buckets_done == self.num_buckets
