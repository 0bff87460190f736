"""The loop that a labelling is compared with: decord, the network, the views, their mean; no Ray, no files written.

As short as it can be written with the same network: `python -m hoiray.benchmarks.bare_loop RUN.yaml BATCH` loads it,
says that it is ready, and for every line with a number goes through so many videos and says the seconds it took.
"""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hoiray.config.what import RunConfig
    from hoiray.predictors.protocol import HandRequest, Predictor


RAY_WORKER_NICENESS: Final = 15


class BareLoop:
    """A run's network over a run's videos."""

    def __init__(self, run: "RunConfig", predictor: "Predictor", *, batch_size: int) -> None:
        """Read the boxes: one hand a frame, a right one.

        Args:
            run: its videos and its ensemble.
            predictor: its teacher.
            batch_size: hands of one pass, before the ensemble multiplies them.
        """
        assert run.videos.boxes_uri is not None
        table = pq.read_table(run.videos.boxes_uri, columns=["video_id", "bbox_xyxy"])
        boxes = table["bbox_xyxy"].combine_chunks().flatten().to_numpy().reshape(-1, 4)
        names, first, count = np.unique(table["video_id"].to_numpy(), return_index=True, return_counts=True)
        self._boxes = {
            str(name): boxes[start : start + size] for name, start, size in zip(names, first, count, strict=True)
        }
        self._folder, self._ensemble = Path(run.videos.uri), run.ensemble
        self._predictor, self._batch_size = predictor, batch_size

    def run(self, num_videos: int) -> int:
        """Go through the first so many videos; return the number of hands."""
        from hoiray.predictors.ensemble import predict_ensemble

        num_hands = 0
        for name in sorted(self._boxes)[:num_videos]:
            for first, request in self._requests(name):
                keys = [f"{name}/{first + row}/0" for row in range(len(request))]
                fused = predict_ensemble(self._predictor, request, keys, self._ensemble)
                num_hands += len(fused.num_members)
        return num_hands

    def _requests(self, name: str) -> "Iterator[tuple[int, HandRequest]]":
        """Decode a video batch by batch, with one thread."""
        import decord

        from hoiray.predictors.protocol import HandRequest

        boxes = self._boxes[name]
        reader = decord.VideoReader(str(self._folder / name), num_threads=1)
        for first in range(0, len(boxes), self._batch_size):
            index = np.arange(first, min(first + self._batch_size, len(boxes)))
            frames = reader.get_batch(index.tolist()).asnumpy()
            yield first, HandRequest.make(frames, np.arange(len(index)), boxes[index], np.ones(len(index), np.bool_))


def main(arguments: list[str]) -> None:
    """Load, then answer every line until there are no more."""
    from hoiray.config.load import load_run
    from hoiray.engine.session import settle_threads
    from hoiray.stages.teacher import open_teacher

    # Ray's own setting for its workers: where anything else runs, both sides must give way to it alike
    os.nice(RAY_WORKER_NICENESS)
    path, batch_size = arguments[0], int(arguments[1])
    run = load_run(path)
    loop = BareLoop(run, open_teacher(run, device="cpu", batch_size=batch_size), batch_size=batch_size)
    settle_threads()
    loop.run(1)
    _say("ready")
    for line in sys.stdin:
        begin = time.perf_counter()
        num_hands = loop.run(int(line))
        _say(f"{time.perf_counter() - begin} {num_hands}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
