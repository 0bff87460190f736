"""The command; see `--help`."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from .kills import KINDS
from .nodes import LAYOUT, marked, running_nodes
from .report import machine, write_report
from .rounds import RoundPlayer
from .world import clips, make_world


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="PYTHONPATH=tests python -m chaos",
        description="Label on a real Ray cluster of several nodes on this machine, kill somebody at a random moment,"
        " run the same command again, and compare everything with an unbroken run. Writes OUT and the page beside it"
        " (.md) after every round.",
        epilog="A round takes 15 to 60 seconds on two cores. Ends with status 1 where a round had a finding; its"
        " output folder is kept then, and named.",
    )
    parser.add_argument("--rounds", type=int, default=50, help="kills (default 50), each of the kinds in turn")
    parser.add_argument("--seed", type=int, default=0, help="of moments, victims, pools and nodes (default 0)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"whom to kill (default {','.join(KINDS)})")
    parser.add_argument("--max-minutes", type=float, default=60.0, help="no round begins after that (default 60)")
    parser.add_argument("--out", type=Path, default=Path("results/reliability.json"), help="JSON to write")
    parser.add_argument("--faults", action="store_true", help="instead: S3 that spoils requests")
    parser.add_argument("--corpus", action="store_true", help="instead: bad videos and annotations beside good ones")
    arguments = parser.parse_args()
    if arguments.faults or arguments.corpus:
        return _other_parts(arguments)
    return _play(arguments)


def _play(arguments: argparse.Namespace) -> int:
    kinds, folder = arguments.kinds.split(","), Path(tempfile.mkdtemp(prefix="cw"))
    until_s = time.monotonic() + 60.0 * arguments.max_minutes
    world = make_world(folder)
    part = {
        "command": _command(), "seed": arguments.seed, "asked": arguments.rounds, "num_shards": world.num_shards,
        "num_videos": len(clips()), "num_hands": sum(world.work.values()), "layout": LAYOUT, "rounds": [],
        "machine": machine(),
    }  # fmt: skip
    # rounds of some kinds only do not replace those of all
    name = "kills" if set(kinds) == set(KINDS) else f"kills of {arguments.kinds}"
    with running_nodes() as nodes:
        player = RoundPlayer(world, nodes, folder)
        for number in range(arguments.rounds):
            if time.monotonic() > until_s:
                break
            played = player.play(number, kinds[number % len(kinds)], random.Random(f"{arguments.seed} {number}"))
            part["rounds"].append(played.record())
            write_report(arguments.out, {name: part})
            print(f"round {number} {played.kind}: {played.wall_s} s, {played.problems or 'ok'}", flush=True)
        nodes.stop()
        left = [str(it) for it in marked(nodes)]
    findings = sum(bool(it["problems"]) for it in part["rounds"]) + len(left)
    print(f"{len(part['rounds'])} rounds, {findings} findings" + (f" (kept: {folder}) {left}" if findings else ""))
    if not findings:
        shutil.rmtree(folder)
    return 1 if findings else 0


def _other_parts(arguments: argparse.Namespace) -> int:
    status = 0
    if arguments.faults:
        from .faults import label_through_faults

        part = label_through_faults(seed=arguments.seed) | {"command": _command(), "machine": machine()}
        write_report(arguments.out, {"faults": part})
        status |= bool(part["problems"])
        print(part)
    if arguments.corpus:
        from .corpus import label_corpus

        part = label_corpus() | {"command": _command(), "machine": machine()}
        write_report(arguments.out, {"corpus": part})
        status |= bool(part["problems"])
        print(part)
    return int(status)


def _command() -> str:
    return " ".join(["PYTHONPATH=tests python -m chaos", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
