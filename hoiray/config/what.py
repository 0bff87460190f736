"""The *what* half of a configuration: everything that decides the results of a run.

All of it is hashed into the ids of plans, predictions and labels, except ``name`` and ``output_uri``: a label stays
the same label wherever it is written and whatever its run is called. Inputs are hashed by their URI here; the digest
of what a URI points at (size and ETag of videos, digest of weights) joins when a run is planned.

"The paper" is Liu et al., *Semi-Supervised 3D Hand-Object Poses Estimation with Interactions in Time*, CVPR 2021;
"the released code" is its authors' repository, stevenlsw/Semi-Hand-Object.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, Tag, model_validator

from hoiray.config.base import (
    HASHED_IF_SET,
    MAX_COUNT,
    NOT_HASHED,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Uri,
    WhatConfig,
    cross_field_error,
)
from hoiray.config.network import NETWORK_PRESETS, NetworkConfig
from hoiray.config.self_training import SelfTraining

OptionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Videos(WhatConfig):
    """The videos, and where the hands are in them."""

    uri: Uri = Field(description="Folder, glob or list file (.txt, one URI a line) of the videos; local or s3://.")
    boxes_uri: Uri | None = Field(default=None, description="Hand and object boxes; null when box_format is none.")
    box_format: Literal["none", "something_else", "coco", "parquet"] = Field(
        default="none",
        description="Format of the boxes. none: the predictor finds the hands by itself; parquet: hoiray's own table.",
    )
    sample_rate_hz: Positive | None = Field(
        default=None,
        le=240.0,
        description="Frames a second to label; null: every frame. Something-Else's boxes number frames at 12.",
    )
    hand_side: Literal["boxes", "right", "left", "both"] = Field(
        default="both",
        description="Side of the hands. boxes: as the boxes say, or who found them; both: predict both, keep the more"
        " consistent one.",
    )
    persons: Literal["one", "any"] = Field(
        default="one",
        description="Whose hands a frame shows, where sides are guessed. one: two hands of a frame are a left and a"
        " right one, unless their own frames tell clearly otherwise; any: each hand is decided by itself.",
    )

    @model_validator(mode="after")
    def _boxes_fit_their_format(self) -> Self:
        if self.box_format == "none" and self.boxes_uri is not None:
            raise cross_field_error("box_format", "the format of boxes_uri (something_else, coco, parquet)", "none")
        if self.box_format != "none" and self.boxes_uri is None:
            raise cross_field_error("boxes_uri", f"the place of the {self.box_format} boxes", "null")
        if self.hand_side == "boxes" and self.box_format == "something_else":
            found = f"'boxes', but box_format {self.box_format} tells no side"
            raise cross_field_error("hand_side", "right, left or both", found)
        return self


class Sharding(WhatConfig):
    """How the videos are packed into shards, the unit of work, of commit and of resume.

    Hashed because a resumed run subtracts committed shards from the plan: another packing is another plan.
    """

    target_frames: Count = Field(
        default=4096,
        description="Frames a shard aims at; about a hundred Something-Something clips (43 boxed frames each).",
    )
    max_video_frames: Count = Field(
        default=16384,
        description="A video of more frames is cut into segments of target_frames, judged when all are done.",
    )

    @model_validator(mode="after")
    def _a_cut_video_fills_a_shard(self) -> Self:
        if self.max_video_frames < self.target_frames:
            expected = f"at least target_frames = {self.target_frames}"
            raise cross_field_error("max_video_frames", expected, str(self.max_video_frames))
        return self


class Hand(WhatConfig):
    """The hand model, and the conventions under which its parameters mean a shape."""

    flat_hand_mean: bool = Field(
        description="Is the predictor's zero pose the flat hand? true: HO-3D and the paper; false: FreiHAND, DexYCB. No"
        " default: the wrong one bends every finger by the mean pose and raises no error."
    )
    model_uri: Uri | None = Field(
        default=None, description="Your MANO_RIGHT.pkl or .npz; null: hoiray's open hand (CC0)."
    )
    tip_set: Literal["ho3d", "ho3d_viewer", "manopth", "freihand", "kypt", "smplx"] = Field(
        default="ho3d", description="Which vertices are the finger tips. The published sets differ by up to 2 cm."
    )


class Teacher(WhatConfig):
    """The predictor that labels the videos.

    An option of 1 and one of 1.0 (or true, or "1") are different options, and so are their fingerprints: what a
    predictor makes of a type is not known here. Everywhere else the field's own type decides, and 1 equals 1.0.
    """

    predictor: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", description="Name of the predictor: hoiray's own or a plug-in's."
    )
    checkpoint_uri: Uri | None = Field(
        default=None, description="Weights of the predictor; null: the predictor needs none."
    )
    options: Mapping[OptionName, JsonValue] = Field(
        default_factory=dict, description="Options of the predictor, passed on as written and checked by it."
    )


HAND_CLASSES: Final[Mapping[str, float]] = MappingProxyType({"hand": 0.5, "left_hand": 0.0, "right_hand": 1.0})
"""Names of a detector's classes that are hands, and how sure it is then that one is a right one."""


