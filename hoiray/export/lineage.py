"""Where exported labels come from, by which limits they were judged, and which licences they carry."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hoiray.datasets.label_run import LabelRun
from hoiray.hand.load import Licence
from hoiray.io.secrets import redacted


@dataclass(frozen=True)
class Lineage:
    """Facts of a run that every export repeats.

    Attributes:
        plan_id, predict_id, judge_id, snapshot_id: digests, see the architecture of a run.
        teacher: the predictor, and its weights where it has a file of them.
        num_views: of the ensemble.
        limits: measurement to its limit in words; empty where they are not known.
        videos: where the videos were planned from.
        hand_model: name of the model the parameters are of.
        tip_set: which vertices are finger tips.
        hand_licence: of that model, with what it means for labels.
        hand_licence_url: its text.
        allows_commercial_use: whether the hand model's licence lets the labels be used so.
        hoiray_version: that exports.
    """

    plan_id: str
    predict_id: str
    judge_id: str
    snapshot_id: str
    teacher: str
    num_views: int
    limits: Mapping[str, str]
    videos: str
    hand_model: str
    tip_set: str
    hand_licence: str
    hand_licence_url: str
    allows_commercial_use: bool
    hoiray_version: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "limits": dict(self.limits)}


def lineage_of(
    run: LabelRun,
    hand_licence: Licence,
    *,
    teacher: str,
    num_views: int,
    limits: Mapping[str, str],
    videos: str,
    hoiray_version: str,
) -> Lineage:
    """Put together what is known of a run; places lose their credentials."""
    return Lineage(
        plan_id=run.plan_id,
        predict_id=run.predict_id,
        judge_id=run.judge_id,
        snapshot_id=run.snapshot_id,
        teacher=redacted(teacher),
        num_views=num_views,
        limits=dict(sorted(limits.items())),
        videos=redacted(videos),
        hand_model=redacted(run.hand.model_uri or "hoiray's open hand"),
        tip_set=run.hand.tip_set,
        hand_licence=f"{hand_licence.name}: {hand_licence.note}",
        hand_licence_url=hand_licence.url,
        allows_commercial_use=hand_licence.allows_commercial_use,
        hoiray_version=hoiray_version,
    )
