"""Opening the folder of a run, as the commands that look at one do."""

from dataclasses import dataclass
from typing import Literal

from hoiray.errors import ConfigError, InputError, describe
from hoiray.io.store import Store
from hoiray.stages.plan import Plan, open_plan
from hoiray.stages.run_layout import PLAN_FOLDER, Area


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, and its plan."""

    store: Store
    plan: Plan

    def areas(self) -> list[Area]:
        """Everything that has been committed under some id, predictions first."""
        names: tuple[Literal["predictions"], Literal["labels"]] = ("predictions", "labels")
        return [Area(table, name) for table in names for name in self.store.list_folders(table)]

    def predict_id(self, wanted: str | None) -> str:
        """Return the id of the predictions: the one asked for, or the only one.

        Raises:
            ConfigError: there are several, and none is asked for.
            InputError: there is none.
        """
        found = list(self.store.list_folders("predictions"))
        if wanted is not None:
            found = [name for name in found if name == wanted]
        if len(found) == 1:
            return found[0]
        what = self.store.url("predictions")
        if not found:
            fix = "Run the job first, or check the id."
            raise InputError(describe(what=what, expected=f"predictions {wanted or ''}", found="none", fix=fix))
        fix = "Say which: --predict-id ID."
        raise ConfigError(describe(what=what, expected="one predict_id", found=", ".join(found), fix=fix))


def open_run(run: str, plan: str | None) -> RunFolder:
    """Open a run's folder.

    Args:
        run: the folder, local or on S3.
        plan: where its plan is; None for `plan` in it.

    Raises:
        InputError: there is no plan, or it is a folder of `hoiray judge`.
    """
    store = Store.open(run)
    if any(key.startswith("labels-") for key in store.list(recursive=False)):
        found = "tables of hoiray judge, which has no plan and no videos"
        fix = (
            "To see a run with other limits, call hoiray label again with them (limits.uri of a calibrated file): it"
            " judges what is stored, and asks no model."
        )
        raise InputError(describe(what=store.uri, expected="the folder of a run", found=found, fix=fix))
    return RunFolder(store, open_plan(store.below(PLAN_FOLDER) if plan is None else Store.open(plan)))
