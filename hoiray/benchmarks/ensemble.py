"""What is spent on pixels: views of a hand beside single ones, crops in one warp, decoding in a child of its own."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hoiray.benchmarks.control_run import write_videos
from hoiray.benchmarks.goals import Row
from hoiray.benchmarks.pipeline import BATCH_SIZE, FRAMES_A_VIDEO, VIEWS, WEBM
from hoiray.benchmarks.timing import compare
from hoiray.config.what import Ensemble, PrecisionName

if TYPE_CHECKING:
    from hoiray.predictors.network import NetworkPredictor
    from hoiray.predictors.protocol import HandRequest, Predictor

NUM_CROPS: Final = 64
MAX_LEVELS_OFF: Final = 1.0
"""Grey levels by which the two ways to cut a crop may differ on average: one rounds to 8 bits on the way."""


def measure(folder: Path, *, pairs: int) -> list[Row]:
    """Measure all of it on one thread; `folder` is empty."""
    import torch

    from hoiray.engine.session import settle_threads

    torch.set_num_threads(1)
    settle_threads()
    write_videos(folder, 1, FRAMES_A_VIDEO, WEBM)
    (path,) = (folder / "videos").rglob("*.webm")
    frames = decord_frames(path)
    return [
        views_row(frames, pairs),
        precision_row(frames, pairs),
        crops_row(frames, pairs),
        decode_row(path, frames, pairs),
    ]


def views_row(frames: npt.NDArray[np.uint8], pairs: int) -> Row:
    """Compare a batch of hands in all views with the same hands in one view, as often as there are views."""
    predict = partial(_predict, packaged_teacher("auto"), frames)
    found = compare(
        (f"{VIEWS} views", lambda: predict(VIEWS)),
        (f"{VIEWS} times one view", lambda: [predict(1) for _ in range(VIEWS)]),
        pairs=pairs,
    )
    return Row.of("views", found, f"{BATCH_SIZE} hands, {1e3 * found.subject_s.median:.0f} ms.")


def precision_row(frames: npt.NDArray[np.uint8], pairs: int) -> Row:
    """Compare a batch of hands in the number format that `auto` takes here with float32."""
    best, exact = (packaged_teacher(name) for name in ("auto", "float32"))
    chosen = "float32" if best.precision is None or best.precision.dtype is None else str(best.precision.dtype)
    found = compare(
        (f"{VIEWS} views", lambda: _predict(best, frames, VIEWS)),
        (f"{VIEWS} views in float32", lambda: _predict(exact, frames, VIEWS)),
        pairs=pairs,
    )
    return Row.of("precision", found, f"{chosen.removeprefix('torch.')}, {BATCH_SIZE} hands.")


def packaged_teacher(precision: PrecisionName) -> "NetworkPredictor":
    """Load the network that comes with hoiray, on the CPU."""
    from hoiray.predictors.load import load_network
    from hoiray.selftrain.twin import PACKAGED_TEACHER

    return load_network(str(PACKAGED_TEACHER), hand_path=None, device="cpu", precision=precision).predictor


def _predict(predictor: "Predictor", frames: npt.NDArray[np.uint8], num_views: int) -> object:
    from hoiray.predictors.ensemble import predict_ensemble

    request, keys = request_of(frames[:BATCH_SIZE]), [str(row) for row in range(BATCH_SIZE)]
    return predict_ensemble(predictor, request, keys, Ensemble(num_views=num_views))


def request_of(frames: npt.NDArray[np.uint8]) -> "HandRequest":
    """Ask for the hand of every frame."""
    from hoiray.predictors.protocol import HandRequest

    count = len(frames)
    return HandRequest.make(frames, np.arange(count), np.tile(WEBM.bbox_xyxy, (count, 1)), np.ones(count, np.bool_))


def crops_row(frames: npt.NDArray[np.uint8], pairs: int) -> Row:
    """Compare the warp of a GPU, on this CPU, with OpenCV's.

    Raises:
        RuntimeError: they do not cut the same.
    """
    import torch

    from hoiray.config.network import network_preset
    from hoiray.predictors.ensemble import draw_ensemble_views
    from hoiray.predictors.load import network_crops
    from hoiray.predictors.request_crops import plan_crops
    from hoiray.predictors.warp import cut_crops, cut_crops_with_opencv

    hands = NUM_CROPS // VIEWS
    request = request_of(frames[:hands])
    spec = network_crops(network_preset("nano"), integer_centers=False)
    views = draw_ensemble_views(Ensemble(num_views=VIEWS), [str(row) for row in range(hands)])
    viewed = request.with_views(views)
    A, mirrored = plan_crops(viewed, spec).A, np.zeros(NUM_CROPS, np.bool_)
    tensors = (torch.from_numpy(frames[:hands].copy()), torch.from_numpy(viewed.frame_index), torch.from_numpy(A))

    def batched() -> "torch.Tensor":
        return cut_crops(*tensors, spec.size_px)

    def one_by_one() -> npt.NDArray[np.uint8]:
        return cut_crops_with_opencv(frames[:hands], viewed.frame_index, A, spec.size_px, is_mirrored=mirrored)

    off = float(np.abs(batched().numpy() - one_by_one()).mean())
    if off > MAX_LEVELS_OFF:
        raise RuntimeError(f"the two warps differ by {off:.2f} grey levels: the ratio would mean nothing")
    found = compare(("batched", batched), ("one by one", one_by_one), pairs=pairs)
    return Row.of("crops", found, f"{spec.size_px} px, {1e3 * found.baseline_s.median:.1f} ms by OpenCV.")


def decode_row(path: Path, frames: npt.NDArray[np.uint8], pairs: int) -> Row:
    """Compare decoding as an actor does it with decord alone.

    Raises:
        RuntimeError: they do not show the same frames.
    """
    from hoiray.io.store import Store
    from hoiray.stages.decode import VideoDecoder

    store = Store.open(str(path.parent))
    with VideoDecoder() as decoder:

        def decode() -> list[npt.NDArray[np.uint8]]:
            with decoder.open(store, path.name, video_id=path.name) as video:
                return [batch.frames for batch in video]

        if not np.array_equal(np.concatenate(decode()), frames):
            raise RuntimeError("the two decoders show other frames: the ratio would mean nothing")
        found = compare(("in a child", decode), ("decord", lambda: decord_frames(path)), pairs=pairs)
    rate = len(frames) / found.subject_s.median
    return Row.of("decode", found, f"{rate:.0f} frames/s of {WEBM.size_wh[0]} x {WEBM.size_wh[1]} px, VP9.")


def decord_frames(path: Path) -> npt.NDArray[np.uint8]:
    """Decode a whole file with one thread; (N, H, W, 3)."""
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    frames: npt.NDArray[np.uint8] = reader.get_batch(list(range(len(reader)))).asnumpy()
    return frames
