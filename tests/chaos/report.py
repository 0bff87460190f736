"""Figures as JSON and as a page for people; both written anew after every round, so that a stop loses nothing."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .kills import KINDS

KIND_NAMES = {
    "driver": "the command (driver)",
    "predictor": "an actor that predicts",
    "decoder": "a decoder's process",
    "committer": "an actor that measures or judges",
    "node": "a worker node (its raylet)",
    "cluster": "every node and the command",
}


OLD_LAYOUT = "a head with CPUs and some worker nodes (actors could be on the head)"


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    import ray

    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "ray": ray.__version__,
        "load_average": round(os.getloadavg()[0], 1),
    }


def write_report(path: Path, found: Mapping[str, Any]) -> None:
    """Write `path` (JSON) and the page beside it; parts of an earlier run that are not in `found` stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    merged = {**known, **found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, indent=1) + "\n")
    path.with_suffix(".md").write_text("\n".join(page(merged)) + "\n")


def page(found: Mapping[str, Any]) -> list[str]:
    """The page, line by line."""
    lines = [
        "# Reliability", "",
        "Written by `PYTHONPATH=tests python -m chaos`; the figures behind it are in `reliability.json`.", "",
    ]  # fmt: skip
    for name in sorted(it for it in found if it.startswith("kills")):
        lines += _kills(found[name])
    if "faults" in found:
        lines += _faults(found["faults"])
    if "corpus" in found:
        lines += _corpus(found["corpus"])
    return lines


