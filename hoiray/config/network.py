"""The network: every choice the paper leaves open or its released code makes differently, and the presets.

"The paper" is Liu et al., *Semi-Supervised 3D Hand-Object Poses Estimation with Interactions in Time*, CVPR 2021;
"the released code" is its authors' repository, stevenlsw/Semi-Hand-Object. The two are not the same network: another
rotation, another feature vector, another object head, other 2D supervision. Presets:

========== ==========================================================================================================
`paper`    the text: heatmaps, axis-angle, a 2048-vector, separate object streams, every cell supervised
`released` the code: soft-argmax coordinates, 6D rotations, a 1024-vector, one object head, masked cells
`small`    EfficientNet-Lite0 at 128 px with the heads of `nano`: a few hours of CPU, or minutes of a small GPU
`nano`     1 M parameters at 128 px: learns on two CPU cores within minutes
`landmark` `small` on the trunk of a published network that has seen many real hands, and has to be fetched
========== ==========================================================================================================

The defaults of the fields are those of `paper`. Where the text leaves a number open, the released code's is taken, for
the published results came from it.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hoiray.config.base import (
    NOT_HASHED,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Uri,
    WhatConfig,
    cross_field_error,
)
from hoiray.config.loss_weights import LossWeights
from hoiray.errors import ConfigError, describe

NUM_PYRAMID_LEVELS: Final = 4
"""Maps at strides 4, 8, 16 and 32."""


def _tuple_of_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], BeforeValidator(_tuple_of_list), Field(min_length=1, max_length=8)
]
Channels = Annotated[int, Field(ge=1, le=4096)]


class BackboneConfig(WhatConfig):
    """From the image to one map of features at a quarter of its size."""

    kind: Literal["resnet50", "resnet18", "efficientnet_lite0", "convnet", "landmark"] = Field(
        default="resnet50",
        description="resnet50: the paper's; convnet: hoiray's own, of any width; landmark: the trunk of the published"
        " hand landmark network, with its weights (`hoiray assets fetch landmarks`).",
    )
    widths: Widths = Field(
        default=(32, 64, 96, 128),
        description="convnet: channels at strides 4, 8, 16 and 32; the first layer has half of the first.",
    )
    blocks: Widths = Field(default=(1, 1, 1, 1), description="convnet: residual blocks at each of the four strides.")
    activation: Literal["relu", "leaky_relu"] = Field(
        default="relu",
        description="relu: ResNet as published; leaky_relu: slope 0.01, as in the released code. ImageNet's weights"
        " were trained with relu.",
    )
    image_normalisation: Literal["none", "imagenet"] = Field(
        default="imagenet",
        description="none: RGB in [0, 1], as the released code has it though its backbone comes from ImageNet;"
        " imagenet: mean and deviation that pre-trained weights expect. The paper is silent.",
    )
    pyramid_channels: Channels = Field(default=256, description="Channels of the feature map (paper, Table 6: 256).")
    pyramid_smoothing: bool = Field(
        default=True, description="A 3x3 convolution after the pyramid's sum, as published; false saves half its time."
    )
    pyramid_upsampling: Literal["nearest", "bilinear"] = Field(
        default="nearest", description="From level to level. nearest: FPN's paper; bilinear: the released code."
    )
    weights_uri: Uri | None = Field(
        default=None,
        description="Pre-trained weights of the trunk, a local file; null: random, or, for landmark, the fetched file"
        " in the user's cache. Nothing is downloaded.",
    )
    allows_partial_weights: bool = Field(
        default=False, description="Take what fits of the weights file; false: a missing or foreign layer is an error."
    )

    @model_validator(mode="after")
    def _four_levels(self) -> Self:
        for name in ("widths", "blocks"):
            if len(getattr(self, name)) != NUM_PYRAMID_LEVELS:
                raise cross_field_error(
                    name, "one number for each of the strides 4, 8, 16, 32", str(getattr(self, name))
                )
        if self.kind == "landmark" and self.image_normalisation != "none":
            expected = "none for landmark, whose network was trained on RGB in [0, 1]"
            raise cross_field_error("image_normalisation", expected, self.image_normalisation)
        return self


class RegionConfig(WhatConfig):
    """How the features of hand, object and their intersection are cut out."""

    cells: int = Field(
        default=32, ge=4, le=64, multiple_of=2, description="Side of a region's grid (paper, Table 6: 32)."
    )
    hand_box_factor: float = Field(
        default=1.1, ge=1.0, le=3.0, description="Factor on the tight hand box. 1.1: released code; paper: boxes given."
    )
    object_box_factor: float = Field(
        default=1.0, ge=1.0, le=3.0, description="Factor on the tight object box. 1.0: released code."
    )
    sampling: Literal["roi_align", "cell_centers"] = Field(
        default="roi_align",
        description="roi_align: the mean of samples spread over each cell; cell_centers: one bilinear sample at its"
        " centre, the same as roi_align with one sample but 4 times as fast on a CPU. Fine where a region's cell is no"
        " larger than one of the map.",
    )
    samples_per_cell: int = Field(
        default=0, ge=0, le=8, description="roi_align: samples along a cell's side; 0: as many as map cells under it."
    )
    aligned: bool = Field(
        default=True,
        description="true: a box's corner is put where the map has it, to the fraction of a pixel; false: box times"
        " scale, and no region smaller than one map cell, as torchvision's default and so the released code.",
    )


class ReasoningConfig(WhatConfig):
    """Contextual reasoning: a query region attends to the intersection of hand and object (paper, section 4.1)."""

    queries: Literal["none", "hand", "object", "hand_object"] = Field(
        default="object",
        description="Who attends. object: o+, the paper's choice (Table 2; Eq. 1 prints the hand, the text and Eq. 3"
        " the object); hand: h+; hand_object: both, each with its own weights; none: nobody.",
    )
    layers: int = Field(default=1, ge=1, le=8, description="Transformer layers. 1: released code; paper: not stated.")
    heads: int = Field(default=1, ge=1, le=16, description="Attention heads. 1: released code and Eq. 2.")
    mlp_ratio: Positive = Field(default=4.0, le=8.0, description="Hidden width of the MLP over the features' width.")
    norm: Literal["mlp", "attention_and_mlp"] = Field(
        default="mlp",
        description="Where layer norm comes before. mlp: Eq. 4 and the released code; attention_and_mlp: the usual"
        " pre-norm transformer.",
    )
    empty_intersection: Literal["skip", "zero_features"] = Field(
        default="skip",
        description="Hand and object boxes that do not meet. skip: nothing is attended to, nothing added;"
        " zero_features: the released code, where keys and values are then the biases: a learned constant is added.",
    )


class HandDecoderConfig(WhatConfig):
    """From the hand's features to joints, rotations and shape (paper, section 4.2)."""

    hourglass_channels: Channels = Field(default=256, description="Width of the hourglass.")
    hourglass_depth: int = Field(default=4, ge=1, le=6, description="Halvings inside the hourglass. 4: released code.")
    hourglass_blocks: int = Field(default=1, ge=1, le=4, description="Residual blocks at each place. 1: released code.")
    activation: Literal["relu", "leaky_relu"] = Field(
        default="relu", description="leaky_relu: slope 0.01, as in the released code."
    )
    temperature: Literal["fixed", "learned"] = Field(
        default="fixed",
        description="Of the softmax that makes a heatmap. learned: one number a joint, from 1 on (released code);"
        " fixed: 1. With heatmaps supervised, the logits learn their own scale.",
    )
    encoder_widths: Widths = Field(
        default=(256, 256, 512, 512),
        description="Channels after each residual stage, each of which ends in a halving. (256, 256, 512, 512) on 32"
        " cells gives the text's 2x2x512 = 2048; four times 256 the released code's 1024.",
    )
    encoder_blocks: int = Field(
        default=1, ge=1, le=4, description="Residual blocks a stage. 1: 'four residual blocks' of the text; code: 2."
    )
    hidden_widths: Widths = Field(
        default=(1024, 512),
        description="Fully connected layers before the last one; with it they are the text's three.",
    )
    rotation: Literal["axis_angle", "six_d", "pca"] = Field(
        default="axis_angle",
        description="Form of the 16 rotations. axis_angle: 48 numbers, the text; six_d: 96 numbers, the released code,"
        " without the jump at half a turn; pca: wrist in 6D, fingers in the hand model's own pose space.",
    )
    num_pca: int = Field(default=30, ge=1, le=45, description="pca: components of the finger pose.")
    initial_pose: Literal["none", "flat", "mean"] = Field(
        default="none",
        description="Pose of the untrained network. none: whatever the random layer says (paper, code); flat, mean:"
        " that hand exactly, by a constant added to the last layer, whose weights begin near zero.",
    )
    joint_features: int = Field(
        default=0,
        ge=0,
        le=256,
        description="Features of each joint, gathered under its heatmap, that the regressor sees beside its 2D"
        " coordinates; 0: it sees the encoder's vector alone (paper, code).",
    )
    predicts_depth: bool = Field(
        default=False,
        description="Predict each joint's depth from the features under its heatmap, and show it to the regressor."
        " Local and easy to learn, unlike a free orientation.",
    )
    palm_frame: bool = Field(
        default=False,
        description="Give the regressor the joints turned into the palm's own frame, which 2D joints and depths define,"
        " and let it predict the wrist's rotation relative to that frame: turning the picture then turns the answer by"
        " itself.",
    )
    predicts_side: bool = Field(
        default=False,
        description="Tell a right hand from a mirrored left one, learnt from mirrored training crops: what decides the"
        " side of hands whose side nobody gives.",
    )

    @model_validator(mode="after")
    def _a_palm_needs_depth(self) -> Self:
        if self.palm_frame and not self.predicts_depth:
            raise cross_field_error("palm_frame", "false where predicts_depth is false", "true")
        if self.predicts_depth and self.joint_features == 0:
            raise cross_field_error("joint_features", "above 0 where depth is predicted from them", "0")
        return self