class Detector(WhatConfig):
    """A detection network that finds the hands of videos without boxes, for a predictor that does not.

    Boxes it finds made the crops and nobody else gave them: `box_iou` is circular there, as `box_source` says.
    """

    kind: Literal["torchvision"] = Field(default="torchvision", description="Whose networks: torchvision's.")
    architecture: Literal[
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "retinanet_resnet50_fpn",
        "retinanet_resnet50_fpn_v2",
        "fcos_resnet50_fpn",
        "ssd300_vgg16",
        "ssdlite320_mobilenet_v3_large",
    ] = Field(default="fasterrcnn_resnet50_fpn", description="Builder in torchvision.models.detection.")
    checkpoint_uri: Uri = Field(
        description="Its state dict with your weights (.pth, .pt, .safetensors), local or s3://; none is downloaded."
    )
    classes: list[str] = Field(
        default=["background", "hand"],
        description="What its labels 0, 1, ... mean: hand, left_hand, right_hand are hands, all others are left out.",
    )
    min_score: Fraction = Field(default=0.5, description="Below this score there is no hand.")

    @model_validator(mode="after")
    def _some_class_is_a_hand(self) -> Self:
        if not HAND_CLASSES.keys() & set(self.classes[1:]):
            expected = f"one of {', '.join(HAND_CLASSES)} after the background"
            raise cross_field_error("classes", expected, ", ".join(self.classes) or "none")
        return self

    @property
    def tells_sides(self) -> bool:
        """Whether all its hands are left or right ones."""
        return "hand" not in self.classes[1:]


class Augmentation(WhatConfig):
    """Random changes of the crop. The defaults are the ranges of the paper's section 6.1."""

    max_scale_change: float = Field(
        default=0.2, ge=0.0, lt=1.0, description="The crop's side is multiplied by 1 - x to 1 + x (fraction)."
    )
    scale_distribution: Literal["uniform", "normal"] = Field(
        default="uniform",
        description="Of the side's change, within max_scale_change. normal: that is its standard deviation too, and"
        " what exceeds it is clipped, as the released code has it (a third of the crops are at a limit).",
    )
    max_translation_box_sides: Fraction = Field(
        default=0.1, description="The crop's centre moves by at most this in x and in y, in sides of the crop."
    )
    max_rotation_deg: float = Field(
        default=180.0,
        ge=0.0,
        le=180.0,
        description="In-plane rotation about the crop's centre, to either side, in degrees.",
    )
    max_colour_change: Fraction = Field(
        default=0.1, description="Brightness, contrast and saturation are multiplied by 1 - x to 1 + x (fraction)."
    )
    max_hue_change: float = Field(
        default=0.0,
        ge=0.0,
        le=0.5,
        description="Hue moves by at most this to either side, in turns of the colour circle.",
    )
    max_blur_px: float = Field(default=0.0, ge=0.0, le=16.0, description="Gaussian blur of at most this radius, in px.")
    interpolation: Literal["linear", "nearest"] = Field(
        default="linear", description="Of the pixels when a crop is cut. nearest: the released code's."
    )

    @classmethod
    def released(cls, **changes: Any) -> Self:  # noqa: ANN401 - any of the fields above
        """Return the ranges of the released code, which are not the paper's; `changes` replace single ones."""
        values: dict[str, Any] = {
            "scale_distribution": "normal",
            "max_colour_change": 0.5,
            "max_hue_change": 0.15,
            "max_blur_px": 0.5,
            "interpolation": "nearest",
        }
        return cls(**(values | changes))


