"""What canaries came to, kept beside a run's labels: a small document in `canaries/`, and lines for a person."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from hoiray.errors import ContractError, describe
from hoiray.io.json_values import nan_to_none
from hoiray.io.store import Store
from hoiray.trust.canaries import MissRate

CANARY_FOLDER: Final = "canaries"
CANARY_VERSION: Final = 1


@dataclass(frozen=True)
class KindCount:
    """What became of the canaries of one kind.

    Attributes:
        kind: its name, of :data:`hoiray.trust.canaries.KINDS`.
        miss: how many of its wrong labels were accepted.
    """

    kind: str
    miss: MissRate


@dataclass(frozen=True)
class Canaries:
    """Canaries of a run's labels.

    Attributes:
        judge_id, predict_id: which labels.
        seed: of the lot.
        num_asked: clips that were asked for.
        num_clips: clips there were.
        kinds: what became of each kind.
    """

    judge_id: str
    predict_id: str
    seed: int
    num_asked: int
    num_clips: int
    kinds: tuple[KindCount, ...]


def canary_key(judge_id: str) -> str:
    """Where the canaries of labels lie."""
    return f"{CANARY_FOLDER}/{judge_id}.json"


def write_canaries(store: Store, canaries: Canaries) -> str:
    """Write the counts into the run's folder; return where they are."""
    key = canary_key(canaries.judge_id)
    text = json.dumps(plain_canaries(canaries), indent=1, allow_nan=False) + "\n"
    store.write(key, text.encode(), durable=True)
    return store.url(key)


def plain_canaries(canaries: Canaries) -> dict[str, Any]:
    """Return the counts as JSON has them: a rate of nothing is null."""
    return {"canary_version": CANARY_VERSION, **nan_to_none(asdict(canaries))}


def read_canaries(store: Store, judge_id: str) -> Canaries | None:
    """Read the canaries of labels; None where none were planted.

    Raises:
        ContractError: the file is damaged, or of another version.
    """
    key = canary_key(judge_id)
    text = store.read_if_there(key)
    if text is None:
        return None
    try:
        content = json.loads(text)
        if content.pop("canary_version") != CANARY_VERSION:
            raise ValueError("another version")
        return Canaries(**content | {"kinds": tuple(_kind_of(kind) for kind in content["kinds"])})
    except (ValueError, KeyError, TypeError) as error:
        fix = "Plant them again: hoiray canaries RUN."
        expected = f"counts of canaries, version {CANARY_VERSION}"
        raise ContractError(describe(what=store.url(key), expected=expected, found=str(error), fix=fix)) from error


def all_canaries(store: Store) -> list[Canaries]:
    """Read the canaries of all labels of a run, sorted by judge_id.

    Raises:
        ContractError: a file is damaged.
    """
    names = sorted(info.key.rpartition("/")[2].removesuffix(".json") for info in store.objects(CANARY_FOLDER))
    return [found for name in names if (found := read_canaries(store, name)) is not None]


def _kind_of(content: Mapping[str, Any]) -> KindCount:
    miss = dict(content["miss"])
    if miss["rate"] is None:
        miss["rate"] = math.nan
    return KindCount(content["kind"], MissRate(**miss))


def canary_lines(canaries: Canaries) -> list[str]:
    """Write the miss rates for a person."""
    lines = [f"canaries ({canaries.num_clips} clips, seed {canaries.seed}): wrong labels that were accepted"]
    width = max(len(one.kind) for one in canaries.kinds)
    return lines + [f"  {one.kind:<{width}}  {miss_words(one.miss)}" for one in canaries.kinds]


def miss_words(miss: MissRate) -> str:
    """Write one miss rate: `3.1 % (95 %: 0.6 to 9.0 %), 4 of 129 labels of 20 clips`."""
    if not miss.num_labels:
        return "nothing planted was wrong"
    counts = f"{miss.num_missed} of {miss.num_labels} labels of {miss.num_clips} clips"
    return f"{miss.rate:.1%} (95 %: {miss.low:.1%} to {miss.high:.1%}), {counts}"
