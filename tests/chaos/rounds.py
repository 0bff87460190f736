"""One round: label, kill somebody at a random moment, label again until it is done, and look at what there is."""

import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .kills import kill, workers_left
from .nodes import Nodes, marked
from .paced_predictor import read_log
from .world import World, problems_of

PACE_S = 0.06
"""Of a batch: a shard takes some tenths of a second, so that kills land in the middle of one."""

RUN_S, ORPHANS_S, MAX_RUNS = 240.0, 15.0, 4

ENDS_THE_RUN = ("driver", "cluster")

CLUSTER = """
head: {{num_cpus: 2, memory_gib: 2}}
pools:
  decode: {{where: predictor, num_cpus: 0.25}}
  predict: {{min: {min}, max: {max}, num_cpus: {cpus}, batch_size: {batch}}}
  measure: {{min: 1, max: 2, num_cpus: 0.1}}
  judge: {{min: 1, max: 2, num_cpus: 0.1}}
task_cpus: 0.5
retries: {{no_progress_s: 120}}
"""


@dataclass
class Round:
    """What was done and what came of it.

    Attributes:
        number, kind: which round, and who was to be killed.
        num_workers: worker nodes at each start of the command.
        pools: least and most predictors, and hands a batch, at each start.
        committed: shards committed when the kill came, of so many.
        num_killed: processes that were hit; zero where the run had ended before.
        predictors_hit: actors that had predicted, on nodes that died.
        in_flight: shards begun and not committed at the kill.
        begun_late: more that actors whose run had been killed began before they died too.
        redone: shards of which anything was predicted again.
        redone_hands: hands that were predicted again.
        exits: exit status of each start of the command.
        wall_s: from the first start to the end of the last.
        recovery_s: from the kill to the end.
        problems: what is wrong; empty where all is well.
    """

    number: int
    kind: str
    num_workers: list[int] = field(default_factory=list)
    pools: list[tuple[int, int, int]] = field(default_factory=list)
    committed: tuple[int, int] = (0, 0)
    num_killed: int = 0
    predictors_hit: int = 0
    in_flight: int = 0
    begun_late: int = 0
    redone: int = 0
    redone_hands: int = 0
    exits: list[int] = field(default_factory=list)
    wall_s: float = 0.0
    recovery_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


