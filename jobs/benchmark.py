"""Benchmarks: every figure is a ratio of two things measured in the same run.

python jobs/benchmark.py hand --out out/benchmark
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hoiray.benchmarks.timing import make_report_folder
from hoiray.errors import HoirayError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Out = Annotated[Path, typer.Option(help="Folder for the JSON and Markdown report.", callback=make_report_folder)]
Pairs = Annotated[int, typer.Option(help="Alternating measurements of each side.", min=1)]
CONTROL = ("index", "boxes", "listing", "resume", "first", "label")
Force = Annotated[bool, typer.Option(help="Measure on a loaded machine all the same.")]


PARTS = "ensemble,filters,pipeline,pipelines,judge,groupby,control,peer,training,adaptive"


@app.command(name="all")
def everything(
    *,
    out: Out = Path("results"),
    pairs: Pairs = 5,
    force: Force = False,
    parts: Annotated[
        str, typer.Option(help="Some of them, or training_on_ray; the others keep the figures they had.")
    ] = PARTS,
    clips: Annotated[str | None, typer.Option(help="Videos for the peer; default: the peer is left out.")] = None,
    python: Annotated[
        str | None, typer.Option(help="A Python with mediapipe 0.10.21, the peer; default: it is left out.")
    ] = None,
    adaptive_report: Annotated[
        str, typer.Option(help="Report (.json) of the command `adaptive`, which is measured apart.")
    ] = "results/adaptive.json",
) -> None:
    """The table of speeds: every part in a process of its own, every row beside its goal."""
    from hoiray.benchmarks.suite import Settings, run

    settings = Settings(pairs=pairs, force=force, clips=clips, python=python, adaptive=adaptive_report)
    typer.echo(run(out, settings, parts.split(",")))


@app.command()
def hand(out: Out = Path("out/benchmark"), pairs: Pairs = 7, force: Force = False) -> None:
    """Forward of 512 hands against bare NumPy and torch skinning, and the share spent in smplx."""
    from hoiray.benchmarks.hand import run  # torch is imported only when needed

    typer.echo(run(out, pairs=pairs, force=force))


@app.command()
def synth(out: Out = Path("out/benchmark"), pairs: Pairs = 7, force: Force = False) -> None:
    """Frames of the synthetic world drawn per second and core at 256 px, and their share of the bare rasteriser's."""
    from hoiray.benchmarks.synth import run

    typer.echo(run(out, pairs=pairs, force=force))


@app.command()
def filters(out: Out = Path("out/benchmark"), pairs: Pairs = 7, force: Force = False) -> None:
    """Rows per second and core of every filter, against a camera solve a frame and a loop over videos."""
    from hoiray.benchmarks.filters import run

    typer.echo(run(out, pairs=pairs, force=force))


@app.command()
def train(
    *,
    out: Out = Path("out/benchmark"),
    pairs: Pairs = 5,
    force: Force = False,
    data: Annotated[str | None, typer.Option(help="An annotated set; default: a tiny synthetic one.")] = None,
    preset: Annotated[str, typer.Option(help="nano, small, paper or released.")] = "nano",
    ray: Annotated[bool, typer.Option(help="Measure Ray Train too.")] = True,
    labels: Annotated[str | None, typer.Option(help="A labelling whose labels are loaded too; default: none.")] = None,
) -> None:
    """A training step and its data against bare PyTorch, Ray Train against both, the network's forward by part."""
    from hoiray.benchmarks.train import run

    typer.echo(run(out, pairs=pairs, force=force, data=data, preset=preset, with_ray=ray, labels=labels))


@app.command()
def labels(
    *,
    run_uri: Annotated[str, typer.Option("--run", help="Folder of a label run, local or s3://.")],
    truth: Annotated[str, typer.Option(help="Root of the synthetic set whose videos were labelled.")],
    out: Out = Path("out/benchmark"),
    judge_id: Annotated[str | None, typer.Option(help="Which labels; default: the only ones.")] = None,
    right_mm: Annotated[float, typer.Option(help="A label is called right up to this PA-MPJPE.", min=0.0)] = 8.0,
    picture: Annotated[Path | None, typer.Option(help="Also draw accepted and refused labels (.jpg, .png).")] = None,
    note: Annotated[str, typer.Option(help="A line for the report, such as which weights labelled.")] = "",
) -> None:
    """Accepted labels against refused ones, reason by reason, by their distance from a synthetic set's truth."""
    from hoiray.benchmarks.labels import run

    typer.echo(
        run(out, run_uri=run_uri, truth_uri=truth, judge_id=judge_id, right_mm=right_mm, picture=picture, note=note)
    )


