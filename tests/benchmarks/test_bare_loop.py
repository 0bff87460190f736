from pathlib import Path

from hoiray.benchmarks.bare_loop import BareLoop
from hoiray.benchmarks.control_run import TINY, write_videos
from hoiray.benchmarks.free_predictor import FreePredictor
from hoiray.benchmarks.pipeline import RUN
from hoiray.config.load import parse_run
from hoiray.predictors.protocol import HandPredictions, HandRequest


class Noted(FreePredictor):
    """Remembers how many rows it was asked for at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, request: HandRequest) -> HandPredictions:
        self.asked.append(len(request))
        return super().predict(request)


def test_every_frame_of_the_videos_is_predicted_in_all_views(tmp_path: Path) -> None:
    write_videos(tmp_path, 3, 5, TINY)
    run = parse_run(RUN.format(folder=tmp_path, target_frames=10, checkpoint="c", views=2))
    predictor = Noted()
    loop = BareLoop(run, predictor, batch_size=4)
    assert loop.run(2) == 10
    assert predictor.asked == [8, 2, 8, 2]