class ObjectDecoderConfig(WhatConfig):
    """From the object's features to proposals for its 21 control points (paper, section 4.3)."""

    head: Literal["streams", "single", "heatmaps"] = Field(
        default="streams",
        description="streams: shared convolutions, then two for location and two for confidence (text); single: pairs"
        " of a 1x1 and a 3x3 convolution, then one 1x1 to 63 channels (released code); heatmaps: the hand's hourglass"
        " and one heatmap a control point, whose mean is its only proposal (neither).",
    )
    channels: Channels = Field(default=256, description="Width of the convolutions (paper, Table 6: 256).")
    shared_convolutions: int = Field(
        default=4, ge=1, le=8, description="streams: 3x3 convolutions before the streams part; single: pairs (code: 3)."
    )
    offset_unit: Positive = Field(
        default=0.1,
        le=1.0,
        description="What one unit of the network's output moves a point, in sides of the object box (code: a tenth).",
    )


class NetworkLossWeights(LossWeights):
    """Weights of the losses, those of the options beyond paper and code included."""

    heatmaps: NonNegative = Field(
        default=100.0,
        description="Squared error of the heatmaps, summed over cells: the paper's 0.1 in the unit of the others (x"
        " 1000). At the start it is then 8, as is the released code's error of coordinates.",
    )
    depth: NonNegative = Field(
        default=0.0, description="Absolute error of the joints' depths, in sides of the hand box."
    )
    side: NonNegative = Field(
        default=0.0, description="Cross-entropy of the hand's side, over crops as they are and mirrored ones alike."
    )
    object_heatmaps: NonNegative = Field(
        default=0.0, description="Cross-entropy of the control points' heatmaps, where the head has them."
    )


