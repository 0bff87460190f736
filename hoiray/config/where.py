"""The *where* half of a configuration: machines, pools and retries. Never hashed, must not change a result."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from hoiray.config.base import (
    MAX_COUNT,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Uri,
    WhereConfig,
    cross_field_error,
)

OBJECT_STORE_FRACTION: Final = 0.3
"""Ray's default share of a node's memory for the object store."""

GroupName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$")]
"""A DNS label, as Kubernetes wants it for a worker group; room is left for the cluster's own prefix."""

LabelKey = Annotated[
    str, Field(pattern=r"^([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?)?$")]
"""Labels of machines as Kubernetes spells them."""

MachineType = Annotated[str, Field(pattern=r"^[A-Za-z0-9][-._A-Za-z0-9]{0,62}$")]
"""A provider's name of a kind of machine."""


class Pool(WhereConfig):
    """A pool of equal actors that Ray Data may grow and shrink between two bounds."""

    min: Count = Field(default=1, description="Actors that always run. Ray allows no pool of zero.")
    max: Count = Field(default=2, description="Actors at most. A pool of one hangs the run when its actor dies.")
    initial: Count | None = Field(default=None, description="Actors at the start, from min to max; null: min.")
    num_cpus: NonNegative = Field(default=1.0, description="CPUs that one actor reserves.")
    num_gpus: NonNegative = Field(default=0.0, description="GPUs that one actor reserves; fractions share a GPU.")
    memory_gib: Positive | None = Field(default=None, description="Memory that one actor reserves, in GiB; null: none.")
    batch_size: Count = Field(
        default=1, description="Items of one call: videos (decode), frames (predict), else shards."
    )
    max_tasks_in_flight: Count = Field(default=2, description="Calls queued at one actor, the running ones included.")
    max_concurrent_calls: Count = Field(default=1, description="Calls that one actor runs at the same time.")

    @property
    def start(self) -> int:
        """Actors at the start of a run."""
        return self.min if self.initial is None else self.initial

    @model_validator(mode="after")
    def _min_initial_max_are_in_order(self) -> Self:
        if self.min > self.max:
            raise cross_field_error("max", f"at least min = {self.min}", str(self.max))
        if self.initial is not None and not self.min <= self.initial <= self.max:
            raise cross_field_error("initial", f"{self.min} (min) to {self.max} (max)", str(self.initial))
        return self


class DecodePool(Pool):
    """Actors that turn videos into frames; each decodes in a child process that can be killed."""

    where: Literal["pool", "predictor"] = Field(
        default="pool",
        description="pool: in actors of their own; predictor: inside the predictor's actor, next to the device.",
    )
    max_video_s: Positive = Field(default=600.0, description="Wall-clock budget of one video in the child, in seconds.")
    max_video_gib: Positive = Field(default=4.0, description="Memory budget of the child, in GiB.")


class PredictPool(Pool):
    """Actors that hold the teacher's weights."""

    batch_size: Count = Field(
        default=64, description="Frames of one forward pass, before the ensemble multiplies them."
    )


class Pools(WhereConfig):
    """One pool for each verb of the label plan."""

    decode: DecodePool = Field(default=DecodePool(), description="Videos to frames.")
    predict: PredictPool = Field(default=PredictPool(), description="Frames to predictions, fused over the ensemble.")
    measure: Pool = Field(default=Pool(), description="Spatial measurements of every frame.")
    judge: Pool = Field(default=Pool(), description="Temporal and shape measurements of every track, and the verdict.")