def _kills(part: Mapping[str, Any]) -> list[str]:
    rounds = part["rounds"]
    bad = [it for it in rounds if it["problems"]]
    hit = [it for it in rounds if it["num_killed"]]
    lines = [
        f"## Kills: {', '.join(dict.fromkeys(it['kind'] for it in rounds))}", "",
        f"Command: `{part['command']}`", "",
        f"{len(rounds)} of {part['asked']} rounds were played, with seed {part['seed']}. A round labels"
        f" {part['num_shards']} shards ({part['num_videos']} videos, one of them cut into segments) with `hoiray label`"
        f" on a Ray cluster, each node a `ray start` of its own: {part.get('layout', OLD_LAYOUT)}. At a random moment"
        " somebody is killed with SIGKILL. Where that ends the command, or makes it fail, it is run again, with another"
        " number of nodes, other pools and another batch size, until it succeeds. Then every data object's digest is"
        " compared with those of an unbroken run in one process, every row's key is counted, `hoiray verify` is run,"
        " work done twice is compared with what was in flight, and processes and shared memory that stayed are looked"
        " for.", "",
        f"**{len(rounds) - len(bad)} of {len(rounds)} rounds ended without a finding**: nothing lost, nothing twice,"
        f" nothing different, nothing left behind. {len(hit)} kills hit, {_count(hit, 'in_flight')} of them while"
        f" shards were in flight; {_count(rounds, 'redone')} cost work that had to be done again.", "",
        "| killed | rounds | hit | with shards in flight | starts of the command | in flight, mean (most)"
        " | done again, mean (most) | seconds from the kill to the end, median | findings |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for kind in (*KINDS, None):
        some = [it for it in rounds if kind in (it["kind"], None)]
        if some:
            lines.append(_row("**all**" if kind is None else KIND_NAMES[kind], some))
    hands = sum(it["redone_hands"] for it in rounds)
    lines += [
        "", _bound(rounds), "",
        "In flight: shards of which something had been predicted and that were not committed when the kill came, or"
        f" that actors began before they followed their command ({sum(it['begun_late'] for it in rounds)} in all). Done"
        " again: those of which anything was predicted a second time; one that was not in flight would be a finding."
        f" Of {part['num_hands']}"
        f" hands a run, {hands / max(len(rounds), 1):.1f} were predicted again on average.", "",
    ]  # fmt: skip
    workers = [it for it in rounds if it["kind"] == "node"]
    if workers:
        count = sum(it.get("predictors_hit", 0) > 0 for it in workers)
        lines += [f"{count} of {len(workers)} killed worker nodes are known to have held an actor that predicted.", ""]
    lines += _layouts(rounds)
    lines += [f"* round {it['number']} ({it['kind']}): {'; '.join(it['problems'])[:600]}" for it in bad]
    if bad:
        lines.append("")
    return [*lines, *_machine(part["machine"])]


def _bound(rounds: Sequence[Mapping[str, Any]]) -> str:
    """Say whether more was done again than was in flight, by count; which shards, the round itself has checked."""
    redone, in_flight = (sum(it[name] for it in rounds) for name in ("redone", "in_flight"))
    late = sum(it["begun_late"] for it in rounds)
    beyond = [it["number"] for it in rounds if it["redone"] > it["in_flight"] + it["begun_late"]]
    said = "**kept in every round**" if not beyond else f"**BROKEN in rounds {', '.join(map(str, beyond))}**"
    return (
        f"Done again: {redone} shards, of {in_flight} in flight and {late} begun late. No more than in flight: {said}."
    )


def _layouts(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who was killed on which cluster; of several starts of the command, one after the other."""
    lines = [
        "| round | killed | worker nodes | predictors (least to most), hands a batch | committed at the kill"
        " | in flight | done again | findings |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for it in rounds:
        pools = ", then ".join(f"{low} to {high}, {batch}" for low, high, batch in it["pools"])
        cells = (
            it["number"], it["kind"], ", then ".join(map(str, it["num_workers"])), pools,
            "{} of {}".format(*it["committed"]), it["in_flight"] + it["begun_late"], it["redone"], len(it["problems"]),
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _row(name: str, some: Sequence[Mapping[str, Any]]) -> str:
    hit = [it for it in some if it["num_killed"]]
    cells = [
        name, len(some), len(hit), _count(hit, "in_flight"), _mean(len(it["exits"]) for it in some),
        f"{_mean(it['in_flight'] for it in hit)} ({max((it['in_flight'] for it in hit), default=0)})",
        f"{_mean(it['redone'] for it in some)} ({max(it['redone'] for it in some)})",
        f"{statistics.median(it['recovery_s'] for it in some):.0f}",
        sum(bool(it["problems"]) for it in some),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _count(some: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(bool(it[name]) for it in some)


def _mean(values: Iterable[float]) -> str:
    numbers = list(values)
    return f"{statistics.fmean(numbers):.1f}" if numbers else "-"


def _faults(part: Mapping[str, Any]) -> list[str]:
    state = "the same as of an unbroken run" if not part["problems"] else "NOT " + "; ".join(part["problems"])
    lines = [
        "## Faults of S3", "",
        f"Command: `{part['command']}`", "",
        f"Videos, boxes, plan and output on SeaweedFS, behind a proxy that spoils {part['rate']:.0%} of all requests of"
        f" `hoiray label` by each of {len(part['planted'])} faults. {part['num_requests']} requests,"
        f" {sum(part['planted'].values())} of them spoilt; exit status {part['exit']}; the result is {state}.", "",
        "| fault | planted |", "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(part["planted"].items())), "",
    ]  # fmt: skip
    return [*lines, *_machine(part["machine"])]


def _corpus(part: Mapping[str, Any]) -> list[str]:
    state = "identical to a run without the bad ones" if not part["problems"] else "; ".join(part["problems"])
    lines = [
        "## Bad videos and annotations", "",
        f"Command: `{part['command']}`", "",
        f"One run of `hoiray label` on Ray over {part['num_good']} good videos, {part['num_bad_videos']} bad ones and"
        f" {part['num_bad_boxes']} bad annotations. {part['num_dead']} videos were given up, of"
        f" {part['num_bad_videos']} planted; rows of the good ones: {state}.", "",
        "| what was planted | how it ended |", "|---|---|",
        *(f"| {name} | {end} |" for name, end in part["ends"].items()), "",
    ]  # fmt: skip
    return [*lines, *_machine(part["machine"])]


def _machine(facts: Mapping[str, Any]) -> list[str]:
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    return [f"Machine: {said}; shared with other work, so seconds are upper bounds.", ""]
