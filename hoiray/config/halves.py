"""The two halves of a configuration side by side: which of them does a key, or a whole file, belong to?"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from hoiray.config.base import Config
from hoiray.config.document import shorten
from hoiray.config.problems import did_you_mean
from hoiray.config.what import RunConfig
from hoiray.config.where import ClusterConfig

HalfName = Literal["run", "cluster"]

HALVES: Final[Mapping[HalfName, type[Config]]] = MappingProxyType({"run": RunConfig, "cluster": ClusterConfig})
"""The model of a run file and that of a cluster file; they share no key."""

_MAX_OVERRIDE_CHARS: Final = 80


@dataclass(frozen=True)
class RoutedOverrides:
    """Overrides by the half they change, and what is wrong with those that change neither."""

    run: tuple[str, ...]
    cluster: tuple[str, ...]
    problems: tuple[str, ...]


def half_of_key(key: str) -> HalfName | None:
    """Tell which half has a top-level key; None where neither has."""
    return next((name for name, model in HALVES.items() if key in model.model_fields), None)


def half_of_keys(keys: Collection[str]) -> HalfName | None:
    """Tell which half a file is by its top-level keys: the one that knows more of them. None on a tie."""
    halves = [half_of_key(key) for key in keys]
    num_run, num_cluster = halves.count("run"), halves.count("cluster")
    if num_run == num_cluster:
        return None
    return "run" if num_run > num_cluster else "cluster"


def route_overrides(overrides: Collection[str]) -> RoutedOverrides:
    """Send each override to the half whose top-level key it names.

    Returns:
        The overrides of each half in their order. One that is no assignment at all goes to the run, whose reader
        says what is wrong with it; one whose key neither half has becomes a problem.
    """
    by_half: dict[HalfName, list[str]] = {"run": [], "cluster": []}
    problems = []
    for override in overrides:
        assignment = split_override(override)
        half = half_of_key(assignment[0][0]) if assignment else "run"
        if assignment and half is None:
            problems.append(f"{override_origin(override)}: {_unknown_in_both(assignment[0][0])}")
        else:
            by_half[half or "run"].append(override)
    return RoutedOverrides(tuple(by_half["run"]), tuple(by_half["cluster"]), tuple(problems))


def split_override(override: str) -> tuple[tuple[str, ...], str] | None:
    """Split ``pools.predict.max=4`` into its keys and the text of its value; None where it is no assignment."""
    name, equals, text = override.partition("=")
    if not equals or not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", name):
        return None
    return tuple(name.split(".")), text


def override_origin(override: str) -> str:
    """Name an override in a message."""
    return f"--set {shorten(override, _MAX_OVERRIDE_CHARS)}"


def _unknown_in_both(key: str) -> str:
    """Say that neither half has a top-level key, and what may have been meant."""
    owners = {name: half for half, model in HALVES.items() for name in model.model_fields}
    near = did_you_mean(key, list(owners))
    known = "; ".join(f"{half}: {', '.join(sorted(model.model_fields))}" for half, model in HALVES.items())
    advice = f"did you mean {near!r} ({owners[near]})?" if near else f"known keys of {known}"
    return f"unknown key {shorten(repr(key))} in run and cluster; {advice}"