class Cascade(WhatConfig):
    """Where the ensemble ends early: views are spent on hands for which they may change the verdict. Not in the paper.

    Every hand is predicted once. One that is hopeless gets no more views; the others get `probe_views` in all, and
    those whose members agree get no more. The rest get all views. What a hand gets depends on the hand alone.
    """

    max_reprojection_box_sides: Positive = Field(
        default=0.8,
        description="A hand whose single view projects worse (Frobenius norm over the joints, in sides of the hand box)"
        " is refused whatever the other views say; the paper's limit and 0.15.",
    )
    min_box_iou: Fraction | None = Field(
        default=0.5,
        description="So is one whose mesh, in a single view, overlaps its box less; the paper's limit less 0.1. null:"
        " overlap says nothing, as with boxes that the predictor found.",
    )
    probe_views: int = Field(default=2, ge=2, le=63, description="Views after which it is seen whether members agree.")
    max_spread_2d_box_sides: Positive = Field(
        default=0.01, description="Members agree up to this mean spread of their 2D joints, in sides of the hand box."
    )
    max_spread_rotation_deg: Positive = Field(
        default=3.0, le=180.0, description="And up to this spread of their rotations, in degrees, where there are some."
    )


class Ensemble(Augmentation):
    """The test-time ensemble: several views of one crop, predicted, undone and averaged (paper, section 5.1).

    The paper says 8 views and no ranges; the defaults are those it trains with. View 0 is never changed, so one view
    is the plain prediction, and then no spread can be measured. There is no flip: mirroring makes the other hand.
    """

    num_views: int = Field(default=8, ge=1, le=64, description="Views of every crop, the unchanged one included.")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="Seed of the views, apart from that of calibration and training."
    )
    cascade: Cascade | None = Field(
        default=None,
        description="Ends the ensemble early where more views would change nothing; null: every hand gets all views.",
        json_schema_extra=HASHED_IF_SET,
    )

    @model_validator(mode="after")
    def _the_probe_is_a_part(self) -> Self:
        if self.cascade is not None and self.cascade.probe_views >= self.num_views:
            expected = f"fewer than num_views = {self.num_views}"
            raise cross_field_error("cascade.probe_views", expected, str(self.cascade.probe_views))
        return self