class RoundPlayer:
    """Plays rounds on one cluster, which is mended where a round broke it."""

    def __init__(self, world: World, nodes: Nodes, folder: Path) -> None:
        self._world, self._nodes, self._folder = world, nodes, folder
        self._before: set[str] = set()
        self._in_flight: set[str] = set()
        self._pids: set[int] = set()

    def play(self, number: int, kind: str, rng: random.Random) -> Round:
        """Play a round."""
        played, out = Round(number, kind), self._folder / f"round-{number}"
        self._world.set_pace(PACE_S)
        self._world.new_log()
        shared = _shared_memory()
        begin_s = time.monotonic()
        try:
            self._play(played, out, rng)
            self._count_work(played)
            played.problems += problems_of(self._world, out)
        except Exception as error:  # noqa: BLE001 - a round that broke is a finding; the next ones go on
            played.problems.append(f"{type(error).__name__}: {error}")
        played.wall_s = round(time.monotonic() - begin_s, 1)
        played.problems += self._left_behind(shared)
        if not played.problems:
            shutil.rmtree(out, ignore_errors=True)
        return played

    def _play(self, played: Round, out: Path, rng: random.Random) -> None:
        driver = self._start(played, out, rng)
        when, pause_s = rng.randrange(self._world.num_shards), rng.uniform(0.0, 4 * PACE_S)
        if played.kind == "predictor":
            # every shard takes a call at least, so that this one comes
            self._world.hold(at_call=when + 1)
        try:
            if self._wait_for_work(driver, out, when if played.kind != "predictor" else None, pause_s):
                self._kill(played, driver, out, rng)
        finally:
            self._world.release()
        killed_s = time.monotonic()
        played.exits.append(driver.wait(RUN_S))
        # from here on nothing has to be slow
        self._world.set_pace(0.0)
        while played.exits[-1] != 0 and len(played.exits) < MAX_RUNS:
            played.exits.append(self._start(played, out, rng).wait(RUN_S))
        played.recovery_s = round(time.monotonic() - killed_s, 1)
        if played.exits[-1] != 0:
            raise RuntimeError(f"no success in {MAX_RUNS} runs: {(out / 'said.txt').read_text()[-2000:]}")

    def _start(self, played: Round, out: Path, rng: random.Random) -> "subprocess.Popen[bytes]":
        """Start the command: on two or three worker nodes, with other pools each time."""
        self._nodes.ensure(rng.choice((2, 3)))
        out.mkdir(exist_ok=True)
        low, high, batch = rng.choice((1, 2)), rng.choice((2, 3)), rng.choice((2, 4, 7))
        played.num_workers.append(len(self._nodes.workers))
        played.pools.append((low, high, batch))
        (out / "label.yaml").write_text(self._world.run_text(out))
        cluster = CLUSTER.format(min=low, max=high, cpus=rng.choice((0.3, 0.5)), batch=batch)
        (out / "cluster.yaml").write_text(cluster)
        command = [sys.executable, "-m", "hoiray", "label", str(out / "label.yaml")]
        command += ["--cluster", str(out / "cluster.yaml"), "--ray-address", self._nodes.address]
        with (out / "said.txt").open("ab") as said:
            return subprocess.Popen(
                command, env=self._nodes.environment, stdout=said, stderr=said, start_new_session=True
            )

    def _wait_for_work(
        self, driver: "subprocess.Popen[bytes]", out: Path, num_committed: int | None, pause_s: float
    ) -> bool:
        """Wait until so many shards are committed and somebody works, and a moment more; False where it is over.

        Without a number: until predictors wait to be killed.
        """

        def is_time() -> bool:
            if num_committed is None:
                return self._world.is_held()
            return len(_committed(out)) >= num_committed and bool(self._world.done())

        deadline_s = time.monotonic() + RUN_S
        while not is_time():
            if driver.poll() is not None:
                return False
            if time.monotonic() > deadline_s:
                driver.kill()
                raise RuntimeError(f"no work within {RUN_S:.0f} s: {(out / 'said.txt').read_text()[-2000:]}")
            time.sleep(0.02)
        time.sleep(pause_s)
        return driver.poll() is None

    def _kill(self, played: Round, driver: "subprocess.Popen[bytes]", out: Path, rng: random.Random) -> None:
        before, busy = _committed(out), list(read_log(self._world.folder))
        homes = [(node, {it.pid for it in node.processes()} & set(busy)) for node in self._nodes.workers]
        played.num_killed = kill(played.kind, driver.pid, self._nodes, busy, rng)
        played.predictors_hit = sum(len(pids) for node, pids in homes if node.raylet is None)
        # whoever had begun by now belongs to the run that was hit
        self._pids = set(read_log(self._world.folder))
        self._before, self._in_flight = before, self._world.done().keys() - before
        played.committed = len(before), self._world.num_shards
        played.in_flight = len(self._in_flight)

    def _count_work(self, played: Round) -> None:
        """Compare the work that was done with that of an unbroken run."""
        done = self._world.done()
        in_flight = self._in_flight if played.num_killed else set()
        if played.num_killed and played.kind in ENDS_THE_RUN:
            # actors outlive their command until Ray notices, and what they still begin is in flight too
            in_flight = in_flight | (self._world.done(self._pids).keys() - self._before)
            played.begun_late = len(in_flight) - len(self._in_flight)
        redone = {name: done[name] - count for name, count in self._world.work.items() if done[name] > count}
        played.redone, played.redone_hands = len(redone), sum(redone.values())
        beyond = redone.keys() - in_flight
        played.problems += [f"done again, though not in flight: {name}" for name in sorted(beyond)]
        played.problems += [f"not done: {name}" for name, count in self._world.work.items() if done[name] < count]

    def _left_behind(self, shared: set[str]) -> list[str]:
        """Wait for actors and decoders of the round to end; what stays is a problem."""
        deadline_s = time.monotonic() + ORPHANS_S
        while workers := workers_left(marked(self._nodes)):
            if time.monotonic() > deadline_s:
                break
            time.sleep(0.2)
        files = sorted(_shared_memory() - shared)
        return [f"left behind: {it}" for it in [*workers, *files]]


def _committed(out: Path) -> set[str]:
    return {path.stem for path in out.glob("predictions/*/commit/*.json")}


def _shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}
