"""The labels of a round, as its label run left them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from hoiray.errors import ContractError, InputError, describe
from hoiray.io.store import Store
from hoiray.stages.commit import read_marker, read_rows
from hoiray.stages.label_summary import SUMMARY_FILE
from hoiray.stages.markers import committed_units
from hoiray.stages.plan import Plan, open_plan
from hoiray.stages.run_layout import PLAN_FOLDER, Area, labels_area


@dataclass(frozen=True)
class RoundLabels:
    """A finished label run.

    Attributes:
        store: its folder.
    """

    store: Store

    @cached_property
    def summary(self) -> dict[str, object]:
        """What `hoiray label` counted at its end.

        Raises:
            InputError: the run has not ended.
            ContractError: the file is damaged.
        """
        data = self.store.read_if_there(SUMMARY_FILE)
        if data is None:
            fix = "Let hoiray label end first."
            what = self.store.url(SUMMARY_FILE)
            raise InputError(describe(what=what, expected="the summary of a label run", found="none", fix=fix))
        try:
            summary = dict(json.loads(data))
            str(summary["judge_id"])
        except (ValueError, KeyError, TypeError) as error:
            fix = "Run hoiray label again: it writes a new one."
            what = self.store.url(SUMMARY_FILE)
            raise ContractError(describe(what=what, expected="a summary", found=repr(error), fix=fix)) from error
        return summary

    @property
    def area(self) -> Area:
        """Where its labels are committed."""
        return labels_area(str(self.summary["judge_id"]))

    @cached_property
    def plan(self) -> Plan:
        """Its plan."""
        return open_plan(self.store.below(PLAN_FOLDER))

    def units(self) -> Iterator[str]:
        """Names of the parts that are committed, in order."""
        return (name for name, is_done in committed_units(self.plan, self.store, self.area) if is_done)

    def table(self, unit_id: str) -> pa.Table | None:
        """Read the labels of a part, their digest checked; None where it is not committed."""
        marker = read_marker(self.store, self.area, unit_id)
        return None if marker is None else read_rows(self.store, marker)


def pairs_of(before: RoundLabels, after: RoundLabels) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Read the parts two rounds have in common, a pair at a time.

    Raises:
        ContractError: the rounds labelled other videos or boxes, or cut them otherwise.
    """
    if before.plan.plan_id != after.plan.plan_id:
        fix = "Label the same videos in every round: those of a self-training must not change while it runs."
        found = f"plans {before.plan.plan_id} and {after.plan.plan_id}"
        what = f"labels in {before.store.uri} and {after.store.uri}"
        raise ContractError(describe(what=what, expected="one plan", found=found, fix=fix))
    for unit_id in after.units():
        first, second = before.table(unit_id), after.table(unit_id)
        if first is not None and second is not None:
            yield first, second