class LossConfig(WhatConfig):
    """What is compared, and how."""

    joints_2d: Literal["heatmaps", "coordinates", "both"] = Field(
        default="heatmaps",
        description="What of the 2D joints is supervised. heatmaps: text; coordinates (soft-argmax): released code.",
    )
    heatmap_distance: Literal["squared", "cross_entropy"] = Field(
        default="squared", description="squared: the paper's; cross_entropy learns faster from a flat start."
    )
    heatmap_sigma_cells: Positive = Field(
        default=1.0, description="Deviation of the true heatmap, a Gaussian of sum 1, in cells. Not in the paper."
    )
    hand_distance: Literal["squared", "absolute"] = Field(
        default="squared", description="Of coordinates in 2D and 3D. squared: paper and code."
    )
    confidence_distance: Literal["squared", "absolute"] = Field(
        default="squared", description="Of the object's confidences. squared: text; absolute: released code."
    )
    confidence_decay: Positive = Field(
        default=1.0,
        description="The true confidence is exp(-this x error in box sides). 1: paper and code, where a proposal half a"
        " box away is still 0.6; larger numbers tell good from very good.",
    )
    object_area: Literal["all_cells", "mask_cells"] = Field(
        default="all_cells",
        description="all_cells: every cell proposes (text); mask_cells: only cells that show the object, the others'"
        " location error is zero and their true confidence is zero (released code).",
    )
    unsupervised: Literal["batch", "supervised"] = Field(
        default="batch",
        description="What a loss is averaged over where some samples lack its truth. batch: all samples, as Eq. 8"
        " reads, so that a sample's weight never depends on its neighbours; supervised: those that have it (released"
        " code: x B / sum of the mask).",
    )
    weights: NetworkLossWeights = Field(default=NetworkLossWeights(), description="Weights of the losses.")


