"""What a GPU could do at best: operations and bytes of one pass, counted; hands a second, by arithmetic.

Nothing here was measured on a GPU. Operations are counted by torch itself while the network runs on the CPU; bytes are
those of every module's output, written once and read once, and of the weights, in half precision: an upper bound for a
compiler that fuses. Two things are timed, on this machine: decoding, for how many cores keep a GPU busy, and the passes
of a hand's views on one core in turns with a single large convolution, which tells what share of a processor's best
rate the network reaches where it can be measured.
"""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from hoiray.benchmarks.timing import Spread, compare, machine, refuse_loaded_machine

if TYPE_CHECKING:
    import torch

    from hoiray.models.batch import NetworkInput
    from hoiray.models.network import HandObjectNetwork

VIEWS: Final = 8
HALF_BYTES: Final = 2
HANDS_PER_FRAME: Final = 0.61
"""Of Something-Else's annotated frames: 61 % have a hand's box, and none has two (13 published sample videos)."""

REACHED: Final = 0.35
"""Share of a GPU's peak that convolutional networks reach in practice; an assumption, printed with the table."""

LAYER: Final = (256, 3, 64)
"""Channels in and out, side of the kernel and of the map of a convolution alone: a core's best rate. It is near the
peak where a product of matrices is not: on an AMD EPYC a core does 230 GFLOP/s of it, and 106 of the product."""

CLIP_WH: Final = (427, 240)
CLIP_FRAMES: Final = 48


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet: dense half precision, and memory."""

    tflops: float
    tb_per_s: float


GPUS: Final[Mapping[str, Gpu]] = MappingProxyType(
    {"H100 SXM": Gpu(989.0, 3.35), "A100 SXM 80 GB": Gpu(312.0, 2.04), "L4": Gpu(121.0, 0.30)}
)


@dataclass(frozen=True)
class Pass:
    """One pass of one crop.

    Attributes:
        preset: of the network.
        gflop: operations, two a multiply-add.
        mbytes: moved in half precision, weights shared by a batch of 64.
        mparams: weights, millions.
    """

    preset: str
    gflop: float
    mbytes: float
    mparams: float

    def seconds(self, gpu: Gpu) -> dict[str, float]:
        """How long a GPU takes for the operations, and for the bytes."""
        return {
            "operations": self.gflop * 1e9 / (gpu.tflops * 1e12 * REACHED),
            "memory": self.mbytes * 1e6 / (gpu.tb_per_s * 1e12),
        }

    def hands_per_s(self, gpu: Gpu) -> float:
        """Hands a second with all views: by operations or by bytes, whichever takes longer."""
        return 1.0 / (VIEWS * max(self.seconds(gpu).values()))

    def limit(self, gpu: Gpu) -> str:
        """What a GPU waits for."""
        seconds = self.seconds(gpu)
        return max(seconds, key=seconds.__getitem__)


@dataclass(frozen=True)
class Core:
    """A pass as one core of this machine does it, in float32, :data:`VIEWS` crops at once.

    Attributes:
        seconds: a crop.
        share: of the rate of one large convolution, from pairs measured in turns.
    """

    seconds: Spread
    share: Spread


def run(out: Path, *, force: bool = False) -> str:
    """Count, time, and write `roofline.json` and `roofline.md`; return the Markdown.

    Raises:
        ConfigError: the machine is loaded, and `force` is not set.
    """
    refuse_loaded_machine(force=force)
    passes = [count_pass(preset) for preset in ("paper", "released", "small", "nano")]
    cores = [time_pass(each) for each in passes]
    frames_per_s = decoded_frames_per_s()
    text = markdown(passes, cores, frames_per_s)
    document = {
        "machine": machine(),
        "reached_share_of_peak": REACHED,
        "decoded_frames_per_core_s": frames_per_s,
        "gpus": {name: asdict(gpu) for name, gpu in GPUS.items()},
        "passes": [asdict(each) for each in passes],
        "one_core_here": {each.preset: asdict(core) for each, core in zip(passes, cores, strict=True)},
    }
    (out / "roofline.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / "roofline.md").write_text(text, encoding="utf-8")
    return text


def count_pass(preset: str) -> Pass:
    """Count what one crop costs."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, inputs = _crops(preset, 1)
    num_values = _count_outputs(network)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(inputs)
    num_weights = sum(weight.numel() for weight in network.parameters())
    moved = 2 * HALF_BYTES * num_values[0] + HALF_BYTES * num_weights / 64
    return Pass(preset, counter.get_total_flops() / 1e9, moved / 1e6, num_weights / 1e6)