@app.command()
def adaptive(
    *,
    whole: Annotated[str, typer.Option(help="Folder of a label run with all views.")],
    early: Annotated[str, typer.Option(help="Folder of the same run with ensemble.cascade={}.")],
    truth: Annotated[str, typer.Option(help="Root of the synthetic set whose videos were labelled.")],
    out: Out = Path("out/benchmark"),
    right_mm: Annotated[float, typer.Option(help="A label is called right up to this PA-MPJPE.", min=0.0)] = 8.0,
) -> None:
    """An ensemble that ends early beside the whole one: views saved, labels kept, precision."""
    from hoiray.benchmarks.adaptive import run

    typer.echo(run(out, whole_uri=whole, early_uri=early, truth_uri=truth, right_mm=right_mm))


@app.command()
def control(
    *,
    out: Out = Path("out/benchmark"),
    size: Annotated[
        Literal["small", "full"], typer.Option(help="small (minutes) or full (up to 10 million videos: hours).")
    ] = "small",
    parts: Annotated[str, typer.Option(help="Some of index,boxes,listing,resume,first,label.")] = ",".join(CONTROL),
    s3: Annotated[
        str | None, typer.Option(help="A bucket or prefix that may be filled; default: nothing on S3.")
    ] = None,
    scratch: Annotated[Path | None, typer.Option(help="Folder for what is made; default: the system's.")] = None,
) -> None:
    """Memory and time of index, boxes, resume and a labelling with a free predictor, as they grow."""
    from hoiray.benchmarks.control import run

    typer.echo(run(out, size=size, parts=parts.split(","), s3_uri=s3, scratch=scratch))


@app.command()
def roofline(out: Out = Path("out/benchmark"), force: Force = False) -> None:
    """Operations and bytes of a pass, what GPUs could do with them by arithmetic, and what a core here does."""
    from hoiray.benchmarks.roofline import run

    typer.echo(run(out, force=force))


@app.command()
def trust(
    out: Out = Path("out/benchmark"),
    trials: Annotated[int, typer.Option(help="Calibrations in each simulated world.", min=1)] = 500,
    videos: Annotated[int, typer.Option(help="Videos of each calibration.", min=2)] = 200,
) -> None:
    """How often a calibration's promise is broken in simulated worlds, beside the bound that counts frames."""
    from hoiray.benchmarks.trust import run

    typer.echo(run(out, trials=trials, videos=videos))


@app.command()
def ranking(
    *,
    runs: Annotated[list[str], typer.Option("--run", help="Folder of a label run; several are ranked together.")],
    truths: Annotated[list[str], typer.Option("--truth", help="Root of the set with its truth, one a run.")],
    fit_runs: Annotated[
        list[str] | None,
        typer.Option("--fit-run", help="Run that confidence is fitted on; default: the ranked ones, parted by people."),
    ] = None,
    fit_truths: Annotated[list[str] | None, typer.Option("--fit-truth", help="Its truth, one a run.")] = None,
    max_error_mm: Annotated[float, typer.Option(help="A label is right up to this PA-MPJPE.", min=0.0)] = 15.0,
    unit: Annotated[Literal["subject", "video"], typer.Option(help="What is parted and resampled.")] = "subject",
    num_parts: Annotated[int, typer.Option("--parts", help="Of the people; each is ranked by the others.", min=2)] = 2,
    num_lots: Annotated[int, typer.Option("--lots", help="Partings, over which figures are means.", min=1)] = 5,
    out: Out = Path("out/benchmark"),
) -> None:
    """Confidence against the paper's limits, the spread and the predictor's own word, on people not fitted on."""
    from hoiray.benchmarks.ranking import RankingRequest, run

    request = RankingRequest(runs, truths, fit_runs or (), fit_truths or (), max_error_mm, unit, num_parts, num_lots)
    typer.echo(run(out, request))


@app.command()
def rejudge(
    *,
    run_uri: Annotated[str, typer.Option("--run", help="Folder of a label run, local or s3://.")],
    limits: Annotated[str, typer.Option(help="Limits file of hoiray calibrate, for the run's predictor.")],
    rows: Annotated[int, typer.Option(help="Rows to judge: the run's, copied under new names.", min=1)] = 100_000,
    out: Out = Path("out/benchmark"),
    pairs: Pairs = 5,
    force: Force = False,
) -> None:
    """Seconds to judge stored predictions again by a calibrated file, against the paper's limits."""
    from hoiray.benchmarks.rejudge import run

    typer.echo(run(out, run_uri=run_uri, limits=limits, rows=rows, pairs=pairs, force=force))


if __name__ == "__main__":
    try:
        app()
    except HoirayError as error:
        raise SystemExit(f"error: {error}") from None