class PnpConfig(WhatConfig):
    """From proposals of control points to the object's pose, as the released code does it."""

    num_proposals: int = Field(
        default=10, ge=1, le=256, description="Most confident proposals taken of each control point (paper and code)."
    )
    min_confidence: Fraction = Field(
        default=0.5,
        description="Proposals of lower confidence are not used (code: 0.5; with decay 1 within 0.69 sides).",
    )
    min_pairs: int = Field(default=6, ge=4, le=256, description="Fewer proposals than this are a failure (code: 6).")
    max_error_crop_sides: Positive = Field(
        default=8.0 / 512.0,
        le=1.0,
        description="Largest reprojection error of an inlier, in sides of the crop. The code has OpenCV's 8 px in a"
        " crop of 512 px; in px it would be four times as lax in a crop of 128.",
    )
    max_iterations: Count = Field(default=100, description="Of RANSAC (OpenCV's default, and so the code's).")
    success_probability: float = Field(default=0.99, gt=0.0, lt=1.0, description="Of RANSAC (OpenCV's default).")
    refines: bool = Field(default=False, description="Levenberg-Marquardt on the inliers after EPnP; false: code.")
    spans_box: bool = Field(
        default=False,
        description="Stretch the proposals such that they span the object box, which is that of the control points: an"
        " unsure network draws them together, which reads as a larger distance. Not where the picture is turned, whose"
        " box is not tight. false: paper and code.",
    )