def time_pass(counted: Pass) -> Core:
    """Time the passes of a hand's views on one core, in turns with a large convolution."""
    import torch

    network, inputs = _crops(counted.preset, VIEWS)
    channels, kernel, side = LAYER
    layer = torch.nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False)
    features = torch.rand((1, channels, side, side))
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            timed = compare((counted.preset, lambda: network(inputs)), ("convolution", lambda: layer(features)))
    finally:
        torch.set_num_threads(num_threads)
    operations = VIEWS * counted.gflop / layer_gflop()
    shares = (operations / ratio for ratio in (timed.ratio.median, timed.ratio.maximum, timed.ratio.minimum))
    seconds = (value / VIEWS for value in (timed.subject_s.median, timed.subject_s.minimum, timed.subject_s.maximum))
    return Core(Spread(*seconds), Spread(*shares))


def layer_gflop() -> float:
    """Operations of that convolution, two a multiply-add, as torch counts them: those of the padding too."""
    channels, kernel, side = LAYER
    return 2 * (channels * kernel * side) ** 2 / 1e9


def _crops(preset: str, number: int) -> "tuple[HandObjectNetwork, NetworkInput]":
    import torch

    from hoiray.config.network import network_preset
    from hoiray.hand.model import HandModel
    from hoiray.models.batch import NetworkInput
    from hoiray.models.network import HandObjectNetwork

    config = network_preset(preset)
    network = HandObjectNetwork(config, HandModel.load(flat_hand_mean=True, tip_set="ho3d")).eval()
    side = config.input_px
    boxes = torch.tensor([[0.1, 0.15, 0.7, 0.75], [0.3, 0.3, 0.9, 0.85]]) * side
    images = torch.zeros((number, side, side, 3), dtype=torch.uint8)
    return network, NetworkInput(images, boxes[:1].repeat(number, 1), boxes[1:].repeat(number, 1))


def _count_outputs(network: "HandObjectNetwork") -> list[int]:
    """Count the values that modules without children put out, as the network runs."""
    import torch

    total = [0]

    def count(_module: "torch.nn.Module", _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            total[0] += output.numel()

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    return total


def decoded_frames_per_s() -> float:
    """Decode a clip of Something-Something's size (VP9, 240 px high) on one core; frames a second.

    It is of moving noise, the hardest there is to decode; pictures of something take less.
    """
    import numpy as np

    from hoiray.datasets.video_frames import read_frames
    from hoiray.io.encode import VIDEO_CODECS, VideoEncoder
    from hoiray.io.store import Store

    width, height = CLIP_WH
    encoder = VideoEncoder(VIDEO_CODECS["webm"], fps=12.0, size_wh=CLIP_WH)
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (height // 8, width // 8 + 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for frame in range(CLIP_FRAMES):
        encoder.add(
            np.ascontiguousarray(np.resize(texture[:height, 2 * frame :], (height, texture.shape[1], 3))[:, :width])
        )
    with tempfile.TemporaryDirectory(prefix="hoiray-") as folder:
        store = Store.open(folder)
        store.write("clip.webm", encoder.finish())
        read_frames(store, "clip.webm")
        start = time.process_time()
        read_frames(store, "clip.webm")
        return CLIP_FRAMES / (time.process_time() - start)


def markdown(passes: list[Pass], cores: list[Core], frames_per_s: float) -> str:
    """Write the tables."""
    lines = [
        "# Roofline",
        "",
        f"Of GPUs, arithmetic, not measurements: operations counted by torch, {REACHED:.0%} of a GPU's dense"
        f" half-precision peak assumed to be reached, {VIEWS} views a hand. Decoding was timed here: {frames_per_s:.0f}"
        f" frames of {CLIP_WH[0]} x {CLIP_WH[1]} px (VP9) a core and second, of noise, the hardest there is.",
        "",
        "| preset | GFLOP a pass | MB a pass | weights, M | GPU | hands/s, 8 views | limited by | decoding cores |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- | ---: |",
    ]
    for each in passes:
        for name, gpu in GPUS.items():
            hands = each.hands_per_s(gpu)
            decoders = hands / HANDS_PER_FRAME / frames_per_s
            lines.append(
                f"| {each.preset} | {each.gflop:.2f} | {each.mbytes:.1f} | {each.mparams:.1f} | {name} | {hands:,.0f} |"
                f" {each.limit(gpu)} | {decoders:.1f} |"
            )
    lines += [
        "",
        f"Measured on one core of {machine()['cpu']}, in float32, {VIEWS} crops at once, in turns with a convolution"
        f" alone ({LAYER[0]} channels, {LAYER[1]} x {LAYER[1]}, on {LAYER[2]} x {LAYER[2]}); median and extremes:",
        "",
        "| preset | s a crop | GFLOP/s | share of the convolution's rate | hands/s, 8 views |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for each, core in zip(passes, cores, strict=True):
        seconds, share = core.seconds, core.share
        lines.append(
            f"| {each.preset} | {seconds.median:.3g} [{seconds.minimum:.3g}, {seconds.maximum:.3g}] |"
            f" {each.gflop / seconds.median:.1f} | {share.median:.2f} [{share.minimum:.2f}, {share.maximum:.2f}] |"
            f" {1.0 / (VIEWS * seconds.median):.3g} |"
        )
    return "\n".join([*lines, ""])