class Node(WhereConfig):
    """One machine, or one pod."""

    num_cpus: NonNegative = Field(description="CPUs that Ray may use; 0 keeps actors off the node.")
    num_gpus: NonNegative = Field(default=0.0, description="GPUs that Ray may use.")
    memory_gib: Positive = Field(description="Memory of the node, its object store included, in GiB.")
    object_store_gib: Positive | None = Field(
        default=None,
        description="Object store (shared memory) of the node, in GiB; null: Ray takes 30 % of the memory.",
    )
    machine: MachineType | None = Field(
        default=None,
        description="The provider's name of such a machine (g6.4xlarge); only Ray's cluster launcher asks for it.",
    )
    node_selector: Mapping[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the Kubernetes machines that may hold the pod; only KubeRay manifests have them.",
    )

    @property
    def store_gib(self) -> float:
        """Object store of the node, in GiB."""
        return OBJECT_STORE_FRACTION * self.memory_gib if self.object_store_gib is None else self.object_store_gib

    @property
    def actors_gib(self) -> float:
        """Memory that actors may reserve, in GiB: what the object store leaves."""
        return max(self.memory_gib - self.store_gib, 0.0)


class WorkerGroup(Node):
    """A group of equal nodes that the cluster's autoscaler may grow and shrink."""

    min: int = Field(default=0, ge=0, le=MAX_COUNT, description="Nodes that always run.")
    max: Count = Field(default=1, description="Nodes at most.")
    spot: bool = Field(default=False, description="May the provider take nodes back at any time?")

    @model_validator(mode="after")
    def _min_is_at_most_max(self) -> Self:
        if self.min > self.max:
            raise cross_field_error("max", f"at least min = {self.min}", str(self.max))
        return self


class Retries(WhereConfig):
    """When a video, and when a run, is given up."""

    max_attempts_per_video: Count = Field(
        default=3, description="Attempts on a video whose decoding kills the process."
    )
    max_dead_fraction: Fraction = Field(
        default=0.05, description="Fraction of dead videos that stops the run: it fails wholesale, not by video."
    )
    no_progress_s: Positive = Field(
        default=1800.0, description="The run ends when no row came out for so long, in seconds."
    )


class TrainWorkers(WhereConfig):
    """The workers of Ray Train. They run after the labelling and share no time with its pools."""

    num_workers: Count = Field(default=1, description="Processes of the data-parallel training.")
    num_cpus: NonNegative = Field(default=1.0, description="CPUs that one worker reserves.")
    num_gpus: NonNegative = Field(default=0.0, description="GPUs that one worker reserves.")
    memory_gib: Positive | None = Field(
        default=None, description="Memory that one worker reserves, in GiB; null: none."
    )
    max_failures: int = Field(
        default=3, ge=0, le=MAX_COUNT, description="Restarts from the last checkpoint before the training fails."
    )
    loader_threads: int = Field(
        default=1, ge=0, le=256, description="Threads of one worker that prepare batches ahead; 0: none, in turns."
    )
    cache_folder: Uri | None = Field(
        default=None,
        description="Folder of every machine for crops cut once; null: hoiray's part of the user's cache folder.",
    )
    max_cache_gib: Positive | None = Field(
        default=None, description="Disk that the crops of one set of labels may take, in GiB; null: what is free."
    )
    cut_labels: Literal["chosen", "accepted", "all"] = Field(
        default="chosen",
        description="Of which labels crops are cut. chosen: of those trained on; accepted, all: of these, once, for"
        " trainings on different parts of them.",
    )
    report_every_steps: Count = Field(default=20, description="Steps between two rows of the history.")
    checkpoint_every_steps: Count = Field(
        default=200, description="Steps between two checkpoints; every epoch ends with one too."
    )
    validate_every_epochs: Count = Field(
        default=1, description="Epochs between two scores of the validation set; the last epoch always has them."
    )


class ClusterConfig(WhereConfig):
    """The cluster and how the work is spread over it."""

    head: Node = Field(description="The head node; on a single machine the only one.")
    workers: Mapping[GroupName, WorkerGroup] = Field(
        default_factory=dict, description="Groups of worker nodes, by name."
    )
    pools: Pools = Field(default=Pools(), description="Actor pools of the label plan.")
    task_cpus: Positive = Field(
        default=1.0,
        description="CPUs of the largest plain task, the read of the shard table; some must stay free for it.",
    )
    retries: Retries = Field(default=Retries(), description="When a video, and when a run, is given up.")
    train: TrainWorkers = Field(default=TrainWorkers(), description="Workers of Ray Train.")