class PaperLimits(WhatConfig):
    """Limits on the measurements, at the paper's values (section 5.1) unless a field says otherwise.

    A limit of null means: measured and stored, not judged. Where the paper leaves the norm open, ``*_reading``
    selects it; the defaults are the readings under which the paper's thresholds lie 1 to 2 times above the residual
    that the released code reaches on its own training data.
    """

    preset: Literal["paper"] = Field(
        default="paper", description="paper: these numbers; calibrated: numbers from a file."
    )
    min_box_iou: Fraction | None = Field(
        default=0.6,
        description="Lowest IoU of the projected mesh's box, clipped to the image, with the given hand box.",
    )
    max_reprojection_box_sides: NonNegative | None = Field(
        default=0.65, description="Largest distance of projected 3D joints to 2D joints, in sides of the hand box."
    )
    reprojection_reading: Literal["frobenius", "mean", "max"] = Field(
        default="frobenius",
        description="Norm over the 21 joints. frobenius: root of the sum of squares; 0.65 is 0.14 a joint.",
    )
    min_bone_length_ratio: NonNegative | None = Field(
        default=0.1, description="Lowest length of any of the 20 bones, as a ratio to wrist - middle knuckle."
    )
    max_joint_angle_deg: float | None = Field(
        default=90.0,
        gt=0.0,
        le=180.0,
        description="Every bend of a joint must lie in [0, this), in degrees; straight passes.",
    )
    max_motion_2d_box_sides: NonNegative | None = Field(
        default=0.5, description="Largest motion of the 2D joints since the frame before, in sides of its hand box."
    )
    motion_2d_reading: Literal["frobenius", "mean", "max"] = Field(
        default="frobenius",
        description="Norm over the 21 joints; 0.5 in frobenius is 0.11 box sides a joint and frame.",
    )
    max_motion_pose: NonNegative | None = Field(
        default=0.01,
        description="Largest change of the pose since the frame before, in the unit of motion_pose_reading.",
    )
    motion_pose_reading: Literal[
        "geodesic_mean_square", "matrix_mean_square", "axis_angle_mean_square", "axis_angle_l2"
    ] = Field(
        default="geodesic_mean_square",
        description="geodesic_mean_square: mean squared angle of 16 joints / 3, in rad^2 (0.01: 10 degrees a joint);"
        " matrix_mean_square: over 144 matrix entries, in 1; axis_angle_*: over 48 numbers, wraps at pi, in rad^2"
        " or (l2) rad. Read as l2, 0.01 is 0.14 degrees and passes little but repeated frames.",
    )
    max_predecessor_gap_frames: Count = Field(
        default=1,
        description="Frame numbers a pair may be apart. 1: consecutive frames only; motion limits are per frame.",
    )
    predecessor_rule: Literal["backward", "backward_or_forward"] = Field(
        default="backward",
        description="backward: a track's first frame is refused, as in the paper's text; backward_or_forward: a frame"
        " without predecessor may pass on a smooth pair with its successor.",
    )
    predecessor_must_pass_spatial: bool = Field(
        default=True,
        description="Does the pair's other frame have to pass the spatial limits, lest two wrong ones agree?",
    )
    max_shape_deviation_sigma: NonNegative | None = Field(
        default=2.0,
        description="Largest distance of betas to the track's mean, in the track's own standard deviation (population,"
        " one number for all 10 betas). With 5 frames or fewer it cannot exceed 2.",
    )
    max_spread_2d_box_sides: NonNegative | None = Field(
        default=None,
        description="Largest spread of the members' 2D joints, in sides of the hand box. Not in the paper.",
    )
    max_spread_3d_m: NonNegative | None = Field(
        default=None,
        description="Largest spread of the members' 3D joints about the wrist, in metres. Not in the paper.",
    )
    max_spread_rotation_deg: float | None = Field(
        default=None,
        ge=0.0,
        le=180.0,
        description="Largest spread of the members' rotations, in degrees. Not in the paper.",
    )
    max_held_sample_score: Fraction | None = Field(
        default=None, description="Largest evidence that a pose is a repeated one, 0 to 1. Not in the paper."
    )

    def deviations(self) -> dict[str, object]:
        """Return the fields that are not the paper's, with their values; a report names them beside 'paper'."""
        fields = type(self).model_fields
        return {name: value for name, value in self if value != fields[name].default}


class CalibratedLimits(WhatConfig):
    """Limits that were calibrated on labelled data, read from a file."""

    preset: Literal["calibrated"] = Field(description="paper: the paper's numbers; calibrated: numbers from a file.")
    uri: Uri = Field(description="The limits file; its digest joins the judge id when a run is planned.")


