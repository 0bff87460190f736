"""Whom a kill hits. All are SIGKILL: nobody is asked, nothing is tidied up."""

import random
from contextlib import suppress

import psutil

from .nodes import Node, Nodes, title

KINDS = ("driver", "predictor", "decoder", "committer", "node", "cluster")
"""The command itself; an actor that predicts; the child of one that decodes; an actor that measures or judges, and
commits; the raylet of a worker node; every process of every node, and the command."""

DECODER, COMMITTERS = "hoiray.stages.decode_child", ("MapBatches(Measure", "MapBatches(Judge")
LABELLERS = ("ray::MapWorker", "ray::Tally", "ray::decode_video", "ray::Read")


def kill(kind: str, driver: int, nodes: Nodes, busy: list[int], rng: random.Random) -> int:
    """Kill at once; return how many processes were hit; none where there is nobody of that kind.

    Args:
        kind: one of `KINDS`.
        driver: process id of the command.
        nodes: the cluster.
        busy: process ids of actors that have predicted.
        rng: chooses among equals.
    """
    if kind == "cluster":
        count = len(nodes.processes()) + _kill([psutil.Process(driver)])
        nodes.kill()
        return count
    return _kill(_victims(kind, driver, nodes, busy, rng))


def _victims(kind: str, driver: int, nodes: Nodes, busy: list[int], rng: random.Random) -> list[psutil.Process]:
    if kind == "driver":
        return [psutil.Process(driver)]
    if kind == "node":
        hosts = [node for node in nodes.workers if set(busy) & {it.pid for it in node.processes()}]
        chosen: Node = rng.choice(hosts or nodes.workers)
        return [it for it in [chosen.raylet] if it is not None]
    everybody = nodes.processes()
    if kind == "predictor":
        found = [it for it in everybody if it.pid in busy]
    elif kind == "decoder":
        found = [it for it in everybody if DECODER in title(it)]
    else:
        found = [it for it in everybody if any(word in title(it) for word in COMMITTERS)]
    return [rng.choice(found)] if found else []


def _kill(victims: list[psutil.Process]) -> int:
    count = 0
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            count += 1
    return count


def workers_left(processes: list[psutil.Process]) -> list[str]:
    """Who of a labelling still lives: its actors, tasks and decoders. Ray's own helpers belong to the cluster."""
    titles = [title(process).strip() for process in processes]
    return [it for it in titles if DECODER in it or it.startswith(LABELLERS)]
