"""Videos that were given up: listed with their reasons, counted against a budget, and tried again on demand."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hoiray.io.store import Store
from hoiray.schema.marker import CommitMarker, DeadLetter
from hoiray.stages.commit import read_marker
from hoiray.stages.plan import Plan
from hoiray.stages.run_layout import (
    Area,
    kills_folder,
    labels_area,
    letters_folder,
    letters_key,
    predictions_area,
    shard_of_marker,
)

MIN_JUDGED_VIDEOS: Final = 200
"""Before so many videos are finished a run is not stopped: the first shard may be the bad one."""


@dataclass(frozen=True)
class DeadVideo:
    """A video that was given up, and where.

    Attributes:
        letter: what happened.
        shard_id: its shard; None where it never came into one.
    """

    letter: DeadLetter
    shard_id: str | None


def list_dead(store: Store, predict_id: str, plan: Plan | None = None) -> Iterator[DeadVideo]:
    """Walk the videos a run gave up, each once: refused when it was planned, then by shard.

    Only shards with dead letters are read; their markers are what counts. Memory: the names of the dead, as a long
    video may be given up in several shards.
    """
    if plan is not None:
        for row in plan.refusals():
            if row["kind"] == "video":
                letter = DeadLetter(
                    video_id=row["name"], uri=row["name"], stage="index", error_class=row["reason"],
                    message=row["message"], attempts=1,
                )  # fmt: skip
                yield DeadVideo(letter, None)
    seen = set[str]()
    for dead in _dead_in_shards(store, predict_id):
        if dead.letter.video_id not in seen:
            seen.add(dead.letter.video_id)
            yield dead


def _dead_in_shards(store: Store, predict_id: str) -> Iterator[DeadVideo]:
    area = predictions_area(predict_id)
    for info in store.objects(letters_folder(predict_id)):
        shard_id = shard_of_marker(info.key)
        marker = read_marker(store, area, shard_id)
        if marker is not None:
            yield from (DeadVideo(letter, shard_id) for letter in marker.dead_letters)


def retry_dead(store: Store, predict_id: str, plan: Plan, *, video_id: str | None = None) -> list[str]:
    """Take back the markers of shards with dead videos, so that the next run does them again.

    The labels made from them go too. Data objects stay until `gc`, so snapshots keep what they name; markers are
    copied to `retired/`. Kills are forgotten: a quarantined video gets its attempts anew.

    Args:
        store: the run's folder.
        predict_id: of the predictions.
        plan: of the run, which knows the buckets.
        video_id: only the shard with this dead video.

    Returns:
        The shards, sorted.
    """
    wanted = {
        it.shard_id
        for it in _dead_in_shards(store, predict_id)
        if it.shard_id is not None and video_id in (None, it.letter.video_id)
    }
    buckets = {entry.shard_id: entry.bucket_id for entry in plan.shards() if entry.shard_id in wanted}
    for shard_id in sorted(wanted):
        bucket_id = buckets.get(shard_id, shard_id)
        # labels first: a kill in between leaves a marker with letters, and the command finds it again
        for judge_id in store.list_folders("labels"):
            _retire(store, labels_area(judge_id), bucket_id, predict_id)
        _retire(store, predictions_area(predict_id), shard_id, predict_id)
        for info in list(store.objects(kills_folder(predict_id, shard_id))):
            store.delete(info.key)
        store.delete(letters_key(predict_id, shard_id))
    return sorted(wanted)


def _retire(store: Store, area: Area, shard_id: str, predict_id: str) -> None:
    marker: CommitMarker | None = read_marker(store, area, shard_id)
    if marker is None or marker.predict_id != predict_id:
        return
    store.write(area.retired_key(shard_id, marker.data_sha256), marker.to_json().encode(), durable=True)
    store.delete(area.commit_key(shard_id))


def dead_budget_message(
    num_dead: int, num_finished: int, max_dead_fraction: float, *, is_over: bool = False
) -> str | None:
    """Say why a run has to stop, or None where it may go on.

    While it runs, it is stopped when the dead are clearly too many: when even the lower end of the 95 % interval of
    their fraction (Wilson 1927) lies above the limit, so that a run at its limit is not stopped by chance. Once it is
    over, the fraction itself counts.

    Args:
        num_dead: videos given up so far.
        num_finished: videos done, refused or dead so far.
        max_dead_fraction: the limit, 0 to 1.
        is_over: all videos are finished.
    """
    if num_finished == 0:
        return None
    fraction = num_dead / num_finished
    lower = fraction if is_over else wilson_lower_bound(num_dead, num_finished)
    if lower <= max_dead_fraction or (num_finished < MIN_JUDGED_VIDEOS and not is_over):
        return None
    return (
        f"{num_dead} of {num_finished} videos ({fraction:.1%}) were given up, more than max_dead_fraction ="
        f" {max_dead_fraction:.1%}. See them: hoiray dead list RUN. Is a credential, a codec or the teacher wrong?"
    )


def wilson_lower_bound(num_hits: int, num_trials: int, z: float = 1.96) -> float:
    """Return the lower end of Wilson's score interval of a fraction; z = 1.96 is 95 %."""
    fraction, spread = num_hits / num_trials, z * z / num_trials
    centre = fraction + spread / 2.0
    margin = z * math.sqrt(fraction * (1.0 - fraction) / num_trials + spread / (4.0 * num_trials))
    return max(0.0, (centre - margin) / (1.0 + spread))
