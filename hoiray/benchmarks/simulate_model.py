"""A discrete-event model of a labelling: shards, predictors, a driver that hands them out, a store, and what breaks.

A predictor asks for the next shard; the driver hands out one at a time. The shard takes a fixed time and a time for
each frame, by the model or by the decoders beside it, whichever is slower. Then its writes wait for the store, which
takes so many requests a second, and a CPU measures, judges and commits it. A node that fails, or is taken back, loses
the shards it is at; they are done again, and its predictors are away for a while. Exactly-once commits cost nothing
more: who is late finds the marker.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

REQUESTS_A_SHARD: Final = 10
"""Of the store: is it done, two row groups of three plan tables, notes, kills, two data objects, two markers."""

HOUR_S: Final = 3600.0


@dataclass(frozen=True)
class Constants:
    """What was measured, or is assumed, of one shard.

    Attributes:
        start_s: before the first shard of a predictor, and after its node has come back.
        shard_s: of every shard, whatever its length, at a predictor.
        frame_s: of every planned frame at a predictor: the model.
        decode_cpu_s: of every planned frame: processor time of decoders.
        driver_s: of every shard, one after another: handing it out and hearing of its end.
        finish_s, finish_frame_s: of every shard and planned frame, on a CPU: measuring, judging, committing.
    """

    start_s: float
    shard_s: float
    frame_s: float
    decode_cpu_s: float
    driver_s: float
    finish_s: float
    finish_frame_s: float


@dataclass(frozen=True)
class SimulatedCluster:
    """A cluster.

    Attributes:
        name: of the row.
        nodes: machines with predictors.
        predictors_per_node: one a GPU, mostly.
        decode_cores_per_predictor: cores that decode for one.
        finish_cores: that measure and judge, over the cluster.
        store_requests_per_s: that the store takes.
        losses_per_node_h: failures and spot losses of one node in an hour.
        away_s: until a lost node has come back.
        price_per_node_h: of one node, in any currency.
        gpu: its kind, as the roofline calls it; None: the predictor computes as it was measured.
    """

    name: str
    nodes: int
    predictors_per_node: int
    decode_cores_per_predictor: float
    finish_cores: int
    store_requests_per_s: float
    losses_per_node_h: float = 0.0
    away_s: float = 300.0
    price_per_node_h: float = 0.0
    gpu: str | None = None

    @property
    def num_predictors(self) -> int:
        """Predictors of all nodes."""
        return self.nodes * self.predictors_per_node


@dataclass(frozen=True)
class Outcome:
    """How a simulated labelling ended.

    Attributes:
        time_s: from its start to its last commit.
        busy_s: time of predictors at shards that counted.
        lost_s: at shards that were lost with their node.
        num_losses: nodes lost while there was work.
        idle_share: of the predictors' time, neither busy nor lost: starting, waiting for the driver, away, or done.
        waits_for: what the most time was waited for: model, decoders, driver, store or finishing.
    """

    time_s: float
    busy_s: float
    lost_s: float
    num_losses: int
    idle_share: float
    waits_for: str


@dataclass
class _State:
    """The world between two events."""

    queue: deque[float]
    running: dict[int, tuple[int, float, float]] = field(default_factory=dict)
    events: list[tuple[float, int, str, int]] = field(default_factory=list)
    num_events: int = 0
    driver_free_s: float = 0.0
    store_free_s: float = 0.0
    driver_busy_s: float = 0.0
    store_busy_s: float = 0.0
    finish_busy_s: float = 0.0
    busy_s: float = 0.0
    lost_s: float = 0.0
    num_losses: int = 0
    end_s: float = 0.0

    def plan(self, time_s: float, kind: str, who: int) -> None:
        """Let something happen at a time; what is planned first happens first."""
        self.num_events += 1
        heapq.heappush(self.events, (time_s, self.num_events, kind, who))


class Model:
    """One labelling on one cluster."""

    def __init__(self, frames: Sequence[float], constants: Constants, cluster: SimulatedCluster, *, seed: int) -> None:
        """Prepare.

        Args:
            frames: planned frames of every shard, in the order of the queue.
            constants: of a shard.
            cluster: where.
            seed: of the losses.
        """
        self._constants, self._cluster = constants, cluster
        self._rng = np.random.default_rng(seed)
        self._num_left = len(frames)
        self._state = _State(deque(frames))
        self._finishers = [0.0] * cluster.finish_cores
        self._idle: set[int] = set()
        decode_s = constants.decode_cpu_s / cluster.decode_cores_per_predictor
        self._frame_s, self._is_decoding = max(constants.frame_s, decode_s), decode_s > constants.frame_s

    def run(self) -> Outcome:
        """Let everything happen until every shard is committed."""
        state, cluster = self._state, self._cluster
        for predictor in range(cluster.num_predictors):
            state.plan(self._constants.start_s, "free", predictor)
        for node in range(cluster.nodes if cluster.losses_per_node_h > 0.0 else 0):
            state.plan(self._until_loss_s(), "loss", node)
        act = {"free": self._take, "done": self._finish, "loss": self._lose}
        while state.events and self._num_left:
            time_s, number, kind, who = heapq.heappop(state.events)
            if kind == "done" and state.running.get(who, (0, 0.0, 0.0))[0] != number:
                continue  # it was lost meanwhile
            act[kind](time_s, who)
        return self._outcome()

    def _until_loss_s(self) -> float:
        return float(self._rng.exponential(HOUR_S / self._cluster.losses_per_node_h))

    def _take(self, time_s: float, predictor: int) -> None:
        """Let the driver hand out the next shard."""
        state = self._state
        if predictor in state.running:
            return
        if not state.queue:
            self._idle.add(predictor)
            return
        frames = state.queue.popleft()
        begin_s = max(time_s, state.driver_free_s) + self._constants.driver_s
        state.driver_free_s, state.driver_busy_s = begin_s, state.driver_busy_s + self._constants.driver_s
        end_s = begin_s + self._constants.shard_s + frames * self._frame_s
        state.plan(end_s, "done", predictor)
        state.running[predictor] = (state.num_events, begin_s, frames)

    def _finish(self, time_s: float, predictor: int) -> None:
        """Write, measure, judge and commit a shard; its predictor goes on."""
        state = self._state
        _, begin_s, frames = state.running.pop(predictor)
        state.busy_s += time_s - begin_s
        requests_s = REQUESTS_A_SHARD / self._cluster.store_requests_per_s
        state.store_free_s = max(time_s, state.store_free_s) + requests_s
        state.store_busy_s += requests_s
        work_s = self._constants.finish_s + frames * self._constants.finish_frame_s
        free_s = heapq.heappop(self._finishers)
        end_s = max(state.store_free_s, free_s) + work_s
        heapq.heappush(self._finishers, end_s)
        state.finish_busy_s += work_s
        state.end_s = max(state.end_s, end_s)
        self._num_left -= 1
        state.plan(time_s, "free", predictor)

    def _lose(self, time_s: float, node: int) -> None:
        """Lose a node: its shards go back to the front of the queue, and its predictors are away."""
        state, cluster = self._state, self._cluster
        state.num_losses += 1
        back_s = time_s + cluster.away_s + self._constants.start_s
        first = node * cluster.predictors_per_node
        for predictor in range(first, first + cluster.predictors_per_node):
            if predictor in state.running:
                _, begin_s, frames = state.running.pop(predictor)
                state.lost_s += max(0.0, time_s - begin_s)
                state.queue.appendleft(frames)
            self._idle.discard(predictor)
            state.plan(back_s, "free", predictor)
        for predictor in sorted(self._idle)[: len(state.queue)]:
            self._idle.discard(predictor)
            state.plan(time_s, "free", predictor)
        state.plan(back_s + self._until_loss_s(), "loss", node)

    def _outcome(self) -> Outcome:
        state, cluster = self._state, self._cluster
        held_s = cluster.num_predictors * state.end_s
        loads = {
            "decoders" if self._is_decoding else "model": (state.busy_s + state.lost_s) / cluster.num_predictors,
            "driver": state.driver_busy_s,
            "store": state.store_busy_s,
            "finishing": state.finish_busy_s / cluster.finish_cores,
        }
        return Outcome(
            time_s=state.end_s,
            busy_s=state.busy_s,
            lost_s=state.lost_s,
            num_losses=state.num_losses,
            idle_share=1.0 - (state.busy_s + state.lost_s) / held_s,
            waits_for=max(loads, key=lambda name: loads[name]),
        )


def simulate(frames: Sequence[float], constants: Constants, cluster: SimulatedCluster, *, seed: int = 0) -> Outcome:
    """Return how a labelling of these shards ends on a cluster; the same for the same seed."""
    return Model(frames, constants, cluster, seed=seed).run()
