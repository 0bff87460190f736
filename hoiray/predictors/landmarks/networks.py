"""The published hand networks at work: frames in, palms and hands out, in px of the frame and metres."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from hoiray.datasets.augment import Views
from hoiray.datasets.colour import blur, change_colours
from hoiray.geometry.crops import apply_affine, invert_affine
from hoiray.geometry.rotations import rotation_z
from hoiray.hand.joints import NUM_JOINTS
from hoiray.io.landmark_files import FILES, network_path
from hoiray.predictors.landmarks.palm import INPUT_PX as PALM_PX
from hoiray.predictors.landmarks.palm import Palms, decode_palms, letterbox
from hoiray.predictors.landmarks.regions import Regions, regions_of_points, regions_of_upright
from hoiray.predictors.warp import cut_crops, cut_crops_with_opencv

if TYPE_CHECKING:
    from torch import Tensor

    from hoiray.predictors.landmarks.graph_network import GraphNetwork

FloatArray = npt.NDArray[np.floating]
Frames = npt.NDArray[np.uint8]
Variant = Literal["full", "lite"]

INPUT_PX: Final = 224
MAX_CROPS: Final = 64
"""Crops that go through an accelerator at once. On a CPU they go one by one: that is as fast, and then the numbers of
a crop do not depend on its company, to the last bit."""

MAX_KEPT: Final = 4096
"""Answers about crops that are kept, a KB each: enough for what lies between a tracker's reading and a prediction's."""


@dataclass(frozen=True, eq=False)
class Readings:
    """What the landmark network says of N squares.

    Attributes:
        points_px: (N, 21, 2) of the frame, simple order.
        points_m: (N, 21, 3) in camera axes of the unturned frame, origin at the middle of the hand.
        presence: (N,) 0 to 1: is this a hand?
        right: (N,) 0 to 1: is it a right one? (Published programs call it a left one: they mirror their pictures.)
    """

    points_px: FloatArray
    points_m: FloatArray
    presence: FloatArray
    right: FloatArray

    def __len__(self) -> int:
        """Squares."""
        return len(self.presence)

    def rows(self, chosen: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Readings":
        """Return some of them."""
        return Readings(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def replaced(self, rows: npt.NDArray[np.integer], others: "Readings") -> "Readings":
        """Return these, with other ones in some rows."""
        changed = Readings(*(getattr(self, field.name).copy() for field in fields(self)))
        for field in fields(self):
            getattr(changed, field.name)[rows] = getattr(others, field.name)
        return changed


class HandNetworks:
    """The networks on a device.

    On a CPU the answers about the last crops are kept: a tracker reads the very crop that the plain view of a
    prediction shows, and a hand of unknown side is asked about twice. The key is the crop's pixels, so that an answer
    which was kept is the one that would be computed again.
    """

    def __init__(self, folder: Path, *, device: str, variants: Sequence[Variant] = ("full", "lite")) -> None:
        """Load them.

        Args:
            folder: where the files are kept.
            device: `cpu`, `cuda`, ...
            variants: of the landmark network; the palm network is the full one.

        Raises:
            InputError: a file is missing; the message names the command that fetches it.
            ContractError: it is another file.
        """
        names = ["palm_detection_full", *(f"hand_landmark_{variant}" for variant in variants)]
        paths = {name: network_path(name, folder) for name in names}
        self.device = device
        self.digest = hashlib.sha256(" ".join(FILES[name].sha256 for name in names).encode()).hexdigest()
        self._networks = {name: _load(path, device) for name, path in paths.items()}
        self._kept: dict[bytes, list[FloatArray]] = {}

    def forget(self) -> None:
        """Drop the answers that are kept: for who measures how long they take."""
        self._kept.clear()

    def find_palms(self, frame: Frames) -> Palms:
        """Find palms in a frame (H, W, 3)."""
        height, width = frame.shape[:2]
        A = letterbox(width, height)
        pixels = self._pixels(frame[None], np.zeros(1, np.int64), A[None], PALM_PX, None)
        regressions, logits = self._computed("palm_detection_full", pixels)
        return decode_palms(regressions[0], logits[0], A)

    def read(
        self,
        frames: Frames,
        frame_index: npt.NDArray[np.integer],
        regions: Regions,
        *,
        views: Views | None = None,
        variant: Variant = "full",
    ) -> Readings:
        """Read the hands in squares.

        Args:
            frames: (F, H, W, 3).
            frame_index: (N,) the frame of each square.
            regions: N squares.
            views: how each crop deviates from its square; None: not at all.
            variant: the accurate network or the quick one.
        """
        varied = regions.views(views)
        if varied is None:
            A, turns = regions.affines(INPUT_PX), -regions.turns_rad
        else:
            A = varied.affines(regions.centers_px, regions.sides_px, out_size_px=INPUT_PX)
            turns = varied.rotations_rad
        pixels = self._pixels(frames, frame_index, A, INPUT_PX, varied)
        points, presence, right, world = self._run(f"hand_landmark_{variant}", pixels)
        count = len(regions)
        in_frame = apply_affine(invert_affine(A), points.reshape(count, NUM_JOINTS, 3)[..., :2])
        unturned = world.reshape(count, NUM_JOINTS, 3) @ np.swapaxes(rotation_z(-turns), -1, -2)
        return Readings(in_frame, unturned, presence.ravel(), right.ravel())

    def settle(
        self,
        frames: Frames,
        frame_index: npt.NDArray[np.integer],
        regions: Regions,
        *,
        min_presence: float,
    ) -> tuple[Readings, Regions]:
        """Read hands whose squares are known about, and once more those that turn out to lie elsewhere in them.

        The better centred reading counts, also where it sees no hand.

        Args:
            frames: (F, H, W, 3).
            frame_index: (N,) the frame of each square.
            regions: N squares.
            min_presence: below it there is no hand that could lie elsewhere.

        Returns:
            The readings, and the squares that they are of: those of the points themselves, or as good as these, and
            such as `upright_px` holds to the last bit.
        """
        squares = regions_of_upright(regions.upright_px)
        readings = self.read(frames, frame_index, squares)
        centred = regions_of_points(readings.points_px)
        moved = np.flatnonzero((readings.presence >= min_presence) & ~squares.is_near(centred))
        if len(moved) == 0:
            return readings, squares
        closer = regions_of_upright(centred.rows(moved).upright_px)
        again = self.read(frames, frame_index[moved], closer)
        return readings.replaced(moved, again), squares.replaced(moved, closer)

    def _pixels(
        self, frames: Frames, frame_index: npt.NDArray[np.integer], A: FloatArray, size_px: int, views: Views | None
    ) -> "Tensor":
        """Cut crops (N, S, S, 3) of levels 0 to 255."""
        import torch

        if self.device == "cpu":
            unmirrored = np.zeros(len(A), np.bool_)
            crops = cut_crops_with_opencv(frames, frame_index, A, size_px, is_mirrored=unmirrored)
            if views is not None:
                for row, crop in enumerate(crops):
                    crops[row] = change_colours(blur(crop, float(views.blur_px[row])), views, row)
            return torch.from_numpy(crops)
        from hoiray.predictors.device_colour import change_crops

        seen, index, affines = (torch.as_tensor(values, device=self.device) for values in (frames, frame_index, A))
        cut = cut_crops(seen, index, affines, size_px)
        return cut if views is None else change_crops(cut, views)

    def _run(self, name: str, pixels: "Tensor") -> list[FloatArray]:
        """Return what a network says of crops, (N, ...) float64 on the host: computed, or kept from before."""
        if self.device != "cpu":
            return self._computed(name, pixels)
        crops = pixels.numpy()
        keys = [hashlib.sha256(name.encode() + crop.tobytes()).digest() for crop in crops]
        rows = []
        for row, key in enumerate(keys):
            answer = self._kept.get(key)
            if answer is None:
                answer = self._kept[key] = self._computed(name, pixels[row : row + 1])
            rows.append(answer)
        for key in list(self._kept)[: max(len(self._kept) - MAX_KEPT, 0)]:
            del self._kept[key]
        return [np.concatenate(of_output) for of_output in zip(*rows, strict=True)]

    def _computed(self, name: str, pixels: "Tensor") -> list[FloatArray]:
        """Run a network on crops."""
        import torch

        step = 1 if self.device == "cpu" else MAX_CROPS
        parts: list[list[FloatArray]] = []
        with torch.inference_mode():
            for start in range(0, len(pixels), step):
                images = pixels[start : start + step].to(self.device).permute(0, 3, 1, 2).float() / 255.0
                outputs = self._networks[name](images.contiguous(memory_format=torch.channels_last))
                parts.append([output.double().cpu().numpy() for output in outputs])
        return [np.concatenate(of_output) for of_output in zip(*parts, strict=True)]


def _load(path: Path, device: str) -> "GraphNetwork":
    import torch

    from hoiray.io.tflite import read_graph
    from hoiray.predictors.landmarks.graph_network import GraphNetwork

    # with the channels of a pixel together, a depthwise convolution takes half the time
    return GraphNetwork(read_graph(path)).eval().to(device).to(memory_format=torch.channels_last)
