"""A small finished run: one hand that passes most limits, in videos of moving noise."""

from pathlib import Path

from labelling import Clip, run_of, write_videos
from labelling_predictor import BoxPredictor

from hoiray.stages.frame_source import DecodeSettings, LocalFrames
from hoiray.stages.label_job import LabelJob, open_label_job
from hoiray.stages.label_shard import Tools, label_here

LOOSE = ("limits.max_motion_2d_box_sides=null", "limits.max_reprojection_box_sides=null")


def labelled_run(folder: Path, names: str = "abc", num_frames: int = 12) -> LabelJob:
    """Write the videos and label them in this process; the run lies in `out`."""
    write_videos(str(folder), {f"{name}.mp4": Clip(num_frames, size_wh=(96, 72)) for name in names})
    job = open_label_job(run_of(folder, folder / "out", "teacher.options.with_hand=true", *LOOSE))
    frames = LocalFrames(DecodeSettings(None, num_decoders=1))
    list(label_here(job, Tools(BoxPredictor(with_hand=True), frames, batch_size=4), lambda _count: None))
    frames.close()
    return job