class NetworkConfig(WhatConfig):
    """A network from image and boxes to the poses of hand and object."""

    preset: str = Field(
        default="paper",
        description="Name of the preset this was made from; decides nothing and is not hashed.",
        json_schema_extra=NOT_HASHED,
    )
    input_px: int = Field(
        default=512, ge=32, le=2048, multiple_of=32, description="Side of the square crop (paper, Table 6: 512)."
    )
    backbone: BackboneConfig = Field(default=BackboneConfig(), description="Features of the image.")
    regions: RegionConfig = Field(default=RegionConfig(), description="Features of hand, object and intersection.")
    reasoning: ReasoningConfig = Field(default=ReasoningConfig(), description="Contextual reasoning.")
    hand: HandDecoderConfig = Field(default=HandDecoderConfig(), description="The hand's decoder.")
    obj: ObjectDecoderConfig = Field(default=ObjectDecoderConfig(), description="The object's decoder.")
    losses: LossConfig = Field(default=LossConfig(), description="What is compared, and how.")
    pnp: PnpConfig = Field(default=PnpConfig(), description="From proposals to the object's pose.")
    batch_norm_momentum: Fraction = Field(
        default=0.1, gt=0.0, description="Weight of the newest batch in the running statistics."
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.regions.cells % 2**self.hand.hourglass_depth:
            expected = f"halvings that divide the {self.regions.cells} cells of a region"
            raise cross_field_error("hand", expected, f"hourglass_depth {self.hand.hourglass_depth}")
        if self.regions.cells % 2 ** len(self.hand.encoder_widths):
            expected = f"stages that halve the {self.regions.cells} cells of a region evenly"
            raise cross_field_error("hand", expected, f"{len(self.hand.encoder_widths)} encoder_widths")
        if self.obj.head == "heatmaps" and self.losses.object_area == "mask_cells":
            expected = "all_cells where the object's head is heatmaps, which makes one proposal for all cells"
            raise cross_field_error("losses.object_area", expected, "mask_cells")
        if self.backbone.pyramid_channels % self.reasoning.heads:
            expected = f"a divisor of pyramid_channels = {self.backbone.pyramid_channels}"
            raise cross_field_error("reasoning", expected, f"heads {self.reasoning.heads}")
        return self

    @property
    def num_cells(self) -> int:
        """Cells of a region."""
        return self.regions.cells**2

    @property
    def num_proposals(self) -> int:
        """Proposals for each control point: one of every cell, or the mean of the heatmap."""
        return 1 if self.obj.head == "heatmaps" else self.num_cells


def _released() -> NetworkConfig:
    return NetworkConfig(
        preset="released",
        backbone=BackboneConfig(activation="leaky_relu", image_normalisation="none", pyramid_upsampling="bilinear"),
        regions=RegionConfig(aligned=False),
        reasoning=ReasoningConfig(empty_intersection="zero_features"),
        hand=HandDecoderConfig(
            activation="leaky_relu",
            temperature="learned",
            encoder_widths=(256, 256, 256, 256),
            encoder_blocks=2,
            hidden_widths=(1024, 512),
            rotation="six_d",
        ),
        obj=ObjectDecoderConfig(head="single", shared_convolutions=3),
        losses=LossConfig(
            joints_2d="coordinates",
            confidence_distance="absolute",
            object_area="mask_cells",
            unsupervised="supervised",
        ),
    )


_LIGHT_WEIGHTS: Final = NetworkLossWeights(
    heatmaps=10.0,
    depth=20.0,
    side=5.0,
    joints_2d=100.0,
    joints_3d=1e3,
    vertices=0.0,
    object_heatmaps=10.0,
    object_location=20.0,
    object_confidence=5.0,
)
"""At the start the heatmaps weigh more than all else together, for a pose read from joints nobody has found is noise.
With the released code's 1e4 for 3D joints (and 1 for heatmaps) the 2D error after 8000 crops was 0.30 box sides instead
of 0.24, and PA-MPJPE 13.0 mm instead of 10.0."""


def _light(name: str, backbone: BackboneConfig, channels: int) -> NetworkConfig:
    """Return what `small`, `nano` and `landmark` share: heads that learn a free orientation from few images."""
    return NetworkConfig(
        preset=name,
        input_px=128,
        backbone=backbone,
        # control points lie on the border of their box, and a heatmap needs cells on both sides of its maximum
        regions=RegionConfig(cells=16, sampling="cell_centers", object_box_factor=1.2),
        reasoning=ReasoningConfig(mlp_ratio=2.0),
        hand=HandDecoderConfig(
            hourglass_channels=channels,
            hourglass_depth=3,
            temperature="learned",
            encoder_widths=(channels, channels, channels),
            hidden_widths=(256, 256),
            rotation="six_d",
            initial_pose="mean",
            joint_features=16,
            predicts_depth=True,
            palm_frame=True,
            predicts_side=True,
        ),
        obj=ObjectDecoderConfig(head="heatmaps", channels=channels),
        losses=LossConfig(
            joints_2d="both",
            heatmap_distance="cross_entropy",
            confidence_decay=8.0,
            unsupervised="supervised",
            weights=_LIGHT_WEIGHTS,
        ),
        pnp=PnpConfig(min_confidence=0.1, max_error_crop_sides=0.04, refines=True, spans_box=True),
    )


def _small() -> NetworkConfig:
    backbone = BackboneConfig(kind="efficientnet_lite0", pyramid_channels=96)
    return _light("small", backbone, channels=96)


def _nano() -> NetworkConfig:
    backbone = BackboneConfig(kind="convnet", widths=(32, 64, 96, 96), pyramid_channels=64, pyramid_smoothing=False)
    return _light("nano", backbone, channels=64)


def _landmark() -> NetworkConfig:
    backbone = BackboneConfig(kind="landmark", image_normalisation="none", pyramid_channels=96)
    return _light("landmark", backbone, channels=96)


NETWORK_PRESETS: Final[Mapping[str, NetworkConfig]] = MappingProxyType(
    {"paper": NetworkConfig(), "released": _released(), "small": _small(), "nano": _nano(), "landmark": _landmark()}
)
"""The named networks. One that produced published results is never edited: add another beside it."""


def network_preset(name: str, **changes: Any) -> NetworkConfig:  # noqa: ANN401 - any field of NetworkConfig
    """Return a preset; `changes` replace whole fields of it.

    Raises:
        ConfigError: no preset has that name; the message names the nearest one.
    """
    if name not in NETWORK_PRESETS:
        nearest = difflib.get_close_matches(name, NETWORK_PRESETS, n=1, cutoff=0.5)
        fix = f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of them."
        expected = f"one of {', '.join(NETWORK_PRESETS)}"
        raise ConfigError(describe(what="network preset", expected=expected, found=repr(name), fix=fix))
    preset = NETWORK_PRESETS[name]
    return NetworkConfig(**{**dict(preset), **changes}) if changes else preset