def _preset_of(limits: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
    """Tell which limits are meant; ``paper`` where nothing is said."""
    if isinstance(limits, dict):
        return limits.get("preset", "paper")
    return getattr(limits, "preset", "paper")


Limits = Annotated[
    Annotated[PaperLimits, Tag("paper")] | Annotated[CalibratedLimits, Tag("calibrated")], Discriminator(_preset_of)
]


class AnnotatedSet(WhatConfig):
    """A data set with true labels."""

    format: Literal["ho3d_v2", "ho3d_v3", "freihand", "fpha", "dexycb"] = Field(description="Layout on disk.")
    uri: Uri = Field(description="Root folder of the data set; local or s3://.")
    split: str = Field(default="train", min_length=1, description="Part of it, by the data set's own name.")


class Calibration(WhatConfig):
    """How limits are found such that accepted labels keep a promise.

    The promise: with probability 1 - ``failure_probability``, at most ``max_bad_fraction`` of the accepted labels are
    worse than ``max_error_m``.
    """

    annotated: AnnotatedSet = Field(description="Labelled data that no part of the training has seen.")
    max_error_m: Positive = Field(default=0.01, description="A label is good up to this PA-MPJPE, in metres.")
    max_bad_fraction: float = Field(
        default=0.1, gt=0.0, lt=1.0, description="Largest fraction of the accepted labels that may be worse."
    )
    failure_probability: float = Field(
        default=0.05, gt=0.0, lt=1.0, description="Probability that the promise is broken."
    )
    unit: Literal["video", "subject"] = Field(
        default="video", description="What counts as one independent sample. Never a frame: neighbours are near copies."
    )


PrecisionName = Literal["float32", "auto", "bfloat16", "float16"]
InitParts = Literal["all", "all_but_reasoning", "backbone"]


class Optimiser(WhatConfig):
    """Adam with a step schedule, at the paper's values (section 6.1); everything beyond is off unless asked for."""

    method: Literal["adam", "adamw"] = Field(
        default="adam",
        description="adam: weight decay is an L2 penalty (the paper's); adamw: decay beside Adam's step.",
    )
    learning_rate: Positive = Field(default=1e-4, description="Step size of Adam before the schedule.")
    weight_decay: NonNegative = Field(
        default=5e-4, description="L2 penalty; not in the paper, but in the released code."
    )
    schedule: Literal["step", "cosine"] = Field(
        default="step",
        description="step: stairs (the paper's); cosine: from the full rate down to final_fraction of it.",
    )
    step_epochs: Count = Field(default=10, description="step: epochs between two reductions of the learning rate.")
    step_factor: float = Field(default=0.7, gt=0.0, le=1.0, description="step: factor of every reduction.")
    final_fraction: Fraction = Field(default=0.01, description="cosine: fraction of the rate at the last step.")
    warmup_steps: int = Field(
        default=0, ge=0, le=MAX_COUNT, description="Steps over which the rate rises linearly at the start; 0: none."
    )
    max_grad_norm: Positive | None = Field(
        default=None, description="Longer gradients are shortened to this norm; null: never, as in the released code."
    )
    average_decay: float | None = Field(
        default=None,
        gt=0.0,
        lt=1.0,
        description="Decay of a running average of the weights, which is then what is scored and kept; null: none.",
    )


def _network_from_preset(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
    """Fill what a mapping leaves out from the preset it names, the paper's where it names none."""
    changes = {"preset": value} if isinstance(value, str) else value
    if not isinstance(changes, dict):
        return value
    name = changes.get("preset", "paper")
    if name not in NETWORK_PRESETS:
        expected, found = f"one of {', '.join(NETWORK_PRESETS)}", repr(name)
        raise cross_field_error("preset", expected, found)
    return _merged(NETWORK_PRESETS[name].model_dump(), changes)


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    deeper = {
        key: _merged(base[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(base.get(key), dict)
    }
    return {**base, **changes, **deeper}


class Training(WhatConfig):
    """A network, and what it is trained on: the union of annotated sets and accepted labels. Defaults: the paper."""

    annotated: AnnotatedSet = Field(description="The annotated part of the union; it alone supervises the object.")
    also_annotated: list[AnnotatedSet] = Field(default=[], description="Further annotated sets.")
    labels_uri: Uri | None = Field(
        default=None,
        description="Labels to train on too: a run's folder, one of its labels/ID, or a snapshot of it; null: the"
        " labels of this run, or none where there is no such run.",
    )
    pseudo_label_rows: Literal["accepted", "all"] = Field(
        default="accepted",
        description="accepted: labels that passed every limit (the paper's); all: every hand the teacher answered for,"
        " as data distillation does.",
    )
    pseudo_label_list_uri: Uri | None = Field(
        default=None,
        description="Parquet file of video_id, frame_index, hand_index: train on these of the rows only; null: on all.",
    )
    max_pseudo_labels: Count | None = Field(
        default=None,
        description="Labels at most, drawn by the seed; a smaller number draws a part of the same ones. null: all.",
    )
    pseudo_label_fraction: Fraction | None = Field(
        default=None,
        description="Fraction of every batch drawn from the labels, annotated sets sharing the rest by their sizes;"
        " null: uniform over the union, as the paper's text reads.",
    )
    pseudo_label_weight: Positive | Literal["confidence"] = Field(
        default=1.0,
        description="Factor on the losses of a label; confidence: its own calibrated one, 0 to 1.",
    )
    validation_fraction: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="Fraction of the annotated samples held out to be scored after every epoch, by whole subjects where"
        " a set tells them, else by whole recordings; 0: none.",
    )
    network: Annotated[NetworkConfig, BeforeValidator(_network_from_preset)] = Field(
        default=NETWORK_PRESETS["paper"],
        description="The network: a preset's name (paper, released, small, nano, landmark), or a mapping of changes to"
        " the one it names as preset.",
    )
    init_uri: Uri | None = Field(
        default=None,
        description="Checkpoint of the same network whose weights are started from; null: random ones (the paper trains"
        " the student anew).",
    )
    init_parts: InitParts = Field(
        default="all",
        description="Which weights are taken from init_uri. backbone: the trunk and its pyramid, as the paper starts"
        " from ImageNet's; all_but_reasoning: everything except the contextual reasoning. What is not taken may be"
        " another one.",
    )
    epochs: Count = Field(default=60, description="Passes over the union, or rounds of steps_per_epoch.")
    steps_per_epoch: Count | None = Field(
        default=None,
        description="Optimiser steps of an epoch, whatever the size of the union, so that trainings on different data"
        " can be compared; null: as many as the union fills.",
    )
    batch_size: Count = Field(default=24, description="Samples of one optimiser step over all workers together.")
    precision: PrecisionName = Field(
        default="float32",
        description="Of the forward pass. auto: bfloat16 where the device computes in it (GPUs since 2020, CPUs with"
        " AMX), else float16 on a GPU and float32 on a CPU.",
    )
    optimiser: Optimiser = Field(default=Optimiser(), description="Step sizes and schedule.")
    augmentation: Augmentation = Field(default=Augmentation(), description="Random changes of the training crops.")
    max_dead_fraction: Fraction = Field(
        default=0.05,
        description="Fraction of a set's images, or of the frames with labels, that may be unusable (missing, damaged,"
        " changed since they were labelled) before the training is refused.",
    )
    integer_crop_centers: bool = Field(
        default=False, description="Round centres of crops and hand boxes towards zero, as the released code does."
    )


class TrainRun(WhatConfig):
    """A training by itself: what `hoiray train` is asked for. Its keys are those of a run that trains."""

    name: str = Field(
        default="train",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Label of the training in logs and reports. Not hashed.",
        json_schema_extra=NOT_HASHED,
    )
    output_uri: Uri = Field(
        description="Where states, history and the model go; local or s3://. Not hashed.", json_schema_extra=NOT_HASHED
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of weights, shuffling and augmentation.")
    hand: Hand = Field(
        default=Hand(flat_hand_mean=True),
        description="The hand model the labels were made with; the network's own zero pose is the flat hand.",
    )
    training: Training = Field(description="The network and its data.")


class RunConfig(WhatConfig):
    """A run: what is labelled, by whom, judged how, and what is trained on it."""

    name: str = Field(
        default="run",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
        description="Label of the run in logs and reports. Not hashed: renaming a run changes no row.",
        json_schema_extra=NOT_HASHED,
    )
    output_uri: Uri = Field(
        description="Where tables and markers go; local or s3://. Not hashed: a copied run keeps its ids.",
        json_schema_extra=NOT_HASHED,
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="Seed of calibration and training; the ensemble has its own (ensemble.seed).",
    )
    videos: Videos = Field(description="What is labelled.")
    sharding: Sharding = Field(default=Sharding(), description="How the videos are packed into shards.")
    hand: Hand = Field(description="The hand model and its conventions.")
    teacher: Teacher = Field(description="The predictor that labels.")
    detector: Detector | None = Field(
        default=None,
        description="Who finds the hands where no boxes are given; null: the predictor does.",
        json_schema_extra=HASHED_IF_SET,
    )
    ensemble: Ensemble = Field(default=Ensemble(), description="Views of a crop whose predictions are averaged.")
    limits: Limits = Field(default=PaperLimits(), description="What a prediction must fulfil to become a label.")
    calibration: Calibration | None = Field(default=None, description="How limits are calibrated; null: they are not.")
    training: Training | None = Field(default=None, description="The student; null: labels only.")
    self_training: SelfTraining | None = Field(
        default=None, description="Rounds of hoiray self-train; null: there are none."
    )

    @model_validator(mode="after")
    def _a_detector_is_needed_and_tells_what_is_asked(self) -> Self:
        if self.detector is None:
            return self
        if self.videos.box_format != "none":
            raise cross_field_error("detector", "null where boxes are given", "a detector")
        if self.videos.hand_side == "boxes" and not self.detector.tells_sides:
            expected = "videos.hand_side right, left or both, as the detector's class hand tells no side"
            raise cross_field_error("detector", expected, "videos.hand_side boxes")
        return self
